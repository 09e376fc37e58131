"""With whom a document is shared, to be read."""

from __future__ import annotations

from peewee import DateTimeField, ForeignKeyField

from records.base import Record, now
from records.documents import Document
from records.people import User


class Share(Record):
    """The right to read a document and its analyses: a person's, or without a `user` all people's."""

    document = ForeignKeyField(Document, backref="shares", on_delete="CASCADE")
    user = ForeignKeyField(User, null=True, on_delete="CASCADE")
    created_at = DateTimeField(default=now)
