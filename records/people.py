"""The people, and the browsers in which they are signed in."""

from __future__ import annotations

from peewee import BooleanField, CharField, DateTimeField, ForeignKeyField

from records.base import Record, now
from storage import saving


class User(Record):
    """A person, known by `name` to colleagues and, where an identity provider says so, by its `subject`."""

    name = CharField(unique=True)
    subject = CharField(max_length=300, null=True, unique=True)
    shown_name = CharField(max_length=200, default="")
    created_at = DateTimeField(default=now)
    seen_at = DateTimeField(null=True)
    disabled_at = DateTimeField(null=True)

    LOCAL = "local"

    @classmethod
    def local(cls) -> User:
        """Return the one person of an installation without sign-in."""
        return cls.named(cls.LOCAL)

    @classmethod
    def named(cls, name: str) -> User:
        """Return the person of a name, who is made when it is heard for the first time."""
        return cls.get_or_none(cls.name == name) or cls._make(name)

    @classmethod
    def find_by_name(cls, name: str) -> User | None:
        """Return the person of a name, however it is capitalised, or None."""
        return cls.select().where(cls.name ** _literal(name)).order_by(cls.name != name).first()

    @classmethod
    @saving
    def _make(cls, name: str) -> User:
        return cls.get_or_create(name=name)[0]

    @property
    def is_disabled(self) -> bool:
        """Whether the person is shut out."""
        return self.disabled_at is not None

    def __str__(self) -> str:
        return self.shown_name or self.name


class Session(Record):
    """A browser in which a person is signed in: the cookie holds a token, this its `digest`."""

    user = ForeignKeyField(User, backref="sessions", on_delete="CASCADE")
    digest = CharField(max_length=64, unique=True)
    is_admin = BooleanField(default=False)
    created_at = DateTimeField(default=now)
    seen_at = DateTimeField(default=now, index=True)


def _literal(name: str) -> str:
    return name.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
