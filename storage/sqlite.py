"""The SQLite file: opened, held, checked, and what it has against a write."""

from __future__ import annotations

import fcntl
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import gevent
from peewee import __exception_wrapper__  # type: ignore[attr-defined]
from playhouse.pool import PooledSqliteDatabase

from storage.errors import DatabaseRefused, Reason, causes
from storage.schema import unknown
from storage.search import FTS5

LOCKED = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY}
DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


class SQLite(FTS5, PooledSqliteDatabase):
    """A SQLite file, which is made if it is not there; one process serves it."""

    is_shared = False
    SNAPSHOT = "DEFERRED"  # the transaction that reads one state of everything
    IDENTITY = "SELECT applied FROM schema_migration ORDER BY id LIMIT 1"
    LOCKING = SKIPPING = ""  # a transaction that writes has the file alone

    def __init__(self, url: str) -> None:
        self.file = Path(url.removeprefix("sqlite:///"))
        self.file.parent.mkdir(parents=True, exist_ok=True)
        # Pooled because opening costs more than most queries do; no limit, because none is ever waited for.
        super().__init__(
            str(self.file),
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
                # What is deleted is overwritten; not every SQLite is built to do so by itself.
                "secure_delete": 1,
            },
        )

    def now(self) -> datetime:
        """Return the time as it is stored: UTC, without a zone."""
        return datetime.now(UTC).replace(tzinfo=None)

    def set_clock(self) -> None:
        """There is one clock, this machine's."""

    def as_saved(self, field: Any) -> Any:
        """Select a text as bytes: a single one that a bad disk has turned would else fail the query."""
        return field.cast("BLOB")

    def insert_many(self, into: str, rows: Sequence[Sequence[object]]) -> None:
        """Insert rows `into` a table and its columns."""
        with __exception_wrapper__:
            self.cursor().executemany(f"INSERT INTO {into} VALUES ({', '.join('?' * len(rows[0]))})", rows)

    def take_turns(self, *names: str) -> None:
        """A transaction that writes has its turn."""

    def read_aside(self, query: str, values: Sequence[object]) -> list[Any]:
        """Run a query that may take long in a thread, where nobody waits for it but who asks."""

        def read() -> list[Any]:
            with __exception_wrapper__, closing(open_file(self.file)) as connection:
                return connection.execute(query, values).fetchall()

        found: list[Any] = gevent.get_hub().threadpool.apply(read)
        return found

    def hold(self, patience_seconds: float) -> IO[str]:
        """See `hold`."""
        return hold(self.file, patience_seconds)

    def check(self) -> None:
        """Refuse a file that is damaged, not of Precis or newer; reads a gigabyte in a second or two."""
        if self.file.exists():
            examine(self.file, "quick_check", may_be_new=True)

    def alone(self) -> nullcontext[None]:
        """Nobody else is there: the file is held."""
        return nullcontext()

    def disconnect(self) -> None:
        """Close what connections are idle."""
        self.close_idle()

    def reserve(self) -> None:
        """Nobody waits for a connection."""

    def renew(self) -> None:
        """Nothing goes away but the file."""

    def reason(self, error: BaseException | None, handled: BaseException | None) -> tuple[str, Reason]:
        """Return what SQLite said first and what that means.

        Full, it rolls back by itself; peewee's rollback then finds no transaction, and its error comes last.
        """
        text, kind = str(error), 0
        for cause in causes(error, handled):
            if isinstance(cause, sqlite3.DatabaseError):
                text, kind = str(cause), kind_of(cause)
        if kind in LOCKED:
            return text, Reason.LOCKED
        return text, Reason.FULL if kind in FULL else Reason.OTHER


def kind_of(error: sqlite3.Error) -> int:
    """Return SQLite's primary result code, 0 for none."""
    # The low byte: the others tell the errors of one kind apart.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


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


def examine(file: Path, pragma: str = "integrity_check", may_be_new: bool = False) -> None:
    """Refuse a file that is not a sound database of Precis, of a version up to this one."""
    with opened(file) as connection:
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
        if newer := unknown(applied):
            raise DatabaseRefused(
                f"{file} cannot be used: a newer version of Precis has written it ({max(newer)}); "
                "run that version, or restore a backup that this one has made."
            )


@contextmanager
def opened(file: Path) -> Iterator[sqlite3.Connection]:
    """Open a file by itself, and refuse it for whatever SQLite has against it."""
    try:
        with closing(open_file(file)) as connection:
            yield connection
    except sqlite3.Error as error:
        sentence = f"{file} cannot be used: {error}."
        raise DatabaseRefused(_damaged(file, error) if kind_of(error) in DAMAGED else sentence) from error


def open_file(file: Path) -> sqlite3.Connection:
    """Open a file that is there, outside of the pool."""
    # Never made if it is not there. Not read-only: that would leave a log behind which nobody folds in.
    return sqlite3.connect(f"{file.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None)


def _damaged(file: Path, why: object) -> str:
    return f"{file} cannot be used: it is damaged ({why}); restore a backup: python app.py restore FILE."
