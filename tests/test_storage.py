"""The database file: what a failed write says, and what is refused at the start."""

import shutil
import sqlite3
from contextlib import closing, contextmanager
from pathlib import Path

import gevent
import httpx2
import pytest
from gevent.event import Event

import storage
from models import Document, Session, User
from storage import DatabaseRefused, StorageError, StorageFull, schema, sqlite
from tests.database_files import (
    DAMAGES,
    FOREIGN,
    damage_a_page,
    ending,
    execute,
    file,
    file_limit,
    fill,
    names,
    run,
    save,
    titles,
    watch,
)
from tests.processes import open_files
from tests.prose import answer

__all__ = ["file"]

DOCUMENT = "Terms\n\nPay by March."


def times_open(file):
    return list(open_files("self").values()).count(str(file))


# Why a write failed


@contextmanager
def full_database():
    (pages,) = storage.database.execute_sql("PRAGMA page_count").fetchone()
    storage.database.execute_sql(f"PRAGMA max_page_count = {pages}")
    yield
    storage.database.execute_sql("PRAGMA max_page_count = 1000000")


@contextmanager
def read_only_database():
    storage.database.execute_sql("PRAGMA query_only = 1")
    yield
    storage.database.execute_sql("PRAGMA query_only = 0")


@contextmanager
def full_disk():
    with file_limit(Path(f"{storage.database.database}-wal").stat().st_size):
        yield


@contextmanager
def locked(file):
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other


@pytest.mark.parametrize(
    ("refusing", "reason"),
    [
        (full_database, "database or disk is full"),  # at a statement
        (full_disk, "disk I/O error"),  # at the commit
        (read_only_database, "attempt to write a readonly database"),
    ],
)
def test_a_write_that_the_disk_refuses_tells_sqlites_first_reason_and_leaves_all_in_order(
    file, refusing, reason
):
    storage.connect(f"sqlite:///{file}")
    with storage.connected():
        save("first")
        with refusing():
            for _ in range(3):
                with pytest.raises(StorageFull, match=f"^{reason}$"):
                    save()
            assert not storage.database.in_transaction()
            assert not storage.database.connection().in_transaction
            assert Document.select().count() == 201
        save("last")
        assert Document.select().count() == 202
        assert execute(file, "SELECT count(*) FROM document") == [(202,)]


def test_the_first_reason_is_told_from_within_a_savepoint_too(file):
    @storage.saving
    def nested():
        with storage.database.atomic():
            save()

    storage.connect(f"sqlite:///{file}")
    with storage.connected():
        with full_database(), pytest.raises(StorageFull, match=r"^database or disk is full$"):
            nested()
        nested()


def test_a_write_that_fails_leaves_no_connection_behind(file):
    storage.connect(f"sqlite:///{file}")
    owner = save().owner
    before = times_open(file)

    def fail():
        with pytest.raises(StorageFull):
            Document.add(owner, "Title", "Text. " * 20_000, 2, 1)

    with full_disk():
        gevent.joinall([gevent.spawn(fail) for _ in range(20)], raise_error=True)
    assert times_open(file) == before > 0


def test_a_failure_while_another_one_is_handled_is_told_by_its_own_reason(file, monkeypatch):
    monkeypatch.setattr(storage, "PATIENCE_SECONDS", 0)
    storage.connect(f"sqlite:///{file}")
    with storage.connected():
        owner = User.local()
        with full_database(), pytest.raises(StorageFull) as first:
            save()
        try:
            raise first.value
        except StorageFull:
            with locked(file), pytest.raises(StorageError, match=r"^database is locked$") as second:
                Document.add(owner, "Title", "Text.", 1, 1)
    assert type(second.value) is StorageError


@pytest.mark.fault("database locked")
def test_a_locked_database_is_waited_for(file, monkeypatch):
    storage.connect(f"sqlite:///{file}")
    begin, attempts, third = storage.database.obj.begin, [], Event()

    def counted(*args):
        attempts.append(args)
        if len(attempts) == 3:
            third.set()
        return begin(*args)

    monkeypatch.setattr(storage.database.obj, "begin", counted)
    with locked(file) as other:
        writer = gevent.spawn(save, "patient")
        assert third.wait(30)
        assert not writer.ready()
        other.execute("COMMIT")
        writer.get(timeout=30)

    assert "patient" in titles(file)


@pytest.mark.fault("database locked")
def test_it_is_waited_for_while_another_failure_is_handled_too(file, monkeypatch):
    monkeypatch.setattr(storage, "PATIENCE_SECONDS", 0.1)
    storage.connect(f"sqlite:///{file}")
    begin, attempts = storage.database.obj.begin, []
    monkeypatch.setattr(storage.database.obj, "begin", lambda *args: attempts.append(args) or begin(*args))
    with locked(file):
        try:
            raise LookupError
        except LookupError:
            with pytest.raises(StorageError, match=r"^database is locked$"):
                Session.forget_over()
    assert len(attempts) > 1


