"""The trail: who did what, in the log at once and in the database a moment later."""

from __future__ import annotations

import logging
from collections import deque
from contextlib import suppress
from itertools import islice

import gevent
from gevent.event import Event as Signal
from gevent.lock import RLock

import metrics
from models import Event, now
from storage import StorageError

logger = logging.getLogger(__name__)


class Trail:
    """Notes events without waiting for the database: reading goes on while nothing can be saved.

    A greenlet saves them in the order in which they came, a second later. What a killed process had not
    saved, and what comes while `MOST_WAITING` wait, is in the log only.
    """

    MOST_WAITING = 10_000
    AT_ONCE = 500
    PAUSE_SECONDS = 1.0
    REST_SECONDS = 10.0

    def __init__(self) -> None:
        self._waiting: deque[Event.Row] = deque()
        self._has_some = Signal()
        self._turn = RLock()
        self._writer: gevent.Greenlet | None = None

    def begin(self) -> None:
        """Save from now on what is noted."""
        self._writer = gevent.spawn(self._save_forever)

    def note(
        self,
        action: str,
        user_id: int | None,
        name: str,
        document_id: int | None = None,
        analysis_id: int | None = None,
        detail: str = "",
        address: str = "",
    ) -> None:
        """Note an event; `detail` and `action` hold no word of a document, a question or an answer."""
        facts = {
            "action": action,
            "person": user_id,
            "document": document_id,
            "analysis": analysis_id,
            "detail": detail,
            "address": address,
        }
        logger.info("audit", extra=facts)
        if len(self._waiting) >= self.MOST_WAITING:
            metrics.events_lost.inc()
            return
        row = Event.Row(now(), user_id, name[:200], action, document_id, analysis_id, detail, address[:64])
        self._waiting.append(row)
        self._has_some.set()

    def save(self) -> None:
        """Save what waits; raises `StorageError`, and keeps it, when that cannot be."""
        # One after the other, or both would save the same.
        with self._turn:
            while rows := list(islice(self._waiting, self.AT_ONCE)):
                Event.keep(rows)
                for _ in rows:
                    self._waiting.popleft()

    def end(self) -> None:
        """Save the last of it, if that can be."""
        if self._writer:
            self._writer.kill()
        with suppress(StorageError):
            self.save()
        metrics.events_lost.inc(len(self._waiting))

    def _save_forever(self) -> None:
        while True:
            self._has_some.wait()
            gevent.sleep(self.PAUSE_SECONDS)
            self._has_some.clear()
            try:
                self.save()
            except Exception as error:
                # Whatever it was, the next ones need somebody who saves them.
                logger.error("events could not be saved", exc_info=error)
                metrics.event_failures.inc()
                self._has_some.set()
                gevent.sleep(self.REST_SECONDS)
