"""What is kept: people, documents, analyses and the token log's pieces, and every query on them.

An analysis moves one way only, by the named methods of `Analysis`:

    ask ──> waiting, or at once running
    waiting ──claim_next──> running ──commit──> complete, cut, stopped, incomplete, interrupted,
       └──stop──> stopped      │                 declined, failed
                               └──interrupt (nobody runs it any more)──> interrupted

Each is one write transaction that looks at the status first, so that of two that race exactly one wins.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from typing import Any

from peewee import (
    SQL,
    AutoField,
    BlobField,
    BooleanField,
    CharField,
    CompositeKey,
    DateTimeField,
    DecimalField,
    ForeignKeyField,
    IntegerField,
    IntegrityError,
    Model,
    TextField,
    fn,
)

from storage import connected, database, saving


def now() -> datetime:
    """Return the time as it is stored, by the one clock of all processes: UTC, without a zone."""
    time: datetime = database.now()
    return time


class Status(StrEnum):
    """Where an analysis stands: two states of life, seven endings."""

    WAITING = "waiting"
    RUNNING = "running"
    COMPLETE = "complete"
    CUT = "cut"
    STOPPED = "stopped"
    INCOMPLETE = "incomplete"
    INTERRUPTED = "interrupted"
    DECLINED = "declined"
    FAILED = "failed"


LIVE = (Status.WAITING, Status.RUNNING)
ENDINGS = tuple(status for status in Status if status not in LIVE)
# A failed one has a text only if it was to continue another one's.
BROKEN_OFF = (Status.CUT, Status.INCOMPLETE, Status.INTERRUPTED, Status.FAILED)


class Gone(Exception):
    """The document of which something was asked, or the analysis to be continued, is deleted."""


class Record(Model):
    """A row with an id that is never given out twice, so that an old link cannot show a new row."""

    id = AutoField()

    class Meta:
        database = database
        legacy_table_names = False


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


class Document(Record):
    """A text that somebody brought, and what is known of it."""

    owner = ForeignKeyField(User, backref="documents", on_delete="CASCADE")
    title = CharField(max_length=120)
    text = TextField()
    characters = IntegerField()
    words = IntegerField()
    paragraphs = IntegerField()
    created_at = DateTimeField(default=now, index=True)
    format = CharField(max_length=10, default="text")
    page_count = IntegerField(null=True)
    pages = TextField(default="")
    notes = TextField(default="")
    digest = CharField(max_length=64, default="")

    class Meta:
        indexes = ((("owner", "digest"), False),)

    @classmethod
    @saving
    def add(
        cls,
        owner: User,
        title: str,
        text: str,
        words: int,
        paragraphs: int,
        *,
        format: str = "text",
        pages: Sequence[int] = (),
        notes: Sequence[tuple[str, str]] = (),
        original: tuple[str, bytes] | None = None,
    ) -> Document:
        """Keep a document, and with it the file that it came as: its name and its bytes.

        `pages` says how many paragraphs each page has, where there are pages; `notes` say what of the file
        was not read, each a code and a detail.
        """
        document = cls.create(
            owner=owner,
            title=title,
            text=text,
            characters=len(text),
            words=words,
            paragraphs=paragraphs,
            format=format,
            page_count=len(pages) or None,
            pages=json.dumps(pages) if pages else "",
            notes=json.dumps(notes) if notes else "",
            digest=sha256(text.encode()).hexdigest(),
        )
        if original:
            Original.insert(document=document, name=original[0], data=original[1]).execute()
        return document

    @classmethod
    def find(cls, owner: User, id: int) -> Document | None:
        """Return a person's document without its text, or None."""
        return cls.select(*_light(cls)).where(cls.id == id, cls.owner == owner).first()

    @classmethod
    def recent(cls, owner: User, limit: int = 50) -> list[Document]:
        """Return a person's newest documents, without their texts."""
        return list(cls.select(*_light(cls)).where(cls.owner == owner).order_by(cls.id.desc()).limit(limit))

    @classmethod
    def of(cls, analysis: Analysis) -> Document | None:
        """Return an analysis' document with its text, or None if it is deleted."""
        return cls.get_or_none(cls.id == analysis.document_id)

    def read(self) -> str:
        """Return the text, which may be megabytes and is loaded by nothing else."""
        return Document.select(Document.text).where(Document.id == self.id).scalar()

    def read_pages(self) -> list[int]:
        """Return how many paragraphs each page has; nothing where there are no pages."""
        pages = Document.select(Document.pages).where(Document.id == self.id).scalar()
        return json.loads(pages) if pages else []

    @property
    def unread(self) -> list[tuple[str, str]]:
        """What of its file was not read: codes and details."""
        return [tuple(note) for note in json.loads(self.notes)] if self.notes else []

    def count_analyses(self) -> tuple[int, int]:
        """Return how many analyses it has, and how many of them have not ended."""
        return self.analyses.count(), self.analyses.where(Analysis.status.in_(LIVE)).count()

    @saving
    def delete_with_analyses(self) -> list[int]:
        """Delete the document and its analyses; returns the ids of those that had not ended."""
        # Not as other rows are locked: who begins an analysis of it has to wait, too.
        alone = database.LOCKING and "FOR UPDATE"
        _locked(Document.select(Document.id).where(Document.id == self.id), alone).execute()
        live = [row.id for row in self.analyses.where(Analysis.status.in_(LIVE))]
        self.delete_instance()
        return live


