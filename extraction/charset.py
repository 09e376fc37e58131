"""Bytes to text, where a file names its encoding, and where it is wrong about that."""

from __future__ import annotations

import codecs
import re
from collections import Counter
from contextlib import suppress
from functools import cache

_MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
# One byte a character: every file is valid in them, so that they prove nothing.
_SINGLE = re.compile(r"iso8859|cp(?!932|936|949|950)|koi8|mac|tis|hp|kz|ptcp")
# No file is written in these, and what decodes them is slow or means something else by the bytes.
_ODD = {"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined"}
# What programs write that say the one on the left, as the Encoding Standard of the browsers has it.
_WIDER = {
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "big5": "cp950",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "tis-620": "cp874",
}
# Names of browsers and mailers that Python does not know.
_NAMES = {
    "windows-31j": "cp932",
    "windows-949": "cp949",
    "windows-874": "cp874",
    "iso-8859-8-i": "iso8859-8",
    "cp50220": "iso2022_jp",
    "cp50221": "iso2022_jp",
    "iso-2022-jp-ms": "iso2022_jp",
}
_JIS = re.compile(rb"\x1b(?:(\$[@B])|\(([BJI]))([^\x1b]*)")
_JIS_PAIR = re.compile(rb"[!-~]{2}")
_HALF_WIDTH = bytes(byte | 0x80 if 0x21 <= byte <= 0x5F else byte for byte in range(256))


def decode(data: bytes, label: str = "", notes: Counter[str] | None = None) -> str:
    """Return the text of bytes that are said to be in an encoding.

    A byte order mark decides; then valid UTF-8, which hardly anything else is by chance; then what is said,
    and at last windows-1252, which is what most programs mean that say nothing: of that, `notes` counts as
    `guessed` the characters that are not ASCII. What cannot be decoded becomes U+FFFD. Never raises.
    """
    for mark, name in _MARKS.items():
        if data.startswith(mark):
            return data[len(mark) :].decode(name, "replace")
    codec = _codec(label)
    if codec.startswith(("utf-16", "utf-32")) and b"\0" not in data:
        codec = ""
    wider = _WIDER.get(codec, codec)
    # Several bytes a character prove something. ISO-2022-JP is valid UTF-8 too, and says nothing in it.
    is_proof = bool(codec) and not _SINGLE.match(codec)
    if is_proof:
        with suppress(ValueError, LookupError):
            return data.decode(codec)
        if codec == "iso2022_jp" and b"\x1b" in data:
            return _JIS.sub(_shifted, data).decode("cp932", "replace")
    text = data.decode("utf-8", "replace")
    lost = text.count("\ufffd") - data.count(b"\xef\xbf\xbd")
    if not lost:
        return text
    if is_proof:
        with suppress(ValueError, LookupError):
            return data.decode(wider)
    if len(text) - len(text.encode("ascii", "ignore")) > 2 * lost:
        return text
    if codec not in ("", "utf-8"):
        # It may be one of bytes (zlib, base64), which then refuses to decode.
        with suppress(ValueError, LookupError):
            return data.decode(wider, "replace")
    text = data.decode("cp1252", "replace")
    if notes is not None:
        notes["guessed"] += len(text) - len(text.encode("ascii", "ignore"))
    return text


def _codec(label: str) -> str:
    """Return Python's name of an encoding, empty for ASCII, which says nothing, and for what is none."""
    label = label.strip().strip("'\"").lower().removeprefix("x-")
    try:
        name = codecs.lookup(_NAMES.get(label, label)).name
    except (LookupError, ValueError, OSError):
        # Python looks for an unknown one among its files, which the child may not open.
        return ""
    return "" if name == "ascii" or name in _ODD else name


def _shifted(run: re.Match[bytes]) -> bytes:
    """Return what follows an escape of ISO-2022-JP in Shift_JIS, whose tables at Microsoft hold more."""
    if run[1]:
        return _JIS_PAIR.sub(lambda pair: _shift_jis(pair[0]), run[3])
    return run[3].translate(_HALF_WIDTH) if run[2] == b"I" else run[3]


@cache
def _shift_jis(pair: bytes) -> bytes:
    (row, is_second), cell = divmod(pair[0] - 0x21, 2), pair[1]
    trail = cell + 0x7E if is_second else cell + 0x1F + (cell > 0x5F)
    return bytes([row + (0x81 if row < 31 else 0xC1), trail])
