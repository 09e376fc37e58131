"""Tables as text (.csv, .tsv), whose delimiter is found by how evenly it cuts the first lines."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from operator import itemgetter

from extraction import Reason, Unreadable
from extraction.charset import decode
from extraction.paragraphs import Paragraphs
from extraction.telling import Tell

# Of two that cut alike the first: a comma in every line may well be a decimal one.
DELIMITERS = "\t;|,"
SAMPLE = 50_000  # characters
SAMPLED_ROWS = 50


def read(data: bytes, tell: Tell) -> None:
    """Tell the rows of a table, the first as its header; raises Unreadable."""
    out = Paragraphs(tell)
    text = decode(data, notes=out.notes)
    # Bytes that windows-1252 has no letter for show that it is not that either.
    if "\0" in text or (out.notes["guessed"] and "\ufffd" in text):
        raise Unreadable(Reason.NOT_TEXT)
    named, rest = _named_delimiter(text)
    delimiter = named or _delimiter(rest)
    width, is_quoted = _measure(rest, delimiter)
    out.table(_rows(rest, delimiter, quoted=is_quoted), width)
    out.close()


def _rows(text: str, delimiter: str, *, quoted: bool = True) -> Iterator[list[str]]:
    lines = io.StringIO(text, newline="")
    return csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE)


def _measure(text: str, delimiter: str) -> tuple[int, bool]:
    """Return the widest row's number of cells, and whether the quotes in the text are to be heeded."""
    width, last = 0, [""]
    with suppress(csv.Error):
        for row in _rows(text, delimiter):
            width, last = max(width, len(row)), row or last
        # A quote that nobody closes would take all that follows for one cell.
        if "\n" not in last[-1] or text.rstrip().endswith('"'):
            return width, True
    csv.field_size_limit(len(text))
    return max(map(len, _rows(text, delimiter, quoted=False)), default=0), False


def _named_delimiter(text: str) -> tuple[str, str]:
    """Return the delimiter that a first line `sep=;` names, as Excel has it, and the text after that line."""
    line, _, rest = text.partition("\n")
    line = line.rstrip("\r")
    return (line[4:], rest) if len(line) == 5 and line.startswith("sep=") else ("", text)


def _delimiter(text: str) -> str:
    evenness = {delimiter: _evenness(text[:SAMPLE], delimiter) for delimiter in DELIMITERS}
    best = max(DELIMITERS, key=lambda delimiter: evenness[delimiter])
    # What is not to be found in anything: lines that are no cells.
    return best if evenness[best] else "\0"


def _evenness(sample: str, delimiter: str) -> float:
    """Return the share of the sample's rows that have the most usual number of cells, 0 if that is one."""
    widths: Counter[int] = Counter()
    try:
        for row in _rows(sample, delimiter):
            if row:
                widths[len(row)] += 1
            if widths.total() == SAMPLED_ROWS:
                break
    except csv.Error:
        pass
    if not widths:
        return 0
    width, count = max(widths.items(), key=itemgetter(1))
    return count / widths.total() if width > 1 else 0