class Original(Model):
    """The file that a document came as, as it came."""

    document = ForeignKeyField(Document, primary_key=True, on_delete="CASCADE")
    name = CharField(max_length=120)
    data = BlobField()

    class Meta:
        database = database
        legacy_table_names = False


class Reading(Record):
    """A file that is being read into a document, how far that is and how it ended."""

    owner = ForeignKeyField(User, on_delete="CASCADE")
    document = ForeignKeyField(Document, null=True, on_delete="CASCADE")
    name = CharField(max_length=120)
    title = CharField(max_length=120, default="")
    page = IntegerField(default=0)
    pages = IntegerField(null=True)
    reason = CharField(max_length=20, default="")
    stop_requested = BooleanField(default=False)
    created_at = DateTimeField(default=now)
    heard_at = DateTimeField(default=now, index=True)


class Analysis(Record):
    """One question put to one model about one document, its answer and how it ended."""

    owner = ForeignKeyField(User, backref="analyses", on_delete="CASCADE")
    document = ForeignKeyField(Document, backref="analyses", on_delete="CASCADE")
    recipe = CharField(max_length=60)
    question = TextField(default="")
    model = CharField(max_length=200)
    request_key = CharField(max_length=64, null=True)
    status = CharField(max_length=12, default=Status.WAITING, index=True)
    text = TextField(default="")
    words = IntegerField(default=0)
    stop_requested = BooleanField(default=False)
    worker = CharField(max_length=64, default="")
    lease_until = DateTimeField(null=True)
    created_at = DateTimeField(default=now)
    started_at = DateTimeField(null=True)
    first_text_at = DateTimeField(null=True)
    ended_at = DateTimeField(null=True)
    stop_reason = CharField(max_length=12, default="")
    error = CharField(max_length=40, default="")
    provider_request_id = CharField(max_length=200, default="")
    input_tokens = IntegerField(null=True)
    output_tokens = IntegerField(null=True)
    cached_tokens = IntegerField(null=True)
    usage_is_estimate = BooleanField(default=False)
    price = DecimalField(max_digits=12, decimal_places=6, null=True)
    continues = ForeignKeyField("self", null=True, on_delete="SET NULL")
    joins_at = IntegerField(null=True)

    class Meta:
        indexes = ((("owner", "request_key"), True),)

    @property
    def is_live(self) -> bool:
        """Whether it has not ended."""
        return self.status in LIVE

    @property
    def can_be_continued(self) -> bool:
        """Whether it broke off with a text that another analysis can go on with."""
        return self.status in BROKEN_OFF and self.words > 0

    @property
    def reference(self) -> str:
        """What a person names when asking for help; the log has it too."""
        return self.reference_of(self.id)

    @staticmethod
    def reference_of(id: int) -> str:
        """Return the reference of an analysis."""
        return f"A{id}"

    @property
    def first_text_seconds(self) -> float | None:
        """Seconds from the question to the first words."""
        return _seconds(self.created_at, self.first_text_at)

    @property
    def total_seconds(self) -> float | None:
        """Seconds from the question to the end."""
        return _seconds(self.created_at, self.ended_at)

    # Asking

    @classmethod
    @saving
    def ask(
        cls,
        document: Document,
        owner: User,
        recipe: str,
        model: str,
        question: str = "",
        request_key: str | None = None,
        *,
        continues: Analysis | None = None,
        text: str = "",
        worker: str = "",
        lease_seconds: float = 0,
    ) -> tuple[Analysis, bool]:
        """Put an analysis in the queue, or into a `worker`'s hands: this INSERT is the licence to spend.

        One that continues another begins with the other's `text`. Returns the analysis and whether it is
        new; see `asked_before`. Raises `Gone`.
        """
        if request_key:
            # One after the other, or two that ask the same would both find that nobody has.
            same = f"{owner.id} {document.id} {continues and continues.id} {recipe} {model} {question}"
            database.take_turns(same, f"{owner.id} {request_key}")
        if existing := cls.asked_before(document.id, owner, recipe, model, question, request_key, continues):
            return existing, False
        try:
            analysis = cls.create(
                document=document,
                owner=owner,
                recipe=recipe,
                model=model,
                question=question,
                request_key=request_key or None,
                created_at=now(),
                continues=continues,
                joins_at=len(text) if continues else None,
                **(cls._claimed_by(worker, lease_seconds) if worker else {}),
            )
        except IntegrityError:
            # The document, or what it was to continue, was deleted a moment ago.
            raise Gone from None
        if text:
            Piece.create(analysis=analysis, position=0, text=text)
        return analysis, True

    def read(self) -> str:
        """Return the text of one that has ended; none if it is deleted."""
        return Analysis.select(Analysis.text).where(Analysis.id == self.id).scalar() or ""

    @classmethod
    def asked_before(
        cls,
        document_id: int,
        owner: User,
        recipe: str,
        model: str,
        question: str,
        request_key: str | None,
        continues: Analysis | None = None,
    ) -> Analysis | None:
        """Return what a request that is made again has made, so that nobody pays twice for it.

        That is the same request key, or, by a form with a new one, the very question that still runs:
        the second press of a double click can come after the first was answered. A request without a
        key is always a new one.
        """
        if not request_key:
            return None
        same = (cls.document == document_id) & (cls.recipe == recipe) & (cls.model == model)
        same &= (cls.question == question) & cls.status.in_(LIVE) & cls.request_key.is_null(False)
        same &= cls.continues == continues
        # The owner is named twice so that each half has its index: else all that a person ever asked is read.
        mine = cls.owner == owner
        return (
            cls._with_document()
            .where((mine & (cls.request_key == request_key)) | (mine & same))
            .order_by((cls.request_key == request_key).desc(), cls.id)
            .first()
        )

    # Reading

    @classmethod
    def find(cls, owner: User, id: int) -> Analysis | None:
        """Return a person's analysis with its document, without their texts, or None."""
        return cls._with_document().where(cls.id == id, cls.owner == owner).first()

    @classmethod
    def find_to_watch(cls, owner: User, id: int) -> tuple[int, int, datetime, int | None] | None:
        """Return an analysis' id, its document's paragraphs, when it was asked and its join, or None."""
        query = cls.select(cls.id, Document.paragraphs, cls.created_at, cls.joins_at).join(Document)
        return query.where(cls.id == id, cls.owner == owner).tuples().first()

    @classmethod
    def of(cls, document: Document, limit: int = 50) -> list[Analysis]:
        """Return a document's newest analyses, without their texts."""
        query = cls.select(*_light(cls)).where(cls.document == document)
        return list(query.order_by(cls.id.desc()).limit(limit))

    @classmethod
    def recent(cls, owner: User, limit: int = 50) -> list[Analysis]:
        """Return a person's newest analyses with their documents, without their texts."""
        return list(cls._with_document().where(cls.owner == owner).order_by(cls.id.desc()).limit(limit))

    @classmethod
    def _with_document(cls) -> Any:
        return cls.select(*_light(cls), *_light(Document)).join(Document)

    @classmethod
    def saved(cls, id: int, after: int = 0) -> tuple[str, str] | None:
        """Return (status, saved text from position `after`) as one consistent reading, or None."""
        # One transaction is one snapshot: without it the pieces could go between the two readings.
        with connected(), database.atomic(database.SNAPSHOT):
            row = cls.select(cls.status, cls.text).where(cls.id == id).get_or_none()
            if row is None:
                return None
            return row.status, row.text[after:] if row.status in ENDINGS else Piece.text_of(id, after)

    # Living

    @classmethod
    def waiting(cls, limit: int | None = None) -> list[Analysis]:
        """Return those that wait, the longest waiting first, without their texts."""
        query = cls.select(*_light(cls)).where(cls.status == Status.WAITING)
        return list(query.order_by(cls.id).limit(limit))

    @classmethod
    def count_waiting(cls) -> int:
        """Return how many wait, anywhere."""
        return cls.select().where(cls.status == Status.WAITING).count()

    @classmethod
    @saving
    def claim_next(cls, worker: str, lease_seconds: float) -> Analysis | None:
        """Take the analysis that has waited longest, for `worker` to run; None if none waits."""
        oldest = cls.select(cls.id).where(cls.status == Status.WAITING).order_by(cls.id).limit(1)
        # Not IN: PostgreSQL may look anew for each row, and each time skips what it has just locked.
        found = _locked(oldest, database.SKIPPING)
        claimed = (
            cls.update(**cls._claimed_by(worker, lease_seconds))
            .where(cls.id == found, cls.status == Status.WAITING)
            .returning(cls.id, cls.document, cls.recipe, cls.model, cls.question, cls.joins_at)
            .execute()
        )
        return next(iter(claimed), None)

    @staticmethod
    def _claimed_by(worker: str, lease_seconds: float) -> dict[str, Any]:
        return {
            "status": Status.RUNNING,
            "worker": worker,
            "started_at": now(),
            "lease_until": _ahead(lease_seconds),
        }

    @classmethod
    @saving
    def stop(cls, id: int) -> Status | None:
        """Stop one that waits, ask for the stop of one that runs; returns the status found before."""
        if cls._end_with_its_pieces(id, Status.STOPPED, Status.WAITING):
            return Status.WAITING
        if cls.update(stop_requested=True).where(cls.id == id, cls.status == Status.RUNNING).execute():
            return Status.RUNNING
        found = cls.select(cls.status).where(cls.id == id).scalar()
        return Status(found) if found else None

    @classmethod
    @saving
    def commit(
        cls,
        worker: str,
        pieces: Sequence[tuple[int, int, str]],
        endings: Mapping[int, Mapping[str, Any]],
        lease_seconds: float | None = None,
        first: Set[int] = frozenset(),
    ) -> dict[int, bool]:
        """Save one tick of a worker's token log: (analysis, position, text) and how analyses end.

        Returns the ids that run in the worker's name, and whether their stop is asked for; of any other
        nothing is saved. An ending's fields replace the pieces in the same transaction. With
        `lease_seconds` all leases are renewed. `first` are those whose first new text is among the pieces.
        """
        # Locked until this is saved: whoever ends one of them for us must find all that we show of it.
        running = (
            f"SELECT id, stop_requested FROM analysis WHERE status = 'running' AND worker = {database.param} "
        )
        held = {id: bool(stop) for id, stop in database.execute_sql(running + database.LOCKING, (worker,))}
        rows = [piece for piece in pieces if piece[0] in held]
        if rows:
            database.insert_many("piece (analysis_id, position, text)", rows)
        if begun := held.keys() & first:
            cls.update(first_text_at=now()).where(cls.id.in_(begun)).execute()
        for id in held.keys() & endings.keys():
            cls._ended(id, **endings[id]).execute()
            Piece.forget(id)
        if lease_seconds is not None:
            database.set_clock()
            cls.update(lease_until=_ahead(lease_seconds)).where(
                cls.status == Status.RUNNING, cls.worker == worker
            ).execute()
        return held

    @classmethod
    def abandoned(cls, worker: str, is_run: Callable[[int], bool], is_alone: bool = False) -> list[int]:
        """Return what runs in the database and nowhere else.

        That is: in the worker's name, but not what `is_run` says it runs; in another's whose lease is
        over, or, when this worker `is_alone` with the database, in any other's.
        """
        lost = (cls.worker == worker) | (SQL("1 = 1") if is_alone else cls.lease_until < now())
        with connected():
            found = cls.select(cls.id, cls.worker).where(cls.status == Status.RUNNING, lost).tuples()
            return [id for id, owner in list(found) if owner != worker or not is_run(id)]

    @classmethod
    @saving
    def interrupt(cls, ids: Collection[int], worker: str, is_alone: bool = False) -> list[int]:
        """End as interrupted, text kept, what was found `abandoned` and still is; returns those ids."""
        # What a worker is saving at this moment is not abandoned: after its commit its lease is new.
        _locked(cls.select(cls.id).where(cls.id.in_(ids)).order_by(cls.id)).execute()
        ended = [id for id in cls.abandoned(worker, lambda _: False, is_alone) if id in ids]
        return [id for id in ended if cls._end_with_its_pieces(id, Status.INTERRUPTED, Status.RUNNING)]

    @classmethod
    def _end_with_its_pieces(cls, id: int, status: Status, found: Status) -> bool:
        if not _locked(cls.select(cls.id).where(cls.id == id, cls.status == found)).execute():
            return False
        text = Piece.text_of(id)
        cls._ended(id, status, text=text, words=len(text.split())).execute()
        Piece.forget(id)
        return True

    @classmethod
    def _ended(cls, id: int, status: Status, **fields: Any) -> Any:
        return cls.update(status=status, ended_at=now(), lease_until=None, **fields).where(cls.id == id)

    @saving
    def delete_one(self) -> None:
        """Delete the analysis, whatever its state."""
        self.delete_instance()


class Piece(Model):
    """What the token log keeps of an answer while it grows: `text` begins at character `position`."""

    analysis = ForeignKeyField(Analysis, on_delete="CASCADE")
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


def _locked(query: Any, how: str = "") -> Any:
    """Have a query lock the rows that it finds, where others could change them meanwhile."""
    how = how or database.LOCKING
    return query.for_update(how) if how else query


def _text(data: str | bytes) -> str:
    return data if isinstance(data, str) else bytes(data).decode(errors="replace")


def _light(model: type[Model]) -> list[Any]:
    """Return a model's fields but its text and what is as long."""
    return [field for field in model._meta.sorted_fields if field.name not in ("text", "pages")]


def _seconds(start: datetime | None, end: datetime | None) -> float | None:
    return (end - start).total_seconds() if start and end else None


def _ahead(seconds: float) -> datetime:
    return now() + timedelta(seconds=seconds)
