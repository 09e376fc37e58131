"""The one server everywhere: gunicorn with its gevent worker, one process per SQLite file."""

from __future__ import annotations

import gc
import os
import resource
import signal
import sys
from collections.abc import Callable
from typing import Any

import gevent
from flask import Flask
from gunicorn.app.base import BaseApplication

import storage
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
            # No header of a client's may move the application to another path.
            "forwarder_headers": "",
            # A worker whose hub stands still this long is killed, with all its streams.
            "timeout": 30,
            "graceful_timeout": int(self.settings.grace_seconds) + 5,
            "control_socket_disable": True,
            "when_ready": end_in_order,
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
        # After SIGHUP the last worker finishes first.
        self.lock = storage.hold(self.settings.database_file, self.settings.grace_seconds + 10)
        return app


def serve(settings: Settings, offered: tuple[str, ...], make_app: MakeApp) -> None:
    """Migrate, say where the server is and which models it offers, and serve until a signal."""
    raise_file_limit()
    storage.connect(settings.database_file)
    with storage.hold(settings.database_file):
        storage.migrate()
    where = settings.address if settings.bind else f"http://{settings.address}"
    print(f"Precis is at {where}", file=sys.stderr)  # noqa: T201
    print(f"Models: {', '.join(offered)}", file=sys.stderr)  # noqa: T201
    Server(settings, make_app).run()


def end_in_order(arbiter: Any) -> None:
    """Let Ctrl-C end the server as a service manager does, and let no signal add a worker."""
    arbiter.handle_int = arbiter.handle_term
    # A second worker could never get the database: it would fail to boot and end the server.
    signal.signal(signal.SIGTTIN, signal.SIG_IGN)


def begin(worker: Any) -> None:
    """Begin the analyzer in a new worker, and end it with the worker."""
    analyzer: Analyzer = worker.wsgi.extensions["analyzer"]
    if interrupted := analyzer.begin():
        worker.log.warning("ended as interrupted what the last worker left: %s", interrupted)
    # Ctrl-C reaches all processes of a terminal; the worker waits to be told by its parent.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    worker.drained = gevent.spawn(drain_at_end, worker, analyzer)
    # What is loaded by now lives for ever: a full collection of it would stall every stream.
    gc.collect()
    gc.freeze()
    gc.set_threshold(5000, 20, 50)


def drain_at_end(worker: Any, analyzer: Analyzer) -> None:
    """Wait for the worker to be told to end, then end its streams: gunicorn would only wait for them."""
    while worker.alive:
        gevent.sleep(0.1)
    # Without its parent nothing is waited for: a successor may be asking for the database already.
    is_orphan = os.getppid() != worker.ppid
    analyzer.drain(0 if is_orphan else worker.app.settings.grace_seconds)


def end(_server: Any, worker: Any) -> None:
    """Wait for what still runs: without connections left, gunicorn would end its worker at once."""
    # An orphan exits without having been told to.
    worker.alive = False
    if drained := getattr(worker, "drained", None):
        drained.join()


def raise_file_limit() -> None:
    """Allow as many open files as the system lets us: each viewer and each call is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
