"""What nobody runs any more is noticed and ended, and who was taken for dead writes nothing more."""

import sqlite3
from datetime import timedelta

import gevent
import pytest
from gevent.event import Event
from peewee import DatabaseError

import models
import storage
from analyzer import Ended, Notice, Text, Viewer, Wait
from analyzer.runner import Runner
from app import make_analyzer
from models import Analysis, Piece, Status
from providers.base import Reply
from storage import connected
from tests.person import ask, held, row, saved, settle

pytestmark = pytest.mark.both_modes


@pytest.fixture
def analyzer(analyzer):
    """An analyzer that looks after its runners all the time."""
    analyzer.LOOK_SECONDS = 0.01
    analyzer._room.set()
    return analyzer


class Watcher:
    """A viewer in a greenlet of its own: its text, what it was told meanwhile, its ending."""

    def __init__(self, analyzer, analysis):
        self.news = []
        self.has_news = Event()
        self.greenlet = gevent.spawn(self._watch, analyzer.observe(row(analysis).id, 0, Viewer()))

    def _watch(self, news):
        for item in news:
            self.news.append(item)
            self.has_news.set()

    def until(self, wanted):
        """Wait for news that is as wanted."""
        while not any(wanted(item) for item in self.news):
            self.has_news.clear()
            assert self.has_news.wait(30), self.news
        return self

    def to_the_end(self):
        """Return the text and how it ended."""
        self.until(lambda item: isinstance(item, Ended))
        return self.text, self.news[-1].status

    def to_the_first_text(self):
        return self.until(lambda item: isinstance(item, Text) and item.text)

    @property
    def text(self):
        return "".join(item.text for item in self.news if isinstance(item, Text))


def watch(analyzer, analysis):
    return Watcher(analyzer, analysis).to_the_end()


def pieces():
    with connected():
        return Piece.select().count()


@pytest.mark.fault("dead runner")
def test_what_a_dead_runner_left_is_interrupted_at_once(analyzer, client, document, provider, caplog):
    analyzer.LOOK_SECONDS = 60
    provider.script(text="word " * 100, rate=50)
    analysis = ask(client, document)
    watcher = Watcher(analyzer, analysis).to_the_first_text()
    (runner,) = analyzer._runners.values()

    runner.greenlet.kill()

    text, status = watcher.to_the_end()
    assert status is Status.INTERRUPTED
    assert row(analysis).text == text
    assert ("word " * 100).startswith(text)
    assert ">Continue<" in saved(client, analysis).text
    assert f"Reference A{row(analysis).id}" in saved(client, analysis).text
    (told,) = [record for record in caplog.records if record.message == "interrupted"]
    assert told.reference == f"A{row(analysis).id}"
    assert provider.wait(open=0).calls == 1
    assert pieces() == 0


@pytest.mark.fault("hanging runner")
def test_a_runner_that_hangs_is_given_up(analyzer, client, document, monkeypatch):
    hung = Event()

    class Endless(Reply):
        def __iter__(self):
            yield "half"

        def close(self):
            try:
                Event().wait()
            finally:
                hung.set()

    monkeypatch.setattr(Runner, "STEP_SECONDS", 0.1)
    monkeypatch.setattr(analyzer.providers["offline"], "reply", lambda *_: Endless())
    analysis = ask(client, document, model="offline:extractive")

    assert watch(analyzer, analysis) == ("half", Status.INTERRUPTED)
    assert hung.wait(30)
    assert not analyzer._runners


@pytest.mark.fault("lost lease")
def test_a_lease_that_is_over_ends_what_another_worker_ran_and_no_other(analyzer, client, document):
    alive, dead = (ask(client, document, model="offline:extractive") for _ in range(2))
    settle(analyzer)
    for analysis, seconds in ((alive, 60), (dead, -1)):
        lease = models.now() + timedelta(seconds=seconds)
        changes = {"status": Status.RUNNING, "worker": "elsewhere", "lease_until": lease}
        with connected():
            Analysis.update(**changes).where(Analysis.id == row(analysis).id).execute()

    assert watch(analyzer, dead)[-1] is Status.INTERRUPTED
    assert row(alive).status == Status.RUNNING


@pytest.mark.fault("lost lease")
def test_who_lost_its_lease_writes_nothing_more_and_its_viewers_hear_the_truth(
    analyzer, settings, client, document, provider
):
    provider.script(text="One two three", rate=2)
    analysis = ask(client, document)
    watcher = Watcher(analyzer, analysis).to_the_first_text()
    # Another worker, for which this one is dead: it slept longer than its lease.
    with connected():
        Analysis.update(lease_until=models.now() - timedelta(seconds=1)).execute()
    successor = make_analyzer(settings)

    assert successor._recover() == [row(analysis).id]

    assert watcher.to_the_end() == ("One", Status.INTERRUPTED)
    assert provider.wait(open=0).cancels == 1
    settle(analyzer)
    assert (row(analysis).status, row(analysis).text) == (Status.INTERRUPTED, "One")
    assert pieces() == 0
    assert not analyzer.log._live


