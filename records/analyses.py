"""The questions that are put to models, and the one way in which they move."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence, Set
from datetime import datetime
from typing import Any

from peewee import (
    JOIN,
    SQL,
    BooleanField,
    CharField,
    DateTimeField,
    DecimalField,
    ForeignKeyField,
    IntegerField,
    IntegrityError,
    TextField,
    fn,
)

from records.base import Record, ahead, light, locked, now
from records.documents import Document
from records.errors import Gone
from records.expenses import Budgets, Expense
from records.people import User
from records.pieces import Piece
from records.search import Found, Order, page_of
from records.shares import Share
from records.status import BROKEN_OFF, ENDINGS, LIVE, Status
from storage import connected, database, saving
from storage.search import Question

NO_BUDGETS = Budgets()


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

    SAME_TEXTS = 20

    class Meta:
        indexes = ((("owner", "request_key"), True),)

    @property
    def is_live(self) -> bool:
        """Whether it has not ended."""
        return self.status in LIVE

    @property
    def can_be_continued(self) -> bool:
        """Whether it broke off, or was stopped between sections, with a text that another can go on with."""
        was_left = self.status == Status.STOPPED and self.sections > 1
        return (self.status in BROKEN_OFF or was_left) and self.words > 0

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
        most: int | None = None,
        budgets: Budgets = NO_BUDGETS,
    ) -> tuple[Analysis, bool]:
        """Put an analysis in the queue, or into a `worker`'s hands: this INSERT is the licence to spend.

        One that continues another begins with the other's `text`. Returns the analysis and whether it is
        new; see `asked_before`. Raises `Gone`, and where it is new and costs at `most` more than there is
        left of the budgets, what `Expense.reserve` does.
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
        Expense.reserve(analysis, most, budgets)
        if text:
            Piece.create(analysis=analysis, position=0, text=text)
        if continues:
            # By their backref: sections import analyses.
            analysis.section_set.model.copy(continues, analysis)
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
    def find_readable(cls, person: User, id: int) -> Analysis | None:
        """Return an analysis that is a person's or of what is shared with them, as `find` does, or None."""
        return cls._with_document().where(cls.id == id, cls._is_readable(person)).first()

    @classmethod
    def find_to_watch(cls, person: User, id: int) -> tuple[int, int, datetime, int | None, int] | None:
        """Return of an analysis that a person may read what its stream needs, or None.

        That is its id, its document's paragraphs, when it was asked, its join, and its owner's id.
        """
        query = cls.select(cls.id, Document.paragraphs, cls.created_at, cls.joins_at, cls.owner)
        query = query.join(Document)
        return query.where(cls.id == id, cls._is_readable(person)).tuples().first()

    @classmethod
    def unreadable(cls, pairs: Set[tuple[int, int]]) -> set[tuple[int, int]]:
        """Return which of some pairs, the ids of a person and an analysis, say who may not read what."""
        people, ids = {person for person, _ in pairs}, {id for _, id in pairs}
        shared = (Share.document == cls.document) & (Share.user.in_(people) | Share.user.is_null())
        query = cls.select(cls.id, cls.owner, Share.id, Share.user).join(Share, JOIN.LEFT_OUTER, on=shared)
        readers: dict[int, set[int]] = {id: set() for id in ids}
        for id, owner, share, user in query.where(cls.id.in_(ids)).tuples():
            readers[id] |= {owner} if share is None else people if user is None else {owner, user}
        return {(person, id) for person, id in pairs if person not in readers[id]}

    @classmethod
    def _is_readable(cls, person: User) -> Any:
        return Share.lets_read(person, cls.owner, cls.document)

    @classmethod
    def of(cls, document: Document, limit: int | None = 50) -> list[Analysis]:
        """Return a document's newest analyses, without their texts."""
        query = cls.select(*light(cls)).where(cls.document == document)
        return list(query.order_by(cls.id.desc()).limit(limit))

    @classmethod
    def ids_of(cls, document: Document) -> list[int]:
        """Return the ids of all of a document's analyses, the first first."""
        query = cls.select(cls.id).where(cls.document == document)
        return [id for (id,) in query.order_by(cls.id).tuples()]

    @classmethod
    def of_same_text(cls, document: Document) -> list[Analysis]:
        """Return the newest complete analysis of a document's very text by each recipe and model, no texts.

        It may be of one of the newest other documents of the same person with that text; what answers a
        question of its own is none.
        """
        same = (Document.owner == document.owner_id) & (Document.digest == document.digest)
        newest = Document.select(Document.id).where(same).order_by(Document.id.desc()).limit(cls.SAME_TEXTS)
        of_text = (cls.document == document) | cls.document.in_(newest)
        # Not the bare column: SQLite would go by its index, and look at all that is complete.
        done = (fn.COALESCE(cls.status, "") == Status.COMPLETE) & (cls.question == "")
        best = cls.select(fn.MAX(cls.id)).where(of_text, done).group_by(cls.recipe, cls.model)
        return list(cls.select(*light(cls)).where(cls.id.in_(best)).order_by(cls.id.desc()))

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
        return page_of(cls, rows, all_ids, owner, question, orders.get(order), limit, offset)

    @property
    def head(self) -> str:
        """What search takes for its title."""
        return self.question

    @classmethod
    def _with_document(cls) -> Any:
        return cls.select(*light(cls), *light(Document)).join(Document)

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
        query = cls.select(*light(cls)).where(cls.status == Status.WAITING)
        return list(query.order_by(cls.id).limit(limit))

    @classmethod
    def live_of(cls, owner: User) -> list[int]:
        """Return the ids of a person's that wait, and then of those that run."""
        query = cls.select(cls.id).where(cls.owner == owner, cls.status.in_(LIVE))
        return [id for (id,) in query.order_by(cls.status == Status.RUNNING, cls.id).tuples()]

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
        found = locked(oldest, database.SKIPPING)
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
            "lease_until": ahead(lease_seconds),
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
        nothing is saved. An ending's fields replace the pieces in the same transaction, and its `expense` is
        what `Expense.settle` is told. With `lease_seconds` all leases are renewed. `first` are those whose
        first new text is among the pieces.
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
            fields = dict(endings[id])
            Expense.settle(id, **fields.pop("expense", {}))
            cls._ended(id, **fields).execute()
            Piece.forget(id)
        if lease_seconds is not None:
            database.set_clock()
            cls.update(lease_until=ahead(lease_seconds)).where(
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
        locked(cls.select(cls.id).where(cls.id.in_(ids)).order_by(cls.id)).execute()
        ended = [id for id in cls.abandoned(worker, lambda _: False, is_alone) if id in ids]
        return [id for id in ended if cls._end_with_its_pieces(id, Status.INTERRUPTED, Status.RUNNING)]

    @classmethod
    def _end_with_its_pieces(cls, id: int, status: Status, found: Status) -> bool:
        if not locked(cls.select(cls.id).where(cls.id == id, cls.status == found)).execute():
            return False
        cls._settle(id, found)
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
        return bool(list(locked(cls.select(cls.id).where(running)).tuples()))

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
        self.settle_live(Analysis.id == self.id)
        self.delete_instance()

    @classmethod
    def settle_live(cls, which: Any) -> list[int]:
        """Settle what those cost that have not ended and are about to be deleted; returns their ids."""
        # Locked, or one that waits could be claimed meanwhile.
        live = locked(cls.select(cls.id, cls.status).where(which, cls.status.in_(LIVE)).order_by(cls.id))
        found = list(live.tuples())
        for id, status in found:
            cls._settle(id, status)
        return [id for id, _ in found]

    @staticmethod
    def _settle(id: int, found: str) -> None:
        # Nobody knows what one has cost that ran: its runner may, and tells.
        Expense.settle(id, **({"amount": 0} if found == Status.WAITING else {}))


def _seconds(start: datetime | None, end: datetime | None) -> float | None:
    return (end - start).total_seconds() if start and end else None
