"""The token log: an answer's text is saved first and shown afterwards, to any number of viewers.

A position is a number of characters (code points) from the answer's beginning. It means the same in
every process and after every restart, because the text before it never changes.
"""

from __future__ import annotations

import bisect
import logging
import sys
import time
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

import gevent
from gevent.event import AsyncResult, Event

from analyzer.text import Door
from models import ENDINGS, Analysis, Status
from storage import StorageError

logger = logging.getLogger(__name__)


class LeaseLost(Exception):
    """The analysis no longer runs in this worker's name; nothing more of it is saved."""


class Text(NamedTuple):
    """News for a viewer: `text` ends at `position`. Empty text only says that nothing has come."""

    position: int
    text: str


class Wait(StrEnum):
    """What keeps an analysis from going on."""

    TURN = "turn"  # others run
    TEXT = "text"  # the provider takes its time
    BUSY = "busy"  # the provider is busy: it is asked again
    UNREACHABLE = "unreachable"  # it cannot be reached: it is asked again
    SILENT = "silent"  # it has said nothing for too long: it is asked again
    FULL = "full"  # nothing can be saved: the disk is full or read-only
    STORAGE = "storage"  # nothing can be saved: the database is locked, or worse


class Notice(NamedTuple):
    """News that is not kept: what the analysis waits for, None for nothing, until a monotonic time."""

    wait: Wait | None
    until: float = 0.0


class Ended(NamedTuple):
    """The last news: how the analysis ended, or None when it is gone."""

    status: Status | None


class Viewer:
    """One who watches an analysis: woken by text, by its ending, or to leave.

    `patience` is how many seconds it waits for news before it is handed an empty text, `appetite` about how
    many characters it takes at a time.
    """

    __slots__ = ("appetite", "has_left", "news", "patience")

    def __init__(self, patience: float = 10.0, appetite: int = sys.maxsize) -> None:
        self.news = Event()
        self.patience = patience
        self.appetite = appetite
        self.has_left = False

    def leave(self) -> None:
        """End its watching at once, from any greenlet."""
        self.has_left = True
        self.news.set()


class _Live:
    """The saved text of a live analysis in this process's memory, and who watches it."""

    __slots__ = (
        "begun",
        "door",
        "ended",
        "is_lost",
        "notice",
        "pieces",
        "position",
        "starts",
        "submitted",
        "viewers",
    )

    def __init__(self, text: str) -> None:
        self.door = Door()
        self.pieces: list[str] = []
        self.starts: list[int] = []
        self.position = 0
        if text:
            self.add(text)
        self.submitted = self.position
        self.begun = False
        self.is_lost = False
        self.notice = Notice(None)
        self.ended: Ended | None = None
        self.viewers: set[Viewer] = set()

    def add(self, text: str) -> None:
        self.starts.append(self.position)
        self.pieces.append(text)
        self.position += len(text)

    def since(self, after: int) -> str:
        return self.between(after, self.position)

    def between(self, after: int, upto: int) -> str:
        if after >= upto:
            return ""
        first, last = bisect.bisect_right(self.starts, after) - 1, bisect.bisect_left(self.starts, upto)
        text = self.pieces[first][after - self.starts[first] :]
        return text if first + 1 == last else text + "".join(self.pieces[first + 1 : last])

    def upto(self, after: int, most: int) -> int:
        """Return where the piece ends that completes `most` characters, or the last one."""
        index = bisect.bisect_right(self.starts, after + most)
        return max(after, self.starts[index] if index < len(self.starts) else self.position)

    def announce(self) -> None:
        for viewer in self.viewers:
            viewer.news.set()


class _Batch:
    """What one commit will save, and who waits for it."""

    __slots__ = ("endings", "failed", "first", "held", "pieces", "saved")

    def __init__(self) -> None:
        self.failed: dict[int, Exception] = {}
        self.pieces: list[tuple[int, int, str]] = []
        self.first: set[int] = set()
        self.endings: dict[int, Mapping[str, Any]] = {}
        self.held: set[int] = set()
        self.saved = AsyncResult()

    def __bool__(self) -> bool:
        return bool(self.pieces or self.endings)

    @property
    def ids(self) -> set[int]:
        return {id for id, _, _ in self.pieces} | self.endings.keys()


