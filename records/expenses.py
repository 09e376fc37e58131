"""What analyses cost, day by day: it stays when they are deleted."""

from __future__ import annotations

from peewee import (
    BigIntegerField,
    BooleanField,
    CharField,
    DateField,
    DateTimeField,
    ForeignKeyField,
    IntegerField,
)

from records.base import Record, now
from records.people import User


class Expense(Record):
    """What one analysis costs: `amount` in millionths of a dollar, None where that is not known.

    Until it `is_settled` that is the most that it can cost, and counts as spent.
    """

    analysis_id = IntegerField(unique=True)
    user = ForeignKeyField(User, on_delete="CASCADE")
    model = CharField(max_length=200)
    day = DateField()
    amount = BigIntegerField(null=True)
    is_settled = BooleanField(default=False)
    input_tokens = IntegerField(null=True)
    output_tokens = IntegerField(null=True)
    created_at = DateTimeField(default=now)
