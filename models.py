"""What is kept: people, documents, analyses, the token log's pieces and what was spent; every query on them.

An analysis moves one way only, by the named methods of `Analysis`:

    ask ──> waiting, or at once running
    waiting ──claim_next──> running ──commit──> complete, cut, stopped, incomplete, interrupted,
       └──stop──> stopped      │                 declined, failed
                               └──interrupt (nobody runs it any more)──> interrupted

Each is one write transaction that looks at the status first, so that of two that race exactly one wins.
"""

from records.analyses import Analysis
from records.base import moments_ago, now
from records.documents import Document, Original, Reading
from records.errors import Ended, Gone
from records.events import Event, Sought
from records.expenses import Budgets, Expense, OverBudget, PriceUnknown, Spent, millionths
from records.people import Session, User
from records.pieces import Piece
from records.search import Found, Hit, Order
from records.sections import Section
from records.shares import Share
from records.status import BROKEN_OFF, ENDINGS, LIVE, Status
from records.unsearched import Unsearched

__all__ = [
    "BROKEN_OFF",
    "ENDINGS",
    "LIVE",
    "Analysis",
    "Budgets",
    "Document",
    "Ended",
    "Event",
    "Expense",
    "Found",
    "Gone",
    "Hit",
    "Order",
    "Original",
    "OverBudget",
    "Piece",
    "PriceUnknown",
    "Reading",
    "Section",
    "Session",
    "Share",
    "Sought",
    "Spent",
    "Status",
    "Unsearched",
    "User",
    "millionths",
    "moments_ago",
    "now",
]