class TokenLog:
    """The durable log of all answers that grow in this process.

    `append` and `end` return when what they were given is saved; viewers see it only then. One greenlet
    commits the pending text of all analyses together: an answer's first text at once, all else on one
    tick. Writers are let go just before the next tick, so that each brings at once all that its provider
    sent meanwhile, and none is woken for every token. What is saved survives a killed process. The log
    also renews the worker's leases, and nothing of an analysis is saved that no longer runs in this
    worker's name.
    """

    TICK_SECONDS = 0.05
    LEASE_SECONDS = 15.0
    RENEW_SECONDS = 5.0
    # An analysis that runs in another process is read from the database this often.
    POLL_SECONDS = 0.25

    def __init__(self, worker: str) -> None:
        self.worker = worker
        self._live: dict[int, _Live] = {}
        self._batch = _Batch()
        self._saved: list[_Batch] = []
        self._pending = Event()
        self._urgent = Event()
        self._dismissed = False

    def start(self) -> None:
        """Begin to commit, in a greenlet of its own."""
        self._committer = gevent.spawn(self._commit_forever)

    def stop(self) -> None:
        """Commit no more."""
        self._committer.kill()

    # For the one who writes

    def open(self, id: int, text: str = "") -> None:
        """Prepare for an analysis that will grow here from a saved text; viewers may come from now on."""
        if id not in self._live:
            self._live[id] = _Live(text)

    def __contains__(self, id: int) -> bool:
        return id in self._live

    def notify(self, id: int, wait: Wait | None, seconds: float = 0.0) -> None:
        """Tell the viewers what an analysis waits for, and for how long; its next text takes that back."""
        if live := self._live.get(id):
            live.notice = Notice(wait, time.monotonic() + seconds) if wait else Notice(None)
            live.announce()

    def text(self, id: int) -> str:
        """Return the saved text of an analysis that grows here."""
        return self._owned(id).since(0)

    def append(self, id: int, text: str) -> None:
        """Save more of an answer; returns when it is durable and announced.

        Raises `LeaseLost` when the analysis is no longer ours and `StorageError` when nothing can be saved.
        """
        live = self._owned(id)
        text = live.door.pass_in(text)
        if text:
            self._submit(id, live, text)
            self._wait(id)

    def end(self, id: int, **fields: Any) -> None:
        """Save an answer's whole text and how it ended (`status` and other columns), then announce it."""
        live = self._owned(id)
        text = live.since(0) + live.door.rest
        self._batch.endings[id] = {**fields, "text": text, "words": len(text.split())}
        self._pending.set()
        self._wait(id)

    def forget(self, id: int) -> None:
        """Tell the viewers of a deleted analysis that it is gone."""
        self._finish(id, Ended(None))

    def conclude(self, id: int, status: Status) -> None:
        """Tell the viewers of an analysis that ended without having run."""
        self._finish(id, Ended(status))

    # For those who watch

    def observe(self, id: int, after: int, viewer: Viewer) -> Iterator[Text | Notice | Ended]:
        """Yield the text from position `after` as it is saved, without gap or repeat, then the ending.

        The text so far comes at once, even when it is empty, and behind it what is waited for, which later
        comes as it changes. Later an empty text is yielded whenever `viewer.patience` seconds pass without
        news. Stops without an ending when the viewer leaves. What was yielded is not held on to.
        """
        live = self._live.get(id)
        if live is None:
            yield from self._observe_saved(id, after, viewer)
            return
        live.viewers.add(viewer)
        try:
            notice = None
            is_first = True
            while is_first or not (viewer.has_left or self._dismissed):
                viewer.news.clear()
                upto = live.upto(after, viewer.appetite)
                if is_first or upto > after:
                    is_first = False
                    before, after = after, upto
                    # In no variable: one who stalls would hold a copy of the whole answer.
                    yield Text(after, live.between(before, after))
                elif live.notice is not notice:
                    notice = live.notice
                    yield notice
                elif live.ended:
                    yield live.ended
                    return
                elif live.is_lost:
                    yield from self._observe_saved(id, after, viewer)
                    return
                elif not viewer.news.wait(viewer.patience):
                    yield Text(after, "")
        finally:
            live.viewers.discard(viewer)

    def dismiss(self) -> None:
        """Send all viewers away, those too who come from now on."""
        self._dismissed = True
        for live in self._live.values():
            for viewer in live.viewers:
                viewer.leave()

    def _observe_saved(self, id: int, after: int, viewer: Viewer) -> Iterator[Text | Notice | Ended]:
        due = 0.0
        status = ""
        while not (viewer.has_left or self._dismissed):
            found = Analysis.saved(id, after)
            if found is None:
                yield Ended(None)
                return
            before, (status, text) = status, found
            after += len(text)
            if text or time.monotonic() >= due:
                due = time.monotonic() + viewer.patience
                yield Text(after, text)
            if status != before and status not in ENDINGS:
                yield Notice(Wait.TURN if status == Status.WAITING else None)
            if status in ENDINGS:
                yield Ended(Status(status))
                return
            viewer.news.wait(self.POLL_SECONDS)

    # Committing

    def _owned(self, id: int) -> _Live:
        live = self._live.get(id)
        if live is None:
            raise LeaseLost(id)
        return live

    def _submit(self, id: int, live: _Live, text: str) -> None:
        self._batch.pieces.append((id, live.submitted, text))
        if not live.begun:
            live.begun = True
            self._batch.first.add(id)
            self._urgent.set()
        live.submitted += len(text)
        self._pending.set()

    def _wait(self, id: int) -> None:
        batch = self._batch
        held = batch.saved.get()
        if error := batch.failed.get(id):
            raise error
        if id not in held:
            raise LeaseLost(id)

    def _commit_forever(self) -> None:
        tick_due = renewed = time.monotonic()
        while True:
            if not self._saved:
                self._pending.wait(max(0, renewed + self.RENEW_SECONDS - time.monotonic()))
            is_tick = not self._urgent.wait(max(0, tick_due - time.monotonic()))
            self._pending.clear()
            self._urgent.clear()
            now = time.monotonic()
            if is_tick:
                tick_due = now + self.TICK_SECONDS
                self._let_writers_go()
            renew = now - renewed >= self.RENEW_SECONDS
            if renew or self._batch:
                self._commit(self.LEASE_SECONDS if renew else None)
            if renew:
                renewed = now

    def _let_writers_go(self) -> None:
        saved, self._saved = self._saved, []
        for batch in saved:
            batch.saved.set(batch.held)
        # They run now, before this greenlet goes on, as far as there is something to read.
        gevent.sleep(0)

    def _commit(self, lease_seconds: float | None) -> None:
        batch, self._batch = self._batch, _Batch()
        try:
            batch.held = Analysis.commit(self.worker, batch.pieces, batch.endings, lease_seconds, batch.first)
        except StorageError as error:
            # Whoever waits must hear of it, and the next batch must find a committer.
            logger.error("nothing could be saved", exc_info=error)
            batch.saved.set_exception(error)
            return
        except Exception:
            self._commit_one_by_one(batch)
        self._saved.append(batch)
        for id, _, text in batch.pieces:
            if id in batch.held and (live := self._live.get(id)):
                if live.notice.wait:
                    live.notice = Notice(None)
                live.add(text)
                live.announce()
        for id in batch.ids - batch.held - batch.failed.keys():
            self._lose(id)
        for id in batch.held & batch.endings.keys():
            ending = batch.endings[id]
            if (live := self._live.get(id)) and (rest := ending["text"][live.position :]):
                live.add(rest)
            self._finish(id, Ended(ending["status"]))

    def _commit_one_by_one(self, batch: _Batch) -> None:
        """Keep what cannot be stored of one analysis from taking the others with it."""
        batch.held = set()
        for id in batch.ids:
            pieces = [piece for piece in batch.pieces if piece[0] == id]
            endings = {id: batch.endings[id]} if id in batch.endings else {}
            try:
                held = Analysis.commit(self.worker, pieces, endings, None, batch.first & {id})
                batch.held |= held & {id}
            except Exception as error:
                logger.exception("cannot be saved", extra={"analysis": id})
                batch.failed[id] = error

    def _lose(self, id: int) -> None:
        # Whoever has taken it over has ended it, or will: its viewers go on with what is saved.
        if live := self._live.pop(id, None):
            live.is_lost = True
            live.announce()

    def _finish(self, id: int, ended: Ended) -> None:
        if live := self._live.pop(id, None):
            live.ended = ended
            live.announce()
