"""What a person reads of money that may be spent: how much is left, and why something would be too much."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from decimal import ROUND_CEILING

from models import Expense, OverBudget, PriceUnknown, now
from views.helpers.formats import dollars
from views.helpers.identity import person
from views.helpers.routes import analyzer

NO_PRICE = (
    "The price of this model is not known, so that it cannot be counted: choose another one, or ask whoever "
    "runs Precis to state it in PRECIS_PRICES."
)
WHOSE = {"person": "You", "day": "All together"}


def left_today() -> int | None:
    """Return how much who asks can spend today, in millionths of a dollar, or None without a limit."""
    return Expense.left(person(), analyzer().costs.budgets)


def refusal(error: OverBudget | PriceUnknown) -> tuple[str, int, dict[str, str]]:
    """Return why an analysis is not begun, as a sentence, the answer's status and its headers.

    Where it helps to wait that is 429, and the header says until when; where the same will be refused for
    ever it is 422.
    """
    if isinstance(error, PriceUnknown):
        return NO_PRICE, 422, {}
    budget, costs = dollars(error.budget), dollars(error.costs, ROUND_CEILING)
    if error.name == "analysis":
        sentence = f"One analysis may cost {budget}, and this would cost at most {costs}. "
        return sentence + "Choose a cheaper model, or a shorter document.", 422, {}
    may = f"{WHOSE[error.name]} may spend {budget} a day"
    if error.costs > error.budget:
        sentence = f"{may}, and this would cost at most {costs}. "
        return sentence + "Choose a cheaper model, or a shorter document.", 422, {}
    sentence = f"{may}; {dollars(error.left)} is left, and this would cost at most {costs}. "
    sentence += "Choose a cheaper model, or go on tomorrow (00:00 UTC)."
    return sentence, 429, {"Retry-After": str(_seconds_to_midnight(now()))}


def _seconds_to_midnight(at: datetime) -> int:
    midnight = datetime.combine(at.date() + timedelta(days=1), time())
    return int((midnight - at).total_seconds()) + 1
