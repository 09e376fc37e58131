"""Server-sent events as the vendors send them: bytes, cut anywhere, to events."""

from __future__ import annotations

LONGEST_EVENT = 16_000_000


class Splitter:
    """Cut a stream of bytes into events.

    Line ends may be LF, CRLF or CR, and chunks may end anywhere. Comments and fields other than
    `event` and `data` give nothing; neither does a last event without its blank line. Raises
    ValueError for an event of more than LONGEST_EVENT bytes.
    """

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0
        self._begun = False
        self._at_newline = False
        self._after_cr = False

    def feed(self, chunk: bytes) -> list[tuple[str, bytes]]:
        """Return the (event name, data) pairs that `chunk` completes."""
        if b"\r" in chunk or self._after_cr:
            chunk = self._unix(chunk)
        if not chunk:
            return []
        # Join only where an event ends: joining for each chunk costs the square of an event's length.
        ends = b"\n\n" in chunk or (self._at_newline and chunk.startswith(b"\n"))
        self._pieces.append(chunk)
        self._size += len(chunk)
        self._at_newline = chunk.endswith(b"\n")
        if not ends:
            if self._size > LONGEST_EVENT:
                raise ValueError("an event without end")
            return []
        whole, _, rest = b"".join(self._pieces).rpartition(b"\n\n")
        self._pieces = [rest]
        self._size = len(rest)
        self._at_newline = rest.endswith(b"\n")
        if not self._begun:
            self._begun = True
            whole = whole.removeprefix(b"\xef\xbb\xbf")
        return [event for block in whole.split(b"\n\n") if (event := _event(block))]

    def _unix(self, chunk: bytes) -> bytes:
        if self._after_cr and chunk:
            chunk = chunk.removeprefix(b"\n")
            self._after_cr = False
        if chunk:
            self._after_cr = chunk.endswith(b"\r")
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _event(block: bytes) -> tuple[str, bytes] | None:
    if block.startswith(b"data: ") and b"\n" not in block:
        return "message", block[6:]
    if block.startswith(b"event: "):
        head, _, data = block.partition(b"\ndata: ")
        if data and b"\n" not in data and b"\n" not in head:
            return head[7:].decode(errors="replace") or "message", data
    name, lines = b"", []
    for line in block.split(b"\n"):
        field, _, value = line.partition(b":")
        if field == b"data":
            lines.append(value.removeprefix(b" "))
        elif field == b"event":
            name = value.removeprefix(b" ")
    return (name.decode(errors="replace") or "message", b"\n".join(lines)) if lines else None
