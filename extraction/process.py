"""The reading of a file as the process that serves sees it: it starts the child, listens, and ends it."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import gevent
from gevent import socket
from gevent.event import AsyncResult

from extraction import Part, Reason, Unreadable, plain
from extraction.formats import format_of
from extraction.limits import MAX_CHARACTERS, WALL_SECONDS

logger = logging.getLogger(__name__)

ROOT = str(Path(__file__).resolve().parent.parent)
PROGRAM = f"import sys; sys.path.insert(0, {ROOT!r}); from extraction.child import main; main()"
# What a child may say: every character in the longest of JSON's ways, and the words around it.
MAX_SAID = MAX_CHARACTERS * 6 + 1_000_000
# What its death says, where that is not that a parser broke on the file.
DEATHS: dict[int, Reason] = {
    signal.SIGXCPU: Reason.TOO_MUCH_WORK,
    signal.SIGKILL: Reason.TOO_MUCH_WORK,
    signal.SIGABRT: Reason.TOO_MUCH_WORK,
    signal.SIGTERM: Reason.INTERRUPTED,
    signal.SIGINT: Reason.INTERRUPTED,
}


class Extraction:
    """One file being read.

    `format` is known at once: pdf, docx, html, mail, table, markdown or text. `pages` is known soon after the
    start where the file has pages; `title` (its own, empty if it has none) and `notes`, codes and details of
    what was not read, when all has been read. Raises Unreadable at once if the file is nothing to read.
    """

    def __init__(self, data: bytes, name: str) -> None:
        self.format = format_of(data, name)
        self.pages: int | None = None
        self.title = ""
        self.notes: list[tuple[str, str]] = []
        self._data = data
        self._text = plain.decode(data) if self.format in ("text", "markdown") else None
        self._child: Child | None = None
        self._is_closed = False

    def __iter__(self) -> Iterator[Part]:
        """Read, once: yield what is read as it is read, and end when all was, or raise Unreadable."""
        tags, lost, has_text = 0, 0, False
        for part in self._read() if self._text is None else [Part(self._text)]:
            tags += count_tags(part.text)
            lost += part.text.count("\ufffd")
            has_text = has_text or bool(part.text.strip())
            yield part
        if not has_text:
            raise Unreadable(Reason.NO_TEXT if self.pages else Reason.EMPTY)
        if lost:
            self.notes.append(("lost", str(lost)))
        if tags:
            self.notes.append(("tags", str(tags)))

    def close(self) -> None:
        """End the child at once; whoever iterates gets Unreadable, INTERRUPTED."""
        self._is_closed = True
        if self._child:
            self._child.kill()

    def _read(self) -> Iterator[Part]:
        if self._is_closed:
            raise Unreadable(Reason.INTERRUPTED)
        self._child = Child(sys.executable, "-I", "-c", PROGRAM, self.format)
        try:
            yield from self._listen(self._child, time.monotonic() + WALL_SECONDS)
        finally:
            self._child.kill()
            self._child.hang_up()

    def _listen(self, child: Child, ends_at: float) -> Iterator[Part]:
        for line in _lines(child, self._data, ends_at):
            match _parse(line):
                case {"page": int(page), "text": str(text)}:
                    yield Part(text, page)
                case {"text": str(text)}:
                    yield Part(text)
                case {"pages": int(count)}:
                    self.pages = count
                case {"title": str(title)}:
                    self.title = title
                case {"note": [str(code), str(detail)]}:
                    self.notes.append((code, detail))
                case {"unreadable": str(reason)} if reason in set(Reason):
                    raise Unreadable(Reason(reason))
                case {"failed": str(error), "at": list(places)}:
                    how = {"format": self.format, "error": error, "places": places}
                    logger.warning("a file broke its reader", extra=how)
                    raise Unreadable(Reason.DAMAGED)
                case {"done": True}:
                    return
                case _:
                    raise Unreadable(Reason.DAMAGED)
        with _until(ends_at):
            died = DEATHS.get(-child.wait(), Reason.DAMAGED)
        raise Unreadable(Reason.INTERRUPTED if self._is_closed else died)


class Child:
    """A process without environment, whose standard input and output are one socket to this process.

    Not gevent's Popen: that forks, and while the kernel copies the page tables of a process that serves, all
    its streams stand still, for 100 ms where there is much. `posix_spawn` shares the memory until the new
    program runs.
    """

    def __init__(self, *command: str) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            # As all of gevent's it is not, and a program that reads expects it.
            os.set_blocking(theirs.fileno(), True)
            self._pid = os.posix_spawn(
                command[0],
                command,
                {},
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, theirs.fileno(), 0),
                    (os.POSIX_SPAWN_DUP2, theirs.fileno(), 1),
                    (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
                ],
                setsigmask=[],
                setsigdef=[signal.SIGINT, signal.SIGTERM, signal.SIGPIPE, signal.SIGXCPU, signal.SIGXFSZ],
            )
        # In the same breath: once the loop has turned, it may have reaped the child unwatched.
        self._ended = AsyncResult()
        self._watcher = gevent.get_hub().loop.child(self._pid)
        self._watcher.start(self._end)

    def give(self, data: bytes) -> None:
        """Write all of its input; a child that reads no more is none's failure yet."""
        with suppress(ConnectionError):
            self._socket.sendall(data)
            self._socket.shutdown(socket.SHUT_WR)

    def read(self) -> bytes:
        """Return what it has written since, nothing when it writes no more."""
        try:
            chunk: bytes = self._socket.recv(65536)
        except ConnectionError:
            return b""
        return chunk

    def wait(self) -> int:
        """Wait for its end; returns its exit code, or a signal's number below 0."""
        code: int = self._ended.get()
        return code

    def kill(self) -> None:
        """Kill it, if it lives; nobody waits, since a greenlet may be dying here: the loop reaps it."""
        with suppress(ProcessLookupError):
            if not self._ended.ready():
                os.kill(self._pid, signal.SIGKILL)

    def hang_up(self) -> None:
        """Close this end of the socket."""
        self._socket.close()

    def _end(self) -> None:
        self._ended.set(os.waitstatus_to_exitcode(self._watcher.rstatus))
        self._watcher.close()


def _lines(child: Child, data: bytes, ends_at: float) -> Iterator[bytearray]:
    """Give the child its file, then yield the lines that it says."""
    with _until(ends_at):
        child.give(data)
    said, begun = 0, bytearray()
    while True:
        with _until(ends_at):
            chunk = child.read()
        if not chunk:
            return
        said += len(chunk)
        if said > MAX_SAID:
            raise Unreadable(Reason.TOO_LONG)
        begun += chunk
        if b"\n" in chunk:
            *lines, begun = begun.split(b"\n")
            yield from lines
        # A child that always has more to say would let nobody else have a turn.
        gevent.sleep(0)


def _parse(line: bytearray) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _until(ends_at: float) -> gevent.Timeout:
    return gevent.Timeout(max(0, ends_at - time.monotonic()), Unreadable(Reason.TOO_MUCH_WORK))


def count_tags(text: str) -> int:
    """Return how many of Unicode's tag characters a text holds: nobody sees them, a model reads them."""
    # Each is these three bytes and one more; so millions of characters take a millisecond.
    encoded = b"" if text.isascii() else text.encode("utf-8", "replace")
    return encoded.count(b"\xf3\xa0\x80") + encoded.count(b"\xf3\xa0\x81")
