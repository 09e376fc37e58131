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
from time import monotonic
from typing import Any, NamedTuple

from peewee import (
    JOIN,
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
from storage.search import MOST_FOUND, Pieces, Question, excerpt, marked, words_of_long


def now() -> datetime:
    """Return the time as it is stored, by the one clock of all processes: UTC, without a zone."""
    time: datetime = database.now()
    return time


def moments_ago() -> datetime:
    """Return a time so long ago that what was sent since may be a form that was sent twice."""
    return _ahead(-10)


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


class Ended(Exception):
    """The reading that was to end with a document has ended otherwise."""


class Order(StrEnum):
    """In which order documents and analyses are listed; of the best there are those that a question finds."""

    BEST = "best"
    NEWEST = "newest"
    OLDEST = "oldest"
    TITLE = "title"
    LONGEST = "longest"


class Hit(NamedTuple):
    """A row that was found; its head (title or question) and some words of its text, in marked pieces."""

    row: Any
    head: Pieces
    excerpt: Pieces


class Found(NamedTuple):
    """One page of what was found, and how many there are; with `is_cut` these are the newest of more."""

    hits: list[Hit]
    count: int
    is_cut: bool = False


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
        unless_since: datetime | None = None,
    ) -> Document:
        """Keep a document, and with it the file that it came as: its name and its bytes.

        `pages` says how many paragraphs each page has, where there are pages; `notes` say what of the file
        was not read, each a code and a detail. Returns the one that the same person has brought under the
        same title `unless_since` that time, if there is one: a form that is sent twice makes one document.
        """
        digest = sha256(text.encode()).hexdigest()
        if unless_since:
            database.take_turns(f"{owner.id} {digest}")
            same = (cls.owner == owner) & (cls.digest == digest) & (cls.title == title)
            if twin := cls.select(*_light(cls)).where(same, cls.created_at > unless_since).first():
                return twin
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
            digest=digest,
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
    def search(cls, owner: User, question: Question | None, order: Order, limit: int, offset: int) -> Found:
        """Return a page of a person's documents, all there are or those that a question finds."""
        orders = {
            Order.NEWEST: (cls.id.desc(),),
            Order.OLDEST: (cls.id,),
            Order.TITLE: (fn.LOWER(cls.title), cls.id),
            Order.LONGEST: (cls.characters.desc(), cls.id.desc()),
        }
        rows, all_ids = cls.select(*_light(cls)), cls.select(cls.id)
        return _search(cls, rows, all_ids, owner, question, orders.get(order), limit, offset)

    @property
    def head(self) -> str:
        """What search takes for its title."""
        return self.title

    @saving
    def rename(self, title: str) -> None:
        """Give the document another title; what was asked before keeps its answer."""
        Document.update(title=title).where(Document.id == self.id).execute()

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

    @property
    def original(self) -> Original | None:
        """The file that it came as, without its bytes, or None if that is not kept."""
        return Original.select(Original.name).where(Original.document == self.id).first()

    def analysed_before(self) -> list[Analysis]:
        """Return the newest complete analysis of this very text by each recipe and model, without texts.

        It may be of another document of the same person; what answers a question of its own is none.
        """
        of_text = (Document.owner == self.owner_id) & (Document.digest == self.digest)
        done = (Analysis.status == Status.COMPLETE) & (Analysis.question == "")
        newest = (
            Analysis.select(fn.MAX(Analysis.id))
            .join(Document)
            .where(of_text, done)
            .group_by(Analysis.recipe, Analysis.model)
        )
        return list(
            Analysis.select(*_light(Analysis)).where(Analysis.id.in_(newest)).order_by(Analysis.id.desc())
        )

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

    @classmethod
    def of(cls, document: Document) -> Original | None:
        """Return a document's file with its bytes, or None if it is not kept."""
        return cls.get_or_none(cls.document == document)


