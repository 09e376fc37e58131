"""How often a person may start an analysis."""

from __future__ import annotations

import math
import time

from flask import Flask, current_app
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from limits import parse_many

limiter = Limiter(get_remote_address, strategy="moving-window")


class TooOften(Exception):
    """The limit is used up: `amount` starts were allowed, the next one in `wait` seconds."""

    def __init__(self, amount: int, wait: int) -> None:
        self.amount = amount
        self.wait = wait


def register(app: Flask) -> None:
    """Count in this process's memory."""
    app.config.setdefault("RATELIMIT_STORAGE_URI", "memory://")
    limiter.init_app(app)


def count_start() -> None:
    """Count one start against the person's limit, or raise `TooOften`.

    Called when everything else about the request is right, before the start: a limit that is looked
    at here and counted afterwards is passed by whoever sends many requests together.
    """
    person, window = get_remote_address(), limiter.limiter
    limit = current_app.config["ANALYZE_LIMIT"]
    for item in parse_many(limit) if limit else ():
        # Not `test` and then `hit`, between which others may run.
        if not window.hit(item, person):
            wait = math.ceil(window.get_window_stats(item, person).reset_time - time.time())
            raise TooOften(item.amount, max(1, wait))
