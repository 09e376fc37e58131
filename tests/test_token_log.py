"""The token log's promises: saved before shown, no gap, no repeat, nothing in another's name."""

import gevent
import pytest
from gevent.event import Event

import storage
from analyzer import Ended, Notice, Text, Viewer
from analyzer.channel import Silence
from analyzer.token_log import LeaseLost, TokenLog
from models import Analysis, Document, Piece, Status, User
from storage import StorageError
from tests.person import held

NOTHING = Notice(None)


pytestmark = pytest.mark.both_modes


@pytest.fixture(autouse=True)
def _database(tables):
    with storage.connected():
        yield


@pytest.fixture
def log():
    log = TokenLog("here", Silence(is_up=True), lambda id: None)
    log.start()
    yield log
    log.stop()


@pytest.fixture
def running():
    """Make an analysis that runs in a worker's name."""
    owner = User.local()
    document = Document.add(owner, "Title", "One.\n\nTwo.", 2, 2)

    def make(worker="here"):
        analysis, _ = Analysis.ask(document, owner, "brief", "offline:extractive")
        claimed = Analysis.claim_next(worker, 15)
        assert claimed.id == analysis.id
        return analysis.id

    return make


def watch(log, id, after=0):
    """Watch in a greenlet; returns it and the news that it sees."""
    news = []

    def look():
        for item in log.observe(id, after, Viewer()):
            news.append(item)

    return gevent.spawn(look), news


def test_what_is_appended_is_saved_when_append_returns(log, running):
    id = running()
    log.open(id)

    log.append(id, "Hello ")

    assert Piece.text_of(id) == "Hello "


def test_a_viewer_is_told_of_text_only_after_it_is_saved(log, running, monkeypatch):
    id = running()
    log.open(id)
    commit, may_commit = Analysis.commit, Event()

    def held_back(*args):
        may_commit.wait()
        return commit(*args)

    monkeypatch.setattr(Analysis, "commit", held_back)
    watcher, news = watch(log, id)
    writer = gevent.spawn(log.append, id, "secret")
    gevent.idle()
    gevent.idle()
    assert news == [Text(0, ""), NOTHING]

    may_commit.set()
    writer.get()
    log.end(id, status=Status.COMPLETE)
    watcher.join()

    assert news == [Text(0, ""), NOTHING, Text(6, "secret"), Ended(Status.COMPLETE)]


def test_writers_go_on_while_one_first_text_comes_after_the_other(log, running, monkeypatch):
    monkeypatch.setattr(log, "TICK_SECONDS", 0)
    id, commit, newcomers = running(), Analysis.commit, iter([running() for _ in range(30)])

    def meanwhile(*args):
        held = commit(*args)
        if newcomer := next(newcomers, None):
            log.open(newcomer)
            gevent.spawn(log.append, newcomer, "first ")
            gevent.sleep(0)
        return held

    monkeypatch.setattr(Analysis, "commit", meanwhile)
    log.open(id)
    log.append(id, "one ")

    assert next(newcomers, None), "it waited for all of them"


def test_a_position_brings_just_the_rest(log, running):
    id = running()
    log.open(id)
    for word in ("one ", "two ", "three"):
        log.append(id, word)
    watcher, news = watch(log, id, after=6)
    log.end(id, status=Status.COMPLETE)
    watcher.join()

    assert [item for item in news if item != NOTHING] == [Text(13, "o three"), Ended(Status.COMPLETE)]


def test_an_ended_analysis_is_read_from_its_row(log, running):
    id = running()
    log.open(id)
    log.append(id, "one two")
    log.end(id, status=Status.CUT)
    watcher, news = watch(log, id, after=4)
    watcher.join()

    assert news == [Text(7, "two"), Ended(Status.CUT)]
    assert not Piece.select().exists()
    assert Analysis.get_by_id(id).text == "one two"


def test_what_another_process_runs_is_read_from_its_pieces(log, running):
    id = running("elsewhere")
    other = TokenLog("elsewhere", Silence(is_up=True), lambda id: None)
    other.start()
    other.open(id)
    log.following.POLL_SECONDS = 0
    watcher, news = watch(log, id)
    other.append(id, "one ")
    other.append(id, "two")
    other.end(id, status=Status.COMPLETE)
    watcher.join()
    other.stop()

    assert "".join(item.text for item in news if isinstance(item, Text)) == "one two"
    assert news[-1] == Ended(Status.COMPLETE)


