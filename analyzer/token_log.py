"""The token log: an answer's text is saved first and shown afterwards, to any number of viewers.

A position is a number of characters (code points) from the answer's beginning. It means the same in
every process and after every restart, because the text before it never changes.
"""

from __future__ import annotations

import bisect
import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

import gevent
from gevent.event import AsyncResult, Event

import metrics
from analyzer.channel import Redis, Silence
from analyzer.text import Door
from models import ENDINGS, Analysis, Status
from storage import StorageError, database

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
    many characters it takes at a time. One that cannot go on elsewhere, `can_return` says, is sent away last.
    """

    __slots__ = ("appetite", "can_return", "has_left", "news", "patience")

    def __init__(self, patience: float = 10.0, appetite: int = sys.maxsize, can_return: bool = True) -> None:
        self.news = Event()
        self.patience = patience
        self.appetite = appetite
        self.can_return = can_return
        self.has_left = False

    def leave(self) -> None:
        """End its watching at once, from any greenlet."""
        self.has_left = True
        self.news.set()


class _Live:
    """The saved text of a live analysis in this process's memory, and who watches it.

    It grows here, or it is followed: then somebody else's, or nobody's yet.
    """

    __slots__ = (
        "begun",
        "door",
        "ended",
        "is_followed",
        "is_lost",
        "look_at",
        "notice",
        "patience",
        "pieces",
        "position",
        "starts",
        "submitted",
        "unsaved",
        "viewers",
        "watchers",
    )

    def __init__(self, text: str = "", is_followed: bool = False) -> None:
        self.pieces: list[str] = []
        self.starts: list[int] = []
        self.position = 0
        self.is_lost = False
        self.notice = Notice(None)
        self.ended: Ended | None = None
        self.viewers: set[Viewer] = set()
        # The other processes that follow it, and until when.
        self.watchers: dict[str, float] = {}
        self.look_at = self.patience = 0.0
        self.is_followed = is_followed
        if not is_followed:
            self.adopt(text)

    def adopt(self, text: str) -> None:
        """Begin to grow here, from a saved text of which more may be known than before."""
        self.is_followed = False
        if rest := text[self.position :]:
            self.add(rest)
        self.door = Door()
        self.submitted = self.position
        self.unsaved = ""
        self.begun = False

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
    # Where no channel tells what other processes save, and how often asked for their stops.
    POLL_SECONDS = 0.25
    # With one, and without news, the database is looked into after a second, then more and more seldom.
    LOOK_SECONDS = (1.0, 5.0)
    # For so long the other processes are told without having asked again.
    WATCH_SECONDS = 15.0

    def __init__(self, worker: str, channel: Redis | Silence, stop: Callable[..., None]) -> None:
        self.worker = worker
        self.channel = channel
        self._stop = stop
        self._live: dict[int, _Live] = {}
        self._batch = _Batch()
        self._saved: list[_Batch] = []
        self._pending = Event()
        self._urgent = Event()
        self._looks = Event()
        self._is_dismissed: Callable[[Viewer], bool] = lambda _: False

    def start(self) -> None:
        """Begin to commit and to follow, in greenlets of its own."""
        self._greenlets = [gevent.spawn(self._commit_forever), gevent.spawn(self._follow_forever)]
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
        live = self._live.get(id)
        if live is None:
            self._live[id] = _Live(text)
        elif live.is_followed:
            live.adopt(text)
            live.announce()

    def notify(self, id: int, wait: Wait | None, seconds: float = 0.0) -> None:
        """Tell the viewers what an analysis waits for, and for how long; its next text takes that back."""
        if live := self._live.get(id):
            live.notice = Notice(wait, time.monotonic() + seconds) if wait else Notice(None)
            live.announce()
            self._tell_notice(id, live)

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
        self._finish(id, Ended(None))

    def conclude(self, id: int, status: Status) -> None:
        """Tell the viewers of an analysis that ended without having run here."""
        live = self._live.get(id)
        if live and live.is_followed:
            # Its last text may not have come this far.
            self.hear(["look", id])
        else:
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
            status, text = Analysis.saved(id, after) or (None, "")
            if status is None or status in ENDINGS:
                if status:
                    yield Text(after + len(text), text)
                yield Ended(Status(status) if status else None)
                return
            live = self._follow(id, status, text if not after else None)
        live.viewers.add(viewer)
        try:
            notice = None
            is_first = True
            while is_first or not (viewer.has_left or self._is_dismissed(viewer)):
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
                    yield from self.observe(id, after, viewer)
                    return
                elif not viewer.news.wait(viewer.patience):
                    yield Text(after, "")
        finally:
            live.viewers.discard(viewer)
            if live.is_followed and not live.viewers and self._live.get(id) is live:
                del self._live[id]

    def dismiss(self, everybody: bool = True) -> None:
        """Send the viewers away, those too who come from now on; or those only who can return."""
        self._is_dismissed = lambda viewer: everybody or viewer.can_return
        for live in self._live.values():
            for viewer in filter(self._is_dismissed, live.viewers):
                viewer.leave()

    # Following what other processes run, or nobody yet

    def hear(self, message: list[Any]) -> None:
        """Take what another process tells of an analysis: its text, what it waits for, that it changed."""
        kind, *rest = message
        if kind == "silence":
            self._pending.set()
            return
        if kind == "watch":
            self._watched(*rest)
            return
        live = self._live.get(rest[0])
        if live is None or not live.is_followed:
            return
        if kind == "text":
            _, position, text = rest
            if position > live.position:
                live.look_at = 0
            elif more := text[live.position - position :]:
                live.notice = Notice(None) if live.notice.wait else live.notice
                live.add(more)
                live.announce()
                self._look_later(live, has_news=True)
        elif kind == "wait":
            _, wait, seconds = rest
            live.notice = Notice(Wait(wait), time.monotonic() + seconds) if wait else Notice(None)
            live.announce()
        elif kind == "look":
            live.look_at = 0
        if not live.look_at:
            self._looks.set()

    def _follow(self, id: int, status: str, text: str | None) -> _Live:
        if text is None:
            status, text = Analysis.saved(id) or (status, "")
        # Another viewer may have come while it was read.
        live = self._live.setdefault(id, _Live(is_followed=True))
        if live.is_followed:
            self._take_saved(id, live, 0, (status, text))
            self._watch([id])
        return live

    def _watch(self, ids: list[int]) -> None:
        self.channel.tell(["watch", ids, self.worker])

    def _watched(self, ids: list[int], watcher: str) -> None:
        for id in ids:
            live = self._live.get(id)
            if live and not live.is_followed and watcher != self.worker:
                live.watchers[watcher] = time.monotonic() + self.WATCH_SECONDS
                self._tell_notice(id, live)

    def _tell(self, live: _Live, message: list[Any]) -> None:
        now = time.monotonic()
        for watcher, until in list(live.watchers.items()):
            if now < until:
                self.channel.tell(message, watcher)
            else:
                del live.watchers[watcher]

    def _tell_notice(self, id: int, live: _Live) -> None:
        if live.watchers:
            wait, until = live.notice
            self._tell(live, ["wait", id, wait, max(0.0, until - time.monotonic())])

    def _follow_forever(self) -> None:
        watched_at = 0.0
        was_up = self.channel.is_up
        while True:
            self._looks.wait(self.POLL_SECONDS)
            self._looks.clear()
            now, is_up = time.monotonic(), self.channel.is_up
            metrics.channel_up.set(is_up)
            followed = [(id, live) for id, live in self._live.items() if live.is_followed]
            if is_up and (now - watched_at > self.WATCH_SECONDS / 3 or not was_up):
                watched_at = now
                if followed:
                    self._watch([id for id, _ in followed])
            for id, live in followed:
                if live.is_followed and (not is_up or not was_up or now >= live.look_at):
                    self._look(id, live)
            was_up = is_up

    def _look(self, id: int, live: _Live) -> None:
        before = live.position
        self._look_later(live, has_news=False)
        try:
            found = Analysis.saved(id, before)
        except Exception as error:
            # Whatever it was, those who follow need one who looks.
            logger.warning("could not look", exc_info=error, extra={"analysis": id})
            return
        self._take_saved(id, live, before, found)

    def _look_later(self, live: _Live, has_news: bool) -> None:
        first, last = self.LOOK_SECONDS
        live.patience = first if has_news else min(last, max(first, live.patience * 2))
        live.look_at = time.monotonic() + live.patience

    def _take_saved(self, id: int, live: _Live, before: int, found: tuple[str, str] | None) -> None:
        # While it was read it may have grown, or begun to run here.
        if not live.is_followed or self._live.get(id) is not live:
            return
        status, text = found or (None, "")
        if more := text[live.position - before :]:
            live.add(more)
        if status is None or status in ENDINGS:
            self._finish(id, Ended(Status(status) if status else None))
            return
        if status == Status.WAITING and live.notice.wait is not Wait.TURN:
            live.notice = Notice(Wait.TURN)
        elif status == Status.RUNNING and live.notice.wait is Wait.TURN:
            live.notice = Notice(None)
        live.announce()

    # Committing

    def _owned(self, id: int) -> _Live:
        live = self._live.get(id)
        if live is None or live.is_followed:
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
        tick_due = renewed = looked = time.monotonic()
        while True:
            if not self._saved:
                self._pending.wait(max(0, looked + self._look_after - time.monotonic()))
            is_tick = not self._urgent.wait(max(0, tick_due - time.monotonic()))
            self._pending.clear()
            self._urgent.clear()
            now = time.monotonic()
            if is_tick:
                tick_due = now + self.TICK_SECONDS
                self._let_writers_go()
            renew = now - renewed >= self.RENEW_SECONDS
            if renew or self._batch or now - looked >= self._look_after:
                self._commit(self.LEASE_SECONDS if renew else None)
                looked = now
            if renew:
                renewed = now

    @property
    def _look_after(self) -> float:
        # A commit also tells of stops: with a channel to tell of them, seldom is enough.
        return self.RENEW_SECONDS if self.channel.is_up else self.POLL_SECONDS

    def _let_writers_go(self) -> None:
        saved, self._saved = self._saved, []
        for batch in saved:
            batch.saved.set(batch.held)
        # They run now, before this greenlet goes on, as far as there is something to read.
        gevent.sleep(0)

    def _commit(self, lease_seconds: float | None) -> None:
        batch, self._batch = self._batch, _Batch()
        owned = {id for id, live in self._live.items() if not live.is_followed}
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
                if live.notice.wait:
                    live.notice = Notice(None)
                position = live.position
                live.add(text)
                live.announce()
                if live.watchers:
                    self._tell(live, ["text", id, position, text])
        for id in owned - batch.held.keys():
            self._lose(id)
            self._stop(id)
        for id in (id for id, is_to_stop in batch.held.items() if is_to_stop):
            self._stop(id)
        for id in batch.held.keys() & batch.endings.keys():
            ending = batch.endings[id]
            if (live := self._live.get(id)) and (rest := ending["text"][live.position :]):
                live.add(rest)
            self._finish(id, Ended(ending["status"]))

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

    def _lose(self, id: int) -> None:
        # Whoever has taken it over has ended it, or will: its viewers go on with what is saved.
        if live := self._live.pop(id, None):
            live.is_lost = True
            live.announce()

    def _finish(self, id: int, ended: Ended) -> None:
        if live := self._live.pop(id, None):
            live.ended = ended
            live.announce()
            self._tell(live, ["look", id])
