"""Retention: what is old goes by itself, with all that belongs to it, and leaves nothing to be found."""

import sqlite3
from contextlib import closing
from datetime import timedelta

import gevent
import pytest

from models import (
    Analysis,
    Document,
    Event,
    Expense,
    Original,
    Piece,
    Reading,
    Session,
    Unsearched,
    User,
    now,
)
from storage import connected, database
from tests.person import Writer, bring, finished, held, settle
from tests.uploads import upload

pytestmark = pytest.mark.both_modes

DAYS = 30


@pytest.fixture
def app(make_app):
    return make_app(retention_days=DAYS)


@pytest.fixture
def retention(app):
    return app.extensions["retention"]


def id_of(path):
    return int(path.rsplit("/", 1)[-1])


def age(path, days=DAYS + 1):
    """Have a document or an analysis be so many days old."""
    kind = Document if path.startswith("/documents") else Analysis
    with connected():
        kind.update(created_at=now() - timedelta(days=days)).where(kind.id == id_of(path)).execute()


def deletions(app):
    app.extensions["trail"].save()
    with connected():
        query = Event.select().where(Event.action == "deleted").order_by(Event.id)
        return [(event.name, event.user_id, event.document_id) for event in query]


def test_a_document_goes_so_many_days_after_it_was_brought_or_last_analysed(app, client, retention):
    old, fresh, analysed, stale = (bring(client, f"Text {number}.") for number in range(4))
    asked = finished(client, analysed), finished(client, stale)
    settle(app.extensions["analyzer"])
    for path in (old, analysed, stale, asked[1]):
        age(path)
    age(asked[0], DAYS - 1)
    retention.look()
    statuses = [client.get(path).status_code for path in (old, fresh, analysed, stale, asked[1])]
    assert statuses == [404, 200, 200, 404, 404]
    assert sorted(deletions(app)) == [("retention", None, id_of(old)), ("retention", None, id_of(stale))]


def test_what_runs_is_spared(app, client, retention):
    document = bring(client, "One.")
    writer = Writer(app.extensions["analyzer"], document).write("One.")
    for path in (document, writer.path):
        age(path)
    retention.look()
    assert client.get(document).status_code == 200
    writer.end()
    retention.look()
    assert client.get(document).status_code == 404


def test_of_a_file_that_became_nothing_the_name_goes_after_a_day(app, retention):
    with connected():
        owner = User.local()
        readings = [Reading.begin(owner, f"{number}.pdf", "", 1, 9) for number in range(2)]
        readings[0].stop()
        Reading.update(heard_at=now() - timedelta(days=2)).where(Reading.id == readings[0].id).execute()
    retention.look()
    with connected():
        assert [reading.name for reading in Reading.select()] == ["1.pdf"]


@pytest.mark.sqlite
def test_without_a_number_of_days_nothing_goes(make_app):
    app = make_app()
    client = app.test_client()
    document = bring(client, "One.")
    age(document, 10_000)
    app.extensions["retention"].look()
    assert client.get(document).status_code == 200


@pytest.mark.sqlite
def test_more_than_are_looked_at_together_go_too(app, client, retention, monkeypatch):
    monkeypatch.setattr(retention, "AT_ONCE", 2)
    for number in range(5):
        age(bring(client, f"Text {number}."))
    retention.look()
    assert len(deletions(app)) == 5


def test_of_several_processes_one_deletes_and_says_so(app, client, retention):
    documents = [bring(client, f"Text {number}.") for number in range(4)]
    for document in documents:
        age(document)
    looks = [gevent.spawn(retention.look) for _ in range(3)]
    gevent.joinall(looks, timeout=30, raise_error=True)
    assert sorted(id for _, _, id in deletions(app)) == sorted(map(id_of, documents))


def test_who_asks_something_in_that_moment_keeps_the_document(app, client, retention, monkeypatch):
    document = bring(client, "One.")
    age(document)
    delete = Document.delete_unused

    def late(id, time):
        finished(client, document)
        return delete(id, time)

    monkeypatch.setattr(Document, "delete_unused", late)
    retention.look()
    assert client.get(document).status_code == 200
    assert deletions(app) == []


