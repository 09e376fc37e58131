"""What analyses cost, day by day: it stays when they are deleted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from decimal import ROUND_CEILING, Decimal
from typing import Any, NamedTuple

from peewee import (
    BigIntegerField,
    BooleanField,
    Case,
    CharField,
    DateField,
    DateTimeField,
    ForeignKeyField,
    IntegerField,
    fn,
)

from records.base import Record, now
from records.people import User
from storage import connected, database, saving


class Budgets(NamedTuple):
    """What may be spent at most, in millionths of a dollar, where that is not 0.

    That is on one `analysis`, by one `person` in a day, and by all of them in a `day`.
    """

    analysis: int = 0
    person: int = 0
    day: int = 0


class OverBudget(Exception):
    """What an analysis `costs` at most is more than what is `left` of one of the `Budgets`, which is `name`d.

    All are in millionths of a dollar.
    """

    def __init__(self, name: str, budget: int, left: int, costs: int) -> None:
        super().__init__(name)
        self.name = name
        self.budget = budget
        self.left = max(left, 0)
        self.costs = costs


class PriceUnknown(Exception):
    """There are budgets, and it is not known what an analysis costs."""


class Spent(NamedTuple):
    """What so many `analyses` of one kind have cost, in millionths of a dollar, and their tokens.

    `kind` is what they are summed up by. Not in `amount` is what `unknown` analyses cost.
    """

    kind: tuple[str, ...]
    analyses: int
    input_tokens: int
    output_tokens: int
    amount: int
    unknown: int


class Expense(Record):
    """What one analysis costs: `amount` in millionths of a dollar, None where that is not known.

    Until it `is_settled` that is the most that it can cost, where there are budgets, and counts as spent.
    It is of the `day` on which it was asked for, in UTC.
    """

    analysis_id = IntegerField(unique=True)
    user = ForeignKeyField(User, on_delete="CASCADE", index=False)
    model = CharField(max_length=200)
    day = DateField(index=True)
    amount = BigIntegerField(null=True)
    is_settled = BooleanField(default=False)
    input_tokens = IntegerField(null=True)
    output_tokens = IntegerField(null=True)
    created_at = DateTimeField(default=now)

    class Meta:
        indexes = ((("user", "day"), False),)

    MONTH = timedelta(days=30)

    @classmethod
    def reserve(cls, analysis: Any, most: int | None, budgets: Budgets) -> None:
        """Note in the transaction that makes an analysis what it costs at `most`, None if that is not known.

        Raises `OverBudget` or `PriceUnknown`.
        """
        # Once: at midnight it is entered on the day against which it was admitted.
        time = now()
        if any(budgets):
            if most is None:
                raise PriceUnknown
            cls._admit(analysis.owner, most, budgets, time.date())
        cls.insert(
            analysis_id=analysis.id,
            user=analysis.owner,
            model=analysis.model,
            day=time.date(),
            amount=most if any(budgets) else None,
            created_at=time,
        ).execute()

    @classmethod
    @saving
    def reserve_more(cls, analysis_id: int, most: int, budgets: Budgets) -> bool:
        """Reserve for an analysis that runs what one more call costs at `most`, on the day that it is of.

        Returns whether it is still to be settled. Raises `OverBudget`.
        """
        mine = cls.analysis_id == analysis_id
        found = cls.get(mine)
        cls._admit(found.user, most, budgets, found.day, found.amount or 0)
        more = cls.update(amount=fn.COALESCE(cls.amount, 0) + most).where(mine, ~cls.is_settled)
        return bool(more.execute())

    @classmethod
    def _admit(cls, owner: User, most: int, budgets: Budgets, day: date, reserved: int = 0) -> None:
        if not most:
            return
        if 0 < budgets.analysis < reserved + most:
            raise OverBudget("analysis", budgets.analysis, budgets.analysis - reserved, most)
        if budgets.person or budgets.day:
            # One after the other, until each is saved, or many would find that there is room for one.
            database.take_turns("spending" if budgets.day else f"spending {owner.id}")
        for name, left in cls._left(owner, budgets, day):
            if most > left:
                raise OverBudget(name, getattr(budgets, name), left, most)

    @classmethod
    def left(cls, owner: User, budgets: Budgets) -> int | None:
        """Return how much a person can spend today, in millionths of a dollar, or None without a limit."""
        found = [left for _, left in cls._left(owner, budgets, now().date())]
        return max(0, min(found)) if found else None

    @classmethod
    def _left(cls, owner: User, budgets: Budgets, day: date) -> Iterable[tuple[str, int]]:
        that_day = cls.day == day
        if budgets.person:
            yield "person", budgets.person - cls._sum(that_day & (cls.user == owner))
        if budgets.day:
            yield "day", budgets.day - cls._sum(that_day)

    @classmethod
    def _sum(cls, which: Any) -> int:
        return int(cls.select(fn.SUM(cls.amount)).where(which).scalar() or 0)

    @classmethod
    def settle(cls, analysis_id: int, **known: int) -> None:
        """Note that an analysis costs nothing more; `known` are its `amount` and tokens, as far as they are.

        What has been reserved stays, and counts as spent, where the amount is not known.
        """
        cls.update(is_settled=True, **known).where(cls.analysis_id == analysis_id).execute()

    # What was spent

    @classmethod
    def of_person(cls, owner: User) -> tuple[Spent, Spent]:
        """Return what a person has spent today, and in the last thirty days."""
        today = now().date()
        mine = cls.user == owner
        last = mine & cls.day.between(today - cls.MONTH + timedelta(days=1), today)
        (day,), (month,) = cls._summed(mine & (cls.day == today)), cls._summed(last)
        return day, month

    @classmethod
    def each_of(cls, owner: User, at_once: int = 100) -> Iterator[Expense]:
        """Yield all that a person has spent, the first first, reading some at a time."""
        after = 0
        while True:
            with connected():
                query = cls.select().where(cls.user == owner, cls.id > after)
                found = list(query.order_by(cls.id).limit(at_once))
            yield from found
            if len(found) < at_once:
                return
            after = found[-1].id

    @classmethod
    def total(cls, since: date, until: date) -> Spent:
        """Return what all have spent from a day to another."""
        return cls._summed(cls.day.between(since, until))[0]

    @classmethod
    def by_person(cls, since: date, until: date) -> list[Spent]:
        """Return what each has spent from a day to another; the kind is a name."""
        return cls._summed(cls.day.between(since, until), User.name)

    @classmethod
    def by_model(cls, since: date, until: date) -> list[Spent]:
        """Return what was spent on each model from a day to another."""
        return cls._summed(cls.day.between(since, until), cls.model)

    @classmethod
    def by_day(cls, since: date, until: date) -> list[Spent]:
        """Return what was spent on each day from a day to another, where there was an analysis."""
        return cls._summed(cls.day.between(since, until), cls.day)

    @classmethod
    def by_all(cls, since: date, until: date) -> list[Spent]:
        """Return what each has spent on each model on each day: the kind is day, name and model."""
        return cls._summed(cls.day.between(since, until), cls.day, User.name, cls.model)

    @classmethod
    def _summed(cls, which: Any, *kind: Any) -> list[Spent]:
        is_unknown = cls.is_settled & cls.amount.is_null()
        sums = (fn.SUM(cls.input_tokens), fn.SUM(cls.output_tokens), fn.SUM(cls.amount))
        sums += (fn.SUM(Case(None, [(is_unknown, 1)], 0)),)
        query = cls.select(*kind, fn.COUNT(cls.id), *sums).where(which)
        if kind:
            query = query.join(User).group_by(*kind).order_by(*kind)
        # A sum of nothing is none, and of PostgreSQL's large numbers a decimal; a day is a text in SQLite.
        return [
            Spent(tuple(map(str, row[: len(kind)])), *(int(number or 0) for number in row[len(kind) :]))
            for row in database.read_aside(*query.sql())
        ]


def millionths(dollars: Decimal) -> int:
    """Return an amount of dollars as it is kept, never less than it is."""
    return int((dollars * 1_000_000).to_integral_value(ROUND_CEILING))
