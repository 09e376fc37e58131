"""How often a person may start an analysis."""

from __future__ import annotations

import logging
import math
import time

from flask import Flask, current_app
from flask_limiter import Limiter
from limits import RateLimitItem, parse_many
from limits.errors import StorageError
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter, RateLimiter

import metrics
from views.helpers.identity import counted_as

logger = logging.getLogger(__name__)

limiter = Limiter(counted_as, strategy="moving-window")

# While Redis does not answer each process counts for itself; it is not asked at every start.
REST_SECONDS = 5.0
OPTIONS = {"socket_timeout": 1, "socket_connect_timeout": 1, "wrap_exceptions": True}


class TooOften(Exception):
    """The limit is used up: `amount` starts were allowed, the next one in `wait` seconds."""

    def __init__(self, amount: int, wait: int) -> None:
        self.amount = amount
        self.wait = wait


class Counter:
    """Counts in Redis, where all processes do, or while it is gone in this process's memory."""

    def __init__(self, shared: RateLimiter) -> None:
        self._shared = shared
        self._own = MovingWindowRateLimiter(MemoryStorage())
        self._rests_until = 0.0

    def hit(self, item: RateLimitItem, person: str) -> float | None:
        """Count a start; returns None, or, where it is one too many, when there is room again."""
        if time.monotonic() >= self._rests_until:
            try:
                until = self._hit(self._shared, item, person)
            except StorageError as error:
                if not self._rests_until:
                    logger.error("the limit is counted in each process by itself", exc_info=error)
                self._rests_until = time.monotonic() + REST_SECONDS
            else:
                self._rests_until = 0.0
                return until
        metrics.limit_fallbacks.inc()
        return self._hit(self._own, item, person)

    @staticmethod
    def _hit(window: RateLimiter, item: RateLimitItem, person: str) -> float | None:
        # Not `test` and then `hit`, between which others may run.
        return None if window.hit(item, person) else window.get_window_stats(item, person).reset_time


def register(app: Flask) -> None:
    """Count in Redis if there is one, else in this process's memory."""
    if url := app.config["REDIS_URL"]:
        app.config.setdefault("RATELIMIT_STORAGE_OPTIONS", OPTIONS)
        app.config.setdefault("RATELIMIT_STORAGE_URI", url)
    app.config.setdefault("RATELIMIT_STORAGE_URI", "memory://")
    limiter.init_app(app)
    app.extensions["starts"] = Counter(limiter.limiter)


def count_start() -> None:
    """Count one start against the person's limit, or raise `TooOften`.

    Called when everything else about the request is right, before the start: a limit that is looked
    at here and counted afterwards is passed by whoever sends many requests together.
    """
    person, starts = counted_as(), current_app.extensions["starts"]
    limit = current_app.config["ANALYZE_LIMIT"]
    for item in parse_many(limit) if limit else ():
        if (until := starts.hit(item, person)) is not None:
            # By the clock of whoever was counted, which may go wrong.
            wait = min(math.ceil(until - time.time()), item.get_expiry())
            raise TooOften(item.amount, max(1, wait))
