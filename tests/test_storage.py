"""The database file: what a failed write says, what is refused at the start, and backups there and back."""

import os
import resource
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing, contextmanager
from pathlib import Path

import gevent
import httpx2
import pytest
from gevent.event import Event

import app
import storage
from models import Document, User
from storage import DatabaseRefused, StorageError, StorageFull, backups, schema, sqlite
from tests.precis import ROOT, Precis
from tests.prose import answer

DOCUMENT = "Terms\n\nPay by March."
NEWER = "INSERT INTO schema_migration (name, applied) VALUES ('0999_later', '2030-01-01 00:00:00')"


@pytest.fixture
def file(tmp_path):
    """A database of 200 documents that nobody has open."""
    file = tmp_path / "precis.db"
    fill(file, 200)
    return file


@pytest.fixture
def backup(tmp_path):
    """A backup of another database, of three documents."""
    fill(tmp_path / "other.db", 3)
    backups.back_up(tmp_path / "other.db", tmp_path / "backup.db")
    return tmp_path / "backup.db"


def fill(file, documents):
    storage.connect(f"sqlite:///{file}")
    storage.migrate()
    with storage.connected(), storage.database.atomic():
        for number in range(documents):
            save(f"Title {number}", "A paragraph of some length. " * 20)
    storage.database.close_idle()


def save(title="Title", text="Text. " * 20_000):
    with storage.connected():
        return Document.add(User.local(), title, text, 2, 1)


def execute(file, statement):
    with closing(sqlite3.connect(file, isolation_level=None)) as database:
        return database.execute(statement).fetchall()


def titles(file):
    """Return the titles of a database, which is sound."""
    assert execute(file, "PRAGMA integrity_check") == [("ok",)]
    return {title for (title,) in execute(file, "SELECT title FROM document")}


def names(folder):
    return {entry.name for entry in folder.iterdir()}


def run(precis, *arguments):
    """Run `python app.py` with arguments to its end; returns its exit code, output and last words."""
    environ = {key: value for key, value in os.environ.items() if not key.startswith("PRECIS_")}
    command = [sys.executable, ROOT / "app.py", *arguments]
    done = subprocess.run(
        command, env=environ | precis.settings, cwd=precis.folder, capture_output=True, text=True, timeout=60
    )
    return done.returncode, done.stdout, done.stderr


def watch(precis, analysis, word=None):
    """Watch an analysis until a word is shown, or to its end."""
    seen = ""
    with httpx2.stream("GET", f"{precis.url}{analysis}/stream") as stream:
        for text in stream.iter_text():
            seen += text
            if word and word in seen:
                return
    assert word is None, seen


def times_open(file):
    descriptors = Path("/proc/self/fd").iterdir()
    return sum(os.path.realpath(descriptor) == str(file) for descriptor in descriptors)


def ending(precis, analysis):
    query = "SELECT status, error, text FROM analysis WHERE id = ?"
    return precis.rows(query, analysis.rpartition("/")[2])[0]


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
def file_limit(size, pid=0):
    """Let a process make no file longer than this, as on a full disk."""
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


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
        assert third.wait(10)
        assert not writer.ready()
        other.execute("COMMIT")
        writer.get(timeout=10)

    assert "patient" in titles(file)


@pytest.mark.fault("database locked")
def test_one_that_stays_locked_is_given_up_and_is_not_full(file, monkeypatch):
    monkeypatch.setattr(storage, "PATIENCE_SECONDS", 0.05)
    storage.connect(f"sqlite:///{file}")
    with locked(file), pytest.raises(StorageError, match=r"^database is locked$") as failure:
        save()

    assert type(failure.value) is StorageError
    save("later")
    assert "later" in titles(file)


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