@pytest.mark.fault("database locked")
def test_one_that_stays_locked_is_given_up_and_is_not_full(file, monkeypatch):
    monkeypatch.setattr(storage, "PATIENCE_SECONDS", 0.05)
    storage.connect(f"sqlite:///{file}")
    with locked(file), pytest.raises(StorageError, match=r"^database is locked$") as failure:
        save()

    assert type(failure.value) is StorageError
    save("later")
    assert "later" in titles(file)


@pytest.mark.fault("no room for a document")
@pytest.mark.fault("storage full")
def test_on_a_full_disk_a_server_refuses_to_save_shows_what_is_saved_and_recovers_by_itself(precis, provider):
    precis.start()
    document = precis.bring(DOCUMENT)
    done = precis.ask(document)
    watch(precis, done)
    provider.script(text=answer(40), rate=100)
    running = precis.ask(document)
    watch(precis, running, "says20")
    worker = precis.worker()

    with file_limit(Path(f"{precis.database}-wal").stat().st_size, worker):
        provider.wait(cancels=1, open=0)
        refused = httpx2.post(f"{precis.url}/documents", data={"text": DOCUMENT})
        assert refused.status_code == 503
        assert "saved" in refused.text
        assert "<!doctype html>" in refused.text
        # So long that it does not even come into the server.
        refused = httpx2.post(f"{precis.url}/documents", files={"file": ("a.txt", b"a" * 2_000_000)})
        assert (refused.status_code, "Storage is full" in refused.text) == (503, True)
        for path in ("/", document, done, running):
            assert httpx2.get(precis.url + path).status_code == 200
        assert precis.stored(done) == ending(precis, done)[2] != ""
        assert ending(precis, running)[0] == "running"

    watch(precis, running)
    status, error, text = ending(precis, running)
    assert (status, error) == ("incomplete", "StorageFull")
    assert "says20" in text
    assert answer(40).startswith(text)
    assert precis.bring(DOCUMENT) != document
    provider.script(text="All is well.")
    again = precis.ask(document)
    watch(precis, again)
    assert ending(precis, again) == ("complete", "", "All is well.")
    assert precis.worker() == worker


# What is refused at the start


@pytest.mark.fault("database damaged or newer")
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_refused_and_left_as_it_is(file, damage):
    damage(file)
    before = file.read_bytes()

    with pytest.raises(DatabaseRefused) as refusal:
        sqlite.SQLite(f"sqlite:///{file}").check()

    sentence = str(refusal.value)
    assert sentence.startswith(f"{file} cannot be used: it is damaged (")
    assert sentence.endswith("); restore a backup: python app.py restore FILE.")
    assert "\n" not in sentence
    assert file.read_bytes() == before
    assert names(file.parent) == {file.name}


@pytest.mark.fault("database damaged or newer")
@pytest.mark.parametrize(("change", "reason"), FOREIGN.values(), ids=FOREIGN)
def test_what_another_has_written_is_refused_and_left_as_it_is(file, change, reason):
    change(file)
    before = file.read_bytes()

    with pytest.raises(DatabaseRefused) as refusal:
        sqlite.SQLite(f"sqlite:///{file}").check()

    assert str(refusal.value) == f"{file} cannot be used: {reason}"
    assert file.read_bytes() == before


@pytest.mark.fault("database damaged or newer")
@pytest.mark.parametrize("change", [damage_a_page, FOREIGN["a newer version's"][0]], ids=["damaged", "newer"])
def test_a_server_does_not_start_on_such_a_file(precis, change):
    fill(precis.database, 200)
    change(precis.database)

    code, out, words = run(precis)

    assert (code, out) == (1, "")
    assert words.startswith(f"precis: {precis.database} cannot be used: ")
    assert words.count("\n") == 1


def test_an_older_schema_is_brought_up_to_date(tmp_path):
    file, older = tmp_path / "precis.db", tmp_path / "migrations"
    shutil.copytree(schema.MIGRATIONS, older)
    last = max(older.glob("*.py"))
    last.unlink()
    storage.connect(f"sqlite:///{file}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", older)
        sqlite.SQLite(f"sqlite:///{file}").check()
        storage.migrate()

    sqlite.SQLite(f"sqlite:///{file}").check()

    assert storage.migrate() == [last.stem]
    sqlite.SQLite(f"sqlite:///{file}").check()


def test_a_file_that_is_not_there_or_holds_nothing_yet_is_made(tmp_path):
    file = tmp_path / "precis.db"
    sqlite.SQLite(f"sqlite:///{file}").check()
    assert not file.exists()
    for content in ("", "PRAGMA journal_mode = WAL", "CREATE TABLE schema_migration (name)"):
        execute(file, content)
        sqlite.SQLite(f"sqlite:///{file}").check()
