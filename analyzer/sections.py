"""How a document is read that is longer than a model's window: in sections, whose findings are put together.

All of it is planned before the first call, so that what it takes is known before anybody pays. The plan
depends on nothing but the text, its pages and the window: made again from where a section ends, it goes on
as it would have gone on.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import NamedTuple

from analyzer.bound import most_tokens
from analyzer.text import paragraphs
from hub import in_turns
from providers.base import estimate_tokens

SMALLEST_WINDOW = 4_000  # tokens; in a smaller one the instructions leave no room for a section
UNBOUNDED = 10**9  # in place of a window that is not known
MARGIN = 1.25  # times the estimate: so much more a text may take
LEAST_FULL = 0.6  # of a section's room, before a better place to cut is passed over
LABEL = 30  # tokens of what stands above a section's findings

# A millisecond's work, about: all streams of this process wait meanwhile.
PARAGRAPHS_AT_ONCE = 500
CHARACTERS_AT_ONCE = 20_000

_NO_SIGNS = bytes(byte for byte in range(256) if byte > 127 or chr(byte).isalpha() or chr(byte).isspace())
_HEADING = re.compile(r"(#{1,6}) ")
_SENTENCE_END = re.compile(r"[.!?…][\"'”’»)\]]{0,3}\s|[。！？।؟][”’」』）]?|\n")
_SPACE = re.compile(r"\s+")


class Stretch(NamedTuple):
    """What one section reads: characters from `start` to `end`, paragraphs `first` to `last`."""

    start: int
    end: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Budget:
    """What goes where in a window of so many tokens, None where that is not known.

    `words` are what stands around any text, `most` is the longest answer asked for. Twice the room of what is
    written is kept: what broke off is sent along when it is continued.
    """

    window: int | None
    words: int
    most: int

    @property
    def whole(self) -> int:
        """The longest answer about a document that fits in one call."""
        return min(self.most, self.window // 2) if self.window else self.most

    @property
    def answer(self) -> int:
        """The longest answer that is written from findings."""
        return min(self.most, self._known // 8)

    @property
    def findings(self) -> int:
        """The longest findings of a section."""
        return min(self.most, self._known // 16)

    @property
    def room(self) -> int:
        """What a section may hold."""
        return self._known - self.words - 2 * self.findings

    @property
    def room_together(self) -> int:
        """What findings may hold that are put together in one call."""
        return self._known - self.words - 2 * self.answer

    @property
    def together(self) -> int:
        """How many findings that is; as a model writes them they may seem longer than they are."""
        return self.room_together // (self.findings * 3 // 2 + LABEL)

    def holds(self, outline: Outline) -> bool:
        """Whether a document is read in one call; in doubt the provider decides."""
        if self.window is None or self.window < SMALLEST_WINDOW:
            return True
        return outline.total + self.words + self.whole <= self.window

    @property
    def has_room(self) -> bool:
        """Whether what stands around a section leaves room for one."""
        return self.room >= self._known // 8 and self.together > 1

    @property
    def _known(self) -> int:
        return self.window or UNBOUNDED


def needs(text: str) -> int:
    """Return about how many tokens a text takes that has a sense, dear with figures and signs.

    It is for what is planned and shown; what has to hold whatever the text is goes by `most_tokens`.
    """
    signs = len(text.encode("utf-8", "surrogatepass").translate(None, _NO_SIGNS))
    return math.ceil((estimate_tokens(text) + signs / 2) * MARGIN)


class Outline:
    """A document as it is cut into sections: its paragraphs, what each takes, and where pages begin."""

    def __init__(self, text: str, pages: Sequence[int] = ()) -> None:
        self.text = text
        self._page_starts = {before + 1 for before in accumulate(pages)}

    @cached_property
    def parts(self) -> list[tuple[int, int]]:
        """Where the paragraphs begin and end."""
        parts = []
        at = 0
        for part in in_turns(paragraphs(self.text), PARAGRAPHS_AT_ONCE):
            # Between two of them are blanks only: what is found is the very one.
            start = self.text.index(part, at)
            at = start + len(part)
            parts.append((start, at))
        return parts

    @cached_property
    def tokens(self) -> list[int]:
        """What each paragraph takes."""
        parts = enumerate(in_turns(self.parts, PARAGRAPHS_AT_ONCE), 1)
        return [self._cost(start, end, number) for number, (start, end) in parts]

    @property
    def total(self) -> int:
        """What the whole document takes, in tokens."""
        return sum(self.tokens)

    def most(self, at: int) -> int:
        """Return what the text from a character on takes at the most, whatever it is, in tokens."""
        number = f"[¶{len(self.parts)}] "
        return most_tokens(self.text[at:]) + len(self.parts) * len(number.encode())

    def sections(self, budget: Budget, at: int = 0) -> list[Stretch]:
        """Cut the text from a character on into sections, each as full as fits; together they are the text.

        They end before a heading or with a page where that leaves them full enough, else with a paragraph;
        one that is longer than a section is cut at a sentence's or a word's end. There are at least two.
        """
        room = min(budget.room, math.ceil(self.total * LEAST_FULL))
        units = list(self._units(room, at))
        sections: list[Stretch] = []
        start, begin = at, 0
        while begin < len(units):
            after = self._cut(units, begin, room)
            end = units[after].start if after < len(units) else len(self.text)
            sections.append(Stretch(start, end, units[begin].number, units[after - 1].number))
            start, begin = end, after
        return sections

    def _units(self, room: int, at: int) -> Iterator[_Unit]:
        """Yield the paragraphs, those in pieces that are longer than a section."""
        follows_heading = False
        parts = in_turns(zip(self.parts, self.tokens, strict=True), PARAGRAPHS_AT_ONCE)
        for number, ((start, end), tokens) in enumerate(parts, 1):
            if end <= at:
                continue
            heading = _HEADING.match(self.text, start)
            rank = 10 - len(heading[1]) if heading else int(number in self._page_starts)
            # A heading stays with what it stands above.
            rank = 0 if follows_heading else rank
            follows_heading = bool(heading)
            yield from self._pieces(max(start, at), end, number, tokens, rank, room)

    def _pieces(
        self, start: int, end: int, number: int, tokens: int, rank: int, room: int
    ) -> Iterator[_Unit]:
        while tokens > room and start < end:
            middle = self._break(start, end, number, room)
            yield _Unit(start, number, self._cost(start, middle, number), rank)
            # Of a rest that is far too long no more than shows that.
            tokens = self._cost(middle, min(end, middle + 4 * room), number)
            start, rank = middle, -1
        if start < end:
            yield _Unit(start, number, tokens, rank)

    @staticmethod
    def _cut(units: list[_Unit], begin: int, room: int) -> int:
        """Return the unit before which the section ends that begins with one."""
        tokens, after, best = 0, begin, (-2, 0)
        while after < len(units):
            tokens += units[after].tokens
            if tokens > room and after > begin:
                return max(best, (units[after].rank, after))[1]
            after += 1
            if after < len(units) and tokens >= LEAST_FULL * room:
                best = max(best, (units[after].rank, after))
        return after

    def _break(self, start: int, end: int, number: int, room: int) -> int:
        """Return where a piece of a paragraph ends that fits: blanks behind it belong to it."""
        size = min(4 * room, end - start)
        while size > 1 and (tokens := self._cost(start, start + size, number)) > room:
            size = min(size - 1, max(1, size * room // tokens))
        most = start + size
        if most >= end:
            return end
        for pattern in (_SENTENCE_END, _SPACE):
            ends = [found.end() for found in pattern.finditer(self.text, start + size // 2, most)]
            if ends:
                most = ends[-1]
                break
        blanks = _SPACE.match(self.text, most, end)
        return blanks.end() if blanks else most

    def _cost(self, start: int, end: int, number: int) -> int:
        text = self.text[start:end]
        if len(text) <= CHARACTERS_AT_ONCE:
            return needs(f"[¶{number}] {text}\n\n")
        slices = in_turns(range(0, len(text), CHARACTERS_AT_ONCE), 1)
        return sum(needs(text[begin : begin + CHARACTERS_AT_ONCE]) for begin in slices) + LABEL


class _Unit(NamedTuple):
    """What is not parted: a paragraph or a piece of one, and how good a place before it is to cut."""

    start: int
    number: int
    tokens: int
    rank: int


def groups(count: int, together: int) -> list[int]:
    """Part so many findings into as few groups as can be, alike in size, the larger ones first."""
    number = math.ceil(count / together)
    return [count // number + (index < count % number) for index in range(number)]


def rounds(count: int, together: int) -> Iterator[int]:
    """Yield how many calls each round of putting together takes, until one has put together all."""
    while True:
        count = len(groups(count, together))
        yield count
        if count == 1:
            return


def place(first: int, last: int, pages: Sequence[int]) -> str:
    """Return where paragraphs stand, in words: their pages where there are any, else a citation."""
    if pages:
        until = list(accumulate(pages))
        one, other = (bisect_left(until, number) + 1 for number in (first, last))
        return f"page {one}" if one == other else f"pages {one}–{other}"
    return f"[¶{first}]" if first == last else f"[¶{first}-{last}]"
