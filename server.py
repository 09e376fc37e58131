"""The one server everywhere: gunicorn with its gevent workers, a single one per SQLite file."""

from __future__ import annotations

import errno
import gc
import logging
import resource
import shutil
import signal
import struct
import sys
import tempfile
import termios
import time
from array import array
from collections.abc import Callable
from contextlib import suppress
from fcntl import ioctl
from functools import partial
from pathlib import Path
from typing import Any

import gevent
from flask import Flask
from gevent import socket
from gevent.lock import Semaphore
from gevent.pool import Pool
from gevent.select import select
from gevent.server import StreamServer
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.workers.ggevent import GeventWorker

import logs
import metrics
import storage
from analyzer import Analyzer
from analyzer.readings import Readings
from analyzer.retention import Retention
from analyzer.trail import Trail
from config import ConfigError, Settings, is_loopback
from hub import let_others_run

logger = logging.getLogger(__name__)

MakeApp = Callable[[Settings], Flask]

MAX_CONNECTIONS = 4000
# A stream writes every 10 s at least, so that who takes nothing is dropped within 90 s.
STALL_SECONDS = 80.0
# What takes longer to come than STALL_SECONDS has to come at least as fast, in bytes per second.
LEAST_RATE = 4096
# So much of a request is received without letting others have their turn.
UNASKED = 16 * 1024
# An idle connection is waited for, because a form may be on its way: an end may take as long.
KEEPALIVE_SECONDS = 3
# By then every handshake that had begun is over.
SETTLE_SECONDS = 0.2
# What an end may take beyond the grace, until the worker is killed.
END_SECONDS = 10


