"""Races: of those that come together one wins, all are told, and nothing is left behind."""

import logging
import random

import gevent
import pytest
from gevent.event import Event

import storage
from analyzer import Ended, Text, Viewer
from models import LIVE, Analysis, Piece, Status
from tests.page import Page
from tests.person import ask, bring, held, post_analysis, row, settle, stream

pytestmark = pytest.mark.both_modes

ROUNDS = 20
# Turns of the hub, at most two to this power: a reply takes some ten, a wait for the database hundreds.
# Those for a server come between many others.
LONGEST = 8, 11
PAID = ["openai:gpt-6-sol", "anthropic:claude-sonnet-5-5"]
# The last line end is held back until it is known what follows.
SAID, STORED = "One two three.\r", "One two three.\n"


class Watching:
    """Two who watch an analysis from now on: a page, and an observer."""

    def __init__(self, app, path):
        self.app = app
        self.path = path
        self.page = gevent.spawn(self._page)
        self.observer = gevent.spawn(self._observer)

    def _page(self):
        page = Page(self.path)
        with stream(self.app.test_client(), self.path, HX_Request="true") as answer:
            page.read(answer.data)
        return page

    def _observer(self):
        news = self.app.extensions["analyzer"].observe(int(self.path.rsplit("/", 1)[-1]), 0, Viewer())
        return [item for item in news if isinstance(item, Text | Ended)]

    def end(self):
        """Wait for its end; returns the text and the status that both were told."""
        page = self.page.get(timeout=30)
        assert page.done
        *texts, ended = self.observer.get(timeout=30)
        text = "".join(item.text for item in texts)
        if ended.status and not (self._may_be_late() and not page.text):
            assert page.text == "".join(text.split())
        return text, ended.status

    def _may_be_late(self):
        # A server's answer keeps the page waiting: it may have looked when all was deleted already.
        return storage.database.is_shared and row(self.path) is None


class Races:
    """Rounds of a race, each second one beside a process that holds the database half of the time."""

    def __init__(self, app, provider):
        self.app = app
        self.provider = provider
        self.analyzer = app.extensions["analyzer"]
        self.chance = random.Random(1)

    def rounds(self, rounds=ROUNDS, until=lambda: True):
        """Yield the number of each round; when it is over nothing may be left of it.

        There are more, ten times as many at most, `until` each side has won: a busy machine favours one.
        """
        for number in range(10 * rounds):
            if number >= rounds and until():
                return
            self.holds = bool(number % 2)
            other = gevent.spawn(self._hold_again_and_again)
            try:
                yield number
                self._settle()
            finally:
                self.holds = False
                other.get(timeout=30)

    def meet(self, *acts):
        """Let functions go at once, half of them after some turns of the others; returns what they returned.

        Each is given with its arguments.
        """
        gate = Event()

        def go(turns, act, *arguments):
            gate.wait()
            self._wait(turns)
            return act(*arguments)

        running = [gevent.spawn(go, self._turns(), *act) for act in acts]
        gate.set()
        gevent.joinall(running, timeout=30, raise_error=True)
        return [greenlet.get(block=False) for greenlet in running]

    def _turns(self):
        longest = LONGEST[storage.database.is_shared]
        return int(2 ** self.chance.uniform(-longest, longest))

    def _wait(self, turns):
        for _ in range(turns):
            # Not 0: the hub runs many callbacks before it looks at the sockets, and one look per timer.
            gevent.sleep(1e-9)

    def _hold_again_and_again(self):
        while self.holds:
            with held():
                self._wait(self._turns())
            self._wait(self._turns())

    def _settle(self):
        self.provider.wait(open=0)
        settle(self.analyzer)
        gevent.sleep(0)
        assert not self.analyzer._runners
        assert not self.analyzer.log._live
        with storage.connected():
            assert not Analysis.select().where(Analysis.status.in_(LIVE)).exists()
            assert not Piece.select().exists()

    # What a person does

    def ask(self, document, model=PAID[0]):
        """Start an analysis that two watch."""
        return self.watch(ask(self.app.test_client(), document, model=model))

    def watch(self, path):
        return Watching(self.app, path)

    def post(self, document, key, model=PAID[0]):
        """Press Analyze; returns the path of what it made, or None where the document is gone."""
        answer = post_analysis(self.app.test_client(), document, model=model, request_key=key)
        assert answer.status_code in (303, 404)
        return answer.headers.get("Location", "").removesuffix("/live") or None

    def stop(self, path):
        assert self.app.test_client().post(f"{path}/cancellation").status_code == 303

    def delete(self, path):
        assert self.app.test_client().post(f"{path}/deletion").status_code == 303


