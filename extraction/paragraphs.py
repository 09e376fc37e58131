"""Paragraphs as a document keeps them: plain, headed, listed and in tables, whatever the file had."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from itertools import chain, islice
from typing import NamedTuple

from extraction.telling import Tell

ROWS = 40  # of a table in one paragraph, so that they can be cited
SHARED = 600  # characters of a paragraph that short items of one list share
CELL = 1000  # characters: what is longer in a table may have been put there to stand side by side
DATA = 3  # rows of several cells: what has so many holds data, whatever is in its cells
HELD = 20_000  # characters told at a time
DEEPEST = 8  # steps that an item is indented
WIDEST, TALLEST = 50, 1000  # columns and rows that one cell may take

_RAISED = str.maketrans("0123456789+-−()n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁽⁾ⁿ")
_LOWERED = str.maketrans("0123456789+-−()", "₀₁₂₃₄₅₆₇₈₉₊₋₋₍₎")
_BLANKS = re.compile(r"\s*\n\s*")


class Block(NamedTuple):
    """A paragraph, as `add` takes it."""

    text: str
    level: int
    group: Hashable
    depth: int


class Paragraphs:
    """Paragraphs on their way to be told, many at a time; `notes` counts what was not read, by its code."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._held: list[str] = []
        self._size = 0
        self._group: Hashable = None
        self.notes: Counter[str] = Counter()

    def add(self, text: str, level: int = 0, group: Hashable = None, depth: int = 0) -> None:
        """Add a paragraph; one of white space is none.

        With a `level` from 1 it is a heading. With a `group` it may share a paragraph with what came just
        before in the same group, and is then a line of it, indented by its `depth`.
        """
        text = text.strip("\n").rstrip()
        if not text or text.isspace():
            return
        if level:
            text = f"{'#' * min(level, 6)} {_one_line(text)}"
        elif group is not None:
            text = _BLANKS.sub("\n", text)
        if group is not None and group == self._group and len(self._held[-1]) + len(text) < SHARED:
            text = f"{self._held.pop()}\n{'  ' * min(depth, DEEPEST)}{text}"
        elif self._size + len(text) > HELD:
            self._flush()
        self._group = group
        self._held.append(text)
        self._size += len(text)

    def table(self, rows: Iterable[Sequence[str]], width: int) -> None:
        """Add a table as lines of Markdown, the first row as its header, as wide as the widest row."""
        filled = (row for row in rows if any(cell and not cell.isspace() for cell in row))
        if not (first := next(filled, None)):
            return
        header = [*first, *[""] * (width - len(first))]
        lines = chain([_row(header), "|" + " --- |" * width], map(_row, filled))
        size = ROWS + 1
        while some := list(islice(lines, size)):
            self.add("\n".join(some))
            size = ROWS

    def close(self) -> None:
        """Tell what is still held, and the notes."""
        self._flush()
        for code, count in self.notes.items():
            if count:
                self._tell.note(code, str(count))

    def _flush(self) -> None:
        if self._held:
            self._tell.part("\n\n".join(self._held))
        self._held, self._size, self._group = [], 0, None


class Grid:
    """A table while it is read: told as rows, or as paragraphs if it only arranges them on a page.

    It does so if it holds another table, a heading that heads no row or column, or nowhere two cells side by
    side; and if it holds any heading or a long text and has few rows. Where rows are lost so, the note
    `tables` says it, but not of what `is_layout` by its own word.
    """

    def __init__(self, out: Paragraphs, *, is_layout: bool = False) -> None:
        self._out = out
        self._is_layout = is_layout
        self._rows: list[list[list[Block]]] = []
        self._below: dict[int, int] = {}
        self._cell: list[Block] = []
        self._size = 0
        self._is_filled = False  # the cell
        self._is_first = True  # the cell, in its row or column
        self._in_row = 0  # cells that are filled
        self._full_rows = 0  # with two of them or more
        self._is_odd = False
        self._is_dissolved = is_layout

    def row(self) -> None:
        """Begin a row."""
        if self._rows:
            self._fill(self._rows[-1])
        self._rows.append([])
        self._in_row = 0

    def cell(self, columns: int = 1, rows: int = 1) -> None:
        """Begin a cell that takes so many columns and rows, of which its text stands in the first."""
        if not self._rows:
            self.row()
        row = self._rows[-1]
        self._fill(row)
        self._cell, self._size, self._is_filled = [], 0, False
        self._is_first = not row or len(self._rows) == 1
        for column in range(len(row), len(row) + max(1, min(columns, WIDEST))):
            if rows > 1:
                self._below[column] = min(rows, TALLEST) - 1
            row.append([])
        row[-max(1, min(columns, WIDEST))] = self._cell

    def add(self, text: str, level: int = 0, group: Hashable = None, depth: int = 0) -> None:
        """Add a paragraph to the cell; what comes before the first cell stands before the table."""
        if self._rows:
            self._count(text, is_heading=level > 0)
        if self._is_dissolved or not self._rows:
            self._out.add(text, level, group, depth)
        elif text and not text.isspace():
            self._cell.append(Block(text, level, group, depth))

    def _count(self, text: str, *, is_heading: bool) -> None:
        if not self._is_filled:
            self._is_filled = True
            self._in_row += 1
            self._full_rows += self._in_row == 2
        if not text or text.isspace():
            return
        self._size += len(text)
        self._is_odd = self._is_odd or is_heading or self._size > CELL
        heads_text = bool(self._cell) and bool(self._cell[-1].level) != is_heading
        if heads_text or (is_heading and not self._is_first):
            self.dissolve()

    def dissolve(self) -> None:
        """Tell what there is, and all that follows, as paragraphs."""
        if self._is_dissolved:
            return
        for row in self._rows:
            for cell in row:
                for block in cell:
                    self._out.add(*block)
                cell.clear()
        self._is_dissolved = True

    def end(self) -> None:
        """Tell the table."""
        if self._full_rows < (DATA if self._is_odd else 1):
            self.dissolve()
        if self._is_dissolved:
            self._out.notes["tables"] += self._full_rows > 1 and not self._is_layout
        else:
            rows = [[" ".join(block.text for block in cell) for cell in row] for row in self._rows]
            self._out.table(rows, max(map(len, rows)))

    def _fill(self, row: list[list[Block]]) -> None:
        """Leave the columns free that a cell of a row above takes."""
        while left := self._below.get(len(row), 0):
            self._below[len(row)] = left - 1
            row.append([])


def raised(text: str) -> str:
    """Return what stands above the line, in letters that do: 10² is not 102."""
    return _shifted(text, _RAISED)


def lowered(text: str) -> str:
    """Return what stands below the line, in letters that do."""
    return _shifted(text, _LOWERED)


def _shifted(text: str, letters: dict[int, int]) -> str:
    has_all = len(text) < 20 and all(ord(letter) in letters for letter in text)
    return text.translate(letters) if has_all else text


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_one_line(cell).replace("|", "\\|") for cell in cells) + " |"
