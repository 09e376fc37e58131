"""Forms of any size, read so that no other request and no stream waits for one of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any
from urllib.parse import unquote_to_bytes

import flask
from flask import Flask
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import FormDataParser

from hub import let_others_run

URLENCODED = "application/x-www-form-urlencoded"
# Longest body of such a form. A text and a file come as parts instead, which are read piece by piece.
MAX_BYTES = 8 * 1024 * 1024
# As many as Flask allows parts.
MAX_FIELDS = 1000
PIECE = 64 * 1024
# Unquoted in a few milliseconds, whatever stands in it.
SLICE = 16 * 1024


def register(app: Flask) -> None:
    """Read the forms of an application's requests."""
    app.request_class = Request


class Parser(FormDataParser):
    """Reads forms: what Werkzeug would unquote at once, for seconds, slice by slice."""

    def parse(
        self, stream: IO[bytes], mimetype: str, content_length: int | None, options: Any = None
    ) -> tuple[IO[bytes], Any, Any]:
        """Return the stream, the fields and the files; too much of anything is 413."""
        if mimetype != URLENCODED:
            return super().parse(stream, mimetype, content_length, options)
        data = bytearray()
        while more := stream.read(PIECE):
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
