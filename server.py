"""The one server everywhere: gunicorn with its gevent worker, one process per SQLite file."""

from __future__ import annotations

import gc
import resource
import sys
from collections.abc import Callable
from typing import Any

import gevent
from flask import Flask
from gunicorn.app.base import BaseApplication

import models
from analyzer import Analyzer
from config import Settings

MakeApp = Callable[[Settings], Flask]


class Server(BaseApplication):
    """Gunicorn, configured by our settings."""

    def __init__(self, settings: Settings, make_app: MakeApp) -> None:
        self.settings = settings
        self.make_app = make_app
        super().__init__()

    def load_config(self) -> None:
        options: dict[str, Any] = {
            "bind": self.settings.address,
            "worker_class": "gevent",
            "workers": 1,
            "worker_connections": 4000,
            # A connection that waits this long for its next request is closed; a drained one holds
            # the worker's end as long.
            "keepalive": 5,
            # A worker whose hub stands still this long is killed, with all its streams.
            "timeout": 30,
            "graceful_timeout": int(self.settings.grace_seconds) + 5,
            "control_socket_disable": True,
            "post_worker_init": begin,
            "worker_exit": end,
            "loglevel": "warning",
            "proc_name": "precis",
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """Make the application, in the worker."""
        app = self.make_app(self.settings)
        # Held until the process dies, however it dies.
        self.lock = models.hold(self.settings.database_file)
        return app


def serve(settings: Settings, offered: tuple[str, ...], make_app: MakeApp) -> None:
    """Migrate, say where the server is and which models it offers, and serve until a signal."""
    raise_file_limit()
    models.connect(settings.database_file)
    with models.hold(settings.database_file):
        models.migrate()
    where = settings.address if settings.bind else f"http://{settings.address}"
    print(f"Precis is at {where}", file=sys.stderr)  # noqa: T201
    print(f"Models: {', '.join(offered)}", file=sys.stderr)  # noqa: T201
    Server(settings, make_app).run()


def begin(worker: Any) -> None:
    """Begin the analyzer in a new worker, and end it with the worker."""
    analyzer: Analyzer = worker.wsgi.extensions["analyzer"]
    analyzer.begin()
    worker.drained = gevent.spawn(drain_at_end, worker, analyzer)
    # What is loaded by now lives for ever: a full collection of it would stall every stream.
    gc.collect()
    gc.freeze()
    gc.set_threshold(5000, 20, 50)


def drain_at_end(worker: Any, analyzer: Analyzer) -> None:
    """Wait for the worker to be told to end, then end its streams: gunicorn would only wait for them."""
    while worker.alive:
        gevent.sleep(0.1)
    analyzer.drain(worker.app.settings.grace_seconds)


def end(_server: Any, worker: Any) -> None:
    """Wait for what still runs: without connections left, gunicorn would end its worker at once."""
    if drained := getattr(worker, "drained", None):
        drained.join()


def raise_file_limit() -> None:
    """Allow as many open files as the system lets us: each viewer and each call is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
