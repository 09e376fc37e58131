"""The token log: an answer's text is saved first and shown afterwards, to any number of viewers.

A position is a number of characters (code points) from the answer's beginning. It means the same in
every process and after every restart, because the text before it never changes.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import gevent
from gevent.event import AsyncResult, Event

import metrics
from analyzer.channel import Redis, Silence
from analyzer.following import Following
from analyzer.live import Ended, Live, Lives, Notice, Text, Viewer, Wait
from models import ENDINGS, Analysis, Status
from storage import StorageError, database

logger = logging.getLogger(__name__)


class LeaseLost(Exception):
    """The analysis no longer runs in this worker's name; nothing more of it is saved."""


class _Batch:
    """What one commit will save, and who waits for it."""

    __slots__ = ("endings", "failed", "first", "held", "pieces", "saved")

    def __init__(self) -> None:
        self.failed: dict[int, Exception] = {}
        self.pieces: list[tuple[int, int, str]] = []
        self.first: set[int] = set()
        self.endings: dict[int, Mapping[str, Any]] = {}
        self.held: dict[int, bool] = {}
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

    def __init__(self, worker: str, channel: Redis | Silence, stop: Callable[..., None]) -> None:
        self.worker = worker
        self.channel = channel
        self._stop = stop
        self._live = Lives()
        self._batch = _Batch()
        self._saved: list[_Batch] = []
        self._pending = Event()
        self._urgent = Event()
        self.following = Following(worker, channel, self._live)

    def start(self) -> None:
        """Begin to commit and to follow, in greenlets of its own."""
        self._greenlets = [gevent.spawn(self._commit_forever), gevent.spawn(self.following.look_forever)]
        self._renewed = time.monotonic()

    @property
    def is_late(self) -> bool:
        """Whether this worker's leases may be over: for as long as one lasts they could not be renewed."""
        return time.monotonic() - self._renewed > self.LEASE_SECONDS

    def stop(self) -> None:
        """Commit and follow no more."""
        gevent.killall(self._greenlets)

    # For the one who writes

    def open(self, id: int, text: str = "") -> None:
        """Prepare for an analysis that will grow here from a saved text; viewers may come from now on."""
        self._live.open(id, text)

    def notify(self, id: int, wait: Wait | None, seconds: float = 0.0) -> None:
        """Tell the viewers what an analysis waits for, and for how long; its next text takes that back."""
        if live := self._live.get(id):
            live.wait_for(wait, seconds)
            self.following.tell_notice(id, live)

    def hear(self, message: list[Any]) -> None:
        """Take what another process tells, or that nothing is heard any more."""
        if message[0] == "silence":
            # From now on the database is asked for stops, and often.
            self._pending.set()
        else:
            self.following.hear(message)

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
        text = live.since(0) + live.unsaved + live.door.rest
        self._batch.endings[id] = {**fields, "text": text, "words": len(text.split())}
        self._pending.set()
        self._wait(id)

    def forget(self, id: int) -> None:
        """Tell the viewers of a deleted analysis that it is gone."""
        self.following.finish(id, Ended(None))

    def conclude(self, id: int, status: Status) -> None:
        """Tell the viewers of an analysis that ended without having run here."""
        live = self._live.get(id)
        if live and live.is_followed:
            # Its last text may not have come this far.
            self.following.hear(["look", id])
        else:
            self.following.finish(id, Ended(status))

    # For those who watch

    def observe(self, id: int, after: int, viewer: Viewer) -> Iterator[Text | Notice | Ended]:
        """Yield the text from position `after` as it is saved, without gap or repeat, then the ending.

        The text so far comes at once, even when it is empty, and behind it what is waited for, which later
        comes as it changes. Later an empty text is yielded whenever `viewer.patience` seconds pass without
        news. Stops without an ending when the viewer leaves. What was yielded is not held on to.
        """
        live = self._live.get(id)
        if live is None:
            status, text = Analysis.saved(id, after) or (None, "")
            if status is None or status in ENDINGS:
                if status:
                    yield Text(after + len(text), text)
                yield Ended(Status(status) if status else None)
                return
            live = self.following.follow(id, status, text if not after else None)
        live.viewers.add(viewer)
        try:
            notice = None
            is_first = True
            while is_first or not (viewer.has_left or self._live.is_dismissed(viewer)):
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
                    yield from self.observe(id, after, viewer)
                    return
                elif not viewer.wait():
                    yield Text(after, "")
        finally:
            self._live.leave(id, live, viewer)

    def dismiss(self, everybody: bool = True) -> None:
        """Send the viewers away, those too who come from now on; or those only who can return."""
        self._live.dismiss(everybody)

    # Committing

    def _owned(self, id: int) -> Live:
        live = self._live.get(id)
        if live is None or live.is_followed:
            raise LeaseLost(id)
        return live

    def _submit(self, id: int, live: Live, text: str) -> None:
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
        tick_due = renewed = looked = time.monotonic()
        while True:
            if not self._saved:
                self._pending.wait(max(0, looked + self._look_after - time.monotonic()))
            self._urgent.wait(max(0, tick_due - time.monotonic()))
            self._pending.clear()
            self._urgent.clear()
            now = time.monotonic()
            # Also while first texts come without a pause: each is urgent, and all others would stand still.
            if now >= tick_due:
                tick_due = now + self.TICK_SECONDS
                self._let_writers_go()
            renew = now - renewed >= self.RENEW_SECONDS
            if renew or self._batch or now - looked >= self._look_after:
                try:
                    self._commit(self.LEASE_SECONDS if renew else None)
                except Exception:
                    # Whatever it was, nothing more would be saved without a committer.
                    logger.exception("a fault of our own")
                looked = now
            if renew:
                renewed = now

    @property
    def _look_after(self) -> float:
        # A commit also tells of stops: with a channel to tell of them, seldom is enough.
        return self.RENEW_SECONDS if self.channel.is_up else self.following.POLL_SECONDS

    def _let_writers_go(self) -> None:
        saved, self._saved = self._saved, []
        for batch in saved:
            batch.saved.set(batch.held)
        # They run now, before this greenlet goes on, as far as there is something to read.
        gevent.sleep(0)

    def _commit(self, lease_seconds: float | None) -> None:
        batch, self._batch = self._batch, _Batch()
        owned = self._live.own
        try:
            database.reserve()
            with metrics.commit_seconds.time():
                batch.held = Analysis.commit(
                    self.worker, batch.pieces, batch.endings, lease_seconds, batch.first
                )
            if lease_seconds:
                self._renewed = time.monotonic()
        except StorageError as error:
            metrics.commit_failures.inc()
            # Whoever waits must hear of it, and the next batch must find a committer.
            logger.error("nothing could be saved", exc_info=error)
            for id, _, text in batch.pieces:
                # Others may have read it: its ending must not lack it.
                if error.may_be_saved and (live := self._live.get(id)):
                    live.unsaved = text
            batch.saved.set_exception(error)
            if self.is_late:
                # Whoever reaches the database takes them over: here they only cost.
                for id in owned:
                    self._stop(id, Status.INTERRUPTED)
            return
        except Exception:
            self._commit_one_by_one(batch)
            owned = batch.ids - batch.failed.keys()
        self._saved.append(batch)
        for id, _, text in batch.pieces:
            if id in batch.held and (live := self._live.get(id)):
                position = live.position
                live.grow(text)
                if live.watchers:
                    self.following.tell(live, ["text", id, position, text])
        for id in owned - batch.held.keys():
            self._live.lose(id)
            self._stop(id)
        for id in (id for id, is_to_stop in batch.held.items() if is_to_stop):
            self._stop(id)
        for id in batch.held.keys() & batch.endings.keys():
            ending = batch.endings[id]
            if (live := self._live.get(id)) and (rest := ending["text"][live.position :]):
                live.add(rest)
            self.following.finish(id, Ended(ending["status"]))

    def _commit_one_by_one(self, batch: _Batch) -> None:
        """Keep what cannot be stored of one analysis from taking the others with it."""
        batch.held = {}
        for id in batch.ids:
            pieces = [piece for piece in batch.pieces if piece[0] == id]
            endings = {id: batch.endings[id]} if id in batch.endings else {}
            try:
                held = Analysis.commit(self.worker, pieces, endings, None, batch.first & {id})
                batch.held |= {id: held[id]} if id in held else {}
            except Exception as error:
                logger.exception("cannot be saved", extra={"analysis": id})
                batch.failed[id] = error
