"""What analyses by the models on offer take and cost, and whether the budgets hold it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from analyzer.estimate import Estimate, estimate, most_of
from analyzer.prompt import Recipe, frame
from analyzer.sections import Budget, Outline, needs
from models import Analysis, Budgets, Document, Expense, OverBudget, Section, millionths
from providers.base import Prompt, Provider, Usage
from storage import connected

logger = logging.getLogger(__name__)


@dataclass
class Costs:
    """Knows the models' windows and prices, and what the budgets allow.

    No window is taken for larger than `context_tokens`, where that is not 0.
    """

    providers: Mapping[str, Provider]
    recipes: Iterable[Recipe]
    budgets: Budgets
    max_output_tokens: int
    context_tokens: int

    def window(self, model: str) -> int | None:
        """Return how many tokens one of the models on offer can read, or None when that is not known."""
        name, _, asked = model.partition(":")
        known = self.providers[name].window(asked) if name in self.providers else None
        return min((size for size in (known, self.context_tokens) if size), default=None)

    def budget_of(self, model: str, question: str = "") -> Budget:
        """Return what goes where in the window of one of the models on offer."""
        words = needs(frame(self.recipes, question))
        return Budget(self.window(model), words, self.max_output_tokens)

    def estimate(self, document: Document, text: str, model: str) -> Estimate:
        """Return what an analysis of a document with this text by one of the models on offer would take."""
        outline = Outline(text, document.read_pages())
        return estimate(outline, self.budget_of(model), self._price(model))

    def most(
        self, document: Document, model: str, question: str, continues: Analysis | None, answer: str
    ) -> int | None:
        """Return what it costs at most, in millionths of a dollar, or None when that is not known.

        None, too, where there is no budget that has to hold it.
        """
        if not any(self.budgets):
            return None
        with connected():
            # One that was deleted meanwhile has no text.
            outline = Outline(document.read() or "", document.read_pages())
        rows = Section.of(continues.id) if continues else []
        ends = [row.end for row in rows if not row.level and row.stop_reason] if rows else None
        # The very question: a long one may need more sections.
        budget, around = self.budget_of(model, question), f"{frame(self.recipes, question)}{document.title}"
        found = estimate(outline, budget, self._price(model), answer, ends, around)
        return None if found.price is None else millionths(found.price)

    def hold(self, analysis: Analysis, prompt: Prompt) -> bool:
        """Whether the budgets hold a call that may be paid for a second time; it is reserved then."""
        if not any(self.budgets):
            return True
        price = self._price(analysis.model)(most_of(prompt))
        try:
            return price is not None and Expense.reserve_more(analysis.id, millionths(price), self.budgets)
        except OverBudget as error:
            logger.warning("no budget to ask again", extra={"analysis": analysis.id, "budget": error.name})
            return False

    def _price(self, model: str) -> Callable[[Usage], Decimal | None]:
        name, _, asked = model.partition(":")
        price = self.providers[name].price
        return lambda usage: price(usage, asked)
