"""How a document that is longer than the model's window is read."""

from __future__ import annotations

from typing import Any

from peewee import CharField, CompositeKey, ForeignKeyField, IntegerField, Model

from records.analyses import Analysis
from storage import connected, database, saving


class Section(Model):
    """One call of an analysis whose document is longer than the model's window, saved before its text.

    On `level` 0 it reads the document's characters from `start` to `end`, paragraphs `first` to `last`; on
    each higher one it puts together what the level below has found there. Its part of the answer begins at
    `position`, with a heading. `stop_reason` is empty until it has ended in order; one that has not and is
    not the last was given up: what it was to read is read by another.
    """

    analysis = ForeignKeyField(Analysis, on_delete="CASCADE")
    position = IntegerField()
    level = IntegerField(default=0)
    number = IntegerField()
    start = IntegerField()
    end = IntegerField()
    first = IntegerField()
    last = IntegerField()
    stop_reason = CharField(max_length=12, default="")

    class Meta:
        database = database
        legacy_table_names = False
        primary_key = CompositeKey("analysis", "position")
        without_rowid = True

    @classmethod
    def of(cls, id: int) -> list[Section]:
        """Return the calls of an analysis so far, in their order, those too that were not ended."""
        with connected():
            return list(cls.select().where(cls.analysis == id).order_by(cls.position))

    @classmethod
    def latest(cls, id: int) -> tuple[int, int, int] | None:
        """Return the level and the number of an analysis' newest call, and how many sections there are."""
        query = cls.select(cls.level, cls.number, Analysis.sections).join(Analysis)
        with connected():
            return query.where(cls.analysis == id).order_by(cls.position.desc()).tuples().first()

    @classmethod
    def copy(cls, continued: Analysis, analysis: Analysis) -> None:
        """Give an analysis the sections of the one that it continues, whose text it begins with."""
        fields = [field for field in cls._meta.sorted_fields if field is not cls.analysis]
        copied = cls.select(analysis.id, *fields).where(cls.analysis == continued)
        cls.insert_from(copied, [cls.analysis, *fields]).execute()

    @saving
    def begin(self, worker: str) -> bool:
        """Save that a worker is about to make this call; false where the analysis is not its own."""
        is_own = Analysis.is_run_by(worker, self.analysis_id)
        if is_own:
            # Of one that was begun here before nothing has come.
            Section.delete().where(*self._same()).execute()
            self.save(force_insert=True)
        return is_own

    @saving
    def finish(self, worker: str, stop_reason: str) -> bool:
        """Save that it has ended in order, and why; false where the analysis is not the worker's own."""
        is_own = Analysis.is_run_by(worker, self.analysis_id)
        if is_own:
            Section.update(stop_reason=stop_reason).where(*self._same()).execute()
            self.stop_reason = stop_reason
        return is_own

    def _same(self) -> tuple[Any, Any]:
        return Section.analysis == self.analysis_id, Section.position == self.position
