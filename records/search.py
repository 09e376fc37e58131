"""What search finds among documents and analyses, and in which order."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, NamedTuple

from peewee import Model

from records.people import User
from storage import database
from storage.search import MOST_FOUND, Pieces, Question, excerpt, marked


class Order(StrEnum):
    """In which order documents and analyses are listed; of the best there are those that a question finds."""

    BEST = "best"
    NEWEST = "newest"
    OLDEST = "oldest"
    TITLE = "title"
    LONGEST = "longest"


class Hit(NamedTuple):
    """A row that was found; its head (title or question) and some words of its text, in marked pieces."""

    row: Any
    head: Pieces
    excerpt: Pieces


class Found(NamedTuple):
    """One page of what was found, and how many there are; with `is_cut` these are the newest of more."""

    hits: list[Hit]
    count: int
    is_cut: bool = False


def page_of(
    kind: type[Model],
    rows: Any,
    all_ids: Any,
    owner: User,
    question: Question | None,
    order: Any,
    limit: int,
    offset: int,
) -> Found:
    """Return the page of a person's rows that begins at `offset`; without an `order`, the best come first."""
    mine = kind.owner == owner
    if question is None:
        # The ids alone: an index has them, and a page far behind does not read the rows before it.
        page = all_ids.where(mine).order_by(*(order or (kind.id.desc(),))).limit(limit).offset(offset)
        ids = [id for (id,) in page.tuples()]
        found = _in_order(rows.where(mine), kind, ids)
        return Found([Hit(row, [(row.head, False)], []) for row in found], kind.select().where(mine).count())
    scores = database.find(kind._meta.table_name, owner.id, question, ranked=order is None)
    count, scores = len(scores), scores[:MOST_FOUND]
    if order is None:
        best = sorted(scores, key=lambda found: found[1], reverse=True)
        found = _in_order(rows.where(mine), kind, [id for id, _ in best[offset : offset + limit]])
    else:
        any_of = kind.id.in_([id for id, _ in scores])
        found = list(rows.where(mine, any_of).order_by(*order).limit(limit).offset(offset))
    hits = [Hit(row, marked(row.head, question), excerpt(row.read() or "", question)) for row in found]
    return Found(hits, len(scores), is_cut=count > MOST_FOUND)


def _in_order(rows: Any, kind: type[Model], ids: list[int]) -> list[Any]:
    return sorted(rows.where(kind.id.in_(ids)), key=lambda row: ids.index(row.id))
