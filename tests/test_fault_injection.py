"""The main job with its Nth operation failing, for each N: it ends honestly, and nothing shown is lost."""

import sqlite3
from collections import Counter
from functools import partial

import gevent
import psycopg
import pytest
import redis
from gevent import socket

import storage
from analyzer import Limits
from analyzer.runner import Runner
from analyzer.token_log import TokenLog
from models import ENDINGS, Analysis, Piece, Status
from storage import connected, postgresql
from tests.page import Page, text_of
from tests.person import HTMX, post_analysis, settle
from views.helpers import limits
from views.helpers.markdown import render

TEXT = "One two. Three four.\n\nFive six."
MODELS = ["openai:gpt-6-sol", "anthropic:claude-sonnet-5-5", "offline:extractive"]


class Fault:
    """Counts operations and fails one of them, or `lasting` ones from it on."""

    def __init__(self):
        self.failing = 0
        self.arm(0, OSError)

    def arm(self, nth, error, lasting=1):
        self.count, self.nth, self.error, self.lasting = 0, nth, error, lasting

    def operation(self):
        self.count += 1
        if self.nth <= self.count < self.nth + self.lasting:
            error = type(self.error)(*self.error.args)
            error.__dict__.update(self.error.__dict__)
            raise error

    @property
    def has_struck(self):
        return self.count >= self.nth

    def disarm(self):
        self.nth = 1 << 60


@pytest.fixture
def fault():
    fault = Fault()
    fault.disarm()
    return fault


@pytest.fixture
def database_fault(fault, monkeypatch):
    """Let each statement and each commit of each connection count as an operation."""

    class Cursor(sqlite3.Cursor):
        def execute(self, *arguments):
            fault.operation()
            return super().execute(*arguments)

    class Connection(sqlite3.Connection):
        def cursor(self, factory=Cursor):
            return super().cursor(factory)

        def executemany(self, *arguments):
            fault.operation()
            return super().executemany(*arguments)

        def commit(self):
            fault.operation()
            return super().commit()

    connect = partial(sqlite3.connect, factory=Connection)
    monkeypatch.setattr(sqlite3, "connect", connect)
    # There everything that is asked of the server comes down to this.
    wait = postgresql.Connection.wait

    def counted(self, *arguments):
        fault.operation()
        return wait(self, *arguments)

    monkeypatch.setattr(postgresql.Connection, "wait", counted)
    return fault


@pytest.fixture
def channel_fault(fault, monkeypatch):
    """Let each command to Redis and each answer of it count as an operation."""
    for name in ("send_packed_command", "read_response"):
        method = getattr(redis.Connection, name)

        def counted(self, *arguments, method=method, **options):
            fault.operation()
            return method(self, *arguments, **options)

        monkeypatch.setattr(redis.Connection, name, counted)
    return fault


@pytest.fixture
def socket_fault(fault, monkeypatch, analyzer):
    """Let each connect, send and receive of a runner count as an operation."""

    def counted(name):
        method = getattr(socket.socket, name)

        def operate(self, *arguments):
            runners = {runner.greenlet for runner in analyzer._runners.values()}
            if gevent.getcurrent() in runners:
                fault.operation()
            return method(self, *arguments)

        monkeypatch.setattr(socket.socket, name, operate)

    # A request of which a part is missing is waited for by the other side.
    analyzer.limits = Limits(first_token=0.3, gap=10, total=10)
    for name in ("connect", "sendall", "send", "recv"):
        counted(name)
    return fault


@pytest.fixture
def provider_fault(fault, monkeypatch, analyzer):
    """Let each step of a provider count as an operation."""
    for provider in analyzer.providers.values():

        def reply(*arguments, make=provider.reply):
            fault.operation()
            made = make(*arguments)
            steps = type(made).__iter__

            class Counted(type(made)):
                def __iter__(self):
                    for text in steps(self):
                        fault.operation()
                        yield text

            made.__class__ = Counted
            return made

        monkeypatch.setattr(provider, "reply", reply)
    return fault


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    monkeypatch.setattr(Runner, "PAUSES", (0.001, 0.001))
    monkeypatch.setattr(storage, "PATIENCE_SECONDS", 0.02)
    monkeypatch.setattr(Runner, "SAVE_AGAIN_SECONDS", 0.01)
    monkeypatch.setattr(TokenLog, "TICK_SECONDS", 0.005)


def main_job(client, model):
    """Bring a document, ask, watch to the end, read; returns the answers' statuses and what was shown."""
    statuses = Counter()

    def noted(answer):
        statuses[answer.status_code] += 1
        return answer

    answer = noted(client.post("/documents", data={"text": "Pay by March.\n\nThe user shall not copy."}))
    if answer.status_code != 303:
        return statuses, None
    document = answer.headers["Location"]
    noted(client.get(document))
    answer = noted(post_analysis(client, document, HTMX, model=model))
    if answer.status_code != 200:
        return statuses, None
    path = answer.headers["HX-Push-Url"]
    page = Page(path)
    while not page.done:
        page.read(noted(client.get(f"{path}/stream", headers=page.headers)).data)
    noted(client.get(path))
    return statuses, page


