"""The SQLite file: checked, opened, held, brought up to date, written to, copied and replaced."""

from __future__ import annotations

import fcntl
import functools
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import IO, ParamSpec, TypeVar

from peewee import DatabaseError, DatabaseProxy, IntegrityError
from playhouse import migrations
from playhouse.pool import PooledSqliteDatabase

P = ParamSpec("P")
R = TypeVar("R")

MIGRATIONS = Path(__file__).resolve().parent / "migrations"
PATIENCE_SECONDS = 5.0

LOCKED = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY}
DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}

database = DatabaseProxy()


class StorageError(Exception):
    """The database could not be written or read; the message is SQLite's own first reason."""


class StorageFull(StorageError):
    """Storage is full or read-only; nothing more can be saved."""


class DatabaseRefused(Exception):
    """A file cannot be served, copied or replaced; the message is one sentence: why, and what to do."""


def connect(file: Path) -> None:
    """Bind the models to a SQLite file, which is made if it is not there."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if database.obj:
        database.close_idle()
    database.initialize(
        # Pooled because opening costs more than most queries do; no limit, because none is ever waited for.
        PooledSqliteDatabase(
            str(file),
            max_connections=None,
            stale_timeout=60,
            autoconnect=False,
            lock_type="IMMEDIATE",
            pragmas={
                # SQLite's own busy wait sleeps in C and would freeze every stream: `saving` waits instead.
                # Not as `timeout`, which is the pool's.
                "busy_timeout": 0,
                "journal_mode": "wal",
                "synchronous": "normal",
                "foreign_keys": 1,
                "cache_size": -8000,
            },
        )
    )


def hold(file: Path, patience_seconds: float = 3.0) -> IO[str]:
    """Become the one server of a SQLite file, until what is returned is closed or the process dies.

    Raises `DatabaseRefused` when another process is: two would each take the other's analyses for dead.
    Waits a little, because a worker outlives its killed parent by up to a second.
    """
    lock = file.with_name(file.name + ".lock").open("a")
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock
        except BlockingIOError:
            if time.monotonic() > deadline:
                lock.close()
                raise DatabaseRefused(
                    f"{file} is served by another process: stop that one, "
                    "or set PRECIS_DATABASE_URL to another file."
                ) from None
        time.sleep(0.1)


def check(file: Path) -> None:
    """Refuse, before anything is written to it, a file that cannot be served.

    Raises `DatabaseRefused` when it is damaged, another program's, or written by a newer version. One
    that is not there, or has no tables yet, will be made. Reads all of it, a gigabyte in a second or two.
    """
    if file.exists():
        _examine(file, "quick_check", may_be_new=True)


def migrate() -> list[str]:
    """Bring the schema up to date; returns the names of the migrations that ran."""
    with connected():
        names = migrations.run(database.obj, str(MIGRATIONS))
    # SQLite forbids a connection to be carried over a fork, and the worker comes next.
    database.close_idle()
    return names


@contextmanager
def connected() -> Iterator[None]:
    """Hold a connection for a short block; an inner block shares the outer one's.

    Raises `StorageError` when the database cannot be opened or read.
    """
    handled = sys.exception()
    try:
        with _connection():
            yield
    except IntegrityError:
        raise
    except DatabaseError as error:
        raise _storage_error(*_reason(error, handled)) from error


@contextmanager
def _connection() -> Iterator[None]:
    if not database.is_closed():
        yield
    else:
        with database.connection_context():
            yield


def saving(write: Callable[P, R]) -> Callable[P, R]:
    """Run a method in one write transaction, waiting cooperatively while another process holds the lock.

    The method must not yield to other greenlets: a second writer of this process would find the
    database locked. Raises `StorageError` after five seconds, or at once when SQLite has another
    reason, and `StorageFull` when that is the disk.
    """

    @functools.wraps(write)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        deadline = time.monotonic() + PATIENCE_SECONDS
        handled = sys.exception()
        while True:
            try:
                with _connection(), database.atomic():
                    return write(*args, **kwargs)
            except IntegrityError:
                raise
            except DatabaseError as error:
                reason, kind = _reason(error, handled)
                if kind not in LOCKED or time.monotonic() > deadline:
                    raise _storage_error(reason, kind) from error
            time.sleep(0.01)

    return wrapper


def _storage_error(reason: str, kind: int) -> StorageError:
    return (StorageFull if kind in FULL else StorageError)(reason)


def _reason(error: BaseException | None, handled: BaseException | None) -> tuple[str, int]:
    """Return what SQLite said first and its primary result code, 0 for none.

    Full, it rolls back by itself; peewee's rollback then finds no transaction, and its error comes last.
    """
    reason, kind = str(error), 0
    while error is not None and error is not handled:
        if isinstance(error, sqlite3.DatabaseError):
            reason, kind = str(error), _kind(error)
        error = error.__context__
    return reason, kind


def _kind(error: sqlite3.Error) -> int:
    # The low byte: the others tell the errors of one kind apart.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def back_up(file: Path, target: Path) -> str:
    """Copy a database into a new file while it is served, too; returns a line that says what is in it.

    Raises `DatabaseRefused` when the copy cannot be made whole and sound; then there is no new file.
    """
    if not file.exists():
        raise DatabaseRefused(f"{file} is not there: PRECIS_DATABASE_URL says where everything is kept.")
    if target.exists():
        raise DatabaseRefused(f"{target} is there already: name a file that is not.")
    if not target.parent.is_dir():
        raise DatabaseRefused(f"{target.parent} is no folder: make it first.")
    with _copied(file, target) as copy:
        contents = _contents(copy)
        os.replace(copy, target)
        _sync(target.parent)
    return f"{target}: {contents}"


def restore(file: Path, backup: Path) -> str:
    """Put a copy of a backup in a database's place; returns a line that says what is in it.

    What was there is kept beside it under the name that the line tells. Raises `DatabaseRefused`, and
    changes nothing, when somebody uses the database or the backup is not sound, not of Precis or newer.
    """
    if not backup.is_file():
        raise DatabaseRefused(f"{backup} is not there: name a file that `python app.py backup` has made.")
    file.parent.mkdir(parents=True, exist_ok=True)
    # A link stays a link: what it points to is replaced.
    place = file.resolve()
    with hold(file), _copied(backup, place) as copy:
        contents = _contents(copy)
        _leave_nothing_waiting(copy)
        kept = _keep(place)
        os.replace(copy, place)
        _sync(place.parent)
    return f"{file}: {contents}" + (f"; what was there is {kept}" if kept else "")


@contextmanager
def _copied(file: Path, target: Path) -> Iterator[Path]:
    """Make a copy beside its target: whole, sound and on the disk. What is not moved on is removed."""
    # Absolute, because SQLite would take a name that begins with `file:` for an address.
    copy = target.absolute().with_name(f"{target.name}.part")
    _examine(file)
    _remove(copy)
    try:
        with _opened(file) as connection:
            try:
                connection.execute("VACUUM INTO ?", (str(copy),))
            except sqlite3.OperationalError as error:
                raise DatabaseRefused(f"{target} cannot be written: {error}.") from error
        _examine(copy)
        _sync(copy)
        yield copy
    finally:
        _remove(copy)


def _examine(file: Path, pragma: str = "integrity_check", may_be_new: bool = False) -> None:
    """Refuse a file that is not a sound database of Precis, of a version up to this one."""
    with _opened(file) as connection:
        # Mapped into memory: page by page, a gigabyte from a cold disk takes twelve seconds, not two.
        connection.execute("PRAGMA mmap_size = 2147418112")
        (verdict,) = connection.execute(f"PRAGMA {pragma}(1)").fetchone()
        if verdict != "ok":
            raise DatabaseRefused(_damaged(file, verdict.splitlines()[-1]))
        tables = {
            name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        }
        if may_be_new and tables <= {"schema_migration"}:
            return
        if not {"schema_migration", "document"} <= tables:
            raise DatabaseRefused(f"{file} cannot be used: it is no database of Precis; name another file.")
        applied = {name for (name,) in connection.execute("SELECT name FROM schema_migration")}
        if newer := applied - {migration.stem for migration in MIGRATIONS.glob("*.py")}:
            raise DatabaseRefused(
                f"{file} cannot be used: a newer version of Precis has written it ({max(newer)}); "
                "run that version, or restore a backup that this one has made."
            )


def _contents(file: Path) -> str:
    count_rows = "SELECT (SELECT count(*) FROM document), (SELECT count(*) FROM analysis)"
    with _opened(file) as connection:
        documents, analyses = connection.execute(count_rows).fetchone()
    return f"{file.stat().st_size / 1e6:,.1f} MB, documents: {documents:,}, analyses: {analyses:,}"


def _leave_nothing_waiting(file: Path) -> None:
    """Give to nobody what waits in a backup: it may have been asked since, and asking again costs again.

    The next start ends as interrupted whatever runs in another's name.
    """
    claim = "UPDATE analysis SET status = 'running', lease_until = created_at WHERE status = 'waiting'"
    with _opened(file) as connection:
        connection.execute(claim)


def _keep(file: Path) -> Path | None:
    """Give the database a second name before its first one is taken; returns it, or None if none was there.

    The first name has a whole database at every moment, and no log that SQLite would replay onto the next.
    """
    try:
        with closing(_open(file)) as connection:
            # This folds the log into the file and removes it, which nobody else may have open for that.
            connection.execute("PRAGMA journal_mode = DELETE").fetchall()
    except sqlite3.Error as error:
        if _kind(error) in LOCKED:
            raise DatabaseRefused(f"{file} is open in another program: end that one first.") from error
    kept = next(name for n in count(1) if not (name := Path(f"{file}.replaced-{n}")).exists())
    # What still is there belongs to a file that is damaged or gone.
    for suffix in ("-wal", "-shm", "-journal"):
        with suppress(FileNotFoundError):
            os.replace(f"{file}{suffix}", f"{kept}{suffix}")
    with suppress(FileNotFoundError):
        os.link(file, kept)
    _sync(file.parent)
    return kept if kept.exists() else None


@contextmanager
def _opened(file: Path) -> Iterator[sqlite3.Connection]:
    """Open a file by itself, and refuse it for whatever SQLite has against it."""
    try:
        with closing(_open(file)) as connection:
            yield connection
    except sqlite3.Error as error:
        sentence = f"{file} cannot be used: {error}."
        raise DatabaseRefused(_damaged(file, error) if _kind(error) in DAMAGED else sentence) from error


def _open(file: Path) -> sqlite3.Connection:
    # Never made if it is not there. Not read-only: that would leave a log behind which nobody folds in.
    return sqlite3.connect(f"{file.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None)


def _damaged(file: Path, why: object) -> str:
    return f"{file} cannot be used: it is damaged ({why}); restore a backup: python app.py restore FILE."


def _remove(copy: Path) -> None:
    for name in (copy, Path(f"{copy}-journal")):
        name.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Have a file, or the names in a folder, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