@pytest.fixture
def races(app, provider, document, monkeypatch, caplog):
    monkeypatch.setattr(app.extensions["analyzer"].log, "TICK_SECONDS", 0)
    races = Races(app, provider)
    # The first ones are slower: clients and connections are made.
    for model in PAID:
        races.ask(document, model).end()
    races._settle()
    provider.reset()
    yield races
    # Who loses a race is told so; in the log it is no fault.
    assert not [record for record in caplog.get_records("call") if record.levelno >= logging.ERROR]


@pytest.mark.fault("sent twice")
def test_fifty_posts_of_one_form_are_one_analysis_and_one_call(races, document, provider):
    for number in races.rounds(4):
        made = set(races.meet(*[(races.post, document, f"key-{number}", PAID[number // 2])] * 50))
        assert len(made) == 1
        assert races.watch(made.pop()).end()[1] is Status.COMPLETE
        assert provider.calls == number + 1


@pytest.mark.fault("sent twice")
def test_a_form_that_is_sent_again_shows_what_it_made_before_and_after_its_end(races, document, provider):
    for number in races.rounds():
        key = f"key-{number}"
        first = races.post(document, key)
        assert races.meet(*[(races.post, document, key)] * 2) == [first, first]
        assert races.watch(first).end()[1] is Status.COMPLETE
        assert races.post(document, key) == first
        assert provider.calls == number + 1


@pytest.mark.fault("sent twice")
def test_two_tabs_that_ask_the_same_are_one_run_and_after_its_end_another(races, document, provider):
    provider.script(fault="silence", at=1)
    runs = 0
    for number in races.rounds():
        first, second = races.meet(*[(races.post, document, f"{tab}-{number}") for tab in "ab"])
        assert first == second
        third, _ = races.meet((races.post, document, f"c-{number}"), (races.stop, first))
        races.stop(third)
        assert {races.watch(path).end()[1] for path in (first, third)} == {Status.STOPPED}
        runs += len({first, third})
        assert provider.calls <= runs
    assert ROUNDS < runs < 2 * ROUNDS


def test_no_more_run_at_once_than_may(races, document, provider):
    races.analyzer.max_running = 2
    provider.script(fault="silence", at=1)
    for _ in races.rounds():
        paths = races.meet(*[(races.post, document, None)] * 4)
        assert [row(path).status for path in paths].count(Status.RUNNING) == 2
        for path in paths:
            races.stop(path)
        assert {races.watch(path).end()[1] for path in paths} == {Status.STOPPED}


@pytest.mark.fault("stopped meanwhile")
@pytest.mark.parametrize("model", PAID)
def test_two_stops_are_one(races, document, provider, model):
    provider.script(text="One two three", fault="silence", at=2)
    for number in races.rounds():
        watching = races.ask(document, model)
        if number % 4 < 2:
            provider.wait(open=1)
        races.meet(*[(races.stop, watching.path)] * 2)
        text, status = watching.end()
        assert status is Status.STOPPED
        assert row(watching.path).text == text
        assert "One two".startswith(text)
    assert provider.cancels == provider.calls >= ROUNDS // 2


@pytest.mark.fault("stopped meanwhile")
@pytest.mark.parametrize("model", PAID)
def test_a_stop_against_the_last_token_leaves_one_ending(races, document, provider, model):
    provider.script(text=SAID)
    statuses, either = set(), {Status.COMPLETE, Status.STOPPED}
    for number in races.rounds(2 * ROUNDS, lambda: statuses == either):
        watching = races.ask(document, model)
        races.meet((races.stop, watching.path))
        text, status = watching.end()
        ended = row(watching.path)
        assert (ended.status, ended.text) == (status, text)
        assert status is Status.STOPPED or (status, text) == (Status.COMPLETE, STORED)
        races.stop(watching.path)
        assert row(watching.path).__data__ == ended.__data__
        assert provider.calls <= number + 1
        statuses.add(status)
    assert statuses == either


@pytest.mark.fault("stopped meanwhile")
def test_one_that_is_stopped_while_its_turn_comes_is_stopped(races, document, provider):
    assert end_while_its_turn_comes(races, document, provider, races.stop) == {Status.STOPPED}


def test_one_that_is_deleted_while_its_turn_comes_is_gone(races, document, provider):
    assert end_while_its_turn_comes(races, document, provider, races.delete) == {None}


def end_while_its_turn_comes(races, document, provider, act):
    """End an analysis that waits while the one that it waits for is stopped; returns what was told of it."""
    told = set()
    races.analyzer.max_running = 1
    provider.script(fault="silence", at=1)
    for number in races.rounds():
        calls = provider.calls
        running, waiting = races.ask(document), races.ask(document, PAID[1])
        if number % 4 < 2:
            provider.wait(calls=calls + 1)
            races.stop(running.path)
            provider.wait(calls=calls + 2)
            act(waiting.path)
        else:
            races.meet((races.stop, running.path), (act, waiting.path))
        assert running.end()[1] is Status.STOPPED
        told.add(waiting.end()[1])
    assert 0 < provider.calls_by_model[PAID[1].partition(":")[2]] < ROUNDS
    return told


@pytest.mark.fault("deleted meanwhile")
@pytest.mark.parametrize("model", PAID)
def test_a_deletion_during_the_stream_tells_all_viewers(races, document, provider, model):
    provider.script(text="One two three", fault="silence", at=2)
    for number in races.rounds():
        first = races.ask(document, model)
        path = first.path
        second = races.watch(path)
        if number % 4 < 2:
            provider.wait(open=1)
        third, _ = races.meet((races.watch, path), (races.delete, path))
        assert {watching.end()[1] for watching in (first, second, third)} == {None}
        assert row(path) is None
    assert provider.cancels == provider.calls >= ROUNDS // 2


@pytest.mark.fault("deleted meanwhile")
@pytest.mark.parametrize("model", PAID)
def test_a_deletion_against_the_end_tells_of_one_of_them(races, document, provider, model):
    provider.script(text=SAID)
    told, either = set(), {None, Status.COMPLETE}
    for _ in races.rounds(until=lambda: told == either):
        watching = races.ask(document, model)
        races.meet((races.delete, watching.path))
        text, status = watching.end()
        assert text == STORED if status else STORED.startswith(text)
        assert row(watching.path) is None
        told.add(status)
    assert told == either


@pytest.mark.fault("deleted meanwhile")
def test_a_document_that_goes_while_an_analysis_starts_takes_it_along(races, provider):
    provider.script(fault="silence", at=1)
    started, either = set(), {True, False}
    for number in races.rounds(until=lambda: started == either):
        document = bring(races.app.test_client(), "Text.")
        path, _ = races.meet((races.post, document, f"key-{number}"), (races.delete, document))
        started.add(bool(path))
        if path:
            assert races.watch(path).end()[1] is None
            assert row(path) is None
    assert started == either


# The orders of things that the rounds above may miss


def test_a_stop_that_waits_for_the_database_ends_what_was_claimed_meanwhile(races, document, provider):
    races.analyzer.max_running = 0
    provider.script(fault="silence", at=1)
    watching = races.ask(document)
    with held() as are_waiting:
        stopping = gevent.spawn(races.stop, watching.path)
        are_waiting()
    races.analyzer.max_running = 1
    races.analyzer._run_waiting()
    stopping.get(timeout=30)
    assert watching.end()[1] is Status.STOPPED


def test_starts_that_wait_for_the_database_find_the_room_that_is_left(races, document, provider):
    races.analyzer.max_running = 1
    provider.script(fault="silence", at=1)
    with held() as are_waiting:
        posting = [gevent.spawn(races.post, document, None) for _ in range(2)]
        are_waiting(2)
    paths = [greenlet.get(timeout=30) for greenlet in posting]
    assert sorted(row(path).status for path in paths) == [Status.RUNNING, Status.WAITING]


def test_a_start_that_waits_for_the_database_finds_the_room_that_is_made_meanwhile(
    races, document, provider, monkeypatch
):
    # The dispatcher would find it too, a little later.
    monkeypatch.setattr(races.analyzer, "LOOK_SECONDS", 1000)
    races.analyzer.max_running = 1
    provider.script(fault="silence", at=1)
    running = races.ask(document)
    provider.wait(calls=1)
    with held() as are_waiting:
        posting = gevent.spawn(races.post, document, None)
        are_waiting()
    races.stop(running.path)
    assert running.end()[1] is Status.STOPPED
    path = posting.get(timeout=30)
    provider.wait(calls=2)
    races.stop(path)
    assert races.watch(path).end()[1] is Status.STOPPED


def test_a_start_that_waits_for_the_database_does_not_outlive_its_document(races, document):
    with held() as are_waiting:
        posting = gevent.spawn(races.post, document, "key")
        are_waiting()
    races.delete(document)
    path = posting.get(timeout=30)
    # PostgreSQL may give the database to the one that waited first.
    assert path is None or row(path) is None


@pytest.mark.sqlite
def test_a_document_that_goes_before_its_analysis_ran_is_no_fault(races, document, provider):
    watching = races.ask(document)
    races.delete(document)
    assert watching.end() == ("", None)
    assert provider.calls == 0
