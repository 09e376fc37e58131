"""Lines as they stand on a page, put together again to the paragraphs, headings and lists that they were.

Lengths are in the page's own unit, 1/72 of an inch; an em is the size of a line's type. Lines come in reading
order. What runs from right to left is mirrored: it too begins at its `left`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf

# What parts the cells of a row, which prose never has.
CELL = "  "
# So wide are the gaps between cells at least, and those between words, in em.
GAP = 1.1
SPACE = 0.2
# Headings are so much larger than the text, at least, and no longer than this.
LARGER = 1.15
MAX_HEADING = 200
# Paragraphs are so much further apart than lines, at least.
APART = 1.25
_BULLET = re.compile(r"^(?:[•‣◦▪▫●○■□◆◇⁃∙·➢➤✓❖\uf0a7\uf0b7\uf0d8\x88]|[–—*-](?=\s))\s*")
_NUMBER = re.compile(r"\(?(?:\d{1,3}|[a-zA-Z]|[ivxIVX]{2,5})[.)]\s+\S")
# A part of a contract or law, which is a paragraph and no item.
_CLAUSE = re.compile(r"(?:\d{1,3}(?:\.\d{1,3})+\.?|§+\s?\d+)\s+\S")
_ENDED = re.compile(r"[.!?:;…。！？؟][\"'”’»)\]]*$")
# A word in letters, with those that a hyphen adds to it.
_WORD = re.compile(r"[^\W\d_]+(?:[-\u2010][^\W\d_]+)*")
_ADDRESS = re.compile(r"://|www\.|@|\..*/", re.IGNORECASE)
# Before these a hyphen stands for what two words share: Ein- und Ausgang.
_SHARING = {"und", "oder", "bzw", "and", "or"}
_IDEOGRAPH = re.compile("[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef]")


@dataclass(slots=True)
class Line:
    """A line of text, and where it stands."""

    text: str
    left: float
    right: float
    y: float  # of the line that its letters stand on, upwards
    size: float
    is_broken: bool = False  # its last word goes on in the next line
    margin: float = 0  # how far its column goes

    def is_full(self, after: Line) -> bool:
        """Whether the next line begins where it does because its first word found no room here."""
        return self.is_broken or self.right + after.first_width > self.margin

    @property
    def first_width(self) -> float:
        """The width of its first word, about."""
        letters = 1.0 if _IDEOGRAPH.match(self.text) else len(self.text.split(" ", 1)[0]) + 0.5
        return letters * (self.right - self.left) / max(1, len(self.text))

    def goes_on(self, before: Line) -> bool:
        """Whether it goes on where the one before ended, which a raised number, or a cell's edge, has cut."""
        return abs(before.y - self.y) < self.size * 0.3 and self.left > before.right - self.size * 0.3

    @property
    def is_row(self) -> bool:
        """Whether it has cells."""
        return CELL in self.text

    @property
    def is_prose(self) -> bool:
        """Whether it is too long for a cell that stands alone in its row."""
        return not self.is_row and self.right - self.left > 0.4 * (self.margin - self.left)


@dataclass(slots=True)
class Style:
    """What is usual in a document: the size of text and of headings, how far apart lines are, which words."""

    size: float
    headings: list[float]  # largest first
    leading: float  # in em
    words: set[str] = field(default_factory=set)  # so far, in lower case

    @classmethod
    def of(cls, pages: Iterable[list[Line]]) -> Style:
        """Find it out from some of a document's pages."""
        sizes: Counter[float] = Counter()
        leadings: Counter[float] = Counter()
        words: set[str] = set()
        for lines in pages:
            find_margins(lines)
            words.update(_words(lines))
            leadings.update(_leadings(lines))
            for line in lines:
                sizes[round(line.size, 1)] += len(line.text)
        size = max(sizes, key=sizes.__getitem__, default=12.0)
        headings: list[float] = []
        for larger in sorted(sizes, reverse=True):
            if larger >= size * LARGER and (not headings or larger < headings[-1] * 0.95):
                headings.append(larger)
        return cls(size, headings, max(leadings, key=leadings.__getitem__, default=1.2), words)

    def level(self, paragraph: list[Line]) -> int:
        """Return a heading's level, counted from 1, or 0 if it is none."""
        size = min(line.size for line in paragraph)
        text = " ".join(line.text for line in paragraph)
        is_large = size >= self.size * LARGER and len(text) <= MAX_HEADING
        if (
            not is_large
            or CELL in text
            or text.endswith((".", ",", ";"))
            or not re.search(r"[^\W\d_]{2}", text)
        ):
            return 0
        return min(6, 1 + sum(size < larger * 0.95 for larger in self.headings))


