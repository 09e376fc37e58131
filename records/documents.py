"""The texts that people bring, the files that they came as, and those that are being read."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from peewee import (
    BlobField,
    BooleanField,
    CharField,
    DateTimeField,
    ForeignKeyField,
    IntegerField,
    Model,
    TextField,
    fn,
)

from records.base import Record, ahead, light, locked, now
from records.errors import Ended
from records.people import User
from records.search import Found, Order, page_of
from records.shares import Share
from records.status import LIVE
from storage import database, saving
from storage.search import Question


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
            if twin := cls.select(*light(cls)).where(same, cls.created_at > unless_since).first():
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
        return cls.select(*light(cls)).where(cls.id == id, cls.owner == owner).first()

    @classmethod
    def find_readable(cls, person: User, id: int) -> Document | None:
        """Return a document that is a person's or shared with them, without its text, or None."""
        readable = Share.lets_read(person, cls.owner, cls.id)
        return cls.select(*light(cls)).where(cls.id == id, readable).first()

    @classmethod
    def shared_with(cls, person: User, limit: int = 20) -> list[Document]:
        """Return what others share with a person, with its owners, without texts.

        First what is shared with the person by name, then what is with all people, each the newest first.
        """
        query = cls.select(*light(cls), User).join(User).switch(cls).join(Share)
        query = query.where(Share.is_with(person), cls.owner != person)
        # One can be shared in both ways, and then comes twice.
        rows = query.order_by(Share.user.is_null(), Share.id.desc()).limit(2 * limit)
        return list({row.id: row for row in rows}.values())[:limit]

    @classmethod
    def recent(cls, owner: User, limit: int = 50) -> list[Document]:
        """Return a person's newest documents, without their texts."""
        return list(cls.select(*light(cls)).where(cls.owner == owner).order_by(cls.id.desc()).limit(limit))

    @classmethod
    def search(cls, owner: User, question: Question | None, order: Order, limit: int, offset: int) -> Found:
        """Return a page of a person's documents, all there are or those that a question finds."""
        orders = {
            Order.NEWEST: (cls.id.desc(),),
            Order.OLDEST: (cls.id,),
            Order.TITLE: (fn.LOWER(cls.title), cls.id),
            Order.LONGEST: (cls.characters.desc(), cls.id.desc()),
        }
        rows, all_ids = cls.select(*light(cls)), cls.select(cls.id)
        return page_of(cls, rows, all_ids, owner, question, orders.get(order), limit, offset)

    @property
    def head(self) -> str:
        """What search takes for its title."""
        return self.title

    @saving
    def rename(self, title: str) -> None:
        """Give the document another title; what was asked before keeps its answer."""
        Document.update(title=title).where(Document.id == self.id).execute()

    @classmethod
    def of(cls, analysis: Record) -> Document | None:
        """Return an analysis' document with its text, or None if it is deleted."""
        return cls.get_or_none(cls.id == analysis.document_id)

    def read(self) -> str:
        """Return the text, which may be megabytes and is loaded by nothing else."""
        return Document.select(Document.text).where(Document.id == self.id).scalar()

    def read_pages(self) -> list[int]:
        """Return how many paragraphs each page has; nothing where there are no pages."""
        # `of` has them already.
        is_read = "pages" in self.__data__
        pages = (
            self.pages if is_read else Document.select(Document.pages).where(Document.id == self.id).scalar()
        )
        return json.loads(pages) if pages else []

    @property
    def unread(self) -> list[tuple[str, str]]:
        """What of its file was not read: codes and details."""
        return [tuple(note) for note in json.loads(self.notes)] if self.notes else []

    @property
    def original(self) -> Original | None:
        """The file that it came as, without its bytes, or None if that is not kept."""
        return Original.select(Original.name).where(Original.document == self.id).first()

    def count_analyses(self) -> tuple[int, int]:
        """Return how many analyses it has, and how many of them have not ended."""
        return self.analyses.count(), self._live_analyses().count()

    @classmethod
    def count_of(cls, owner: User) -> tuple[int, int]:
        """Return how many documents a person has, and how many analyses."""
        analyses = cls.analyses.rel_model
        return cls.select().where(cls.owner == owner).count(), analyses.select().where(
            analyses.owner == owner
        ).count()

    @classmethod
    def count_by_owner(cls, owners: Sequence[User]) -> dict[int, int]:
        """Return how many documents each of some people has, by their ids; none are left out."""
        found = cls.select(cls.owner, fn.COUNT(cls.id)).where(cls.owner.in_(owners)).group_by(cls.owner)
        return dict(found.tuples())

    @classmethod
    def ids_of(cls, owner: User, after: int, limit: int) -> list[int]:
        """Return the ids of a person's documents that come after an id, in their order."""
        query = cls.select(cls.id).where(cls.owner == owner, cls.id > after)
        return [id for (id,) in query.order_by(cls.id).limit(limit).tuples()]

    @saving
    def delete_with_analyses(self) -> list[int]:
        """Delete the document and its analyses; returns the ids of those that had not ended."""
        self._lock_alone(self.id)
        # By their backref: analyses import documents.
        analyses = self.analyses.model
        live: list[int] = analyses.settle_live(analyses.document == self.id)
        self.delete_instance()
        return live

    @classmethod
    def unused_since(cls, time: datetime, limit: int) -> list[int]:
        """Return the ids of the oldest that were neither brought nor analysed since; nothing of them runs."""
        return [id for (id,) in cls._unused_since(time).order_by(cls.created_at).limit(limit).tuples()]

    @classmethod
    @saving
    def delete_unused(cls, id: int, time: datetime) -> bool:
        """Delete a document with its analyses if it is still unused since then; returns whether it was."""
        cls._lock_alone(id)
        document = cls._unused_since(time).where(cls.id == id).first()
        return bool(document and document.delete_instance())

    @classmethod
    def _unused_since(cls, time: datetime) -> Any:
        analyses = cls.analyses.rel_model
        used = (analyses.created_at >= time) | analyses.status.in_(LIVE)
        uses = analyses.select(analyses.id).where(analyses.document == cls.id, used)
        return cls.select(cls.id).where(cls.created_at < time, ~fn.EXISTS(uses))

    @classmethod
    def _lock_alone(cls, id: int) -> None:
        # Not as other rows are locked: who begins an analysis of it has to wait, too.
        locked(cls.select(cls.id).where(cls.id == id), database.LOCKING and "FOR UPDATE").execute()

    def _live_analyses(self) -> Any:
        # By their backref: analyses import documents.
        return self.analyses.where(self.analyses.model.status.in_(LIVE))


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
        cls.forget_old()
        return cls.create(owner=owner, name=name, title=title, page=page, pages=pages)

    @classmethod
    @saving
    def forget_old(cls) -> None:
        """Delete those that ended a day ago."""
        cls.delete().where(cls.heard_at < now() - cls.KEPT).execute()

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
        return self.is_live and self.heard_at < ahead(-self.LOST_SECONDS)

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
