"""The lines of a paragraph, joined to blocks as a person would: headings, running text and table rows."""

from __future__ import annotations

import re
from collections.abc import Iterator

BLOCK = 2_000  # characters; a longer block comes in parts

MARKER = re.compile(r"(?:(?:[-*•‣▪–—+o]|\[[ xX]\]|[☐☑>]|#{1,6}) ){1,3}")
LABEL = re.compile(r"[^\W\d_][\w /-]{0,24}: ")
NUMBERED = re.compile(
    r"(?:§|Article|Section|Clause|Chapter|Part|Schedule|Annex|Appendix|Artikel|Abschnitt|Kapitel)?"
    r" ?(?:\d{1,3}(?:\.\d{1,3}){0,4}[.)]?|[IVX]{1,5}\.|[A-Z]\.)(?= |$)|\(\w{1,4}\) |[a-z]\) "
)
# A wrapped line may begin with a number ("… of section / 7. This …"), so a list item needs more than that.
MAY_PRECEDE_NUMBER = (".", ";", ":", "!", "?", ",", " or", " and", " und", " oder")


def blocks(paragraph: str) -> Iterator[tuple[str, str, bool]]:
    """Cut a paragraph into (text, kind, ended): lines that a person would join are joined.

    The kinds are heading, text, row and blank. Text is at most some thousands of characters at a time;
    `ended` is false where it goes on.
    """
    width = min(max(map(len, paragraph[:BLOCK].split("\n"))), 100)
    held: list[str] = []
    size = 0
    first = True
    for line, whole in _lines(paragraph):
        if not line:
            yield "", "blank", True
            continue
        row = line.startswith("|") or " | " in line or "\t" in line
        if held and (row or _begins(line, held[-1]) or _short(held[-1], line, width)):
            yield " ".join(held), _kind(held, line, first), True
            first, held, size = False, [], 0
        if row:
            yield line, "row", True
            first = False
            continue
        held.append(line)
        size += len(line)
        if size > BLOCK or not whole:
            yield " ".join(held), "text", whole and size <= BLOCK
            first, held, size = False, [], 0
    if held:
        yield " ".join(held), _kind(held, "", first), True


def unmarked(line: str) -> str:
    """Return a line without its bullet, check box or Markdown heading marks."""
    marker = MARKER.match(line)
    return line[marker.end() :] if marker else line


def _lines(paragraph: str) -> Iterator[tuple[str, bool]]:
    """Yield lines with their white space folded; an endless one comes in parts, which are not whole."""
    start = 0
    while start < len(paragraph):
        end = paragraph.find("\n", start, start + BLOCK)
        if end >= 0 or start + BLOCK >= len(paragraph):
            end = end if end >= 0 else len(paragraph)
            yield " ".join(paragraph[start:end].split()), True
            start = end + 1
        else:
            end = paragraph.rfind(" ", start + 1, start + BLOCK)
            # Nothing may be put between the parts of a word: it would not be the document's own any more.
            yield " ".join(paragraph[start : end if end > 0 else start + BLOCK].split()), end < 0
            start = end if end > 0 else start + BLOCK


def _begins(line: str, before: str) -> bool:
    """Tell whether a line is marked as the beginning of something."""
    if NUMBERED.match(line) and before.endswith(MAY_PRECEDE_NUMBER):
        return True
    return bool(MARKER.match(line) or LABEL.match(line))


def _short(line: str, following: str, width: int) -> bool:
    """Tell whether a line ends early although there was room: then its author broke it on purpose."""
    if line.isupper() and not following.isupper():
        return True
    return len(line) + 1 + len(following.partition(" ")[0]) < 0.7 * width


def _kind(held: list[str], following: str, first: bool) -> str:
    return "heading" if first and len(held) == 1 and _titles(held[0], following) else "text"


def _titles(line: str, following: str) -> bool:
    """Tell whether the first line of a paragraph looks like a heading of what follows."""
    if line.startswith("#"):
        return True
    words = line.split(" ")
    if len(line) > 90 or len(words) > 10 or not any(map(str.isalpha, line)) or line[-1] in ",;:!?。，、":
        return False
    if line.isupper() and sum(map(str.isalpha, line)) >= 4:
        return True
    if NUMBERED.match(line):
        return len(words) > 1 and not NUMBERED.match(following) and line.count(".") < 5
    alone = not following and len(line) <= 60 and len(words) <= 8
    return alone and line[0].isupper() and line[-1] not in ".…)" and not MARKER.match(line)
