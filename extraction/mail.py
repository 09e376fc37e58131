"""Mail (.eml, mbox): who wrote what to whom, forwarded mail in its place; attachments are named, not read.

The library's newer interface reads headers by a grammar: what breaks that is dropped from them or raises
anything, and thousands of addresses take seconds. Here they are decoded as they stand.
"""

from __future__ import annotations

import re
from binascii import Error, a2b_base64
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from email.message import Message
from email.parser import BytesParser
from email.policy import Compat32

from extraction import Reason, Unreadable, web
from extraction.charset import decode
from extraction.formats import ENVELOPE
from extraction.paragraphs import Paragraphs
from extraction.telling import Tell

MAX_PARTS = 1000
DEEPEST = 5  # mail in mail
READ = {"text/plain", "text/html", "text/markdown"}
HEADERS = ("From", "To", "Cc", "Date", "Subject")
NAMED = 900  # characters of the attachments' names

_WORD = re.compile(r"=\?([^?\s]{1,60})\?([bq])\?([^?\s]*)\?=", re.IGNORECASE)
_BETWEEN_WORDS = re.compile(rf"(?<=\?=)\s+(?={_WORD.pattern})", re.IGNORECASE)
_UNPACKED = {"", "7bit", "8bit", "binary"}
# The line before each mail of a mailbox but the first, and before that a blank one; a header follows.
_MAILBOX = re.compile(rf"(?:(?<=\n\n)|(?<=\n\r\n)){ENVELOPE}[^\n]*+\n(?=[!-9;-~]++:)".encode())
_HEX = re.compile(rb"=([0-9A-Fa-f]{2})")


def read(data: bytes, tell: Tell) -> None:
    """Tell a mail's headers, its text, and the mail in it, or each mail of a mailbox; raises Unreadable."""
    # The parser takes a mail that begins with a mark or a blank line for one without headers.
    data = data.removeprefix(BOM_UTF8).lstrip()
    first, *others = _MAILBOX.split(data) if data.startswith(b"From ") else [data]
    out = Paragraphs(tell)
    reading = _Mail(out)
    mail = _parsed(first)
    if others:
        reading.put_inner([mail, *map(_parsed, others)], 0)
    else:
        tell.title(_header(mail, "Subject"))
        reading.put(mail, 0)
    out.close()
    if reading.attachments:
        tell.note("attachments", _listed(reading.attachments))


def _parsed(data: bytes) -> Message:
    return BytesParser(policy=_AsWritten()).parsebytes(data)


class _AsWritten(Compat32):
    """Headers as they stand, also where they hold bytes over 127, which they may not and do."""

    def header_fetch_parse(self, name: str, value: str) -> str:
        # The parser keeps such a byte as half of a pair.
        return decode(value.encode("utf-8", "surrogateescape"))


class _Mail:
    def __init__(self, out: Paragraphs) -> None:
        self.attachments: list[str] = []
        self._out = out
        self._parts = 0

    def put(self, mail: Message, depth: int) -> None:
        """Put out a mail, which stands so deep in others."""
        headers = ((name, _header(mail, name)) for name in HEADERS)
        self._out.add("\n".join(f"{name}: {value}" for name, value in headers if value))
        self._put_part(mail, depth)

    def put_inner(self, mails: Iterable[Message], depth: int) -> None:
        """Put out mails that stand in something, each below its subject."""
        for mail in mails:
            self._out.add(_header(mail, "Subject") or "(no subject)", level=depth + 1)
            self.put(mail, depth)

    def _put_part(self, part: Message, depth: int) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise Unreadable(Reason.TOO_MUCH_WORK)
        kind = part.get_content_type()
        inner = _parts(part)
        if inner and kind == "message/rfc822" and depth < DEEPEST:
            self.put_inner(inner, depth + 1)
        elif inner and kind.startswith("multipart/"):
            chosen = _chosen(inner) if kind == "multipart/alternative" else inner
            for each in inner:
                if each in chosen:
                    self._put_part(each, depth)
                else:
                    self._name_others(each)
        elif _is_attached(part):
            self._name(part)
        elif kind == "text/html":
            web.put(_text(part, self._out.notes), self._out)
        else:
            self._out.add(_text(part, self._out.notes))

    def _name_others(self, part: Message) -> None:
        """Name what is attached to a text that is the same as one that is read."""
        for each in part.walk():
            if not each.is_multipart() and _is_attached(each):
                self._name(each)

    def _name(self, part: Message) -> None:
        kind = part.get_content_type()
        if kind.startswith("image/") and part.get_content_disposition() != "attachment":
            self._out.notes["images"] += 1
        else:
            self.attachments.append(_decoded(part.get_filename() or kind))