@pytest.mark.fault("clock jump")
@pytest.mark.parametrize("hours", [1, -1])
def test_a_clock_that_jumps_ends_nothing(analyzer, client, document, provider, monkeypatch, hours):
    provider.script(text="One two three four", rate=20)
    analysis = ask(client, document)
    watcher = Watcher(analyzer, analysis).to_the_first_text()
    clock = storage.database.obj
    now = clock.now

    monkeypatch.setattr(clock, "now", lambda: now() + timedelta(hours=hours))
    assert analyzer._recover() == []

    assert watcher.to_the_end() == ("One two three four", Status.COMPLETE)


class Storage:
    """The disk under the token log: `full` or `read-only`, until there is `room`."""

    def __init__(self, monkeypatch, fault):
        self.fault = fault
        self.commit = Analysis.commit
        monkeypatch.setattr(Analysis, "commit", self)

    def __call__(self, *arguments):
        with connected():
            execute = storage.database.execute_sql
            (pages,) = execute("PRAGMA page_count").fetchone()
            execute(f"PRAGMA max_page_count={pages if self.fault == 'full' else 2**30}")
            execute(f"PRAGMA query_only={self.fault == 'read-only'}")
            try:
                return self.commit(*arguments)
            finally:
                execute("PRAGMA max_page_count=1073741823")
                execute("PRAGMA query_only=0")


@pytest.mark.sqlite
@pytest.mark.fault("storage full")
@pytest.mark.parametrize(
    ("model", "fault"),
    [
        ("openai:gpt-6-sol", "full"),
        ("anthropic:claude-sonnet-5-5", "full"),
        ("openai:gpt-6-sol", "read-only"),
        ("offline:extractive", "read-only"),
    ],
)
def test_when_storage_is_full_the_call_ends_the_person_is_told_and_what_was_shown_is_kept(
    analyzer, client, provider, monkeypatch, model, fault
):
    text = "\n\n".join(f"Party {n} shall pay {n}00 EUR by {n} March 2027, or else." for n in range(400))
    document = client.post("/documents", data={"text": text}).headers["Location"]
    provider.script(text=f"{text} " * 5, rate=20_000, fault="silence")
    disk = Storage(monkeypatch, fault)

    analysis = ask(client, document, model=model)
    watcher = Watcher(analyzer, analysis)
    if fault == "read-only":
        # Not even how it ended can be saved: the person is told that meanwhile.
        watcher.until(lambda item: isinstance(item, Notice) and item.wait is Wait.FULL)
        disk.fault = ""
    shown, status = watcher.to_the_end()

    provider.wait(open=0)
    assert (row(analysis).status, row(analysis).error) == (status, "StorageFull")
    assert status is (Status.INCOMPLETE if shown else Status.FAILED)
    assert row(analysis).text == shown
    assert "Storage is full: nothing more could be saved" in saved(client, analysis).text
    assert pieces() == 0


@pytest.mark.fault("database locked")
def test_a_database_that_stays_locked_ends_the_call_and_says_so(
    analyzer, client, document, provider, monkeypatch
):
    monkeypatch.setattr(storage, "PATIENCE_SECONDS", 0.1)
    provider.script(text="word " * 1000, rate=50)
    analysis = ask(client, document)
    watcher = Watcher(analyzer, analysis).to_the_first_text()
    with held():
        provider.wait(cancels=1, open=0)
        watcher.until(lambda item: isinstance(item, Notice) and item.wait is Wait.STORAGE)

    text, status = watcher.to_the_end()
    assert status is Status.INCOMPLETE
    assert (row(analysis).text, row(analysis).error) == (text, "StorageError")
    assert "The database did not answer" in saved(client, analysis).text


@pytest.mark.sqlite
def test_a_database_that_is_damaged_while_it_serves_ends_the_call_and_says_so(
    analyzer, client, document, provider, monkeypatch
):
    commit, is_damaged = Analysis.commit, Event()
    provider.script(text="One two three", rate=20, fault="silence", at=2)
    analysis = ask(client, document)
    watcher = Watcher(analyzer, analysis).to_the_first_text()

    @storage.saving
    def damaged(*arguments):
        if is_damaged.is_set():
            error = sqlite3.DatabaseError("database disk image is malformed")
            error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise DatabaseError(str(error)) from error
        return commit(*arguments)

    is_damaged.set()
    monkeypatch.setattr(Analysis, "commit", damaged)
    watcher.until(lambda item: isinstance(item, Notice) and item.wait is Wait.STORAGE)
    is_damaged.clear()

    text, status = watcher.to_the_end()
    assert (status, row(analysis).error) == (Status.INCOMPLETE, "StorageError")
    assert row(analysis).text == text


def test_what_cannot_be_stored_of_one_harms_no_other(analyzer, client, document, provider, monkeypatch):
    provider.script(text="One two three four five", rate=50)
    commit, poisoned = Analysis.commit, []

    def poison(worker, pieces, endings, *rest):
        if any(id == poisoned[0] for id, _, _ in pieces):
            raise OverflowError("cannot be stored")
        return commit(worker, pieces, endings, *rest)

    first, second = ask(client, document), ask(client, document)
    poisoned.append(row(first).id)
    monkeypatch.setattr(Analysis, "commit", poison)

    assert watch(analyzer, second) == ("One two three four five", Status.COMPLETE)
    assert watch(analyzer, first)[-1] in (Status.FAILED, Status.INCOMPLETE)
    assert row(first).error == "Internal"
