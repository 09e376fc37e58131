"""With whom a document is shared, to be read."""

from __future__ import annotations

from typing import Any

from peewee import JOIN, SQL, DateTimeField, DeferredForeignKey, ForeignKeyField, IntegrityError, fn

from records.base import Record, now
from records.errors import Gone
from records.people import User
from storage import database, saving


class Share(Record):
    """The right to read a document and its analyses: a person's, or without a `user` all people's."""

    # Deferred: documents import their shares.
    document = DeferredForeignKey("Document", backref="shares", on_delete="CASCADE")
    user = ForeignKeyField(User, null=True, on_delete="CASCADE")
    created_at = DateTimeField(default=now)

    @classmethod
    @saving
    def give(cls, document: Record, user: User | None) -> bool:
        """Let a person read a document, or all people; returns False if that is so. Raises `Gone`."""
        # Those that give all people the same right are no double to the index: there a NULL equals no other.
        database.take_turns(f"share {document.id}")
        if cls.select().where(cls.document == document.id, cls._is_for(user)).exists():
            return False
        try:
            cls.create(document=document.id, user=user)
        except IntegrityError:
            # The document, or the person, was deleted a moment ago.
            raise Gone from None
        return True

    @classmethod
    def of(cls, document: Record) -> list[Share]:
        """Return a document's shares with their people: that with all people first, then the oldest."""
        query = cls.select(cls, User).join(User, JOIN.LEFT_OUTER).where(cls.document == document.id)
        return list(query.order_by(cls.user.is_null(False), cls.id))

    @classmethod
    def find(cls, document: Record, id: int) -> Share | None:
        """Return a share of a document, or None."""
        return cls.get_or_none(cls.id == id, cls.document == document.id)

    @saving
    def end(self) -> None:
        """Take the right back; without effect if that is done."""
        self.delete_instance()

    @classmethod
    def received_by(cls, person: User) -> list[Share]:
        """Return what is shared with a person by name."""
        return list(cls.select().where(cls.user == person).order_by(cls.id))

    @classmethod
    def lets_read(cls, person: User, owner: Any, document: Any) -> Any:
        """Return the condition, by a query's columns, that something is a person's or shared with them."""
        if person.name == User.LOCAL:
            # Where nobody signs in nobody shares, and this costs a stream more than all else of its query.
            return owner == person
        shared = cls.select(SQL("1")).where(cls.document == document, cls.is_with(person))
        return (owner == person) | fn.EXISTS(shared)

    @classmethod
    def is_with(cls, person: User) -> Any:
        """Return the condition that a share is a person's, be it as one of all."""
        return (cls.user == person) | cls.user.is_null()

    @classmethod
    def _is_for(cls, user: User | None) -> Any:
        return cls.user == user if user else cls.user.is_null()