def _parts(part: Message) -> list[Message]:
    inner = part.get_payload()
    packing = part.get("Content-Transfer-Encoding", "").strip().lower()
    if part.get_content_type() == "message/rfc822" and packing not in _UNPACKED:
        return _unpacked_mail(part, packing)
    return [each for each in inner if isinstance(each, Message)] if isinstance(inner, list) else []


def _unpacked_mail(part: Message, packing: str) -> list[Message]:
    """Return a mail that may not be packed and is: its letters the parser takes for the mail itself."""
    mail = part.get_payload(0)
    if packing != "base64" or not isinstance(mail, Message):
        return []
    letters = mail.get_payload()
    if not mail.keys() and isinstance(letters, str):
        with suppress(ValueError):
            mail = _parsed(a2b_base64(letters + "=="))
    return [mail] if mail.keys() else []


def _chosen(parts: list[Message]) -> list[Message]:
    """Return the one of several forms of a text that is read: the plain one, else the last with words."""
    saying = [part for part in parts if _says_anything(part)]
    plain = [part for part in saying if part.get_content_type() == "text/plain"]
    return plain[:1] or saying[-1:] or parts[-1:]


def _says_anything(part: Message) -> bool:
    if not part.is_multipart():
        return not _is_attached(part) and bool(_text(part).strip())
    return any(not each.is_multipart() and not _is_attached(each) for each in part.walk())


def _is_attached(part: Message) -> bool:
    # A part that should have parts and has none is a text that lost its boundaries.
    is_text = part.get_content_type() in READ or part.get_content_maintype() == "multipart"
    return not is_text or part.get_content_disposition() == "attachment" or part.get_filename() is not None


def _text(part: Message, notes: Counter[str] | None = None) -> str:
    data = part.get_payload(decode=True)
    if not isinstance(data, bytes):
        return ""
    said = part.get_content_charset() or (web.label(data) if part.get_content_subtype() == "html" else "")
    return decode(data, said, notes).replace("\r\n", "\n")


def _header(mail: Message, name: str) -> str:
    return _decoded(mail.get(name, ""))


def _decoded(value: str) -> str:
    """Return a header as it is meant, in one line."""
    value = _BETWEEN_WORDS.sub("", value)
    shown: list[str] = []
    # A letter may begin in one encoded word and end in the next.
    charset, held, at = "", bytearray(), 0
    for word in _WORD.finditer(value):
        said = word[1].partition("*")[0].lower()
        if word.start() != at or said != charset:
            shown += [decode(bytes(held), charset), value[at : word.start()]]
            charset, held = said, bytearray()
        held += _unpacked(word[2], word[3])
        at = word.end()
    shown += [decode(bytes(held), charset), value[at:]]
    return " ".join("".join(shown).split())


def _unpacked(how: str, packed: str) -> bytes:
    data = packed.encode()
    if how in "qQ":
        return _HEX.sub(lambda code: bytes([int(code[1], 16)]), data.replace(b"_", b" "))
    try:
        return a2b_base64(data + b"==")
    except Error:
        return data


def _listed(names: list[str]) -> str:
    """Return names as one label each, and how many more there are where they are too many."""
    listed: list[str] = []
    size = 0
    for name in names:
        label = "".join(char if char.isprintable() else " " for char in name[:120])
        size += len(label) + 2
        if size > NAMED:
            return f"{', '.join(listed)} … (+{len(names) - len(listed)})"
        listed.append(label)
    return ", ".join(listed)
