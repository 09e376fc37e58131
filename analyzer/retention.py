"""Retention: what is old goes, by itself."""

from __future__ import annotations

import logging
from datetime import timedelta

import gevent

from analyzer.trail import Trail
from hub import let_others_run
from models import Document, Event, Reading, Session, now
from storage import connected

logger = logging.getLogger(__name__)


class Retention:
    """Deletes documents that were neither brought nor analysed for `days`, and events after `event_days`.

    With 0 `days` no document goes. Every process looks, each for itself: of two that find the same document
    one deletes it, and one event says so.
    """

    NAME = "retention"
    FIRST_SECONDS = 60.0
    EVERY_SECONDS = 3600.0
    AT_ONCE = 50

    def __init__(self, trail: Trail, days: int, event_days: int) -> None:
        self._trail = trail
        self._days = days
        self._event_days = event_days
        self._task: gevent.Greenlet | None = None

    def begin(self) -> None:
        """Look from now on, once an hour."""
        self._task = gevent.spawn(self._look_forever)

    def end(self) -> None:
        """Look no more."""
        if self._task:
            self._task.kill()

    def look(self) -> None:
        """Delete all that is too old, a little at a time; raises `StorageError`."""
        if self._days:
            self._delete_documents()
        while Event.forget(now() - timedelta(days=self._event_days), self.AT_ONCE * 10):
            let_others_run()
        Session.forget_over()
        Reading.forget_old()

    def _delete_documents(self) -> None:
        before = now() - timedelta(days=self._days)
        while True:
            with connected():
                ids = Document.unused_since(before, self.AT_ONCE)
            for id in ids:
                # Looked at again: somebody may have asked something meanwhile, or another process deleted it.
                if Document.delete_unused(id, before):
                    self._trail.note("deleted", None, self.NAME, document_id=id)
                let_others_run()
            if len(ids) < self.AT_ONCE:
                return

    def _look_forever(self) -> None:
        # Not at once: whoever starts has more urgent things to do, and may be restarted again and again.
        gevent.sleep(self.FIRST_SECONDS)
        while True:
            try:
                self.look()
            except Exception as error:
                # Whatever it was, what is too old in an hour needs somebody who looks.
                logger.error("what is too old could not be deleted", exc_info=error)
            gevent.sleep(self.EVERY_SECONDS)
