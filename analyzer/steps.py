"""The calls of an analysis: one, or, of a document that is too long for that, one for each of its sections.

What each of them was asked about, and whether it ended, is saved with the answer, so that another analysis
goes on where one broke off, and reads nothing again that was read to its end.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from analyzer import prompt
from analyzer.prompt import Recipe
from analyzer.sections import Budget, Outline, Stretch, groups, needs, place
from analyzer.token_log import LeaseLost, TokenLog
from models import Analysis, Document, Section
from providers.base import Prompt, StopReason, TooLong

# Ours is the first in its part of the answer, whatever the model writes behind it.
_HEADING = re.compile(r"^## (.*)\n\n", re.MULTILINE)
_FENCE = re.compile(r"^(`{3,}|~{3,}).*$", re.MULTILINE)


@dataclass(slots=True)
class Step:
    """One call: what is asked, and the heading that comes above it in the answer.

    Whoever takes the step sets `stop_reason` when the call has ended in order.
    """

    prompt: Prompt
    heading: str = ""
    stop_reason: StopReason | None = None


class Steps:
    """The steps of one analysis, to be iterated once: each depends on what came of those before it."""

    def __init__(
        self,
        analysis: Analysis,
        document: Document,
        pages: list[int],
        recipe: Recipe,
        log: TokenLog,
        budget: Budget,
    ) -> None:
        self.id = analysis.id
        self.question = analysis.question
        self.title = document.title
        self.text = document.text
        self.pages = pages
        self.recipe = recipe
        self.log = log
        self.budget = budget

    def __iter__(self) -> Iterator[Step]:
        answer = self.log.text(self.id)
        # A call is saved before its text: an answer that has not begun has none.
        self._rows = Section.of(self.id) if answer else []
        outline = Outline(self.text, self.pages)
        # What was asked about the whole goes on as it was asked.
        if not self._rows and (answer.strip() or self.budget.holds(outline)):
            del outline
            yield self._whole(answer)
            return
        if not self.budget.has_room:
            raise TooLong
        yield from self._read(outline)
        level = 0
        while not level or len(self._ended(level)) > 1:
            level += 1
            yield from self._put_together(level)

    def _whole(self, answer: str) -> Step:
        most = self.budget.whole
        asked = prompt.build(self.recipe, self.title, self.text, self.question, most, answer)
        # The prompt has it: not twice for as long as the call takes.
        self.text = ""
        return Step(asked)

    def _read(self, outline: Outline) -> Iterator[Step]:
        """Read each section that has not been read to its end."""
        ended = self._ended(0)
        at = ended[-1].end if ended else 0
        stretches = []
        begun = self._begun(0, lambda row: self._tokens(row) <= self.budget.room)
        if begun:
            stretches.append(Stretch(begun.start, begun.end, begun.first, begun.last))
            at = begun.end
        if at < len(self.text):
            stretches += outline.sections(self.budget, at)
        total = len(ended) + len(stretches)
        if not Analysis.plan(self.log.worker, self.id, total):
            raise LeaseLost(self.id)
        for number, stretch in enumerate(stretches, len(ended) + 1):
            where = place(stretch.first, stretch.last, self.pages)

            def ask(
                answer: str, stretch: Stretch = stretch, number: int = number, where: str = where
            ) -> Prompt:
                return prompt.build_section(
                    self.recipe,
                    self.title,
                    self.text[stretch.start : stretch.end],
                    stretch.first,
                    f"section {number} of {total} ({where})",
                    self.question,
                    self.budget.findings,
                    answer,
                )

            row = Section(analysis=self.id, level=0, number=number, **stretch._asdict())
            yield from self._take(begun or row, f"Section {number} of {total}: {where}", ask)
            begun = None

    def _put_together(self, level: int) -> Iterator[Step]:
        """Put together what was found on the level below, as far as that has not been done."""
        ended = self._ended(level)
        found = [row for row in self._ended(level - 1) if not ended or row.start >= ended[-1].end]
        begun = self._begun(level, lambda row: self._fit([it for it in found if it.end <= row.end]))
        parts = []
        if begun:
            parts.append([row for row in found if row.end <= begun.end])
            del found[: len(parts[0])]
        for size in groups(len(found), self.budget.together):
            parts.append(found[:size])
            del found[:size]
        total = len(ended) + len(parts)
        for number, part in enumerate(parts, len(ended) + 1):
            one, other = self._numbers(part)
            is_last = total == 1

            def ask(answer: str, part: list[Section] = part, one: int = one, other: int = other) -> Prompt:
                return prompt.build_together(
                    self.recipe,
                    self.title,
                    [self._findings(row) for row in part],
                    "" if total == 1 else f"sections {one} to {other}",
                    self.question,
                    self.budget.answer if total == 1 else self.budget.findings,
                    answer,
                )

            row = Section(
                analysis=self.id,
                level=level,
                number=number,
                start=part[0].start,
                end=part[-1].end,
                first=part[0].first,
                last=part[-1].last,
            )
            heading = f"All {other} sections together" if is_last else f"Sections {one}–{other} together"
            yield from self._take(begun or row, heading, ask, is_last)
            begun = None

    def _take(
        self, row: Section, heading: str, ask: Callable[[str], Prompt], is_last: bool = False
    ) -> Iterator[Step]:
        """Yield a call, saved before as begun and behind as ended; what was begun earlier goes on."""
        text = self.log.text(self.id)
        begun = _HEADING.search(text, row.position) if row.position is not None else None
        if begun:
            step = Step(ask(text[begun.end() :]))
        else:
            row.position = len(text)
            if not row.begin(self.log.worker):
                raise LeaseLost(self.id)
            self._rows = [other for other in self._rows if other.position != row.position] + [row]
            step = Step(ask(""), f"{_apart(text)}## {heading}\n\n")
        yield step
        # The last one's cut is the answer's: another analysis goes on in it.
        is_over = step.stop_reason and not (is_last and step.stop_reason is StopReason.LENGTH)
        if is_over and not row.finish(self.log.worker, str(step.stop_reason)):
            raise LeaseLost(self.id)

    def _ended(self, level: int) -> list[Section]:
        return [row for row in self._rows if row.level == level and row.stop_reason]

    def _begun(self, level: int, fits: Callable[[Section], bool]) -> Section | None:
        """Return the call that broke off, if it is on this level and still fits; else it is given up."""
        row = self._rows[-1] if self._rows else None
        if row is None or row.level != level or row.stop_reason or not fits(row):
            return None
        return row

    def _tokens(self, row: Section) -> int:
        return needs(self.text[row.start : row.end].rstrip())

    def _fit(self, part: list[Section]) -> bool:
        return sum(needs(text) for _, text in map(self._findings, part)) <= self.budget.room_together

    def _findings(self, row: Section) -> tuple[str, str]:
        """Return the heading above a part of the answer, and the part."""
        later = (other.position for other in self._rows if other.position > row.position)
        part = self.log.text(self.id)[row.position : min(later, default=None)]
        heading = _HEADING.search(part)
        return (heading[1], part[heading.end() :]) if heading else ("", part)

    def _numbers(self, part: list[Section]) -> tuple[int, int]:
        """Return the numbers of the first section and of the last that a part of the findings is about."""
        numbers = [
            number
            for number, row in enumerate(self._ended(0), 1)
            if part[0].start <= row.start and row.end <= part[-1].end
        ]
        return numbers[0], numbers[-1]


def _apart(text: str) -> str:
    """Return what parts a text from a heading behind it: a blank line, and the end of code left open."""
    fence = ""
    for line in _FENCE.finditer(text):
        if not fence:
            fence = line[1]
        elif line[1].startswith(fence) and line[0].strip() == line[1]:
            fence = ""
    return (f"\n{fence}" if fence else "") + ("\n\n" if text else "")
