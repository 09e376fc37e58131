"""How an analysis lives and ends, with both vendors' real clients over real sockets."""

import gevent
import pytest
from gevent.event import Event

import storage
from analyzer import Ended, Limits, Text, Viewer
from analyzer.runner import Runner
from app import make_analyzer
from models import Analysis, Document, Piece, Status, User
from providers.base import Reply
from tests.person import held

pytestmark = pytest.mark.both_modes

MODELS = ["openai:gpt-6-sol", "anthropic:claude-sonnet-5-5", "offline:extractive"]
PAID = MODELS[:2]


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch):
    monkeypatch.setattr(Runner, "PAUSES", (0.01, 0.01))


@pytest.fixture
def paper(app):
    with storage.connected():
        text = "Terms.\n\nThe user shall pay 100 EUR by 1 March 2027."
        yield Document.add(User.local(), "Terms", text, 11, 2)


@pytest.fixture
def ask(app, paper):
    """Start an analysis of the paper; returns its id."""

    def start(model=PAID[0], **fields):
        analyzer = app.extensions["analyzer"]
        return analyzer.start(paper, paper.owner, "brief", model, **fields)[0].id

    return start


def watch(analyzer, id):
    """Return the text and the ending that a viewer sees."""
    *news, ended = analyzer.observe(id, 0, Viewer())
    assert isinstance(ended, Ended)
    return "".join(item.text for item in news if isinstance(item, Text)), ended.status


def first_text(analyzer, id):
    """Wait for the first text of an analysis."""
    for item in analyzer.observe(id, 0, Viewer()):
        if isinstance(item, Text) and item.text:
            return item.text
    raise AssertionError("no text came")


def lease_of_the_dead():
    """Return how many seconds of lease a worker has left that is taken for dead at once."""
    # Who shares the database with nobody needs not wait until it is over.
    return 0 if storage.database.is_shared else 15


@pytest.mark.parametrize("model", MODELS)
def test_what_is_seen_is_what_is_saved(analyzer, ask, provider, model):
    provider.script(text="One two.\n\nThree 😀 four.", rate=200)
    id = ask(model)

    text, status = watch(analyzer, id)

    row = Analysis.get_by_id(id)
    assert status is Status.COMPLETE
    assert (row.status, row.text, row.stop_reason) == ("complete", text, "end")
    assert row.words == len(text.split()) > 3
    assert row.input_tokens
    assert row.output_tokens
    assert row.created_at <= row.started_at <= row.first_text_at <= row.ended_at
    assert not Piece.select().exists()
    if model in PAID:
        assert text == "One two.\n\nThree 😀 four."
        assert row.provider_request_id
        assert provider.state()["calls"] == 1


