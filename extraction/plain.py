"""Text and Markdown, which are read as they stand."""

from __future__ import annotations

import codecs

from extraction import Reason, Unreadable
from extraction.limits import MAX_CHARACTERS

_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def decode(data: bytes) -> str:
    """Return the text of a file in UTF-8, or in UTF-16 with its byte order mark.

    Raises Unreadable: NOT_TEXT, EMPTY if there is nothing but white space, TOO_LONG.
    """
    encoding = next((name for mark, name in _MARKS.items() if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        raise Unreadable(Reason.NOT_TEXT) from None
    if "\0" in text:
        raise Unreadable(Reason.NOT_TEXT)
    if not text or text.isspace():
        raise Unreadable(Reason.EMPTY)
    # A line's end counts once, however it is written.
    if len(text) - text.count("\r\n") > MAX_CHARACTERS:
        raise Unreadable(Reason.TOO_LONG)
    return text