def test_an_unknown_analysis_is_gone(log):
    watcher, news = watch(log, 7)
    watcher.join()

    assert news == [Ended(None)]


def test_many_analyses_are_saved_in_one_transaction(log, running, monkeypatch):
    ids = [running() for _ in range(20)]
    for id in ids:
        log.open(id)
        log.append(id, "first ")
    commits = []
    commit = Analysis.commit

    def counted(worker, pieces, *rest):
        commits.append(len(pieces))
        return commit(worker, pieces, *rest)

    monkeypatch.setattr(Analysis, "commit", counted)
    gevent.joinall([gevent.spawn(log.append, id, "second") for id in ids], raise_error=True)

    assert commits == [20]


def test_a_runner_whose_lease_is_gone_saves_nothing_more(log, running):
    id = running()
    log.open(id)
    log.append(id, "mine ")
    Analysis.update(worker="another").where(Analysis.id == id).execute()

    with pytest.raises(LeaseLost):
        log.append(id, "too late")
    with pytest.raises(LeaseLost):
        log.end(id, status=Status.COMPLETE)
    assert Piece.text_of(id) == "mine "
    assert Analysis.get_by_id(id).status == Status.RUNNING


def test_leases_are_renewed_while_nothing_is_written(running):
    id = running()
    before = Analysis.get_by_id(id).lease_until
    renewed, commit = Event(), Analysis.commit
    log = TokenLog("here", Silence(is_up=True), lambda id: None)
    log.RENEW_SECONDS = 0.01

    def seen(*args):
        held = commit(*args)
        renewed.set()
        return held

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Analysis, "commit", seen)
        log.start()
        renewed.wait()
        log.stop()

    assert Analysis.get_by_id(id).lease_until > before


def test_text_is_normalised_once_at_the_door(log, running):
    id = running()
    log.open(id)
    for chunk in ("a\r", "\nb\0", "\ud83d", "\ude00\ue000", "c\r"):
        log.append(id, chunk)
    log.end(id, status=Status.COMPLETE)

    assert Analysis.get_by_id(id).text == "a\nb�😀�c\n"


def test_when_nothing_can_be_saved_the_writer_hears_of_it_and_no_viewer_sees_it(log, running, monkeypatch):
    id = running()
    log.open(id)
    log.append(id, "kept ")
    commit = Analysis.commit

    def full(*args):
        raise StorageError("database or disk is full")

    monkeypatch.setattr(Analysis, "commit", full)
    watcher, news = watch(log, id)
    with pytest.raises(StorageError):
        log.append(id, "lost")
    monkeypatch.setattr(Analysis, "commit", commit)
    log.end(id, status=Status.INCOMPLETE)
    watcher.join()

    assert news == [Text(5, "kept "), NOTHING, Ended(Status.INCOMPLETE)]
    assert Analysis.get_by_id(id).text == "kept "


def test_a_locked_database_is_waited_for_without_stopping_the_others(log, running):
    id = running()
    log.open(id)
    with held() as are_waiting:
        writer = gevent.spawn(log.append, id, "patient")
        are_waiting()
        beats = 0
        while beats < 20:
            gevent.sleep(0.005)  # the clock that must go on while the lock is held
            beats += 1
        assert not writer.ready()
    writer.get(timeout=30)

    assert Piece.text_of(id) == "patient"


def test_a_viewer_that_leaves_ends_its_watching_at_once(log, running):
    id = running()
    log.open(id)
    viewer = Viewer(patience=1000)
    watcher = gevent.spawn(list, log.observe(id, 0, viewer))
    gevent.idle()
    viewer.leave()

    assert watcher.get(timeout=30) == [Text(0, ""), NOTHING]


def test_who_has_little_appetite_gets_it_all_in_parts(log, running):
    id = running()
    log.open(id)
    words = [f"word{n} " for n in range(40)]
    for word in words:
        log.append(id, word)
    news = log.observe(id, 3, Viewer(appetite=20))
    parts = []
    while not isinstance(item := next(news), Notice):
        parts.append(item)

    assert "".join(part.text for part in parts) == "".join(words)[3:]
    assert len(parts) > 8
    assert max(len(part.text) for part in parts) < 20 + len(words[-1])
    assert [part.position for part in parts][-1] == len("".join(words))


def test_a_quiet_analysis_hands_an_empty_text_when_patience_ends(log, running):
    id = running()
    log.open(id)
    news = log.observe(id, 0, Viewer(patience=0.001))

    assert [next(news) for _ in range(3)] == [Text(0, ""), NOTHING, Text(0, "")]