def downwards(lines: Iterable[Line]) -> list[Line]:
    """Return lines with those turned round that were written, one above the other, from the lowest up."""
    ordered: list[Line] = []
    block: list[Line] = []
    for line in lines:
        if block:
            step = (line.y - block[-1].y) / line.size
            if not 0.8 < step < 2 or abs(line.left - block[-1].left) > line.size * 0.1:
                ordered += reversed(block)
                block = []
        block.append(line)
    return [*ordered, *reversed(block)]


def find_margins(lines: list[Line]) -> None:
    """Find how far each line's column goes, from the lines that begin where it does."""
    column: list[Line] = []
    far = -inf
    for line, after in _with_next(sorted(lines, key=lambda line: line.left)):
        column.append(line)
        if after and after.left - line.left < line.size * 0.8:
            continue
        # A few headings may well go over the column's edge.
        rights = sorted(line.right for line in column)
        far = max(rights[len(rights) * 9 // 10], far)
        for one in column:
            one.margin = far
        if after and after.left - line.left > line.size * 5:
            far = -inf
        column = []
    _narrow(lines)


def _narrow(lines: list[Line]) -> None:
    """Find the margins of columns that begin where wider text does: all their lines end near one place."""
    block: list[Line] = []
    for line, after in _with_next(lines):
        block.append(line)
        if (
            after
            and abs(after.left - line.left) < line.size * 0.8
            and 0.8 < (line.y - after.y) / line.size < 2
        ):
            continue
        far = max(line.right for line in block)
        is_prose = len(block) > 3 and sum(len(line.text) for line in block) > 25 * len(block)
        if is_prose and all(one.right + two.first_width > far for one, two in pairwise(block)):
            for one in block:
                one.margin = far
        block = []


def compose(lines: list[Line], style: Style) -> str:
    """Return a page's text: its paragraphs, parted by blank lines."""
    find_margins(lines)
    style.words.update(_words(lines))
    leadings = Counter(_leadings(lines))
    leading = max(leadings, key=leadings.__getitem__) if leadings.total() > 5 else style.leading
    return "\n\n".join(_text(paragraph, style) for paragraph in _paragraphs(lines, leading))


def _words(lines: list[Line]) -> Iterator[str]:
    """Yield the words that no line's end breaks, in lower case."""
    is_broken = False
    for line in lines:
        words = _WORD.findall(line.text.casefold())
        yield from words[is_broken : len(words) - line.is_broken]
        is_broken = line.is_broken


def _leadings(lines: list[Line]) -> Iterator[float]:
    """Yield how far apart the lines of paragraphs are, in em."""
    for line, after in pairwise(lines):
        gap = (line.y - after.y) / line.size
        goes_on = line.is_full(after) and not _ENDED.search(line.text)
        if goes_on and 0.8 < gap < 2.6 and abs(line.left - after.left) < line.size:
            yield round(gap * 20) / 20


def _with_next(lines: list[Line]) -> Iterator[tuple[Line, Line | None]]:
    return zip(lines, [*lines[1:], None], strict=False)


def _paragraphs(lines: list[Line], leading: float) -> Iterator[list[Line]]:
    paragraph: list[Line] = []
    for line, after in _with_next(lines):
        if paragraph and _begins(line, paragraph, after, leading):
            yield paragraph
            paragraph = []
        paragraph.append(line)
    if paragraph:
        yield paragraph


def _begins(line: Line, paragraph: list[Line], after: Line | None, leading: float) -> bool:
    """Whether a line begins a paragraph, after the one that has come so far."""
    before = paragraph[-1]
    em = max(before.size, line.size)
    gap = (before.y - line.y) / em
    is_ended = bool(_ENDED.search(before.text))
    is_alike = abs(before.size - line.size) <= em * 0.08
    if before.is_broken and (line.text[0].islower() or (is_alike and line.text[0].isalpha())):
        return False
    if not is_alike:
        return True
    if line.goes_on(before):
        return False
    if gap < -0.5 or line.left > before.right + em or line.right < before.left:
        # Another column, in which a sentence may go on.
        return is_ended or not line.text[0].islower() or not paragraph[-1].is_full(line)
    if gap > leading * APART:
        return True
    is_full = before.is_full(line)
    is_wrapped = any(one.is_full(two) and not one.is_row for one, two in pairwise(paragraph))
    if line.is_row or before.is_row:
        return line.is_prose or before.is_prose
    if _CLAUSE.match(line.text) and (is_ended or not is_full):
        return True
    if _BULLET.match(line.text) or (_NUMBER.match(line.text) and (is_ended or not is_full)):
        return is_wrapped or not _is_item(paragraph[0])
    if not is_full:
        return is_wrapped or before.left - line.left > line.size * 0.8
    return _is_indented(line, paragraph, after)


def _is_indented(line: Line, paragraph: list[Line], after: Line | None) -> bool:
    """Whether a line's place says that it begins a paragraph: further in than the last, or further out."""
    step = (line.left - paragraph[-1].left) / line.size
    if 0.8 < step < 5:
        # Where the first line hangs out, the next are all further in.
        returns = after is not None and abs(after.left - paragraph[-1].left) < line.size * 0.5
        return returns and (len(paragraph) > 1 or bool(_ENDED.search(paragraph[-1].text)))
    return step < -0.8 and len(paragraph) > 1


def _is_item(line: Line) -> bool:
    return bool(_BULLET.match(line.text) or _NUMBER.match(line.text))


def _text(paragraph: list[Line], style: Style) -> str:
    level = style.level(paragraph)
    text = ""
    for line, before in zip(paragraph, [None, *paragraph], strict=False):
        words = line.text if level else _BULLET.sub("- ", line.text, count=1)
        if before is None:
            text = words
        elif before.is_broken:
            text += _hyphen(text, words, style.words) + words
        elif line.goes_on(before):
            gap = (line.left - before.right) / line.size
            text += (CELL if gap > GAP else " " if gap > SPACE else "") + words
        elif level or (before.is_full(line) and not (line.is_row or before.is_row or _is_item(line))):
            is_close = _IDEOGRAPH.match(words) and _IDEOGRAPH.match(text[-1])
            text += words if is_close else f" {words}"
        else:
            text += f"\n{words}"
    if paragraph[-1].is_broken:
        text += "-"
    return f"{'#' * level} {text}" if level else text


def _hyphen(before: str, after: str, known: set[str]) -> str:
    """Return what parts, in one line, two words between which a line ended with a hyphen."""
    tail, head = before[-200:].split()[-1], after[:200].split()[0]
    ends, begins = _WORD.findall(tail.casefold()), _WORD.match(head.casefold())
    if _ADDRESS.search(tail):
        return "-"
    if not ends or not begins:
        return "-" if head[0].isalnum() else "- "
    parted = f"{ends[-1]}-{begins[0]}" in known
    whole = {ends[-1] + begins[0], ends[-1].rpartition("-")[2] + begins[0]} & known
    if whole and not parted:
        return ""
    if parted and not whole:
        return "-"
    return "- " if begins[0] in _SHARING else "-" if head[0].isupper() else ""
