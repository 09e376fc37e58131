"""Tables as CSV, which people open in a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice

from hub import let_others_run

# With any of these a cell begins that a spreadsheet takes for a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
# Rows that are read and written together: a few milliseconds' worth.
AT_ONCE = 100


def rows(header: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """Yield a header and rows as CSV, some lines at a time, letting others run meanwhile.

    A text that would be a formula gets an apostrophe in front. Numbers stay as they are, negative ones too;
    None is an empty cell.
    """
    left = chain([header], rows)
    while some := list(islice(left, AT_ONCE)):
        lines = io.StringIO()
        csv.writer(lines).writerows([_inert(cell) for cell in row] for row in some)
        yield lines.getvalue()
        let_others_run()


def _inert(cell: object) -> object:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell
