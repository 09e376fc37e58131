"""The document's pane: its paragraphs as they are shown, and where its pages begin."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from flask import Flask

from analyzer.injection import speaking
from analyzer.text import unwrap
from models import Document
from views.helpers.formats import ranges

# With more of them a table is shown as it is written.
MOST_CELLS = 5_000

_HEADING = re.compile(r"(#{1,6})[ \t]+(\S.*)")
_RULE = re.compile(r"\|(?:\s*:?-+:?\s*\|)+")
_EDGE = re.compile(r"(?<!\\)\|")


@dataclass(slots=True)
class Page:
    """The beginning of a page."""

    kind: ClassVar = "page"
    number: int
    is_empty: bool


@dataclass(slots=True)
class Paragraph:
    """A paragraph; a heading has a `level`, counted from 1 without a gap."""

    kind: ClassVar = "paragraph"
    number: int
    text: str
    level: int = 0


@dataclass(slots=True)
class Table:
    """A paragraph that is a table, or goes on with the one before and has no head."""

    kind: ClassVar = "table"
    number: int
    head: list[str]
    rows: list[list[str]]


Block = Page | Paragraph | Table


def register(app: Flask) -> None:
    """Let the templates ask for these."""
    app.add_template_filter(blocks)
    app.add_template_filter(speaking)
    app.add_template_filter(ranges)


def blocks(paragraphs: Iterable[str], document: Document) -> Iterator[Block]:
    """Yield a document's paragraphs, and each page before its first one."""
    pages = enumerate(document.read_pages() if document.page_count else (), 1)
    left = 0  # of the page's paragraphs
    above: list[int] = []
    block: Block | None = None
    for number, paragraph in enumerate(paragraphs, 1):
        while not left and (page := next(pages, None)):
            left = page[1]
            yield Page(page[0], is_empty=not left)
        left -= 1
        block = _block(number, paragraph, after_table=isinstance(block, Table))
        if isinstance(block, Paragraph) and block.level:
            block.level = _depth(block.level, above)
        yield block
    for number, _ in pages:
        yield Page(number, is_empty=True)


def _depth(level: int, above: list[int]) -> int:
    """Return how deep a heading stands below those that are open, and make it the last of them.

    A file may skip levels; who goes from heading to heading would look for what is missing.
    """
    while above and above[-1] >= level:
        above.pop()
    above.append(level)
    return len(above)


def _block(number: int, paragraph: str, after_table: bool) -> Block:
    if paragraph.startswith("|") and (table := _table(number, paragraph, after_table)):
        return table
    if heading := _HEADING.fullmatch(paragraph):
        return Paragraph(number, heading[2], len(heading[1]))
    return Paragraph(number, unwrap(paragraph))


def _table(number: int, paragraph: str, after_table: bool) -> Table | None:
    lines = [line.strip() for line in paragraph.split("\n")]
    has_head = len(lines) > 1 and bool(_RULE.fullmatch(lines[1]))
    if not (has_head or after_table) or paragraph.count("|") > MOST_CELLS:
        return None
    rows = [_EDGE.split(line) for line in lines]
    # Each begins and ends with an edge, outside of which is nothing.
    if any(row[0] or row[-1] or len(row) < 3 for row in rows):
        return None
    cells = [[cell.strip().replace(r"\|", "|") for cell in row[1:-1]] for row in rows]
    return Table(number, cells[0], cells[2:]) if has_head else Table(number, [], cells)