def test_old_events_and_sessions_go_and_what_was_spent_stays(app, client, retention):
    document = bring(client, "One.")
    finished(client, document)
    settle(app.extensions["analyzer"])
    age(document)
    with connected():
        Analysis.update(created_at=now() - timedelta(days=DAYS + 1)).execute()
        spent = Expense.select().count()
        user = User.local()
        for days in (-1, 1):
            Session.create(user=user, digest=str(days), ends_at=now() + timedelta(days=days))
        for days in (364, 366):
            at = now() - timedelta(days=days)
            Event.keep([Event.Row(at, user.id, "local", f"{days}", None, None, "", "")] * 600)
    retention.look()
    with connected():
        assert {event.action for event in Event.select().distinct()} >= {"364"}
        assert not Event.select().where(Event.action == "366").exists()
        assert [session.digest for session in Session.select()] == ["1"]
        assert Expense.select().count() == spent == 1
        assert not Document.select().exists()


def test_what_belongs_to_a_document_goes_with_it(app, client, retention):
    document = upload(client, "sparrow.txt", b"A sparrow sings.").headers["Location"]
    writer = Writer(app.extensions["analyzer"], document).write("It is a sparrow.").end()
    assert "1 of" in client.get("/search?q=sparrow").text or "sparrow" in client.get("/search?q=sparrow").text
    for path in (document, writer.path):
        age(path)
    retention.look()
    with connected():
        for kind in (Document, Original, Analysis, Piece, Unsearched):
            assert not kind.select().exists(), kind
        for table in ("document_words", "analysis_words"):
            assert database.execute_sql(f"SELECT count(*) FROM {table}").fetchone() == (0,), table
    assert "Nothing has all of these words" in client.get("/search?q=sparrow").text


@pytest.mark.sqlite
def test_what_is_deleted_is_overwritten_in_the_file(app, client, retention):
    text = "A sparrow sings. " * 4_000
    document = upload(client, "sparrow.txt", text.encode()).headers["Location"]
    bring(client, "Another text.")
    checkpoint()
    assert b"sparrow sings" in database.file.read_bytes()
    age(document)
    retention.look()
    checkpoint()
    assert b"sparrow sings" not in database.file.read_bytes()


def checkpoint():
    """Bring the log into the file, as SQLite does by itself when it has grown."""
    with closing(sqlite3.connect(database.file)) as connection:
        assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0


@pytest.mark.sqlite
def test_people_are_told_before(client):
    assert f"Deleted {DAYS} days after its last analysis" in client.get("/").text
    assert f"Documents are deleted {DAYS} days after their last analysis" in client.get("/account").text


@pytest.mark.sqlite
def test_the_next_look_comes_although_one_failed(app, client, retention, monkeypatch):
    document = bring(client, "One.")
    age(document)
    monkeypatch.setattr(retention, "FIRST_SECONDS", 0)
    monkeypatch.setattr(retention, "EVERY_SECONDS", 0)
    monkeypatch.setattr("storage.PATIENCE_SECONDS", 0)
    with held() as wait:
        retention.begin()
        wait()
    with gevent.Timeout(30):
        while client.get(document).status_code == 200:
            gevent.sleep(0.001)  # nobody announces it
    retention.end()


@pytest.mark.sqlite
def test_the_next_look_comes_although_one_had_a_fault_of_ours(retention, monkeypatch, caplog):
    looks = []

    def look():
        looks.append(1)
        if len(looks) == 1:
            raise ZeroDivisionError

    monkeypatch.setattr(retention, "look", look)
    monkeypatch.setattr(retention, "FIRST_SECONDS", 0)
    monkeypatch.setattr(retention, "EVERY_SECONDS", 0)
    retention.begin()
    with gevent.Timeout(30):
        while len(looks) < 2:
            gevent.sleep(0.001)  # nobody announces it
    retention.end()
    assert [record.exc_info[0] for record in caplog.records] == [ZeroDivisionError]
