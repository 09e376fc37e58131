"""Forms of any size, read so that no other request and no stream waits for one of them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import IO, Any, cast
from urllib.parse import unquote_to_bytes

import flask
from flask import Flask, g
from werkzeug.exceptions import RequestEntityTooLarge, ServiceUnavailable
from werkzeug.formparser import FormDataParser

from hub import let_others_run

URLENCODED = "application/x-www-form-urlencoded"
# Longest body of such a form. A text and a file come as parts instead, which are read piece by piece.
MAX_BYTES = 8 * 1024 * 1024
# As many as Flask allows parts.
MAX_FIELDS = 1000
PIECE = 16 * 1024
# Of all bodies at once, in memory or on the disk, because nobody knows yet from whom they are.
MOST_HELD = 200 * 1024 * 1024
# What is no longer is never refused for that: whoever presses a button sends less.
SMALL = 32 * 1024
# How long one may take to come while there is room for less than as much again.
CROWDED_SECONDS = 120
# Unquoted in a few milliseconds, whatever stands in it.
SLICE = 16 * 1024


def register(app: Flask) -> None:
    """Read the forms of an application's requests."""
    app.request_class = Request
    app.teardown_request(_let_go)


class Crowded(ServiceUnavailable):
    """So much is being sent at once that there is no room for this."""

    description = "Too much is being sent to Precis at the moment. Wait a minute, then send this again."


class _Body:
    """A body that is being read; what is not small is counted among all until its request ends."""

    held = 0

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._size = self._counted = 0
        self._began = time.monotonic()

    def read(self, _size: int = -1) -> bytes:
        """Read a piece, or less at its end; raises `Crowded`."""
        data = self._stream.read(PIECE)
        self._size += len(data)
        if self._size > SMALL:
            _Body.held += self._size - self._counted
            self._counted = self._size
            is_slow = time.monotonic() - self._began > CROWDED_SECONDS
            if _Body.held > (MOST_HELD // 2 if is_slow else MOST_HELD):
                self.let_go()
                raise Crowded(retry_after=60)
        return data

    def let_go(self) -> None:
        """Count it no longer."""
        _Body.held -= self._counted
        self._counted = 0


class Parser(FormDataParser):
    """Reads forms: what Werkzeug would unquote at once, for seconds, slice by slice."""

    def parse(
        self, stream: IO[bytes], mimetype: str, content_length: int | None, options: Any = None
    ) -> tuple[IO[bytes], Any, Any]:
        """Return the stream, the fields and the files; too much is 413, and of all at once 503."""
        g.body = body = cast(IO[bytes], _Body(stream))
        if mimetype != URLENCODED:
            return super().parse(body, mimetype, content_length, options)
        data = bytearray()
        while more := body.read():
            data += more
            # Here, because the stream's own limit cuts a form off without a word.
            if len(data) > MAX_BYTES:
                raise RequestEntityTooLarge
        if data.count(b"&") >= MAX_FIELDS:
            raise RequestEntityTooLarge
        pairs = [field.partition(b"=") for field in data.split(b"&") if field]
        fields = self.cls([(_unquoted(name), _unquoted(value)) for name, _, value in pairs])
        return stream, fields, self.cls()


class Request(flask.Request):
    """A request whose forms `Parser` reads."""

    form_data_parser_class = Parser


def _let_go(error: BaseException | None) -> None:
    if body := g.pop("body", None):
        body.let_go()


def _unquoted(data: bytearray) -> str:
    return b"".join(_slices(data.replace(b"+", b" "))).decode(errors="replace")


def _slices(data: bytearray) -> Iterator[bytes]:
    start = 0
    while start < len(data):
        end = start + SLICE
        # An escape stays whole.
        escape = data.rfind(b"%", end - 2, end)
        end = end if escape < 0 else escape
        yield unquote_to_bytes(bytes(data[start:end]))
        start = end
        if start < len(data):
            let_others_run()
