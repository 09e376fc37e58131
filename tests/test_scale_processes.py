"""Processes that are killed, frozen, asked the same at once: each answer is asked for once and then ended."""

import os
import re
import signal
from datetime import timedelta
from pathlib import Path

import gevent
import httpx2
import psycopg
import pytest

import models
from analyzer import Ended, Notice, Text, Viewer
from bench.kill import Client
from models import Analysis, Piece, Status
from storage import connected
from tests.fleet import Fleet, said, wait_until
from tests.person import ask, row, settle
from tests.prose import answer

DOCUMENT = "Terms\n\nPay by March."
TEXT = answer(10)
FORM = {"recipe": "brief", "model": "openai:gpt-6-sol"}
FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)


@pytest.fixture
def fleet(tmp_path, provider, scale):
    provider.script(text=TEXT, rate=50)
    with Fleet(tmp_path, provider, scale) as fleet:
        yield fleet


@pytest.fixture
def hurried(fleet):
    fleet.is_hurried = True
    return fleet


@pytest.mark.fault("worker killed")
def test_a_killed_workers_answers_are_interrupted_for_all_to_see_and_asked_once(hurried, provider):
    web, worker = hurried.start("web", "worker")
    document = web.bring(DOCUMENT)
    clients = [Client(web.ask(document), web) for _ in range(5)]
    for client in clients:
        client.wait(100)

    worker.kill()

    for client in clients:
        shown, stored = client.join(), "".join(web.stored(client.analysis).split())
        assert shown == stored
        assert not client.lost(stored)
        assert "What had come is kept." in httpx2.get(f"{web.url}{client.analysis}").text
    assert hurried.statuses() == {"interrupted"}
    assert provider.calls == 5


@pytest.mark.fault("worker killed")
def test_who_watches_what_others_ran_reads_its_last_words_before_its_end(analyzer, client, document):
    analysis = row(ask(client, document, model="offline:extractive"))
    settle(analyzer)
    with connected():
        lease = models.now() + timedelta(seconds=60)
        Analysis.update(status=Status.RUNNING, worker="elsewhere", lease_until=lease).execute()
        Piece.create(analysis=analysis, position=0, text="One ")
    news = analyzer.observe(analysis.id, 0, Viewer())
    assert next(news) == Text(4, "One ")
    with connected():
        # Saved, and told to nobody.
        Piece.create(analysis=analysis, position=4, text="two.")
        Analysis.update(lease_until=models.now() - timedelta(seconds=1)).execute()

    assert analyzer._recover() == [analysis.id]

    news = [item for item in news if not isinstance(item, Notice)]
    assert news == [Text(8, "two."), Ended(Status.INTERRUPTED)]


@pytest.mark.fault("web process killed")
def test_a_killed_webs_viewers_go_on_at_another_and_the_worker_notices_nothing(fleet, provider):
    web, other, worker = fleet.start("web", "web", "worker")
    document = web.bring(DOCUMENT)
    clients = [Client(web.ask(document), web, other) for _ in range(3)]
    for client in clients:
        client.wait(100)

    web.kill()

    for client in clients:
        text = client.join()
        assert text == "".join(TEXT.split())
        assert not client.lost(text)
        assert client.resumed[0] >= 100
    assert fleet.statuses() == {"complete"}
    assert (provider.calls, provider.cancels) == (3, 0)
    assert '"WARNING"' not in worker.log.read_text()


@pytest.mark.fault("worker frozen")
def test_a_worker_that_freezes_while_it_saves_writes_nothing_more_when_it_goes_on(hurried, provider):
    provider.script(text=answer(40), rate=50)
    web, worker = hurried.start("web", "worker")
    analysis = web.ask(web.bring(DOCUMENT))
    client = Client(analysis, web)
    client.wait(100)
    with psycopg.connect(hurried.settings["PRECIS_DATABASE_URL"]) as holder:
        holder.execute("LOCK TABLE piece IN SHARE MODE")
        waits = (
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'INSERT%'"
        )
        wait_until(lambda: hurried.rows(waits) == [(1,)])
        frozen = worker.worker()
        os.kill(frozen, signal.SIGSTOP)

    # Its transaction holds the row until the server ends it.
    shown = client.join()
    stored = web.stored(analysis)
    assert shown == "".join(stored.split())
    assert provider.open == 1

    os.kill(frozen, signal.SIGCONT)

    provider.wait(open=0)
    wait_until(lambda: said(worker, "lost its lease"))
    assert web.stored(analysis) == stored
    assert hurried.rows("SELECT status, (SELECT count(*) FROM piece) FROM analysis") == [("interrupted", 0)]
    assert (provider.calls, provider.cancels) == (1, 1)


