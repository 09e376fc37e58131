"""The server process itself: how it starts, refuses, dies, comes back and ends."""

import os
import signal
import socket
import time
from contextlib import ExitStack, closing, contextmanager

import gevent
import httpx2
import pytest

from tests.fleet import said
from tests.page import Page, events
from tests.precis import Precis, free_port
from tests.processes import children, count_sockets, is_alive
from tests.prose import answer
from tests.scale import environment

DOCUMENT = "Terms\n\nPay by March."


def wait_until(holds, timeout=30):
    """Wait for something outside this process that nothing announces."""
    with gevent.Timeout(timeout, AssertionError(f"{holds.__doc__ or holds} did not come true")):
        while not holds():
            gevent.sleep(0.02)


def refusal(precis, **settings):
    """Start it with settings that cannot work; returns its last words and exit code."""
    process = precis.launch(**settings)
    code = process.wait()
    return precis.log.read_text(), code


def connect(precis, path, version="1.1", **headers):
    """Ask for a path over a bare socket; returns the socket, its answer unread."""
    sock = socket.create_connection(("127.0.0.1", precis.port))
    lines = {"Host": f"127.0.0.1:{precis.port}", **headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    sock.sendall(f"GET {path} HTTP/{version}\r\n{head}\r\n".encode())
    return sock


def read_until(sock, mark):
    """Return what comes up to and with a mark, or up to the end."""
    data = b""
    while mark not in data and (more := sock.recv(65536)):
        data += more
    return data


@contextmanager
def watching(precis, path, mark):
    """Watch a path up to a mark; behind the block what is yielded is all that came, to its end."""
    received = bytearray()
    with closing(connect(precis, path, version="1.0")) as viewer:
        received += read_until(viewer, mark)
        yield received
        received += read_until(viewer, b"never")
    del received[: received.index(b"\r\n\r\n") + 4]


def begin(precis, **settings):
    """Start a server and an analysis; returns its path."""
    precis.settings |= settings
    precis.start()
    return precis.ask(precis.bring(DOCUMENT))


def status(precis, analysis):
    """Return an analysis' row: status and text."""
    return precis.rows("SELECT status, text FROM analysis WHERE id = ?", analysis.rpartition("/")[2])[0]


def pieces(precis):
    return precis.rows("SELECT count(*) FROM piece")[0][0]


def test_it_says_where_it_is_and_what_it_offers_and_refuses_a_second_of_its_kind(precis):
    precis.start(PRECIS_MODELS="openai:gpt-6-sol,offline:extractive")
    said = precis.log.read_text().splitlines()
    assert said[0] == f"Precis is at {precis.url}"
    assert said[1] == "Models: openai:gpt-6-sol, offline:extractive"

    before = precis.log.read_text()
    second = precis.launch(PRECIS_PORT=str(free_port()))
    assert second.wait() not in (0, None)
    (words,) = precis.log.read_text().removeprefix(before).splitlines()
    assert words == (
        f"precis: {precis.database} is served by another process: stop that one, "
        "or set PRECIS_DATABASE_URL to another file."
    )
    assert precis.is_up()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"PRECIS_MODEL": "openai:x"},
            "PRECIS_MODEL is not a setting of Precis; did you mean PRECIS_MODELS?",
        ),
        (
            {"PRECIS_MODELS": "anthropic:claude-sonnet-5-5"},
            "PRECIS_MODELS lists anthropic:claude-sonnet-5-5, but ANTHROPIC_API_KEY is not set.",
        ),
        ({"PRECIS_ANALYZE_LIMIT": "many"}, "PRECIS_ANALYZE_LIMIT cannot be used: "),
        ({"PRECIS_PORT": "many"}, "PRECIS_PORT cannot be used: "),
    ],
)
def test_a_wrong_setting_ends_it_with_one_sentence(tmp_path, settings, sentence):
    words, code = refusal(Precis(tmp_path), **settings)

    assert code == 1
    assert words.startswith(f"precis: {sentence}")
    assert words.endswith((".\n", "?\n"))
    assert words.count("\n") == 1