def assert_honest(analyzer, provider, page, most_calls):
    """Assert what holds after any fault: it ended, what was shown is saved, nothing was paid twice."""
    settle(analyzer)
    with gevent.Timeout(30), connected():
        while Analysis.select().where(Analysis.status.not_in(ENDINGS)).exists():
            analyzer._room.set()
            gevent.sleep(0.005)  # nothing announces a row of which no process knows
        settle(analyzer)
        assert Piece.select().count() == 0
        rows = list(Analysis.select())
    assert provider.calls <= most_calls
    assert not analyzer._runners
    assert not analyzer.log._live
    if page:
        (row,) = [row for row in rows if page.id == str(row.id)]
        if row.model != "offline:extractive":
            stored = "".join(row.text.split())
            assert all(stored.startswith(shown) for shown in page.shown)
        assert page.text == text_of(render(row.text, 2))
        assert (row.status == Status.COMPLETE) == (row.error == "")
    with connected():
        Analysis.delete().execute()


def sqlite(message, code):
    error = sqlite3.OperationalError(message)
    error.sqlite_errorcode = code
    return error


LOCKED, BROKEN, FULL = "locked", "broken", "full"
LASTING = {FULL: 6}
ERRORS = {
    ("sqlite", LOCKED): sqlite("database is locked", sqlite3.SQLITE_BUSY),
    ("sqlite", BROKEN): sqlite("disk I/O error", sqlite3.SQLITE_IOERR_WRITE),
    ("sqlite", FULL): sqlite("database or disk is full", sqlite3.SQLITE_FULL),
    ("scale", LOCKED): psycopg.errors.LockNotAvailable("canceling statement due to lock timeout"),
    ("scale", BROKEN): psycopg.OperationalError("the connection is lost"),
    ("scale", FULL): psycopg.errors.DiskFull("could not extend file: No space left on device"),
}


@pytest.mark.both_modes
@pytest.mark.fault("any operation")
@pytest.mark.parametrize(
    ("model", "error"),
    [(model, error) for model in MODELS[:2] for error in (LOCKED, BROKEN, FULL)] + [(MODELS[2], FULL)],
)
def test_each_operation_of_the_database_may_fail(
    database_fault, analyzer, client, provider, mode, model, error
):
    lasting = LASTING.get(error, 1)
    run_for_each(database_fault, analyzer, client, provider, model, ERRORS[mode, error], lasting, least=25)


@pytest.mark.fault("any operation")
@pytest.mark.parametrize("mode", ["scale"], indirect=True)
@pytest.mark.parametrize("model", MODELS)
def test_each_operation_of_redis_may_fail(channel_fault, make_app, provider, monkeypatch, model):
    monkeypatch.setattr(limits, "REST_SECONDS", 0)
    app = make_app(analyze_limit="1000 per minute")
    analyzer, error = app.extensions["analyzer"], redis.ConnectionError("reset")
    run_for_each(channel_fault, analyzer, app.test_client(), provider, model, error, least=2)


@pytest.mark.fault("any operation")
@pytest.mark.parametrize("model", MODELS[:2])
@pytest.mark.parametrize("error", [ConnectionResetError("reset"), TimeoutError("timed out")], ids=str)
def test_each_operation_of_a_socket_may_fail(socket_fault, analyzer, client, provider, model, error):
    # What was never sent whole is waited for in vain, and asked once more.
    run_for_each(socket_fault, analyzer, client, provider, model, error, most_calls=2)


@pytest.mark.fault("any operation")
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("error", [RuntimeError("a bug"), MemoryError()], ids=str)
def test_each_step_of_a_provider_may_fail(provider_fault, analyzer, client, provider, model, error):
    run_for_each(provider_fault, analyzer, client, provider, model, error)


def run_for_each(fault, analyzer, client, provider, model, error, lasting=1, least=3, most_calls=1):
    """Do the main job with its first operation failing, its second …, until one is done without a fault."""
    nth = 0
    has_struck = True
    while has_struck:
        nth += 1
        provider.reset()
        provider.script(text=TEXT, rate=500)
        fault.arm(nth, error, lasting)
        with gevent.Timeout(30, TimeoutError(f"operation {nth}")):
            statuses, page = main_job(client, model)
            settle(analyzer)
        has_struck = fault.has_struck
        fault.disarm()
        assert set(statuses) <= {200, 303, 503}, (nth, statuses)
        assert_honest(analyzer, provider, page, most_calls)
    assert nth > least
    assert statuses[503] == 0
    assert page.done
