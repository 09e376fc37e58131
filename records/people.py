"""The people."""

from __future__ import annotations

from peewee import CharField, DateTimeField

from records.base import Record, now
from storage import saving


class User(Record):
    """A person."""

    name = CharField(unique=True)
    created_at = DateTimeField(default=now)

    LOCAL = "local"

    @classmethod
    def local(cls) -> User:
        """Return the one person of an installation without sign-in."""
        return cls.get_or_none(cls.name == cls.LOCAL) or cls._make_local()

    @classmethod
    @saving
    def _make_local(cls) -> User:
        return cls.get_or_create(name=cls.LOCAL)[0]
