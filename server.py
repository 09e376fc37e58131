"""The one server everywhere: gunicorn with its gevent workers, a single one per SQLite file."""

from __future__ import annotations

import errno
import gc
import logging
import os
import resource
import signal
import struct
import sys
import termios
import time
from array import array
from collections.abc import Callable
from fcntl import ioctl
from typing import Any

import gevent
from flask import Flask
from gevent import socket
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.workers.ggevent import GeventWorker

import logs
import storage
from analyzer import Analyzer
from config import Settings

logger = logging.getLogger(__name__)

MakeApp = Callable[[Settings], Flask]

MAX_CONNECTIONS = 4000
# A stream writes every 10 s at least, so that who takes nothing is dropped within 90 s.
STALL_SECONDS = 80.0


class Server(BaseApplication):
    """Gunicorn, configured by our settings."""

    def __init__(self, settings: Settings, make_app: MakeApp) -> None:
        self.settings = settings
        self.make_app = make_app
        super().__init__()

    def load_config(self) -> None:
        options: dict[str, Any] = {
            "bind": self.settings.address,
            "worker_class": Worker,
            "logger_class": logs.ServerLogger,
            "workers": self.settings.workers,
            "worker_connections": max_connections(),
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
        self.lock = storage.hold(self.settings.grace_seconds + 10)
        # While no worker held it, an older backup may have taken its place.
        storage.migrate()
        return app


class Worker(GeventWorker):
    """Gunicorn's gevent worker, which tells what happens to the log only and drops stalled clients."""

    clients = 0

    def init_process(self) -> None:
        """Run; a failure is logged here because gunicorn would print its message."""
        try:
            super().init_process()
        except Exception:
            logger.exception("the worker failed")
            sys.exit(1 if self.booted else Arbiter.WORKER_BOOT_ERROR)

    def timeout_ctx(self) -> Any:
        """Bound the wait for a connection's next request, which is none of the one before."""
        logs.request_id.set("")
        return super().timeout_ctx()

    def handle(self, listener: Any, accepted: Any, address: Any) -> None:
        """Serve one connection."""
        self.clients += 1
        try:
            super().handle(listener, Client(accepted), address)
        finally:
            self.clients -= 1

    def handle_request(self, listener_name: Any, request: Any, client: Client, address: Any) -> None:
        """Serve one request."""
        if self.clients > self.worker_connections // 2:
            # Those who wait to be let in shall not wait for connections that stay open for nothing.
            request.force_close()
        super().handle_request(listener_name, request, client, address)


class Client(socket.socket):
    """A client's connection, which is as good as reset when its client takes nothing for STALL_SECONDS.

    Taken is what has left the kernel's queue. TCP_USER_TIMEOUT would be cheaper, but a unix socket has
    none, and on TCP it also drops a client that takes little at a time, however steadily.
    """

    __slots__ = ("_queued", "_taken_at")

    def __init__(self, accepted: socket.socket) -> None:
        super().__init__(accepted.family, accepted.type, accepted.proto, accepted.detach())
        self._queued = 0

    def send(self, data: Any, flags: int = 0, timeout: object = None) -> int:
        """Send what there is room for; all else that sends comes down to this, some with a timeout."""
        while True:
            self.settimeout(self._patience())
            try:
                sent: int = super().send(data, flags)
            except TimeoutError:
                continue
            finally:
                self.settimeout(None)
            self._queued = self._count_queued()
            return sent

    def _patience(self) -> float:
        """Return for how many seconds to wait before the next look at what has been taken."""
        queued, now = self._count_queued(), time.monotonic()
        if queued < self._queued or not queued:
            self._taken_at = now
        self._queued = queued
        left = self._taken_at + STALL_SECONDS - now
        if left <= 0:
            # Closed without this, what is queued would stay with the kernel for minutes more.
            self.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raise ConnectionResetError(errno.ECONNRESET, "the client takes nothing")
        return min(left, STALL_SECONDS / 16)

    def _count_queued(self) -> int:
        ioctl(self.fileno(), termios.TIOCOUTQ, _count)
        return _count[0]


_count = array("i", [0])


def serve(settings: Settings, offered: tuple[str, ...], make_app: MakeApp) -> None:
    """Check and migrate, say where the server is and what it offers, and serve until a signal."""
    raise_file_limit()
    storage.connect(settings.database_url)
    with storage.hold():
        storage.check()
        storage.migrate()
    where = settings.address if settings.bind else f"http://{settings.address}"
    print(f"Precis is at {where}", file=sys.stderr)  # noqa: T201
    print(f"Models: {', '.join(offered)}", file=sys.stderr)  # noqa: T201
    Server(settings, make_app).run()


def end_in_order(arbiter: Any) -> None:
    """Let Ctrl-C end the server as a service manager does, and let no signal add a worker."""
    arbiter.handle_int = arbiter.handle_term
    if not storage.database.is_shared:
        # A second worker could never get the file: it would fail to boot and end the server.
        signal.signal(signal.SIGTTIN, signal.SIG_IGN)


def begin(worker: Any) -> None:
    """Begin the analyzer in a new worker, and end it with the worker."""
    analyzer: Analyzer = worker.wsgi.extensions["analyzer"]
    analyzer.begin()
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


def max_connections() -> int:
    """Return how many connections a worker may hold without ever running out of open files."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    # One costs up to three: a socket, and the two files of a database connection. As many analyses may
    # run, whose calls two providers keep open for a while. Some more are the worker's own.
    return max(4, min(MAX_CONNECTIONS, (limit - 32) // 5))
