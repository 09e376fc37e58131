"""The document's own words in Markdown: as they stand, inert, in quotation marks and with their paragraph."""

from __future__ import annotations

import re
from collections.abc import Iterable

from providers.extract.findings import Mention
from providers.extract.sentences import Sentence

LONGEST_QUOTE = 420  # characters; a longer sentence is shown in part
ACTIVE = re.compile(r"[\\`*_\[\]<>|~$^{}]|&(?=#?\w{1,32};)")
ITEM = re.compile(r"^- (?:… )?“(.{1,2000})”(?: …)? \[¶([0-9]{1,9})\]$", re.MULTILINE)
BOLD_OR_ESCAPE = re.compile(r"\\(.)|\*\*")


def item(sentence: Sentence, marks: Iterable[re.Match[str]] = ()) -> str:
    """Write a sentence as an item of a list, marked words bold."""
    return f"- {quote(sentence, marks)} [¶{sentence.paragraph}]\n"


def quoted(text: str) -> list[tuple[int, str]]:
    """Return what the items of a text quote, as the document has it, and where it stands."""
    return [(int(found[2]), BOLD_OR_ESCAPE.sub(r"\1", found[1])) for found in ITEM.finditer(text)]


def counted(mention: Mention) -> str:
    """Write what is mentioned, and how often, as an item of a list."""
    often = f", {mention.count} times" if mention.count > 1 else ""
    return f"- {shortened(mention.text)}{often} [¶{mention.paragraph}]\n"


def quote(sentence: Sentence, marks: Iterable[re.Match[str]] = (), limit: int = LONGEST_QUOTE) -> str:
    """Quote a sentence, marked words bold; of a long one the part with the first of them."""
    text = sentence.text
    spans = [mark.span() for mark in marks]
    start, end = _shown(text, spans, limit)
    quoted, at = "", start
    for one, other in spans:
        # Two bold parts that touch would be one run of asterisks.
        touches = at > start and at == one
        if at <= one and not touches and other <= end and _can_be_bold(text, one, other):
            quoted += f"{escaped(text[at:one])}**{escaped(text[one:other])}**"
            at = other
    quoted += escaped(text[at:end])
    before = "… " if start or sentence.broken else ""
    after = " …" if end < len(text) or sentence.broken else ""
    return f"{before}“{quoted}”{after}"


def escaped(text: str) -> str:
    """Make the document's words inert in Markdown; rendered they read as before.

    Everything goes into the middle of a line, so what means something only at its start stays.
    """
    return ACTIVE.sub(r"\\\g<0>", text)


def shortened(text: str, limit: int = 120) -> str:
    """Return the beginning of a text in one line, inert in Markdown."""
    text = " ".join(text[: 4 * limit].split())
    return escaped(text if len(text) <= limit else text[:limit].rstrip() + "…")


def _shown(text: str, spans: list[tuple[int, int]], limit: int) -> tuple[int, int]:
    """Return the bounds of the part that is shown."""
    if len(text) <= limit:
        return 0, len(text)
    start = 0
    if spans and spans[0][1] > limit - 60:
        start = text.rfind(" ", 0, max(spans[0][0] - limit // 3, 1)) + 1
    space = text.rfind(" ", start, start + limit)
    return start, min(len(text), space if space > start else start + limit)


def _can_be_bold(text: str, start: int, end: int) -> bool:
    """Tell whether CommonMark reads `**` around a part as emphasis: it looks at both sides of each."""
    opens = text[start].isalnum() or start == 0 or text[start - 1].isspace()
    closes = text[end - 1].isalnum() or end == len(text) or text[end].isspace()
    return opens and closes and not text[start:end].isspace()