class Server(BaseApplication):
    """Gunicorn, configured by our settings."""

    def __init__(self, settings: Settings, make_app: MakeApp) -> None:
        self.settings = settings
        self.make_app = make_app
        # Where the workers leave their numbers for each other: a scrape reaches any of them.
        several = settings.workers > 1
        self.shared = metrics.Shared(Path(tempfile.mkdtemp(prefix="precis-"))) if several else None
        super().__init__()

    def load_config(self) -> None:
        options: dict[str, Any] = {
            "bind": self.settings.address,
            "worker_class": Worker,
            "logger_class": logs.ServerLogger,
            "workers": self.settings.workers,
            "worker_connections": max_connections(),
            # A connection that waits this long for its next request is closed.
            "keepalive": KEEPALIVE_SECONDS,
            # No header of a client's may move the application to another path.
            "forwarder_headers": "",
            # ProxyFix believes as many proxies as are set; gunicorn would believe whoever is on this machine.
            "secure_scheme_headers": {},
            # A worker whose hub stands still this long is killed, with all its streams.
            "timeout": 30,
            "graceful_timeout": int(self.settings.grace_seconds) + END_SECONDS,
            "control_socket_disable": True,
            "when_ready": get_ready,
            "post_worker_init": begin,
            "worker_exit": end,
            "child_exit": forget,
            "on_exit": clean_up,
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
        self.lock = storage.hold(self.settings.grace_seconds + END_SECONDS)
        # While no worker held it, an older backup may have taken its place.
        storage.migrate()
        return app


class Worker(GeventWorker):
    """Gunicorn's gevent worker, which tells what happens to the log only and drops stalled clients."""

    clients = 0
    is_hurried = False
    analyzer: Analyzer
    readings: Readings
    trail: Trail
    retention: Retention

    def init_process(self) -> None:
        """Run; a failure is logged here because gunicorn would print its message."""
        try:
            super().init_process()
        except storage.DatabaseRefused as error:
            storage.database.disconnect()
            print(f"precis: {error}", file=sys.stderr)  # noqa: T201
            sys.exit(Arbiter.WORKER_BOOT_ERROR)
        except storage.StorageError:
            # It was there when the server began, and comes back: a boot error would end all other workers.
            logger.exception("the worker failed")
            sys.exit(1)
        except Exception:
            logger.exception("the worker failed")
            sys.exit(1 if self.booted else Arbiter.WORKER_BOOT_ERROR)

    def run(self) -> None:
        """Serve until told to end; then lose nobody who has come, and let what runs have its grace."""
        doors = [
            StreamServer(listener, partial(self.handle, listener), spawn=Pool(self.worker_connections))
            for listener in self.sockets
        ]
        for door in doors:
            if self.cfg.workers > 1:
                # Or the first to wake would take all who stand there.
                door.max_accept = 1
            door.start()
        while self.alive:
            self.notify()
            gevent.sleep(0.1)
        began = time.monotonic()
        self.analyzer.retire()
        self._let_in(began)
        for door in doors:
            door.close()
        self._wait(lambda: self._is_waited_for(time.monotonic() - began))
        # Who cannot come back has stayed until now.
        self.analyzer.log.dismiss()
        last = time.monotonic() + 1
        self._wait(lambda: bool(self.clients) and time.monotonic() < last)

    def _let_in(self, began: float) -> None:
        """Empty the listeners' queues: whoever stood there would be reset, with a form that is sent."""
        self._wait(lambda: time.monotonic() < began + SETTLE_SECONDS)
        last = began + 1
        self._wait(lambda: bool(select(self.sockets, [], [], 0)[0]) and time.monotonic() < last)
        # Who was let in last has yet to ask the listener for its name.
        gevent.sleep(0)

    def _is_waited_for(self, seconds: float) -> bool:
        runs = self.analyzer.is_running or self.readings.is_running
        if seconds < self.app.settings.grace_seconds and (self.clients or runs):
            return True
        return bool(self.clients) and seconds < KEEPALIVE_SECONDS + SETTLE_SECONDS

    def _wait(self, goes_on: Callable[[], bool]) -> None:
        while not self.is_hurried and goes_on():
            # Tells that it lives; without its parent it ends here.
            self.notify()
            gevent.sleep(0.02)

    def handle_quit(self, sig: int, frame: Any) -> None:
        """End now, what runs is interrupted: gunicorn would leave it to the end of its lease."""
        self.is_hurried = True
        self.handle_exit(sig, frame)

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
        client.expect()
        super().handle_request(listener_name, request, client, address)
        client.expect()
        if not self.alive:
            # A stream that was sent away had promised to keep its connection.
            raise StopIteration


class Client(socket.socket):
    """A client's connection, which is as good as reset when its client takes nothing for STALL_SECONDS.

    So it is when a request's body comes slower than LEAST_RATE, or else each that never ends would keep one.
    Taken is what has left the kernel's queue. TCP_USER_TIMEOUT would be cheaper, but a unix socket has
    none, and on TCP it also drops a client that takes little at a time, however steadily.
    """

    __slots__ = ("_came", "_expected_at", "_look_at", "_queued", "_taken_at")

    def __init__(self, accepted: socket.socket) -> None:
        super().__init__(accepted.family, accepted.type, accepted.proto, accepted.detach())
        self._queued = 0
        self._look_at = self._taken_at = 0.0
        self.expect()

    def expect(self) -> None:
        """Begin to measure how fast it comes."""
        self._expected_at = time.monotonic()
        self._came = 0

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Receive what comes; who is too slow or silent is as good as gone: `ConnectionResetError`."""
        left = self._expected_at + STALL_SECONDS + self._came / LEAST_RATE - time.monotonic()
        # Not 0, which would stand for never to wait.
        self.settimeout(min(max(left, 0.001), STALL_SECONDS))
        try:
            data: bytes = super().recv(size, flags)
        except TimeoutError:
            # Of any other gunicorn would make an error in the log.
            raise ConnectionResetError(errno.ECONNRESET, "the client sends nothing") from None
        self._came += len(data)
        if self._came > UNASKED:
            # Who sends as fast as it is read would leave nobody else a turn, and so would many together.
            with _turn:
                let_others_run()
        return data

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send it all, by `send`."""
        rest = memoryview(data)
        while rest:
            rest = rest[self.send(rest, flags) :]

    def send(self, data: Any, flags: int = 0, timeout: object = None) -> int:
        """Send what there is room for; all else that sends comes down to this, some with a timeout."""
        while True:
            patience = self._patience()
            try:
                sent: int = super().send(data, flags, timeout=0.0)
            except BlockingIOError:
                with suppress(TimeoutError):
                    socket.wait_write(self.fileno(), patience)
            else:
                self._queued += sent
                return sent

    def _patience(self) -> float:
        """Return for how many seconds to wait before the next look at what has been taken."""
        now = time.monotonic()
        if now >= self._look_at:
            queued = self._count_queued()
            # Less than was there at the last look and has been sent since.
            if queued < self._queued or not queued:
                self._taken_at = now
            self._queued = queued
            left = self._taken_at + STALL_SECONDS - now
            if left <= 0:
                # Closed without this, what is queued would stay with the kernel for minutes more.
                self.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                raise ConnectionResetError(errno.ECONNRESET, "the client takes nothing")
            self._look_at = now + min(left, STALL_SECONDS / 16)
        return self._look_at - now

    def _count_queued(self) -> int:
        ioctl(self.fileno(), termios.TIOCOUTQ, _count)
        return _count[0]


_count = array("i", [0])
_turn = Semaphore()
# Linux' number, which Python does not know.
SO_ATTACH_FILTER = 26
# A socket filter: load the TCP header's flags; if SYN is not among them, skip one step; drop; take all of it.
DROP_SYN = ((0x30, 0, 0, 13), (0x45, 0, 1, 0x02), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF))