@pytest.mark.fault("claimed at once")
def test_a_hundred_that_wait_for_four_workers_are_each_run_once(fleet, provider):
    provider.script(text="One two three four.", rate=40)
    web = fleet.start("web")
    web.ask(web.bring(DOCUMENT))
    fleet.rows(
        "INSERT INTO analysis (owner_id, document_id, recipe, question, model, status, text, words,"
        " stop_requested, worker, created_at, stop_reason, error, provider_request_id, usage_is_estimate) "
        "SELECT owner_id, document_id, recipe, question, model, status, text, words,"
        " stop_requested, worker, created_at, stop_reason, error, provider_request_id, usage_is_estimate "
        "FROM analysis, generate_series(1, 99)"
    )

    # Of one server, so that they begin together.
    fleet.start("worker", PRECIS_WORKERS="4", PRECIS_MAX_RUNNING="3")

    wait_until(lambda: not fleet.statuses() & {"waiting", "running"}, seconds=50)
    assert fleet.rows("SELECT status, count(*) FROM analysis GROUP BY status") == [("complete", 100)]
    assert (provider.calls, provider.cancels) == (100, 0)
    runs = fleet.rows("SELECT worker, started_at, ended_at FROM analysis")
    assert len({worker for worker, _, _ in runs}) > 1
    for worker, began, _ in runs:
        beside = [run for run in runs if run[0] == worker and run[1] <= began < run[2]]
        assert len(beside) <= 3


@pytest.mark.fault("sent twice")
def test_the_same_sent_to_three_web_processes_at_once_is_one_analysis_and_one_call(fleet, provider):
    *webs, _ = fleet.start("web", "web", "web", "worker")
    document = webs[0].bring(DOCUMENT)

    def send(number, key, question):
        return webs[number % 3].ask(document, recipe="question", question=question, request_key=key)

    resent = [gevent.spawn(send, number, "one key", "Who?") for number in range(15)]
    doubled = [gevent.spawn(send, number, f"key {number}", "When?") for number in range(15)]

    assert len({greenlet.get() for greenlet in resent}) == 1
    assert len({greenlet.get() for greenlet in doubled}) == 1
    provider.wait(calls=2)
    assert fleet.rows("SELECT count(*) FROM analysis") == [(2,)]
    assert provider.calls == 2


@pytest.mark.fault("stopped elsewhere")
def test_what_another_process_runs_is_stopped_and_deleted_within_a_second(fleet, provider):
    web, other, worker = fleet.start("web", "web", "worker")
    document = web.bring(DOCUMENT)
    streaming, thinking = {"rate": 50}, {"before_text": 60}

    for script in (streaming, thinking):
        for what in ("cancellation", "deletion"):
            provider.reset()
            provider.script(text=TEXT, **script)
            analysis = web.ask(document)
            client = Client(analysis, other)
            provider.wait(open=1)

            httpx2.post(f"{web.url}{analysis}/{what}")

            provider.wait(timeout=4, open=0)
            assert provider.cancels == 1
            shown = client.join()
            if what == "cancellation":
                assert shown == "".join(other.stored(analysis).split())
            else:
                assert httpx2.get(f"{other.url}{analysis}").status_code == 404
    assert fleet.statuses() == {"stopped"}
    assert fleet.rows("SELECT count(*) FROM analysis") == [(2,)]
    assert fleet.rows("SELECT count(*) FROM piece") == [(0,)]
    wait_until(lambda: said(worker, "lost its lease") == 2)


@pytest.mark.fault("clocks apart")
def test_clocks_that_are_hours_apart_end_nothing_and_tell_no_wrong_time(hurried, provider):
    provider.script(text=answer(12), rate=50)
    ahead, behind = (shifted(hours) for hours in ("+1h", "-1h"))
    limit = {"PRECIS_ANALYZE_LIMIT": "2 per minute"}
    web, other, _ = hurried.launch(
        hurried.make("web", **ahead, **limit),
        hurried.make("web", **behind, **limit),
        hurried.make("worker", **behind),
    )
    document = web.bring(DOCUMENT)

    client = Client(web.ask(document), other)
    text = client.join()

    assert hurried.statuses() == {"complete"}
    assert text == "".join(web.stored(client.analysis).split())
    for process in (web, other):
        page = httpx2.get(f"{process.url}{client.analysis}").text
        seconds = [float(figure) for figure in re.findall(r"(-?[\d.]+) s\b", page)]
        assert seconds
        assert all(0 <= figure < 600 for figure in seconds)
    ago = "SELECT extract(epoch FROM now() AT TIME ZONE 'UTC' - ended_at) FROM analysis"
    assert 0 <= hurried.rows(ago)[0][0] < 600
    # The limit goes by each clock, but what it says stays within its window.
    web.ask(document)
    refused = httpx2.post(f"{other.url}{document}/analyses", data=FORM)
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["Retry-After"]) <= 60


def shifted(hours):
    """Return the settings of a process whose clock is wrong."""
    assert FAKETIME, "needs libfaketime: apt-get install faketime"
    return {"LD_PRELOAD": str(FAKETIME), "FAKETIME": hours, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
