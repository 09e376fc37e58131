"""Bytes to text, where a file names its encoding, and where it is wrong about that."""

from __future__ import annotations

import codecs
import re

_MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
# One byte a character: every file is valid in them, so that they prove nothing.
_SINGLE = re.compile(r"ascii|iso8859|cp(?!932|936|949|950)|koi8|mac|tis|hp|kz|ptcp")
# No file is written in these, and what decodes them is slow or means something else by the bytes.
_ODD = {"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined"}


def decode(data: bytes, label: str = "") -> str:
    """Return the text of bytes that are said to be in an encoding.

    A byte order mark decides; then valid UTF-8, which hardly anything else is by chance; then what is said,
    and at last windows-1252, which is what programs mean that say nothing. Never raises.
    """
    for mark, name in _MARKS.items():
        if data.startswith(mark):
            return data[len(mark) :].decode(name, "replace")
    codec = _codec(label)
    # ISO-2022-JP is valid UTF-8 too, and says nothing in it.
    trials = ["utf-8", codec] if _SINGLE.match(codec) else [codec, "utf-8"]
    for trial in trials:
        try:
            return data.decode(trial)
        except (ValueError, LookupError):
            continue
    return data.decode(codec if _SINGLE.match(codec) else "cp1252", "replace")


def _codec(label: str) -> str:
    try:
        # It may be one of bytes (zlib, base64), which then refuses to decode.
        name = codecs.lookup(label.strip().strip("'\"")).name
    except (LookupError, ValueError, OSError):
        # Python looks for an unknown one among its files, which the child may not open.
        return "cp1252"
    # As browsers have it: who says Latin-1 writes the quotes and dashes of Windows.
    return "cp1252" if name in {"ascii", "iso8859-1"} or name in _ODD else name