class Reading(Record):
    """A file that is being read into a document, how far that is and how it ended.

    It is live until it has a document, or a reason why there will be none, or its stop is asked for: of
    those that end it at once exactly one does. `page` is 0 before its turn; then it is the one that is being
    read, of as many as `pages` says where the file has pages.
    """

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

    LOST_SECONDS = 15
    KEPT = timedelta(days=1)

    @classmethod
    @saving
    def begin(cls, owner: User, name: str, title: str, page: int, pages: int | None) -> Reading:
        """Note a file that takes long to read, and forget those that ended a day ago."""
        cls.delete().where(cls.heard_at < now() - cls.KEPT).execute()
        return cls.create(owner=owner, name=name, title=title, page=page, pages=pages)

    @classmethod
    def find(cls, owner: User, id: int) -> Reading | None:
        """Return a person's reading, or None."""
        return cls.get_or_none(cls.id == id, cls.owner == owner)

    @property
    def is_live(self) -> bool:
        """Whether it has not ended."""
        return not (self.document_id or self.reason or self.stop_requested)

    @property
    def result(self) -> int | None:
        """The id of the document that it came to."""
        return self.document_id

    @property
    def is_lost(self) -> bool:
        """Whether nothing was heard for so long that the process that reads it must be dead."""
        return self.is_live and self.heard_at < _ahead(-self.LOST_SECONDS)

    @saving
    def tell(self, page: int, pages: int | None) -> bool:
        """Save how far it is, and that it goes on; returns False if it has been ended."""
        return self._update(page=page, pages=pages, heard_at=now())

    @saving
    def finish(self, add: Callable[[], Document]) -> Document:
        """Add the document that it came to, and end with it; raises `Ended`, and adds nothing, if it has."""
        document = add()
        if not self._update(document=document):
            raise Ended
        return document

    @saving
    def fail(self, reason: str) -> bool:
        """End without a document; returns False if it has been ended before."""
        return self._update(reason=reason)

    @saving
    def stop(self) -> bool:
        """End because its person wants so; returns False if it has been ended before."""
        return self._update(stop_requested=True)

    def _update(self, **fields: Any) -> bool:
        mine = (Reading.id == self.id) & Reading.document.is_null() & (Reading.reason == "")
        mine &= ~Reading.stop_requested
        return bool(Reading.update(**fields).where(mine).execute())


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
    sections = IntegerField(default=1)

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
                sections=continues.sections if continues else 1,
                **(cls._claimed_by(worker, lease_seconds) if worker else {}),
            )
        except IntegrityError:
            # The document, or what it was to continue, was deleted a moment ago.
            raise Gone from None
        if text:
            Piece.create(analysis=analysis, position=0, text=text)
        if continues:
            Section.copy(continues, analysis)
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
        found = cls.select(cls.id).where((mine & (cls.request_key == request_key)) | (mine & same))
        # Every start asks this twice, and nearly all find nothing: naming all columns takes twice as long.
        id = found.order_by((cls.request_key == request_key).desc(), cls.id).limit(1).scalar()
        return cls.find(owner, id) if id else None

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
    def search(cls, owner: User, question: Question | None, order: Order, limit: int, offset: int) -> Found:
        """Return a page of a person's analyses with their documents, see `Document.search`.

        A question finds what was asked and what was answered, once that has ended.
        """
        orders = {
            Order.NEWEST: (cls.id.desc(),),
            Order.OLDEST: (cls.id,),
            Order.TITLE: (fn.LOWER(Document.title), Document.id, cls.id),
            Order.LONGEST: (cls.words.desc(), cls.id.desc()),
        }
        rows, all_ids = cls._with_document(), cls.select(cls.id)
        if order is Order.TITLE:
            # By the documents' index: else SQLite sorts all that a person has.
            all_ids = Document.select(cls.id).join(cls, JOIN.CROSS)
            all_ids = all_ids.where(cls.document == Document.id, Document.owner == owner)
        return _search(cls, rows, all_ids, owner, question, orders.get(order), limit, offset)

    @property
    def head(self) -> str:
        """What search takes for its title."""
        return self.question

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

    @classmethod
    def is_run_by(cls, worker: str, id: int) -> bool:
        """Whether it runs in a worker's name; in a write transaction it then does until that is over."""
        running = (cls.id == id) & (cls.worker == worker) & (cls.status == Status.RUNNING)
        return bool(list(_locked(cls.select(cls.id).where(running)).tuples()))

    @classmethod
    @saving
    def plan(cls, worker: str, id: int, sections: int) -> bool:
        """Note in how many sections a worker reads the document; false where the analysis is not its own."""
        is_own = cls.is_run_by(worker, id)
        if is_own:
            cls.update(sections=sections).where(cls.id == id).execute()
        return is_own

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
            _locked(kind.select(kind.id).where(kind.id == id)).execute()
            # Its note is gone with what was deleted, and where another process was faster.
            if cls.delete().where(cls.id == note).execute():
                database.index(kind._meta.table_name, id, head_words, body_words)


def _head(kind: type[Model]) -> Any:
    return kind.title if kind is Document else kind.question


def _search(
    kind: type[Model],
    rows: Any,
    all_ids: Any,
    owner: User,
    question: Question | None,
    order: Any,
    limit: int,
    offset: int,
) -> Found:
    """Return the page of a person's rows that begins at `offset`; without an `order`, the best come first."""
    mine = kind.owner == owner
    if question is None:
        # The ids alone: an index has them, and a page far behind does not read the rows before it.
        page = all_ids.where(mine).order_by(*(order or (kind.id.desc(),))).limit(limit).offset(offset)
        ids = [id for (id,) in page.tuples()]
        found = _in_order(rows.where(mine), kind, ids)
        return Found([Hit(row, [(row.head, False)], []) for row in found], kind.select().where(mine).count())
    scores = database.find(kind._meta.table_name, owner.id, question, ranked=order is None)
    count, scores = len(scores), scores[:MOST_FOUND]
    if order is None:
        best = sorted(scores, key=lambda found: found[1], reverse=True)
        found = _in_order(rows.where(mine), kind, [id for id, _ in best[offset : offset + limit]])
    else:
        any_of = kind.id.in_([id for id, _ in scores])
        found = list(rows.where(mine, any_of).order_by(*order).limit(limit).offset(offset))
    hits = [Hit(row, marked(row.head, question), excerpt(row.read() or "", question)) for row in found]
    return Found(hits, len(scores), is_cut=count > MOST_FOUND)


def _in_order(rows: Any, kind: type[Model], ids: list[int]) -> list[Any]:
    return sorted(rows.where(kind.id.in_(ids)), key=lambda row: ids.index(row.id))


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