@pytest.mark.parametrize("model", PAID)
@pytest.mark.parametrize(
    ("script", "status", "error"),
    [
        ({"stop": "length"}, Status.CUT, ""),
        ({"stop": "refusal"}, Status.DECLINED, ""),
        ({"fault": "fin", "at": 2}, Status.INCOMPLETE, "Broken"),
        ({"fault": "rst", "at": 2}, Status.INCOMPLETE, "Broken"),
        ({"fault": "end"}, Status.INCOMPLETE, "Broken"),
        ({"fault": "garbage", "at": 2}, Status.INCOMPLETE, "Broken"),
        ({"fault": "fin", "at": 0}, Status.FAILED, "Broken"),
        ({"status": 401}, Status.FAILED, "KeyRefused"),
        ({"status": 404}, Status.FAILED, "UnknownModel"),
        ({"status": 503}, Status.FAILED, "Busy"),
        ({"text": ""}, Status.FAILED, "Empty"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_every_ending_is_told_as_it_was(analyzer, ask, provider, model, script, status, error):
    provider.script(**{"text": "one two three four", "rate": 500} | script)
    id = ask(model)

    text, seen = watch(analyzer, id)

    row = Analysis.get_by_id(id)
    assert (seen, row.status, row.error) == (status, status, error)
    assert row.text == text
    assert bool(text) == (status is not Status.FAILED)
    assert provider.state()["calls"] == (3 if error == "Busy" else 1)


@pytest.mark.parametrize("model", PAID)
@pytest.mark.parametrize(
    "script",
    [{"rate": 20}, {"before_headers": 60}, {"before_text": 60}, {"fault": "silence", "at": 2}],
    ids=["while it writes", "before its headers", "before its text", "while it is silent"],
)
def test_stop_closes_the_providers_socket_and_keeps_the_text(analyzer, ask, provider, model, script):
    provider.script(text="word " * 100, **script)
    id = ask(model)
    provider.wait(calls=1)
    if "before_headers" not in script and "before_text" not in script:
        first_text(analyzer, id)

    analyzer.cancel(id)

    provider.wait(cancels=1, open=0)
    text, status = watch(analyzer, id)
    assert status is Status.STOPPED
    assert ("word " * 100).startswith(text)
    assert Analysis.get_by_id(id).text == text
    assert provider.state()["calls"] == 1


def test_stopping_twice_or_after_the_end_changes_nothing(analyzer, ask, provider):
    id = ask()
    watch(analyzer, id)
    ended = Analysis.get_by_id(id)

    analyzer.cancel(id)
    analyzer.cancel(id)
    analyzer.cancel(99)

    assert Analysis.get_by_id(id).status == ended.status == Status.COMPLETE


def test_the_same_request_is_run_once(analyzer, paper, provider):
    provider.script(text="once", rate=20)

    def start():
        return analyzer.start(paper, paper.owner, "brief", PAID[0], request_key="key")

    started = [job.get() for job in [gevent.spawn(start) for _ in range(50)]]

    assert len({analysis.id for analysis, _ in started}) == 1
    assert sum(is_new for _, is_new in started) == 1
    watch(analyzer, started[0][0].id)
    assert provider.state()["calls"] == 1


def test_beyond_the_cap_an_analysis_waits_its_turn(analyzer, paper, provider):
    analyzer.max_running = 1
    provider.script(text="one two three", fault="silence", at=1)
    first, _ = analyzer.start(paper, paper.owner, "brief", PAID[0])
    second, _ = analyzer.start(paper, paper.owner, "brief", PAID[0])
    provider.wait(calls=1)
    assert (first.status, second.status) == (Status.RUNNING, Status.WAITING)
    assert provider.state()["open"] == 1

    provider.script(text="my turn")
    analyzer.cancel(first.id)

    assert watch(analyzer, second.id) == ("my turn", Status.COMPLETE)


def test_one_that_waits_is_stopped_without_a_call(analyzer, paper, provider):
    analyzer.max_running = 1
    provider.script(fault="silence", at=1)
    first, _ = analyzer.start(paper, paper.owner, "brief", PAID[0])
    second, _ = analyzer.start(paper, paper.owner, "brief", PAID[0])
    provider.wait(calls=1)

    analyzer.cancel(second.id)

    assert watch(analyzer, second.id) == ("", Status.STOPPED)
    analyzer.cancel(first.id)
    provider.wait(open=0)
    assert provider.state()["calls"] == 1


@pytest.mark.parametrize("model", PAID)
@pytest.mark.parametrize(
    ("script", "status"),
    [
        ({"before_text": 60}, Status.FAILED),
        ({"fault": "silence", "at": 2}, Status.INCOMPLETE),
    ],
    ids=["before its first text", "inside its text"],
)
def test_silence_is_given_up(analyzer, paper, provider, model, script, status):
    analyzer.limits = Limits(first_token=0.3, gap=0.3, total=60)
    provider.script(text="one two three", **script)
    analysis, _ = analyzer.start(paper, paper.owner, "brief", model)

    text, seen = watch(analyzer, analysis.id)

    assert (seen, Analysis.get_by_id(analysis.id).error) == (status, "Silent")
    assert "one two three".startswith(text)
    provider.wait(open=0)


@pytest.mark.parametrize("rate", [50, 5000], ids=["slowly", "faster than it is saved"])
def test_an_answer_that_goes_on_for_ever_is_ended(analyzer, paper, provider, rate):
    analyzer.limits = Limits(first_token=10, gap=10, total=0.5)
    provider.script(text="word " * 20_000, rate=rate)
    analysis, _ = analyzer.start(paper, paper.owner, "brief", PAID[0])

    assert watch(analyzer, analysis.id)[1] is Status.INCOMPLETE
    provider.wait(open=0)


def test_deleting_ends_the_call_and_tells_the_viewers(analyzer, ask, provider):
    provider.script(text="word " * 100, rate=20)
    id = ask()
    first_text(analyzer, id)
    watchers = [gevent.spawn(watch, analyzer, id) for _ in range(4)]
    gevent.idle()

    analyzer.delete(Analysis.get_by_id(id))

    assert [watcher.get(timeout=30)[1] for watcher in watchers] == [None] * 4
    provider.wait(cancels=1, open=0)
    assert not Piece.select().exists()


def test_a_new_worker_interrupts_what_the_old_one_left_and_runs_what_waited(
    analyzer, settings, paper, provider
):
    provider.script(text="my turn")
    analyzer.drain(0)
    dead, waiting = (Analysis.ask(paper, paper.owner, "brief", PAID[0])[0].id for _ in range(2))
    Analysis.claim_next("dead", lease_of_the_dead())
    Analysis.commit("dead", [(dead, 0, "half of it")], {})

    successor = make_analyzer(settings)

    assert successor.begin() == [dead]
    assert watch(successor, dead) == ("half of it", Status.INTERRUPTED)
    assert watch(successor, waiting) == ("my turn", Status.COMPLETE)
    assert provider.state()["calls"] == 1
    successor.drain(0)


def test_draining_lets_a_grace_pass_and_interrupts_the_rest(analyzer, ask, provider):
    provider.script(text="word " * 1000, rate=50)
    long = ask()
    first_text(analyzer, long)
    provider.script(text="almost done", rate=10)
    short = ask()
    first_text(analyzer, short)

    analyzer.drain(1)

    assert Analysis.get_by_id(short).status == Status.COMPLETE
    row = Analysis.get_by_id(long)
    assert row.status == Status.INTERRUPTED
    assert row.text
    provider.wait(open=0)


def test_draining_sends_the_viewers_away_without_an_ending(analyzer, ask, provider):
    provider.script(text="word " * 1000, rate=50)
    id = ask()
    watcher = gevent.spawn(list, analyzer.observe(id, 0, Viewer()))
    first_text(analyzer, id)

    analyzer.drain(0)

    assert not any(isinstance(item, Ended) for item in watcher.get(timeout=30))


def test_a_fault_of_our_own_ends_as_failed_and_is_logged(analyzer, ask, provider, monkeypatch, caplog):
    def broken(*args):
        raise RuntimeError("a bug")

    monkeypatch.setattr("analyzer.prompt.build", broken)
    id = ask()

    assert watch(analyzer, id) == ("", Status.FAILED)
    assert Analysis.get_by_id(id).error == "Internal"
    assert "a bug" in caplog.text


def test_an_ending_that_cannot_be_saved_yet_is_saved_later(analyzer, ask, provider, monkeypatch):
    # The last line end is held back until it is known what follows.
    provider.script(text="one two\r", rate=50)
    commit, failed = Analysis.commit, Event()

    def full_once(worker, pieces, endings, *rest):
        if endings and not failed.is_set():
            failed.set()
            raise storage.StorageError("disk is full")
        return commit(worker, pieces, endings, *rest)

    monkeypatch.setattr(Analysis, "commit", full_once)
    id = ask()

    assert watch(analyzer, id) == ("one two\n", Status.COMPLETE)
    assert Analysis.get_by_id(id).text == "one two\n"
    assert failed.is_set()


@pytest.mark.parametrize("count", [10**30, -1, float("inf")], ids=str)
@pytest.mark.parametrize("model", PAID)
def test_a_count_of_tokens_that_cannot_be_is_none_and_harms_nobody(analyzer, ask, provider, model, count):
    provider.script(text="one two", usage={"input": count, "output": count})
    ids = [ask(model), ask(model)]

    assert [watch(analyzer, id) for id in ids] == [("one two", Status.COMPLETE)] * 2
    assert {Analysis.get_by_id(id).input_tokens for id in ids} <= {0, None}


def test_an_ending_whose_details_cannot_be_stored_is_still_an_ending(analyzer, ask, monkeypatch):
    monkeypatch.setattr(analyzer.providers["offline"], "price", lambda *_: {})
    id = ask("offline:extractive")

    text, status = watch(analyzer, id)

    assert (status, Analysis.get_by_id(id).text) == (Status.COMPLETE, text)


@pytest.mark.parametrize("model", PAID)
def test_a_redirect_is_not_followed(analyzer, ask, provider, model):
    provider.script(status=307, headers={"Location": "/v1/messages"})
    id = ask(model)

    assert watch(analyzer, id)[1] is Status.FAILED
    assert provider.state()["calls"] == 1


def test_stop_does_not_wait_for_a_locked_database_to_close_the_call(analyzer, ask, provider):
    provider.script(text="one two three", fault="silence", at=1)
    id = ask()
    first_text(analyzer, id)
    with held() as are_waiting:
        stop = gevent.spawn(analyzer.cancel, id)
        are_waiting()
        provider.wait(cancels=1, open=0)
        assert not stop.ready()
    stop.get()

    assert watch(analyzer, id)[1] is Status.STOPPED


def test_a_worker_that_finds_the_database_locked_takes_over_later(
    analyzer, settings, paper, provider, monkeypatch
):
    analyzer.drain(0)
    dead = Analysis.ask(paper, paper.owner, "brief", PAID[0])[0].id
    Analysis.claim_next("dead", lease_of_the_dead())
    interrupt, attempts = Analysis.interrupt, []

    def locked_once(*arguments):
        attempts.append(arguments)
        if len(attempts) == 1:
            raise storage.StorageError("database is locked")
        return interrupt(*arguments)

    monkeypatch.setattr(Analysis, "interrupt", locked_once)
    successor = make_analyzer(settings)
    successor.LOOK_SECONDS = 0.01

    assert successor.begin() == []
    assert watch(successor, dead) == ("", Status.INTERRUPTED)
    successor.drain(0)


def test_a_reply_without_a_stop_reason_is_never_complete(analyzer, ask, monkeypatch):
    class Forgetful(Reply):
        def __iter__(self):
            yield "half"

        def close(self):
            pass

    monkeypatch.setattr(analyzer.providers["offline"], "reply", lambda *_: Forgetful())
    id = ask("offline:extractive")

    assert watch(analyzer, id) == ("half", Status.INCOMPLETE)


@pytest.mark.parametrize(
    ("gone", "error"), [("providers", "UnknownModel"), ("recipes", "UnknownRecipe")], ids=lambda word: word
)
def test_what_waited_for_something_that_is_gone_fails_with_its_reason(analyzer, ask, gone, error):
    analyzer.max_running = 0
    id = ask("offline:extractive")
    setattr(analyzer, gone, {})
    analyzer.max_running = 1
    analyzer._run_waiting()

    assert watch(analyzer, id) == ("", Status.FAILED)
    assert Analysis.get_by_id(id).error == error


def test_who_comes_when_the_process_ends_is_sent_away_too(analyzer, ask, provider):
    provider.script(fault="silence", at=1)
    analyzer.max_running = 1
    running, waiting = ask(), ask()
    first_text(analyzer, running)
    analyzer.log.dismiss()

    for id in (running, waiting):
        assert not any(isinstance(item, Ended) for item in analyzer.observe(id, 0, Viewer(patience=1000)))
