"""What an analysis of a document would take, said before anybody pays for it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import NamedTuple

from analyzer.bound import most_tokens
from analyzer.sections import LABEL, Budget, Outline, needs, rounds
from providers.base import Prompt, Usage, estimate_tokens


class Estimate(NamedTuple):
    """What an analysis would take.

    `tokens` are the document's, `window` what the model reads at once, None where that is not known. It is
    read in so many `sections` and `calls`; 1 is all of it in one. `price` is what they cost in US dollars,
    with every answer as long as it may be, None where that is not known.
    """

    tokens: int
    window: int | None
    sections: int
    calls: int
    price: Decimal | None


def estimate(
    outline: Outline,
    budget: Budget,
    price: Callable[[Usage], Decimal | None],
    answer: str = "",
    ends: Sequence[int] | None = None,
    around: str | None = None,
) -> Estimate:
    """Return what an analysis of a document takes, call by call, at a price each.

    One that goes on from an `answer` takes the rest: of a document that is read in sections, where `ends` are
    those of the sections that have been read, what is behind them. Where it is told what stands `around` the
    text, the price is not what that usually costs but the most that it can, see `most_tokens`.
    """
    is_whole = not budget.has_room or (ends is None and (bool(answer.strip()) or budget.holds(outline)))
    at, done = (ends[-1], len(ends)) if ends else (0, 0)
    unread = len(outline.sections(budget, at)) if not is_whole and at < len(outline.text) else 0
    sections = 1 if is_whole else done + unread
    if around is None:
        read, words, said = math.ceil(outline.total / sections), budget.words, needs(answer)
    else:
        read, words, said = outline.most(0 if is_whole else at), most_tokens(around), most_tokens(answer)
        read = math.ceil(read / (unread or 1))
    if is_whole:
        calls = [_call(read + words + said, budget.whole)]
    else:
        first, *others = _calls(read, words, budget, sections, unread)
        # What broke off is sent along.
        along = budget.answer if answer.strip() else 0
        calls = [_call(first.input + along, first.output), *others]
    prices = [price(usage) for usage in calls]
    known = [each for each in prices if each is not None]
    total = sum(known, Decimal(0)) if len(known) == len(prices) else None
    return Estimate(estimate_tokens(outline.text), budget.window, sections, len(calls), total)


def most_of(prompt: Prompt) -> Usage:
    """Return the most that a call takes in and gives out."""
    words = prompt.instructions, prompt.document, prompt.request, prompt.answer
    return _call(sum(map(most_tokens, words)), prompt.max_output_tokens)


def _calls(read: int, words: int, budget: Budget, sections: int, unread: int) -> Iterator[Usage]:
    """Yield the most that each call takes in and gives out, for the last of so many sections.

    Each of them takes what is `read`, and each call the `words` around that.
    """
    for _ in range(unread):
        yield _call(read + words, budget.findings)
    found = sections
    for count in rounds(sections, budget.together):
        for _ in range(count):
            findings = math.ceil(found / count) * (budget.findings + LABEL)
            yield _call(findings + words, budget.answer if count == 1 else budget.findings)
        found = count


def _call(input: int, output: int) -> Usage:
    # What is kept for later calls costs more than what is read only, and nothing tells before what will be.
    return Usage(input, output, cache_written=input)
