"""Starts wait their turn: of many that come together each would keep all that streams waiting."""

from __future__ import annotations

import gevent
from flask import Flask, request
from gevent.lock import Semaphore

STARTS = {"analyses.create", "continuations.create"}

_turn = Semaphore()


def register(app: Flask) -> None:
    """Let one start pass after another, and between two of them all else that is ready to run."""
    app.before_request(_wait)


def _wait() -> None:
    if request.endpoint in STARTS:
        with _turn:
            gevent.sleep(0)
