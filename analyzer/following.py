"""Following: what other processes run, or nobody yet, is kept up with in this one's memory.

Who follows an analysis asks its process to be told what it saves. What was not told, or came too late, is
read from the database: at once where the channel is silent or a text is missing, else more and more seldom.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from gevent.event import Event

import metrics
from analyzer.channel import Redis, Silence
from analyzer.live import Ended, Live, Lives, Notice, Wait
from models import ENDINGS, Analysis, Status

logger = logging.getLogger(__name__)


class Following:
    """Keeps those of a process's lives up to date that grow elsewhere, and tells of those that grow here."""

    # Where no channel tells what other processes save, and how often asked for their stops.
    POLL_SECONDS = 0.25
    # With one, and without news, the database is looked into after a second, then more and more seldom.
    LOOK_SECONDS = (1.0, 5.0)
    # For so long the other processes are told without having asked again.
    WATCH_SECONDS = 15.0

    def __init__(self, worker: str, channel: Redis | Silence, lives: Lives) -> None:
        self.worker = worker
        self.channel = channel
        self._live = lives
        self.looks = Event()

    def hear(self, message: list[Any]) -> None:
        """Take what another process tells of an analysis: its text, what it waits for, that it changed."""
        kind, *rest = message
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
                live.grow(more)
                self._look_later(live, has_news=True)
        elif kind == "wait":
            _, wait, seconds = rest
            live.wait_for(Wait(wait) if wait else None, seconds)
        elif kind == "look":
            live.look_at = 0
            # Whoever has just begun to run it was not there to be told who follows.
            self._watch([rest[0]])
        if not live.look_at:
            self.looks.set()

    def follow(self, id: int, status: str, text: str | None) -> Live:
        """Begin to follow an analysis, found with a status and, if it was read, its whole text."""
        if text is None:
            status, text = Analysis.saved(id) or (status, "")
        # Another viewer may have come while it was read.
        live = self._live.setdefault(id, Live(is_followed=True))
        if live.is_followed:
            self._take_saved(id, live, 0, (status, text))
            self._watch([id])
        return live

    def look_forever(self) -> None:
        """Ask to be told, and look for what was not."""
        watched_at = 0.0
        was_up = self.channel.is_up
        while True:
            self.looks.wait(self.POLL_SECONDS)
            self.looks.clear()
            now, is_up = time.monotonic(), self.channel.is_up
            metrics.channel_up.set(is_up)
            followed = self._live.followed
            if is_up and (now - watched_at > self.WATCH_SECONDS / 3 or not was_up):
                watched_at = now
                if followed:
                    self._watch([id for id, _ in followed])
            for id, live in followed:
                if live.is_followed and (not is_up or not was_up or now >= live.look_at):
                    self._look(id, live)
            was_up = is_up

    def tell(self, live: Live, message: list[Any]) -> None:
        """Tell those processes that follow it."""
        now = time.monotonic()
        for watcher, until in list(live.watchers.items()):
            if now < until:
                self.channel.tell(message, watcher)
            else:
                del live.watchers[watcher]

    def tell_notice(self, id: int, live: Live) -> None:
        """Tell those processes that follow it what it waits for."""
        if live.watchers:
            wait, until = live.notice
            self.tell(live, ["wait", id, wait, max(0.0, until - time.monotonic())])

    def finish(self, id: int, ended: Ended) -> None:
        """Tell all who watch, here and elsewhere, how it ended."""
        if live := self._live.finish(id, ended):
            self.tell(live, ["look", id])

    def _watch(self, ids: list[int]) -> None:
        self.channel.tell(["watch", ids, self.worker])

    def _watched(self, ids: list[int], watcher: str) -> None:
        for id in ids:
            live = self._live.get(id)
            if live and not live.is_followed and watcher != self.worker:
                live.watchers[watcher] = time.monotonic() + self.WATCH_SECONDS
                self.tell_notice(id, live)

    def _look(self, id: int, live: Live) -> None:
        before = live.position
        self._look_later(live, has_news=False)
        try:
            found = Analysis.saved(id, before)
        except Exception as error:
            # Whatever it was, those who follow need one who looks.
            logger.warning("could not look", exc_info=error, extra={"analysis": id})
            return
        self._take_saved(id, live, before, found)
        if live.position > before:
            # Text of which nothing was heard: more will come as silently.
            self._look_later(live, has_news=True)

    def _look_later(self, live: Live, has_news: bool) -> None:
        first, last = self.LOOK_SECONDS
        live.patience = first if has_news else min(last, max(first, live.patience * 2))
        live.look_at = time.monotonic() + live.patience

    def _take_saved(self, id: int, live: Live, before: int, found: tuple[str, str] | None) -> None:
        # While it was read it may have grown, or begun to run here.
        if not live.is_followed or self._live.get(id) is not live:
            return
        status, text = found or (None, "")
        if more := text[live.position - before :]:
            live.add(more)
        if status is None or status in ENDINGS:
            self.finish(id, Ended(Status(status) if status else None))
            return
        if status == Status.WAITING and live.notice.wait is not Wait.TURN:
            live.notice = Notice(Wait.TURN)
        elif status == Status.RUNNING and live.notice.wait is Wait.TURN:
            live.notice = Notice(None)
        live.announce()