@pytest.mark.fault("killed")
@pytest.mark.parametrize("what", ["the worker", "everything"])
def test_after_a_kill_what_ran_is_interrupted_and_what_waited_runs(precis, provider, what):
    provider.script(text=answer(40), rate=50)
    precis.settings["PRECIS_MAX_RUNNING"] = "2"
    precis.start()
    document = precis.bring(DOCUMENT)
    first, second, waiting = (precis.ask(document) for _ in range(3))
    provider.wait(calls=2)
    wait_until(lambda: len(precis.stored(first)) > 100 and len(precis.stored(second)) > 100)
    seen = {analysis: precis.stored(analysis) for analysis in (first, second)}
    assert status(precis, waiting) == ("waiting", "")

    provider.script(text="All is well.")
    if what == "the worker":
        precis.kill_worker()
    else:
        precis.kill()
        precis.start()

    provider.wait(calls=3)
    wait_until(lambda: status(precis, waiting)[0] == "complete")
    for analysis, text in seen.items():
        ended, kept = status(precis, analysis)
        assert ended == "interrupted"
        assert kept.startswith(text)
        assert precis.stored(analysis) == kept
    assert status(precis, waiting) == ("complete", "All is well.")
    assert pieces(precis) == 0
    assert provider.calls == 3


@pytest.mark.fault("shut down")
def test_sigterm_ends_the_streams_in_order_and_the_running_get_their_grace(precis, provider):
    provider.script(text=answer(2), rate=50, before_text=0.5)
    analysis = begin(precis)
    provider.wait(calls=1)
    with closing(connect(precis, f"{analysis}/stream", version="1.0")) as viewer:
        read_until(viewer, b"id: 0")
        began = time.monotonic()
        precis.process.send_signal(signal.SIGTERM)
        rest = read_until(viewer, b"never")
        gone = time.monotonic() - began
        assert precis.process.wait() == 0
        ended = time.monotonic() - began
    print(f"\nSIGTERM to the stream's end {gone:.2f} s, to the process' end {ended:.2f} s")

    (last,) = events(rest)[-1:]
    assert last.name == "message"
    assert 200 <= last.retry <= 1500
    assert b"\ndata:" in rest.rpartition(b"retry:")[2], "without data the delay would not count"
    assert status(precis, analysis) == ("complete", answer(2))
    assert ended < 15


@pytest.mark.fault("shut down")
def test_sigterm_interrupts_what_outlasts_its_grace_and_a_viewer_resumes(precis, provider):
    provider.script(text=answer(40), rate=50)
    analysis = begin(precis, PRECIS_GRACE_SECONDS="0.2")
    page = Page(analysis)
    with watching(precis, f"{analysis}/stream", b"says20") as received:
        assert precis.stop() == 0
    page.read(received)

    ended, kept = status(precis, analysis)
    assert ended == "interrupted"
    assert "".join(kept.split()).startswith(page.text)
    assert "says20" in page.text
    assert pieces(precis) == 0
    provider.wait(cancels=1, open=0)

    precis.start()
    page.read(httpx2.get(f"{precis.url}{analysis}/stream", headers=page.headers).content)
    assert page.done
    assert page.text == "".join(kept.split())


@pytest.mark.fault("shut down")
def test_ctrl_c_ends_it_in_order_too(precis, provider):
    provider.script(text=answer(2), rate=50)
    analysis = begin(precis)
    provider.wait(calls=1)

    os.killpg(precis.process.pid, signal.SIGINT)

    assert precis.process.wait() == 0
    assert status(precis, analysis) == ("complete", answer(2))
    assert "Traceback" not in precis.log.read_text()
    assert "Exception" not in precis.log.read_text()


def test_sighup_brings_a_new_worker_and_sigttin_brings_none(precis, provider):
    provider.script(text=answer(2), rate=50)
    precis.settings["PRECIS_GRACE_SECONDS"] = "1"
    precis.start()
    first = precis.worker()
    precis.process.send_signal(signal.SIGTTIN)
    analysis = precis.ask(precis.bring(DOCUMENT))
    provider.wait(calls=1)
    precis.process.send_signal(signal.SIGHUP)

    wait_until(lambda: not is_alive(first))
    wait_until(precis.is_up)
    assert precis.worker() != first
    assert status(precis, analysis)[0] in ("complete", "interrupted")


