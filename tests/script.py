"""Scripts: what the scripted provider says in a call, when, and what goes wrong on the way."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from tests.wire_formats import WIRES

DEFAULT_TEXT = "The scripted provider says this, word by word, until it has said it all."


@dataclass
class Script:
    """What a call does: its pace, its words, its end, and what goes wrong on the way."""

    text: str = DEFAULT_TEXT
    pieces: list[str] | None = None  # the tokens; without them the text is cut before each word
    raw: bytes | None = None  # the whole body instead, of a stream or a refusal, as it is
    rate: float = 0  # tokens per second; 0 = as fast as possible
    before_headers: float = 0  # seconds
    before_text: float = 0  # seconds after the headers
    before_end: float = 0  # seconds between the terminal marker and what follows it
    batch: int = 1  # tokens per HTTP chunk
    slice: int = 0  # cut the whole body into HTTP chunks of so many bytes instead
    line_end: str = "\n"
    stamped: bool = False  # each t0000000 tells when it is sent: tenths of a millisecond, monotonic
    pings: int = 0  # signs of life before the text, one per token time
    reasoning: int = 0  # deltas of reasoning before the text
    stop: str = "end"  # end, length, refusal, filter; anything else goes out verbatim
    usage: dict[str, int] | None = field(default_factory=lambda: {"input": 100})  # None = left out

    # end: without the marker; fin, rst: the connection; silence; garbage: one event of `error`, then on;
    # error_event; hold: all is said, but the body does not end
    fault: str = ""
    at: int | None = None  # pieces before the fault strikes; None = after the last, -1 = before the headers
    at_byte: int | None = None  # the same in bytes of the event stream
    status: int = 200  # anything else: refused with `error`
    error: Any = None  # body of a refusal, data of the error event, bytes of garbage; None = the usual
    headers: dict[str, str] = field(default_factory=dict)
    times: int | None = None  # calls that a fault or status applies to before it goes away
    struck: int = field(default=0, init=False)

    @cached_property
    def tokens(self) -> list[str]:
        return re.findall(r"\s*\S+|\s+$", self.text) if self.pieces is None else self.pieces

    @cached_property
    def plans(self) -> dict[Any, Any]:
        return {}

    def next(self) -> Script:
        """Return what this call does, which is the script without its fault once that was used up."""
        if not (self.fault or self.status != 200) or self.times is None:
            return self
        self.struck += 1
        return self if self.struck <= self.times else self.healed

    @cached_property
    def healed(self) -> Script:
        return replace(self, fault="", status=200, headers={})

    def body(self, path: str, model: str = "any") -> bytes:
        """Return the whole event stream as `path` sends it, without faults."""
        return b"".join(frame for _, frame in self._frames(path, model, healthy=True))

    def plan(self, path: str, model: str) -> tuple[list[float], list[bytes]]:
        """Return when to send what after the headers, in HTTP chunks."""
        key = (path, model)
        if key not in self.plans:
            frames = list(self._frames(path, model))
            if self.at_byte is not None or self.slice:
                body = b"".join(frame for _, frame in frames)[: self.at_byte]
                step = self.slice or len(body) or 1
                frames = [(frames[-1][0], body[i : i + step]) for i in range(0, len(body), step)]
            chunks = [(due, b"%x\r\n%s\r\n" % (len(frame), frame)) for due, frame in frames if frame]
            last = frames[-1][0] if frames else self.before_headers
            if self.fault == "fin":
                chunks.append((last, b"40\r\n"))
            elif self.fault not in ("rst", "silence", "hold"):
                chunks.append((last, b"0\r\n\r\n"))
            self.plans[key] = [due for due, _ in chunks], [chunk for _, chunk in chunks]
        return self.plans[key]

    def _frames(self, path: str, model: str, healthy: bool = False) -> Iterator[tuple[float, bytes]]:
        if self.raw is not None:
            yield self.before_headers, self.raw
            return
        wire = WIRES[path](self, model)
        lead = [wire.ping] * self.pings + [wire.reasoning] * self.reasoning
        fault = "" if healthy or self.at_byte is not None or self.fault == "hold" else self.fault
        tokens = self.tokens[: self.at] if fault else self.tokens
        frames = lead + [wire.piece(token) for token in tokens]
        yield self._framed(self.before_headers, wire.opening())
        step = 1 / self.rate if self.rate else 0.0
        start = due = self.before_headers + self.before_text
        for i in range(0, len(frames), self.batch):
            due = start + step * (min(i + self.batch, len(frames)) - 1)
            yield self._framed(due, b"".join(frames[i : i + self.batch]))
        if fault == "garbage":
            yield self._framed(due, b"data: %s\n\n" % (self.error or b'{"type": "nonsense", '))
        elif fault == "error_event":
            yield self._framed(due, wire.error(self.error))
        if fault in ("", "garbage"):
            yield self._framed(due, wire.closing())
            yield self._framed(due + self.before_end, wire.after())

    def _framed(self, due: float, frame: bytes) -> tuple[float, bytes]:
        return due, frame if self.line_end == "\n" else frame.replace(b"\n", self.line_end.encode())
