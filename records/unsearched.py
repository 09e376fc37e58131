"""What search does not find yet."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import Any

from peewee import ForeignKeyField, Model

from records.analyses import Analysis
from records.base import Record, locked
from records.documents import Document
from storage import connected, database, saving
from storage.search import words_of_long


class Unsearched(Record):
    """A text that search does not find yet, or not by its title: the database itself notes what is new."""

    document = ForeignKeyField(Document, null=True, on_delete="CASCADE")
    analysis = ForeignKeyField(Analysis, null=True, on_delete="CASCADE")

    AT_ONCE = 20_000  # characters, unless a single text has more: what is saved lets nobody run meanwhile

    @classmethod
    def catch_up(cls, seconds: float) -> bool:
        """Have search find what it does not find yet, for so long at most; returns whether it finds all.

        Lets others run meanwhile.
        """
        until = monotonic() + seconds
        while batch := cls._next():
            if monotonic() >= until:
                return False
            words = [(words_of_long(head), words_of_long(text)) for *_, head, text in batch]
            cls._index(batch, words)
        return True

    @classmethod
    def _next(cls) -> list[tuple[int, type[Model], int, str, str]]:
        """Return the oldest: each note, of which table and row, and what that has to be found by."""
        batch, characters = [], 0
        with connected():
            for note in cls.select().order_by(cls.id).limit(20):
                kind, id = (Document, note.document_id) if note.document_id else (Analysis, note.analysis_id)
                row = kind.select(kind.id, _head(kind), kind.text).where(kind.id == id).first()
                if row:
                    batch.append((note.id, kind, id, row.head, row.text))
                    characters += len(row.text)
                if characters >= cls.AT_ONCE:
                    break
        # Rows are locked in the order in which a document's deletion takes them.
        return sorted(batch, key=lambda noted: (noted[1] is Analysis, noted[2]))

    @classmethod
    @saving
    def _index(cls, batch: Sequence[Any], words: Sequence[tuple[list[str], list[str]]]) -> None:
        for (note, kind, id, *_), (head_words, body_words) in zip(batch, words, strict=True):
            locked(kind.select(kind.id).where(kind.id == id)).execute()
            # Its note is gone with what was deleted, and where another process was faster.
            if cls.delete().where(cls.id == note).execute():
                database.index(kind._meta.table_name, id, head_words, body_words)


def _head(kind: type[Model]) -> Any:
    return kind.title if kind is Document else kind.question
