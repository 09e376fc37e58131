"""Processes end and come back, one after the other: nobody who watches, asks or brings something loses it."""

import os
import re
import signal
import socket
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from pathlib import Path

import gevent
import httpx2
import psycopg
import pytest

from bench.rolling import SHORT, installation, roll
from tests.page import Page
from tests.prose import answer
from tests.test_server import DOCUMENT, begin, connect, read_until, wait_until, watching

LONG = "openai:long"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}

on_scale = pytest.mark.parametrize("mode", ["scale"], indirect=True)


def status(precis, analysis):
    """Return an analysis' status, text and whether a lease is held on it."""
    query = "SELECT status, text, lease_until IS NOT NULL FROM analysis WHERE id = ?"
    return precis.rows(query, analysis.rpartition("/")[2])[0]


def end(process, how=signal.SIGTERM):
    """Ask a server to end and wait until it has; returns its exit code."""
    process.send_signal(how)
    return process.wait()


def readiness(precis):
    """Return the status that tells whether it can be given work, or None when it cannot be asked."""
    try:
        return httpx2.get(f"{precis.url}/ready").status_code
    except httpx2.TransportError:
        return None


def is_pending(pid, signal):
    """Return whether a signal has been sent to a process that has not taken it."""
    pending = re.search(r"^ShdPnd:\s*(\w+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)[1]
    return bool(int(pending, 16) & 1 << signal - 1)


class Connection(HTTPConnection):
    """A connection to a server's port, or to the unix socket it has instead."""

    def __init__(self, precis, path=None):
        super().__init__("localhost", precis.port, timeout=30)
        self.path = path

    def connect(self):
        if not self.path:
            return super().connect()
        self.sock = socket.socket(socket.AF_UNIX)
        return self.sock.connect(str(self.path))


class Crowd:
    """People who bring documents, each form on a connection of its own, until nobody listens any more."""

    def __init__(self, precis, size=10, path=None):
        self.precis = precis
        self.path = path
        self.answered = 0
        self.lost = []
        self.greenlets = [gevent.spawn(self._go_on) for _ in range(size)]

    def _go_on(self):
        while True:
            with closing(Connection(self.precis, self.path)) as client:
                try:
                    client.connect()
                except (ConnectionRefusedError, FileNotFoundError):
                    return
                try:
                    client.request("POST", "/documents", "text=Terms.", FORM)
                    assert client.getresponse().status == 303
                except (OSError, AssertionError) as error:
                    self.lost.append(error)
                else:
                    self.answered += 1

    def join(self):
        gevent.joinall(self.greenlets, raise_error=True)


@pytest.mark.fault("shut down")
def test_a_rolling_restart_loses_nothing_and_shows_no_error(provider, scale, tmp_path):
    provider.script(model="long", text=answer(8), rate=40)
    provider.script(model="short", text=answer(1), rate=100)
    with installation(provider, tmp_path, scale, [LONG, SHORT], webs=2, workers=2, grace=60) as installed:
        found = roll(installed, provider, [LONG], streams=10, spread=0.5, pause=0.2)

    assert sorted(role for role, _, _ in found.restarts) == ["web", "web", "worker", "worker"]
    assert found.reconnections
    assert found.asked
    assert not any(found.wrong.values()), found.wrong


@pytest.mark.fault("shut down")
def test_whoever_got_a_connection_before_the_end_is_answered(precis):
    precis.start()
    crowd = Crowd(precis)
    wait_until(lambda: crowd.answered > 10)

    assert end(precis.process) == 0

    crowd.join()
    assert not crowd.lost
    assert precis.rows("SELECT count(*) FROM document") == [(crowd.answered,)]


@pytest.mark.fault("shut down")
def test_whoever_the_system_has_let_in_is_answered(precis):
    precis.start()
    worker = precis.worker()
    os.kill(worker, signal.SIGSTOP)
    with ExitStack() as stack:
        # More than a worker takes at a time.
        crowd = [stack.enter_context(closing(Connection(precis))) for _ in range(150)]
        for client in crowd:
            client.request("POST", "/documents", "text=Terms.", FORM)
        precis.process.send_signal(signal.SIGTERM)
        wait_until(lambda: is_pending(worker, signal.SIGTERM))
        os.kill(worker, signal.SIGCONT)
        assert {client.getresponse().status for client in crowd} == {303}

    assert precis.process.wait() == 0
    assert precis.rows("SELECT count(*) FROM document") == [(len(crowd),)]


@pytest.mark.fault("shut down")
def test_on_a_unix_socket_too(precis):
    path = precis.folder / "socket"
    precis.process = precis.launch(PRECIS_BIND=f"unix:{path}")
    wait_until(path.exists)
    crowd = Crowd(precis, path=path)
    wait_until(lambda: crowd.answered > 10)

    assert end(precis.process) == 0

    crowd.join()
    assert not crowd.lost
    assert precis.rows("SELECT count(*) FROM document") == [(crowd.answered,)]


@on_scale
@pytest.mark.fault("shut down")
def test_a_worker_finishes_what_it_runs_and_claims_nothing_new(precis, provider):
    provider.script(text=answer(3), rate=30)
    precis.settings["PRECIS_GRACE_SECONDS"] = "60"
    precis.start()
    document = precis.bring(DOCUMENT)
    running = precis.ask(document)
    provider.wait(calls=1)
    worker = precis.beside
    worker.process.send_signal(signal.SIGTERM)
    wait_until(lambda: readiness(worker) != 200)
    waiting = precis.ask(document)
    # What many a service manager does, and gunicorn does not heed.
    worker.process.send_signal(signal.SIGTERM)

    assert worker.process.wait() == 0
    assert status(precis, running) == ("complete", answer(3), False)
    assert status(precis, waiting)[0] == "waiting"
    assert provider.calls == 1

    worker.start()
    provider.wait(calls=2)
    wait_until(lambda: status(precis, waiting)[0] == "complete")


@on_scale
@pytest.mark.one_process
@pytest.mark.fault("shut down")
def test_what_is_asked_for_at_the_last_moment_runs(precis, provider):
    provider.script(text=answer(1), rate=100)
    precis.settings["PRECIS_GRACE_SECONDS"] = "60"
    precis.start()
    document = precis.bring(DOCUMENT)
    with psycopg.connect(precis.settings["PRECIS_DATABASE_URL"]) as connection:
        connection.execute('SELECT id FROM "user" FOR UPDATE')
        asked = gevent.spawn(precis.ask, document)
        blocked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        wait_until(lambda: precis.rows(blocked) == [(1,)])
        precis.process.send_signal(signal.SIGTERM)
        wait_until(lambda: readiness(precis) != 200)

    analysis = asked.get()
    assert precis.process.wait() == 0
    assert status(precis, analysis) == ("complete", answer(1), False)


@on_scale
@pytest.mark.fault("shut down")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT])
def test_asked_again_to_end_it_ends_at_once_and_gives_its_leases_back(precis, provider, how):
    provider.script(text=answer(40), rate=30)
    analysis = begin(precis, PRECIS_GRACE_SECONDS="300")
    wait_until(lambda: precis.stored(analysis))
    worker = precis.beside.process
    worker.send_signal(signal.SIGTERM)
    wait_until(lambda: readiness(precis.beside) != 200)
    assert provider.open == 1

    assert end(worker, how) == 0

    ended, kept, is_leased = status(precis, analysis)
    assert ended == "interrupted"
    assert kept
    assert not is_leased
    provider.wait(open=0, cancels=1)


