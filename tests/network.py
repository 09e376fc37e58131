"""A network of a test's own that can be cut: what is sent then is lost, and nobody is told.

Root makes it of namespaces and a cable between them, whose addresses nobody around them knows. Who may not
make any forwards on loopback instead, and holds back what is sent: as silent, though the kernel takes it.
"""

import ctypes
import os
import subprocess
from contextlib import contextmanager, nullcontext, suppress
from functools import partial

import gevent
from gevent import socket
from gevent.event import Event
from gevent.pool import Pool
from gevent.server import StreamServer

NEAR = "192.0.2.1"
FAR = "192.0.2.2"


class Network:
    """A near side, which is where the tests are, and a far side, where `command` runs programs."""

    def __init__(self):
        self._near, self._far = (f"precis-{os.getpid()}-{side}" for side in ("near", "far"))
        self._servers = []
        self._passes = Event()
        self._passes.set()

    def __enter__(self):
        try:
            self._lay_cable()
            self.is_cable = True
        except (OSError, subprocess.CalledProcessError):
            self.is_cable = False
        return self

    def __exit__(self, *exc):
        for server in self._servers:
            server.stop(timeout=0)
            server.pool.kill()
        for side in (self._near, self._far):
            with suppress(OSError, subprocess.CalledProcessError):
                _ip("netns", "delete", side)

    def command(self, *command):
        """Return what runs a command on the far side."""
        return ("ip", "netns", "exec", self._far, *command) if self.is_cable else command

    def reach(self, port):
        """Make a local port reachable from the far side; returns the address there, which a cut concerns."""
        return self._forward(self._near, NEAR, port, self._passes.wait)

    def keep(self, port):
        """Make a local port reachable on the far side's own loopback, which no cut concerns; as `reach`."""
        return self._forward(self._far, "127.0.0.1", port)

    def cut(self):
        """Lose from now on all that is sent either way."""
        self._switch("down") if self.is_cable else self._passes.clear()

    def heal(self):
        """Lose nothing any more."""
        self._switch("up") if self.is_cable else self._passes.set()

    def _lay_cable(self):
        for side in (self._near, self._far):
            _ip("netns", "add", side)
            _ip("-n", side, "link", "set", "lo", "up")
        ends = ("cable", "type", "veth", "peer", "name", "cable", "netns", self._far)
        _ip("-n", self._near, "link", "add", *ends)
        for side, address in ((self._near, NEAR), (self._far, FAR)):
            _ip("-n", side, "address", "add", f"{address}/30", "dev", "cable")
            _ip("-n", side, "link", "set", "cable", "up")

    def _switch(self, how):
        _ip("-n", self._near, "link", "set", "cable", how)

    def _forward(self, side, address, port, wait=lambda: None):
        address = address if self.is_cable else "127.0.0.1"
        # A socket stays in the namespace that it was made in, whoever uses it.
        with _inside(side) if self.is_cable else nullcontext():
            listener = socket.socket()
            listener.bind((address, 0))
            listener.listen()
        server = StreamServer(listener, partial(_join, port, wait), spawn=Pool())
        server.start()
        self._servers.append(server)
        return f"{address}:{listener.getsockname()[1]}"


@contextmanager
def _inside(namespace):
    # Nothing in here may yield to another greenlet: the namespace is the whole thread's.
    with open("/proc/self/ns/net") as ours, open(f"/run/netns/{namespace}") as theirs:
        _enter(theirs)
        try:
            yield
        finally:
            _enter(ours)


def _enter(namespace):
    if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), 0):
        raise OSError(ctypes.get_errno(), "setns")


def _ip(*arguments):
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def _join(port, wait, there, _address):
    with there, socket.create_connection(("127.0.0.1", port)) as here:
        back = gevent.spawn(pipe, here, there, wait)
        try:
            pipe(there, here, wait)
            back.join()
        finally:
            back.kill()


def pipe(source, sink, wait=lambda: None):
    """Pass on all that comes, and its end, each time after a `wait`."""
    with suppress(OSError):
        while data := source.recv(65536):
            wait()
            sink.sendall(data)
    with suppress(OSError):
        wait()
        sink.shutdown(socket.SHUT_WR)
