"""Readings: files that people bring, read beside the streams and made into documents."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime

import gevent
from gevent.event import AsyncResult, Event
from gevent.lock import BoundedSemaphore

from analyzer.text import as_title, clean, count_words, guess_title, paragraphs
from analyzer.trail import Trail
from extraction import Extraction, Reason, Unreadable
from hub import let_others_run
from models import Document, Ended, Reading, User
from storage import StorageError, database

logger = logging.getLogger(__name__)


class Crowded(Exception):
    """So many files wait to be read, of their person where it `is_own`, else of all, that it is not taken."""

    def __init__(self, is_own: bool) -> None:
        super().__init__(is_own)
        self.is_own = is_own


class Readings:
    """Reads files into documents, `MOST_AT_ONCE` in this process; more wait their turn.

    Each of them is held in memory meanwhile, `MOST_OF_ONE` of a person and `MOST` of all.

    With `keeps_originals` a document keeps the file that it came as. What becomes of a reading is told the
    trail.
    """

    MOST_AT_ONCE = 2
    MOST_OF_ONE = 5
    MOST = 20

    def __init__(self, trail: Trail, keeps_originals: bool = True) -> None:
        self._trail = trail
        self._keeps_originals = keeps_originals
        self._turns = BoundedSemaphore(self.MOST_AT_ONCE)
        self._jobs: set[_Job] = set()

    def read(
        self,
        owner: User,
        name: str,
        data: bytes,
        title: str = "",
        unless_since: datetime | None = None,
        address: str = "",
    ) -> Document | Reading:
        """Return the document that a file is read into, or its reading, which goes on, if that takes long.

        `title` is the person's own, or else the file's is taken; for `unless_since` see `Document.add`. A
        reading that comes to a document is noted as brought by the owner from `address`. Raises `Unreadable`
        and `Crowded`.
        """
        if sum(job.owner == owner for job in self._jobs) >= self.MOST_OF_ONE:
            raise Crowded(is_own=True)
        if len(self._jobs) >= self.MOST:
            raise Crowded(is_own=False)

        def note(document: Document) -> None:
            self._trail.note("brought", owner.id, owner.name, document.id, address=address)

        label = as_title(name.rpartition("/")[2]) or "Untitled"
        original = (label, data) if self._keeps_originals else None
        job = _Job(Extraction(data, name), owner, label, title, original, unless_since, note)
        self._jobs.add(job)
        job.start(self._turns).link(lambda _: self._jobs.discard(job))
        with _disconnected():
            return job.answer.get()

    @property
    def is_running(self) -> bool:
        """Whether a file is being read, or waits its turn."""
        return bool(self._jobs)

    def drain(self) -> None:
        """End: what is still being read ends as interrupted."""
        for job in list(self._jobs):
            job.interrupt()


class _Job:
    """One file: a greenlet reads it, and another one looks after that, tells how far it is and saves."""

    PATIENCE_SECONDS = 3.0
    MANY_PAGES = 100
    TELL_SECONDS = 1.0

    def __init__(
        self,
        extraction: Extraction,
        owner: User,
        name: str,
        title: str,
        original: tuple[str, bytes] | None,
        unless_since: datetime | None,
        note: Callable[[Document], None],
    ) -> None:
        self.answer: AsyncResult[Document | Reading] = AsyncResult()
        self._extraction = extraction
        self.owner = owner
        self._name = name
        self._title = title
        self._original = original
        self._unless_since = unless_since
        self._note = note
        self._reading: Reading | None = None
        self._page = 0
        self._texts: list[str] = []
        self._counts: Counter[int] = Counter()
        self._may_be_answered = Event()
        self._began = time.monotonic()

    def start(self, turns: BoundedSemaphore) -> gevent.Greenlet:
        """Begin, when there is a turn to be had; returns what looks after it."""
        self._greenlet = gevent.spawn(self._look_after, turns)
        self._greenlet.link_exception(self.answer)
        return self._greenlet

    def interrupt(self) -> None:
        """End it because this process ends."""
        self.answer.set_exception(Unreadable(Reason.INTERRUPTED))
        self._greenlet.kill()
        if self._reading:
            # Where that cannot be saved it is found lost, and all else has still to be ended.
            with suppress(StorageError):
                self._reading.fail(Reason.INTERRUPTED)

    def _look_after(self, turns: BoundedSemaphore) -> None:
        reader = gevent.spawn(self._read, turns)
        reader.link(lambda _: self._may_be_answered.set())
        try:
            self._may_be_answered.wait(self.PATIENCE_SECONDS)
            if reader.ready() or self._tell_until_read(reader):
                self._end(reader.get())
        except StorageError as failure:
            logger.error("could not keep a file", exc_info=failure)
            if self._reading is None:
                self.answer.set_exception(failure)
                return
            with suppress(StorageError):
                self._reading.fail(Reason.NOT_SAVED)
        finally:
            # Wherever it is, also where it waits for its turn: with it goes the child.
            reader.kill()

    def _tell_until_read(self, reader: gevent.Greenlet) -> bool:
        """Answer with a reading and tell how far it is; returns False if that is ended meanwhile."""
        pages = self._extraction.pages
        self._reading = Reading.begin(self.owner, self._name, self._title, self._page, pages)
        self.answer.set(self._reading)
        is_live = True
        while is_live and not reader.ready():
            reader.join(self.TELL_SECONDS)
            is_live = self._reading.tell(self._page, self._extraction.pages)
        return is_live

    def _read(self, turns: BoundedSemaphore) -> Unreadable | None:
        """Read it all; returns why it cannot be, or None."""
        try:
            with turns:
                self._page = 1
                for part in self._extraction:
                    self._take(part.text, part.page)
                    # A child that is faster than this would keep all else waiting.
                    let_others_run()
        except Unreadable as error:
            return error
        return None

    def _take(self, text: str, page: int | None) -> None:
        text = clean(text)
        if text.strip():
            self._texts.append(text)
        if page:
            self._page = page
            self._counts[page] = len(paragraphs(text))
        if (self._extraction.pages or 0) > self.MANY_PAGES:
            self._may_be_answered.set()

    def _end(self, error: Unreadable | None) -> None:
        facts = {
            "format": self._extraction.format,
            "pages": self._extraction.pages,
            "reason": str(error.reason) if error else "",
            "seconds": round(time.monotonic() - self._began, 3),
        }
        logger.info("read a file", extra=facts)
        if error is None:
            self._save()
        elif self._reading:
            self._reading.fail(error.reason)
        else:
            self.answer.set_exception(error)

    def _save(self) -> None:
        # A text that comes as a whole stays as it is.
        whole = self._texts if len(self._texts) == 1 else [text.strip("\n") for text in self._texts]
        text = "\n\n".join(whole)
        words, count = count_words(text), len(paragraphs(text))
        pages = [self._counts[page] for page in range(1, (self._extraction.pages or 0) + 1)]

        def add() -> Document:
            return Document.add(
                self.owner,
                self._entitle(text),
                text,
                words,
                count,
                format=self._extraction.format,
                pages=pages,
                notes=self._extraction.notes,
                original=self._original,
                unless_since=self._unless_since,
            )

        if self._reading is None:
            self.answer.set(add())
            return
        # Ended meanwhile, by its person: nothing is added.
        with suppress(Ended):
            self._note(self._reading.finish(add))

    def _entitle(self, text: str) -> str:
        # The first line of a table is its columns.
        first_words = self._name if self._extraction.format == "table" else f"{text}\n{self._name}"
        return self._title or as_title(self._extraction.title) or guess_title(first_words)


@contextmanager
def _disconnected() -> Iterator[None]:
    """Hold no connection to the database for a while: others wait for one."""
    is_open = not database.is_closed()
    if is_open:
        database.close()
    try:
        yield
    finally:
        if is_open:
            database.connect()
