"""What a file is: its first bytes decide, and among the texts its name."""

from __future__ import annotations

import codecs
import re
from pathlib import PurePosixPath

from extraction import Reason, Unreadable
from extraction.limits import MAX_BYTES

# Files that people have and that are not read here: they would pass for broken text.
_OTHERS = (
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",  # Office before 2007: .doc, .xls, .ppt, .msg
    b"PK\x03\x04",  # Office since then, OpenDocument, any other zip
    b"{\\rtf",
    b"%!PS",
    b"\x89PNG",
    b"\xff\xd8\xff",  # JPEG
    b"GIF87a",
    b"GIF89a",
    b"II*\0",  # TIFF
    b"MM\0*",
    b"\x1f\x8b",  # gzip
    b"7z\xbc\xaf",
    b"Rar!\x1a",
)
_OLE = _OTHERS[0]
# The stream of such a file that holds a document with a password.
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
_SUFFIXES = {".csv": "table", ".tsv": "table", ".md": "markdown", ".markdown": "markdown"}
# Whatever a comment holds, it ends at the first `-->`: were that left open, many of them would take for ever.
_HTML = re.compile(
    r"\s*(<\?xml[^>]*>\s*)?(<!--((?!-->).)*-->\s*)*<(!doctype\s+html|html)\b", re.DOTALL | re.IGNORECASE
)
_TAG = re.compile(r"<[a-z][a-z0-9]*[\s/>]", re.IGNORECASE)
_HEADER = re.compile(r"([!-9;-~]+):[ \t]?.*\n?|[ \t]+\S.*\n?")
# A memo too has From, To, Date and Subject at its top; these only a mailer writes.
_MAILER = {"message-id", "mime-version"}
_NAMED_MAIL = {".eml", ".mht", ".mhtml"}
# What a mailbox puts before each mail, with the day and the time.
ENVELOPE = r"From [^\n]{1,200}? (?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) [^\n]{0,20}\d\d:\d\d"
_ENVELOPE = re.compile(ENVELOPE + r".*\n")
# The head of a zip's entry.
_WORD_ENTRY = re.compile(rb"PK\x03\x04.{26}word/", re.DOTALL)


def format_of(data: bytes, name: str) -> str:
    """Return what a file is: `pdf`, `docx`, `html`, `mail`, `table`, `markdown` or `text`.

    The name is a label that may tell one text from another. Raises Unreadable: EMPTY, TOO_LARGE, UNKNOWN, and
    PASSWORD for what an office program has locked.
    """
    if not data:
        raise Unreadable(Reason.EMPTY)
    if len(data) > MAX_BYTES:
        raise Unreadable(Reason.TOO_LARGE)
    if data.startswith(b"%PDF-"):
        return "pdf"
    if data.startswith(b"PK\x03\x04") and _holds_word(data):
        return "docx"
    if data.startswith(_OLE) and _ENCRYPTED in data:
        raise Unreadable(Reason.PASSWORD)
    if data.startswith(_OTHERS):
        raise Unreadable(Reason.UNKNOWN)
    return _text_format(_head(data), PurePosixPath(name.lower()).suffix)


def _holds_word(data: bytes) -> bool:
    """Look for a document's name in the list at a zip's end; its reader looks again, name by name.

    One that is cut off has no list, but its entries: its reader tells that it is damaged.
    """
    end = data.rfind(b"PK\x05\x06", -(22 + 65535))
    if end < 0 or len(data) < end + 22:
        return _WORD_ENTRY.search(data) is not None
    size = int.from_bytes(data[end + 12 : end + 16], "little")
    return data.find(b"word/document.xml", max(0, end - size), end) >= 0


def _head(data: bytes) -> str:
    is_utf_16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return data[:8192].decode("utf-16" if is_utf_16 else "utf-8", "replace").lstrip("\ufeff")


def _text_format(head: str, suffix: str) -> str:
    is_named_html = suffix in {".html", ".htm", ".xhtml"}
    if _HTML.match(head) or (is_named_html and _TAG.search(head)):
        return "html"
    if _is_mail(head, is_named=suffix in _NAMED_MAIL):
        return "mail"
    return _SUFFIXES.get(suffix, "text")


def _is_mail(head: str, *, is_named: bool) -> bool:
    names = set()
    head = head.lstrip()
    envelope = _ENVELOPE.match(head)
    for line in head[envelope.end() if envelope else 0 :].splitlines(keepends=True):
        if not (header := _HEADER.fullmatch(line)):
            break
        names.add((header[1] or "").lower())
    return bool(names if is_named or envelope else names & _MAILER)