def test_a_file_that_is_no_database_is_refused_in_a_sentence(precis):
    precis.database.write_bytes(b"This is no database, but it is long enough to be taken for one." * 99)

    last, code = refusal(precis)

    assert code == 1
    assert last.startswith(f"precis: {precis.database} cannot be used: ")


@pytest.mark.fault("killed")
def test_a_worker_that_lost_its_parent_leaves_the_database_to_a_successor(precis, provider):
    provider.script(text=answer(40), rate=50)
    analysis = begin(precis)
    wait_until(lambda: precis.stored(analysis))
    orphan = precis.worker()

    precis.process.kill()
    precis.process.wait()
    precis.process = precis.launch()

    # Until then it answers in its successor's place.
    wait_until(lambda: not is_alive(orphan))
    wait_until(precis.is_up)
    assert "Exception" not in precis.log.read_text()
    assert status(precis, analysis)[0] == "interrupted"
    provider.wait(open=0)
    assert provider.calls == 1


def test_a_worker_that_starts_while_the_database_is_away_ends_no_other(tmp_path, provider, scale):
    place = environment(scale.create())
    with Precis(tmp_path, provider, **place, PRECIS_WORKERS="2", TMPDIR=str(tmp_path)) as precis:
        precis.start()
        # Both are up when they have left their numbers for each other.
        wait_until(lambda: len(list(tmp_path.glob("precis-*/*.json"))) == 2)
        stays, killed = children(precis.process.pid)
        scale.postgresql.kill()
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: said(precis, "the worker failed"))
        # Another one is tried after it.
        wait_until(lambda: said(precis, "the worker failed") > 1)
        wait_until(precis.is_up)

        scale.restore()

        wait_until(lambda: httpx2.get(f"{precis.url}/ready").status_code == 200)
        assert stays in children(precis.process.pid)
        assert precis.stop() == 0


@pytest.mark.fault("browser gone")
def test_a_viewer_who_leaves_is_let_go_at_once_and_the_analysis_goes_on(precis, provider):
    provider.script(text="One", pieces=["One", " two"], rate=0.05)
    analysis = begin(precis)
    provider.wait(calls=1)
    pid = precis.worker()
    before = count_sockets(pid)
    with ExitStack() as viewers:
        for _ in range(20):
            viewer = viewers.enter_context(closing(connect(precis, f"{analysis}/stream")))
            assert b"\nid: " in read_until(viewer, b"\nid: ")
        assert count_sockets(pid) >= before + 20
        began = time.monotonic()
    # Nothing will be written for seconds: what is noticed now is noticed on the sockets themselves.
    wait_until(lambda: count_sockets(pid) <= before + 1, timeout=5)
    print(f"\n20 viewers gone after {time.monotonic() - began:.2f} s")

    assert provider.open == 1
    assert status(precis, analysis)[0] == "running"


def test_a_client_of_http_1_0_gets_the_stream(site):
    site.provider.script(text=answer(1), rate=100)
    analysis = site.ask(site.bring(DOCUMENT))
    with closing(connect(site, f"{analysis}/stream", version="1.0")) as viewer:
        head, _, body = read_until(viewer, b"never").partition(b"\r\n\r\n")

    assert b"text/event-stream" in head
    assert b"chunked" not in head.lower()
    page = Page(analysis)
    page.read(body)
    assert page.done
    assert page.text == "".join(site.stored(analysis).split())


def test_a_host_that_is_not_ours_is_refused(site):
    for host in ("evil.example", f"evil.example:{site.port}", ""):
        with closing(connect(site, "/", Host=host)) as sock:
            assert b" 400 " in read_until(sock, b"\r\n").split(b"\r\n")[0], host
    for host in (f"localhost:{site.port}", "127.0.0.1", f"[::1]:{site.port}"):
        with closing(connect(site, "/", Host=host)) as sock:
            assert b" 200 " in read_until(sock, b"\r\n").split(b"\r\n")[0], host
