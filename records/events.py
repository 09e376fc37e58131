"""Who did what and when: it stays when what it was done to is deleted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from peewee import CharField, DateTimeField, IntegerField

from records.base import Record, now
from records.people import User
from storage import connected, database, saving


class Event(Record):
    """One thing that somebody did, or tried to do; `name` is the person's at that time."""

    at = DateTimeField(default=now, index=True)
    user_id = IntegerField(null=True)
    name = CharField(max_length=200, default="")
    action = CharField(max_length=40, index=True)
    document_id = IntegerField(null=True)
    analysis_id = IntegerField(null=True)
    detail = CharField(max_length=200, default="")
    address = CharField(max_length=64, default="")

    class Row(NamedTuple):
        """An event that has yet to be kept."""

        at: datetime
        user_id: int | None
        name: str
        action: str
        document_id: int | None
        analysis_id: int | None
        detail: str
        address: str

    @classmethod
    @saving
    def keep(cls, rows: Sequence[Row]) -> None:
        """Keep some events."""
        database.insert_many(f"event ({', '.join(cls.Row._fields)})", rows)

    @classmethod
    def newest(cls, sought: Sought, limit: int, before: int | None = None) -> list[Event]:
        """Return the newest of the events that are sought, of those `before` an id where that is given."""
        query = sought.among(cls.select())
        if before:
            query = query.where(cls.id < before)
        return list(query.order_by(cls.id.desc()).limit(limit))

    @classmethod
    def each(cls, sought: Sought, most: int, at_once: int = 100) -> Iterator[Event]:
        """Yield the newest of the events that are sought, reading some at a time."""
        before = None
        while most > 0:
            with connected():
                found = cls.newest(sought, min(most, at_once), before)
            yield from found
            if len(found) < at_once:
                return
            before, most = found[-1].id, most - len(found)

    @classmethod
    @saving
    def forget(cls, before: datetime, limit: int) -> int:
        """Delete some of the events that are older than a time; returns how many."""
        old = cls.select(cls.id).where(cls.at < before).order_by(cls.at).limit(limit)
        return cls.delete().where(cls.id.in_(old)).execute()


class Sought(NamedTuple):
    """What events are looked for: a person by name, an action, a document; what is empty is any."""

    name: str = ""
    action: str = ""
    document_id: int | None = None
    user_id: int | None = None

    def among(self, query: Any) -> Any:
        """Return a query of events with only those left that are sought."""
        if self.name:
            person = User.find_by_name(self.name)
            # What Precis does by itself has a name, and is no person's.
            is_nobodys = Event.user_id.is_null() & (Event.name == self.name)
            query = query.where(Event.user_id == person.id if person else is_nobodys)
        if self.action:
            query = query.where(Event.action == self.action)
        if self.document_id:
            query = query.where(Event.document_id == self.document_id)
        if self.user_id:
            query = query.where(Event.user_id == self.user_id)
        return query
