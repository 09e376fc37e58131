"""Starts wait their turn: of many that come together each would keep all that streams waiting."""

from __future__ import annotations

from flask import Flask, request
from gevent.lock import Semaphore

from hub import let_others_run

STARTS = {"analyses.create", "continuations.create"}

_turn = Semaphore()


def register(app: Flask) -> None:
    """Let one start pass after another, and between two of them all else that is ready to run."""
    app.before_request(_wait)


def _wait() -> None:
    if request.endpoint in STARTS:
        with _turn:
            let_others_run()