@on_scale
@pytest.mark.fault("shut down")
def test_sighup_brings_new_workers_and_loses_nobody(precis, provider):
    provider.script(text=answer(2), rate=30)
    analysis = begin(precis, PRECIS_GRACE_SECONDS="60")
    provider.wait(calls=1)
    old = [precis.worker(), precis.beside.worker()]
    crowd = Crowd(precis, 3)
    page = Page(analysis)
    with watching(precis, f"{analysis}/stream", b"\nid: ") as received:
        for process in (precis.process, precis.beside.process):
            process.send_signal(signal.SIGHUP)
    page.read(received)
    while not page.done:
        page.read(httpx2.get(f"{precis.url}{analysis}/stream", headers=page.headers, timeout=30).content)
    wait_until(lambda: not {precis.worker(), precis.beside.worker()} & set(old))

    assert page.text == "".join(answer(2).split())
    assert status(precis, analysis) == ("complete", answer(2), False)
    assert end(precis.process) == 0
    crowd.join()
    assert not crowd.lost
    assert provider.calls == 1


@on_scale
@pytest.mark.fault("shut down")
def test_a_live_page_is_finished_within_the_grace(precis, provider):
    provider.script(text=answer(2), rate=30)
    analysis = begin(precis, PRECIS_GRACE_SECONDS="60")
    with watching(precis, f"{analysis}/live", b"says") as received:
        precis.process.send_signal(signal.SIGTERM)
    assert precis.process.wait() == 0

    page = received.decode()
    assert 'data-status="complete"' in page
    assert "says46." in page
    assert 'http-equiv="refresh"' not in page


@on_scale
@pytest.mark.fault("shut down")
def test_a_live_page_that_outlasts_the_grace_loads_itself_again(precis, provider):
    provider.script(text=answer(40), rate=30)
    analysis = begin(precis, PRECIS_GRACE_SECONDS="0")
    with watching(precis, f"{analysis}/live", b"says") as received:
        assert end(precis.process) == 0

    page = received.decode()
    assert page.rstrip().endswith("</html>")
    assert re.search(r'<meta http-equiv="refresh" content="\d+">', page)
    assert status(precis, analysis)[0] == "running"


@pytest.mark.fault("shut down")
def test_a_process_with_a_hundred_viewers_sends_them_all_away_in_order(precis, provider):
    provider.script(text=answer(1), before_text=60)
    analysis = begin(precis, PRECIS_GRACE_SECONDS="0")
    viewers = [connect(precis, f"{analysis}/stream") for _ in range(100)]
    for viewer in viewers:
        read_until(viewer, b"\nid: 0")
    assert end(precis.process) == 0

    delays = []
    for viewer in viewers:
        with closing(viewer):
            rest = read_until(viewer, b"never")
            assert rest.endswith(b"0\r\n\r\n"), "its last chunk says that it is whole"
            delays += map(int, re.findall(rb"retry: (\d+)", rest))
    # Together they would fall upon the next process at once.
    assert len(delays) == 100
    assert max(delays) - min(delays) > 300