def serve(settings: Settings, offered: tuple[str, ...], make_app: MakeApp) -> None:
    """Check and migrate, say where the server is and what it offers, and serve until a signal."""
    raise_file_limit()
    storage.connect(settings.database_url)
    try:
        with storage.hold():
            storage.check()
            storage.migrate()
    finally:
        # At the process' end open connections would complain.
        storage.database.disconnect()
    where = settings.address if settings.bind else f"http://{settings.address}"
    print(f"Precis is at {where}", file=sys.stderr)  # noqa: T201
    print(f"Models: {', '.join(offered)}", file=sys.stderr)  # noqa: T201
    Server(settings, make_app).run()


def get_ready(arbiter: Any) -> None:
    """Look at what the server listens at, which only now is known, and prepare for its end."""
    admit_nobody_else(arbiter.app.settings, arbiter.LISTENERS)
    end_in_order(arbiter)


def admit_nobody_else(settings: Settings, listeners: list[Any]) -> None:
    """Refuse to serve other machines without sign-in: of an inherited socket the settings say nothing.

    Raises `ConfigError`.
    """
    if settings.auth != "none" or settings.role == "worker":
        return
    for listener in listeners:
        name = listener.sock.getsockname()
        if listener.sock.family != socket.AF_UNIX and not is_loopback(name[0]):
            raise ConfigError(
                f"PRECIS_AUTH is none, and at {name[0]}:{name[1]}, a socket that Precis was started with, "
                "others than this machine would see everything: set it to proxy or oidc"
            )


def end_in_order(arbiter: Any) -> None:
    """Let the server lose nobody at its end, which Ctrl-C brings too, and let no signal add a worker."""

    def stop() -> None:
        # Unless somebody else listens there still, or will.
        if not (arbiter.systemd or arbiter.reexec_pid or arbiter.master_pid):
            for listener in arbiter.LISTENERS:
                let_nobody_come(listener)
        raise StopIteration

    arbiter.handle_term = arbiter.handle_int = stop
    if not storage.database.is_shared:
        # A second worker could never get the file: it would fail to boot and end the server.
        signal.signal(signal.SIGTTIN, signal.SIG_IGN)


def let_nobody_come(listener: Any) -> None:
    """Have the kernel ignore who asks for a connection, while the handshakes that have begun go on.

    Closed, a TCP listener resets all who have come since the last look at it. Who is ignored asks again
    after a second, and is then refused: a proxy goes to the next process, with a form too. A unix socket
    takes no notice: its name is gone before its worker is told.
    """
    program = array("Q", b"".join(struct.pack("HBBI", *step) for step in DROP_SYN))
    address, length = program.buffer_info()
    with suppress(OSError):
        # Not every system has filters.
        listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", length, address))


def begin(worker: Any) -> None:
    """Begin the analyzer in a new worker."""
    analyzer: Analyzer = worker.wsgi.extensions["analyzer"]
    analyzer.begin()
    worker.analyzer = analyzer
    worker.readings = worker.wsgi.extensions["readings"]
    worker.trail = worker.wsgi.extensions["trail"]
    worker.retention = worker.wsgi.extensions["retention"]
    worker.trail.begin()
    worker.retention.begin()
    if shared := worker.app.shared:
        worker.wsgi.extensions["metrics"] = shared
        gevent.spawn(shared.write_forever)
    # Ctrl-C reaches all processes of a terminal; the worker waits to be told by its parent.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What is loaded by now lives for ever: a full collection of it would stall every stream.
    gc.collect()
    gc.freeze()
    gc.set_threshold(5000, 20, 50)


def end(_server: Any, worker: Any) -> None:
    """Interrupt what still runs, however the worker comes to its end, and give back its leases."""
    if analyzer := getattr(worker, "analyzer", None):
        worker.retention.end()
        worker.readings.drain()
        # Before the analyzer lets go of the database.
        worker.trail.end()
        analyzer.drain(0)


def forget(_arbiter: Any, worker: Any) -> None:
    """Forget the numbers of a worker that is dead."""
    if shared := worker.app.shared:
        shared.forget(worker.pid)


def clean_up(arbiter: Any) -> None:
    """Leave nothing behind."""
    if shared := arbiter.app.shared:
        shutil.rmtree(shared.folder, ignore_errors=True)


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