def damage_a_page(file):
    pages = file.stat().st_size // 4096
    assert pages > 20
    with file.open("r+b") as opened:
        opened.seek(pages // 2 * 4096)
        opened.write(b"\xaa" * 4096)


def cut_to(size):
    def cut(file):
        os.truncate(file, size if size > 0 else file.stat().st_size + size)

    return cut


def make_no_database(file):
    file.write_bytes(b"This is no database, but it is long enough to be taken for one." * 99)


DAMAGES = {
    "no database": make_no_database,
    "a damaged page": damage_a_page,
    "cut to a few bytes": cut_to(50),
    "cut to its first page": cut_to(4096),
    "cut by a page": cut_to(-4096),
}
FOREIGN = {
    "a newer version's": (
        lambda file: execute(file, NEWER),
        "a newer version of Precis has written it (0999_later); "
        "run that version, or restore a backup that this one has made.",
    ),
    "another program's": (
        lambda file: execute(file, "DROP TABLE schema_migration"),
        "it is no database of Precis; name another file.",
    ),
}


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


# Backup and restore


@pytest.mark.fault("database damaged or newer")
def test_a_backup_of_a_streaming_server_is_restored_elsewhere_with_all_that_was_saved(
    precis, provider, tmp_path
):
    backup = tmp_path / "backup.db"
    precis.start()
    document = precis.bring(DOCUMENT)
    done = precis.ask(document)
    watch(precis, done)
    # It never ends: however slow this machine is, the backup is made while it runs.
    provider.script(text=answer(20), rate=100, fault="silence", at=450)
    running = precis.ask(document)
    watch(precis, running, "says20")

    restoring = gevent.spawn(run, precis, "restore", precis.log)
    code, out, words = run(precis, "backup", backup)
    assert (code, words) == (0, "")
    assert out == f"{backup}: {backup.stat().st_size / 1e6:,.1f} MB, documents: 1, analyses: 2\n"
    code, out, words = restoring.get()
    assert (code, out) == (1, "")
    assert words == (
        f"precis: {precis.database} is served by another process: stop that one, "
        "or set PRECIS_DATABASE_URL to another file.\n"
    )
    watch(precis, running, "says400")

    fresh = tmp_path / "a" / "fresh place"
    with Precis(tmp_path, provider, PRECIS_DATABASE_URL=f"sqlite:///{fresh / 'precis.db'}") as other:
        other.database = fresh / "precis.db"
        code, out, words = run(other, "restore", backup)
        assert (code, words) == (0, "")
        assert out == f"{other.database}: {backup.stat().st_size / 1e6:,.1f} MB, documents: 1, analyses: 2\n"
        assert names(fresh) == {"precis.db", "precis.db.lock"}
        other.start()

        assert other.rows("SELECT * FROM document") == precis.rows("SELECT * FROM document")
        same = "SELECT * FROM analysis WHERE id = 1"
        assert other.rows(same) == precis.rows(same)
        status, _, text = ending(other, running)
        assert status == "interrupted"
        assert "says20" in text
        assert precis.stored(running).startswith(text)
        assert other.stored(running) == text
        assert other.rows("SELECT * FROM piece") == []
        provider.script(text="All is well.")
        again = other.ask(document)
        watch(other, again)
        assert ending(other, again) == ("complete", "", "All is well.")
    assert provider.calls == 3


def test_what_waited_in_a_backup_is_not_asked_once_it_is_restored(precis, provider, tmp_path):
    backup = tmp_path / "backup.db"
    provider.script(text="One two.", fault="silence", at=1)
    precis.start(PRECIS_MAX_RUNNING="1")
    document = precis.bring(DOCUMENT)
    precis.ask(document)
    waiting = precis.ask(document)
    provider.wait(calls=1)
    assert run(precis, "backup", backup)[0] == 0
    precis.kill()
    assert run(precis, "restore", backup)[0] == 0
    provider.script(text="Asked again.")

    precis.start()

    assert ending(precis, waiting)[0] == "interrupted"
    assert provider.calls == 1


def test_a_backup_is_complete_while_its_newest_part_is_in_the_log_only(file, tmp_path):
    storage.connect(f"sqlite:///{file}")
    with storage.connected():
        save("newest")
        assert b"newest" not in file.read_bytes()
        backups.back_up(file, tmp_path / "backup.db")

    assert "newest" in titles(tmp_path / "backup.db")
    assert names(tmp_path) == {"precis.db", "precis.db-wal", "precis.db-shm", "backup.db"}


def test_a_backup_goes_into_a_new_file_in_a_folder_that_is_there(file, tmp_path):
    there = tmp_path / "there"
    there.write_text("mine")
    before = names(tmp_path)
    for database, target, sentence in (
        (file, there, f"{there} is there already: name a file that is not."),
        (file, tmp_path, f"{tmp_path} is there already: name a file that is not."),
        (file, tmp_path / "no" / "backup", f"{tmp_path / 'no'} is no folder: make it first."),
        (
            tmp_path / "none.db",
            tmp_path / "backup",
            f"{tmp_path / 'none.db'} is not there: PRECIS_DATABASE_URL says where everything is kept.",
        ),
    ):
        with pytest.raises(DatabaseRefused) as refusal:
            backups.back_up(database, target)
        assert str(refusal.value) == sentence
    assert names(tmp_path) == before
    assert there.read_text() == "mine"


def test_what_is_damaged_gives_no_backup(file, tmp_path):
    damage_a_page(file)

    with pytest.raises(DatabaseRefused, match="it is damaged"):
        backups.back_up(file, tmp_path / "backup.db")

    assert names(tmp_path) == {file.name}


def test_a_full_disk_gives_no_backup(file, tmp_path):
    with file_limit(65536), pytest.raises(DatabaseRefused, match=r"backup\.db cannot be written: disk I/O"):
        backups.back_up(file, tmp_path / "backup.db")

    assert names(tmp_path) == {file.name}
    backups.back_up(file, tmp_path / "backup.db")
    assert titles(tmp_path / "backup.db") == titles(file)


BAD_BACKUPS = DAMAGES | {name: change for name, (change, _) in FOREIGN.items()}
BAD_BACKUPS["nothing in it"] = lambda file: os.truncate(file, 0)
BAD_BACKUPS["not there"] = os.unlink


@pytest.mark.parametrize("change", BAD_BACKUPS.values(), ids=BAD_BACKUPS)
def test_what_is_no_sound_backup_of_precis_is_not_restored(file, tmp_path, change):
    backup = tmp_path / "backup.db"
    backups.back_up(file, backup)
    change(backup)
    before = file.read_bytes()

    with pytest.raises(DatabaseRefused) as refusal:
        backups.restore(file, backup)

    assert str(refusal.value).startswith(f"{backup} ")
    assert file.read_bytes() == before
    assert names(tmp_path) <= {"precis.db", "precis.db.lock", "backup.db"}


def test_a_restore_keeps_what_was_there_with_its_log_and_says_where(file, backup):
    leave_as_after_a_kill(file)
    before = titles(as_it_is(file)) | {"in the log"}

    first = backups.restore(file, backup)
    second = backups.restore(file, backup)

    assert first == f"{file}: {backup.stat().st_size / 1e6:,.1f} MB, documents: 3, analyses: 0" + (
        f"; what was there is {file}.replaced-1"
    )
    assert second.endswith(f"{file}.replaced-2")
    assert titles(file) == titles(backup) == titles(f"{file}.replaced-2")
    assert titles(f"{file}.replaced-1") == before
    assert not names(file.parent) & {"precis.db-wal", "precis.db-shm", "precis.db.part"}


def test_a_damaged_database_is_replaced_and_kept_byte_for_byte(file, backup):
    make_no_database(file)
    before = file.read_bytes()

    backups.restore(file, backup)

    assert titles(file) == titles(backup)
    assert Path(f"{file}.replaced-1").read_bytes() == before


def test_a_log_without_its_database_is_not_replayed_onto_the_restored_one(file, backup):
    leave_as_after_a_kill(file)
    file.unlink()
    log = Path(f"{file}-wal").read_bytes()

    backups.restore(file, backup)

    assert titles(file) == titles(backup)
    assert Path(f"{file}.replaced-1-wal").read_bytes() == log


def test_nothing_is_restored_under_a_program_that_has_the_database_open(file, backup, monkeypatch):
    monkeypatch.setattr(storage, "PATIENCE_SECONDS", 0)
    storage.connect(f"sqlite:///{file}")
    with storage.connected():
        save("newest")
        with pytest.raises(DatabaseRefused) as refusal:
            backups.restore(file, backup)
        save("newer still")
    storage.database.close_idle()

    assert str(refusal.value) == f"{file} is open in another program: end that one first."
    assert {"newest", "newer still"} < titles(file)
    assert not [name for name in names(file.parent) if "replaced" in name or "part" in name]


def test_a_copy_is_on_the_disk_before_it_takes_the_databases_place(file, backup, monkeypatch):
    steps, fsync, replace = [], os.fsync, os.replace

    def seen_fsync(descriptor):
        steps.append(("fsync", os.path.realpath(f"/proc/self/fd/{descriptor}")))
        fsync(descriptor)

    def seen_replace(old, new):
        replace(old, new)
        steps.append(("replace", str(old)))

    monkeypatch.setattr(os, "fsync", seen_fsync)
    monkeypatch.setattr(os, "replace", seen_replace)
    backups.restore(file, backup)

    copy, folder = f"{file}.part", str(file.parent)
    assert steps == [("fsync", copy), ("fsync", folder), ("replace", copy), ("fsync", folder)]


def test_a_link_to_a_database_stays_a_link(file, backup, tmp_path):
    link = tmp_path / "link.db"
    link.symlink_to(file)

    backups.restore(link, backup)

    assert link.is_symlink()
    assert titles(file) == titles(backup)


def test_any_file_name_will_do(file, tmp_path):
    odd = tmp_path / "100% 'odd'? #1 \u00e9.db"
    backups.back_up(file, odd)
    expected = titles(file)
    backups.restore(file, odd)

    assert titles(file) == expected
    assert odd.exists()


def leave_as_after_a_kill(file):
    """Leave a transaction in the log, as a process does that dies."""
    storage.connect(f"sqlite:///{file}")
    with storage.connected():
        save("in the log")
        for suffix in ("", "-wal"):
            shutil.copy(f"{file}{suffix}", f"{file}{suffix}.now")
    storage.database.close_idle()
    for suffix in ("", "-wal"):
        os.replace(f"{file}{suffix}.now", f"{file}{suffix}")


def as_it_is(file):
    """Return a copy of the file alone, to be read without touching what is beside it."""
    return shutil.copy(file, file.parent.parent / f"{file.parent.name}.db")


# Each step in a process of its own that ends, or whose call fails, right there; all begin in the same state.
STEPS = """
import os, shutil, sys
from itertools import count
from pathlib import Path
from storage import backups

how, what, start, file = sys.argv[1:]

def stop():
    if how == "dies":
        os._exit(9)
    raise OSError("the disk says no")

def stepping(call, left):
    def step(*args, **kwargs):
        if left[0] == 0:
            stop()
        left[0] -= 1
        return call(*args, **kwargs)
    return step

for number in count():
    folder = Path(f"{start}-{number}")
    shutil.copytree(start, folder)
    if os.fork() == 0:
        left = [number]
        for name in ("replace", "link", "fsync", "unlink"):
            setattr(os, name, stepping(getattr(os, name), left))
        sys.stderr = open(os.devnull, "w")
        getattr(backups, what)(folder / "precis.db", folder / file)
        os._exit(0)
    if os.wait()[1] == 0:
        break
"""


def each_step(how, what, start, file):
    """Yield the folders that are left when restore or backup ends at its first, second, … last step."""
    command = [sys.executable, "-c", STEPS, how, what, start, file]
    subprocess.run(command, cwd=ROOT, check=True, timeout=60)
    folders = sorted(start.parent.glob(f"{start.name}-*"), key=lambda folder: int(folder.name.split("-")[1]))
    assert len(folders) > 6
    yield from folders[:-1]


@pytest.fixture
def start(tmp_path):
    """A folder with a database and a backup of another one."""
    start = tmp_path / "start"
    start.mkdir()
    fill(start / "precis.db", 20)
    fill(tmp_path / "other.db", 3)
    backups.back_up(tmp_path / "other.db", start / "backup.db")
    return start


@pytest.mark.parametrize("how", ["dies", "fails"])
@pytest.mark.parametrize("left", ["in order", "by a kill", "damaged"])
def test_a_restore_that_ends_at_any_step_leaves_the_old_database_or_the_new_one(start, how, left):
    file = start / "precis.db"
    new = titles(start / "backup.db")
    old = titles(file)
    if left == "by a kill":
        leave_as_after_a_kill(file)
        old |= {"in the log"}
    elif left == "damaged":
        make_no_database(file)
    found = []
    for folder in each_step(how, "restore", start, "backup.db"):
        file = folder / "precis.db"
        try:
            sqlite.SQLite(f"sqlite:///{file}").check()
            found.append(titles(file))
        except DatabaseRefused:
            found.append(None)

        backups.restore(file, folder / "backup.db")
        assert titles(file) == new
        if left != "damaged":
            assert titles(f"{file}.replaced-1") == old
        assert not names(folder) & {"precis.db.part", "precis.db.part-journal", "precis.db-wal"}

    before = None if left == "damaged" else old
    assert found[0] == before
    assert found[-1] == new
    assert all(content in (before, new) for content in found)


@pytest.mark.parametrize("how", ["dies", "fails"])
def test_a_backup_that_ends_at_any_step_is_not_there_or_whole(start, how):
    old = titles(start / "precis.db")
    found = []
    for folder in each_step(how, "back_up", start, "new.db"):
        made = (folder / "new.db").exists()
        found.append(made)
        if made:
            assert titles(folder / "new.db") == old
        else:
            backups.back_up(folder / "precis.db", folder / "new.db")
        assert titles(folder / "precis.db") == old
        assert not names(folder) & {"new.db.part", "new.db.part-journal"} or made
    # Two to clear the place, one to have the copy on the disk; the fourth gives it its name.
    assert found == [False] * 4 + [True] * 3


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["bakcup", "x"], "argument COMMAND: invalid choice: 'bakcup' (choose from"),
        (["backup"], "the following arguments are required: FILE;"),
        (["restore", "x", "y"], "unrecognized arguments: y;"),
    ],
)
def test_a_command_that_is_mistyped_is_told_in_one_sentence(monkeypatch, capsys, arguments, sentence):
    monkeypatch.setattr(sys, "argv", ["app.py", *arguments])
    with pytest.raises(SystemExit) as end:
        app.read_arguments()

    words = capsys.readouterr().err
    assert end.value.code == 2
    assert words.startswith(f"precis: {sentence}")
    assert words.endswith("; python app.py --help says more.\n")
    assert words.count("\n") == 1


def test_what_the_system_refuses_a_command_is_a_sentence_too(precis):
    precis.settings["PRECIS_DATABASE_URL"] = f"sqlite:///{precis.folder / 'a file' / 'precis.db'}"
    (precis.folder / "a file").write_text("no folder")
    (precis.folder / "backup.db").write_text("")

    code, _, words = run(precis, "restore", "backup.db")

    assert code == 1
    assert words.startswith("precis: ")
    assert words.count("\n") == 1
