"""What a person reads of a document that is read in sections: where that is, and how much was read."""

from __future__ import annotations

from analyzer.sections import place
from models import Analysis, Section
from storage import connected
from views.helpers.formats import plural

# English has between four and five, and no language more.
MOST_CHARACTERS_PER_TOKEN = 8


def progress(id: int) -> str:
    """Return what is being read of a running analysis, or nothing where it is read as a whole."""
    with connected():
        found = Section.latest(id)
    if found is None:
        return ""
    level, number, sections = found
    return f"putting {sections} sections together" if level else f"section {number} of {sections}"


def coverage(analysis: Analysis) -> str:
    """Return how much of a document was read in sections, and which findings were cut."""
    rows = Section.of(analysis.id) if analysis.sections > 1 else []
    if not rows:
        return ""
    ended = [row for row in rows if row.stop_reason]
    read = [row for row in ended if not row.level]
    cut = [_name(row, read) for row in ended if row.stop_reason == "length"]
    sentence = _read(analysis, read)
    if cut:
        sentence += f" Cut at their length limit: the findings on {_listed(cut)}."
    return sentence


def is_partly_read(analysis: Analysis) -> bool:
    """Whether the model's server counted so few tokens that it cannot have read the whole document.

    Servers of one's own drop what their window has no room for, and say nothing.
    """
    counted = analysis.input_tokens
    if not (counted and analysis.words) or analysis.usage_is_estimate:
        return False
    # What goes on has read a part before; and what calls no model counts words.
    if analysis.joins_at or analysis.model.startswith("offline:"):
        return False
    return analysis.document.characters > MOST_CHARACTERS_PER_TOKEN * counted


def together_at(analysis: Analysis, text: str) -> int | None:
    """Return where the heading stands, in an analysis' text, of all its sections together, if it does."""
    rows = Section.of(analysis.id) if analysis.sections > 1 else []
    last = rows[-1] if rows else None
    is_all = last and last.level and last.start == 0 and last.end == max(row.end for row in rows)
    # It may have broken off before its heading was written.
    at = text.find("## ", last.position) if last and is_all else -1
    return at if at >= 0 else None


def _read(analysis: Analysis, read: list[Section]) -> str:
    total = analysis.sections
    if not read:
        return f"Read none of {total} sections to its end."
    with connected():
        pages = analysis.document.read_pages()
    if len(read) == total:
        number = plural(len(pages), "page") if pages else plural(analysis.document.paragraphs, "paragraph")
        return f"Read all {number} in {total} sections."
    where = place(read[0].first, read[-1].last, pages)
    if not pages:
        where = f"paragraphs {read[0].first:,}–{read[-1].last:,}"
    return f"Read {len(read)} of {total} sections: {where} of {len(pages) or analysis.document.paragraphs:,}."


def _name(row: Section, read: list[Section]) -> str:
    numbers = [number for number, it in enumerate(read, 1) if row.start <= it.start and it.end <= row.end]
    one, other = numbers[0], numbers[-1]
    return f"section {one}" if one == other else f"sections {one}–{other}"


def _listed(names: list[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last
