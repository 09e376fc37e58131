"""What all records share: the clock, the id, and how rows are read and locked."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from peewee import AutoField, Model

from storage import database


def now() -> datetime:
    """Return the time as it is stored, by the one clock of all processes: UTC, without a zone."""
    time: datetime = database.now()
    return time


def moments_ago() -> datetime:
    """Return a time so long ago that what was sent since may be a form that was sent twice."""
    return ahead(-10)


def ahead(seconds: float) -> datetime:
    """Return the time so many seconds from now."""
    return now() + timedelta(seconds=seconds)


class Record(Model):
    """A row with an id that is never given out twice, so that an old link cannot show a new row."""

    id = AutoField()

    class Meta:
        database = database
        legacy_table_names = False


def light(model: type[Model]) -> list[Any]:
    """Return a model's fields but its text and what is as long."""
    return [field for field in model._meta.sorted_fields if field.name not in ("text", "pages")]


def locked(query: Any, how: str = "") -> Any:
    """Have a query lock the rows that it finds, where others could change them meanwhile."""
    how = how or database.LOCKING
    return query.for_update(how) if how else query
