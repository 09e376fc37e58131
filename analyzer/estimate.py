"""What an analysis of a document would take, said before anybody pays for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import NamedTuple

from analyzer.sections import LABEL, Budget, Outline, rounds
from providers.base import Usage, estimate_tokens


class Estimate(NamedTuple):
    """What an analysis would take.

    `tokens` are the document's, `window` what the model reads at once, None where that is not known. It is
    read in so many `sections` and `calls`; 1 is all of it in one. `price` is what they cost at most in US
    dollars, with every answer as long as it may be, None where that is not known.
    """

    tokens: int
    window: int | None
    sections: int
    calls: int
    price: Decimal | None


def estimate(outline: Outline, budget: Budget, price: Callable[[Usage], Decimal | None]) -> Estimate:
    """Return what an analysis of a document takes, call by call, at a price each."""
    is_whole = budget.holds(outline) or not budget.has_room
    sections = 1 if is_whole else len(outline.sections(budget))
    calls = list(_calls(outline.total, budget, sections))
    prices = [price(usage) for usage in calls]
    known = [each for each in prices if each is not None]
    total = sum(known, Decimal(0)) if len(known) == len(prices) else None
    return Estimate(estimate_tokens(outline.text), budget.window, sections, len(calls), total)


def _calls(total: int, budget: Budget, sections: int) -> Iterator[Usage]:
    """Yield the most that each call takes in and gives out."""
    if sections == 1:
        yield Usage(total + budget.words, budget.whole)
        return
    for _ in range(sections):
        yield Usage(total // sections + budget.words, budget.findings)
    found = sections
    for count in rounds(sections, budget.together):
        for _ in range(count):
            read = found // count * (budget.findings + LABEL)
            yield Usage(read + budget.words, budget.answer if count == 1 else budget.findings)
        found = count
