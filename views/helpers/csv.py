"""Tables as CSV, which people open in a spreadsheet."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice

from hub import let_others_run

# With any of these, the wide ones too, a cell begins that a spreadsheet takes for a formula. Many part cells
# at a semicolon or a tab, whatever stands between the quotes.
FORMULA = re.compile(r"(?:^|(?<=[;\t]))(?=[=+\-@＝＋－＠\t\r\n])")
# Rows that are read and written together: a few milliseconds' worth.
AT_ONCE = 100


def rows(header: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """Yield a header and rows as CSV, some lines at a time, letting others run meanwhile.

    Before what would be a formula comes an apostrophe. Numbers stay as they are, negative ones too;
    None is an empty cell.
    """
    left = chain([header], rows)
    while some := list(islice(left, AT_ONCE)):
        lines = io.StringIO()
        csv.writer(lines).writerows([_inert(cell) for cell in row] for row in some)
        yield lines.getvalue()
        let_others_run()


def _inert(cell: object) -> object:
    return FORMULA.sub("'", cell) if isinstance(cell, str) else cell
