"""Viewers: who leaves is let go at once, and who takes nothing is dropped."""

import socket
import struct
from contextlib import ExitStack, closing
from functools import cache
from time import monotonic

import gevent
import httpx2
import pytest

from bench.stalled import Launched, Stalled, complaints, poll, run
from tests.page import Page
from tests.prose import answer
from tests.scale import environment
from tests.scripted_provider import ScriptedProvider
from tests.test_server import read_until, status, wait_until

pytestmark = pytest.mark.both_modes

DOCUMENT = "Terms\n\nPay by March."
LARGE = "Pay.\n\n" * 20_000
STALL_SECONDS = 1.0
# A server has one address; here both kinds are looked at together.
SETUP = f"""
server.STALL_SECONDS = {STALL_SECONDS}
app.config.Settings.address = property(lambda it: ["unix:socket", f"127.0.0.1:{{it.port}}"])
"""
TRANSPORTS = ("tcp", "unix")


@pytest.fixture(scope="module")
def _launched(tmp_path_factory, request):
    """The servers by mode, each launched when first asked for."""
    with ExitStack() as stack:

        @cache
        def launched(mode):
            place = environment(request.getfixturevalue("scale").create()) if mode == "scale" else {}
            folder, provider = tmp_path_factory.mktemp("server"), stack.enter_context(ScriptedProvider())
            server = Launched(folder, provider, SETUP, PRECIS_MAX_STREAMS="4", **place)
            return stack.enter_context(server).start()

        yield launched


@pytest.fixture
def server(mode, _launched):
    """A server that gives up a stalled client after a second, over TCP and over a unix socket."""
    server = _launched(mode)
    with server.lent():
        yield server


def connect(server, transport):
    """Connect as a client whose machine takes little unread."""
    if transport == "tcp":
        return Stalled.connect(server.port)
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(server.folder / "socket"))
    return sock


def request(path):
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def count_answered(server, path):
    """Return how many requests for a path are over."""
    return server.log.read_text().count(f'"path": "{path}"')


def hang_up(sock):
    sock.close()


def close_its_half(sock):
    sock.shutdown(socket.SHUT_WR)


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@pytest.mark.fault("browser gone")
@pytest.mark.parametrize("go", [hang_up, close_its_half, reset])
@pytest.mark.parametrize("page", ["stream", "live"])
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_viewer_who_leaves_is_noticed_at_once_though_nothing_is_written(server, transport, page, go):
    server.provider.script(text="One", pieces=["One", " two"], rate=0.05)
    analysis = server.ask(server.bring(DOCUMENT))
    server.provider.wait(calls=1)
    with ExitStack() as viewers:
        watching = [viewers.enter_context(closing(connect(server, transport))) for _ in range(4)]
        for viewer in watching:
            viewer.sendall(request(f"{analysis}/{page}"))
            read_until(viewer, b"One")
        assert count_answered(server, f"{analysis}/{page}") == 0
        for viewer in watching:
            go(viewer)
        # Something is written after ten seconds only: by then it would be too late.
        wait_until(lambda: count_answered(server, f"{analysis}/{page}") == 4, timeout=5)

    assert server.provider.open == 1
    assert status(server, analysis)[0] == "running"


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_request_that_is_sent_ahead_is_no_leaving_and_is_answered_after_the_stream(server, transport):
    server.provider.script(text=answer(1), rate=50)
    analysis = server.ask(server.bring(DOCUMENT))
    with closing(connect(server, transport)) as viewer:
        viewer.sendall(request(f"{analysis}/stream"))
        received = read_until(viewer, b"says1")
        viewer.sendall(request("/up"))
        received += read_until(viewer, b"up\n")

    page = Page(analysis)
    page.read(received)
    assert received.startswith(b"HTTP/1.1 200 OK\r\n")
    assert received.count(b"HTTP/1.1 200 OK\r\n") == 2
    assert b"event: done" in received
    assert server.stored(analysis) == answer(1)


@pytest.mark.fault("slow reader")
def test_who_takes_nothing_is_dropped_whoever_it_is_and_quietly(server):
    server.provider.script(text=answer(2000), rate=1000)
    document, analysis = server.bring(LARGE), server.ask(server.bring(DOCUMENT))
    wait_until(lambda: server.stored(analysis))
    dropped, stalled = poll(), {}
    with ExitStack() as viewers:
        for transport in TRANSPORTS:
            for path in (f"{analysis}/stream", f"{analysis}/live", document):
                viewer = viewers.enter_context(closing(connect(server, transport)))
                viewer.sendall(request(path))
                dropped.register(viewer, 0)
                stalled[viewer.fileno()] = transport, path
        wait_until(lambda: httpx2.get(f"{server.url}{analysis}/live").status_code == 503)

        def all_are_dropped():
            for descriptor, _ in dropped.poll(0):
                stalled.pop(descriptor, None)
            return not stalled

        try:
            wait_until(all_are_dropped)
        except AssertionError:
            raise AssertionError(f"not dropped: {list(stalled.values())}") from None

    assert status(server, analysis)[0] == "running"
    with httpx2.stream("GET", f"{server.url}{analysis}/live") as again:
        assert again.status_code == 200, "those who were dropped keep their places"
    assert complaints(server.log) == []


@pytest.mark.fault("slow reader")
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_who_takes_little_at_a_time_gets_it_all(server, transport):
    document = server.bring(LARGE)
    with closing(connect(server, transport)) as reader:
        reader.sendall(request(document))
        head, _, page = read_until(reader, b"\r\n\r\n").partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        received = len(page)
        slow_until = monotonic() + 3 * STALL_SECONDS
        while received < length and (more := reader.recv(10_000)):
            received += len(more)
            if monotonic() < slow_until:
                gevent.sleep(0.05)  # the slowness itself, not a wait
        assert slow_until < monotonic()

    assert received == length


@pytest.mark.fault("slow reader")
def test_viewers_that_stall_cost_those_beside_them_nothing():
    found = run(viewers=5, seconds=3, stall_seconds=STALL_SECONDS)

    assert len(found.lifetimes) >= 5
    assert found.is_equal
    assert found.characters > 500
    assert found.complaints == []
