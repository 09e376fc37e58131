"""The token log, as it is kept."""

from __future__ import annotations

from peewee import CompositeKey, DeferredForeignKey, IntegerField, Model, TextField, fn

from storage import database


class Piece(Model):
    """What the token log keeps of an answer while it grows: `text` begins at character `position`."""

    # Deferred: analyses import their pieces.
    analysis = DeferredForeignKey("Analysis", on_delete="CASCADE")
    position = IntegerField()
    text = TextField()

    class Meta:
        database = database
        legacy_table_names = False
        primary_key = CompositeKey("analysis", "position")
        without_rowid = True

    @classmethod
    def text_of(cls, id: int, after: int = 0) -> str:
        """Return the saved pieces of an analysis from position `after`, joined."""
        query = cls.select(cls.position, database.as_saved(cls.text)).where(cls.analysis == id)
        if after:
            query = query.where(cls.position + fn.LENGTH(cls.text) > after)
        rows = query.order_by(cls.position).tuples()
        return "".join(_text(data)[max(0, after - position) :] for position, data in rows)

    @classmethod
    def forget(cls, id: int) -> None:
        """Delete the pieces of an analysis whose row now has its whole text."""
        cls.delete().where(cls.analysis == id).execute()


def _text(data: str | bytes) -> str:
    return data if isinstance(data, str) else bytes(data).decode(errors="replace")
