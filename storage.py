"""The SQLite file: opened, held, brought up to date, and written to one transaction at a time."""

from __future__ import annotations

import fcntl
import functools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, ParamSpec, TypeVar

from peewee import DatabaseProxy, OperationalError
from playhouse import migrations
from playhouse.pool import PooledSqliteDatabase

P = ParamSpec("P")
R = TypeVar("R")

MIGRATIONS = Path(__file__).resolve().parent / "migrations"
PATIENCE_SECONDS = 5.0

database = DatabaseProxy()


class StorageError(Exception):
    """Nothing could be saved: the database stayed locked, is full or read-only."""


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


def migrate() -> list[str]:
    """Bring the schema up to date; returns the names of the migrations that ran."""
    with connected():
        names = migrations.run(database.obj, str(MIGRATIONS))
    # SQLite forbids a connection to be carried over a fork, and the worker comes next.
    database.close_idle()
    return names


class DatabaseInUse(Exception):
    """Another process serves this database; the message says which and what to do."""


def hold(file: Path, patience_seconds: float = 3.0) -> IO[str]:
    """Become the one server of a SQLite file, until what is returned is closed or the process dies.

    Raises `DatabaseInUse` when another process is: two would each take the other's analyses for dead.
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
                raise DatabaseInUse(
                    f"{file} is served by another process: stop that one, "
                    "or set PRECIS_DATABASE_URL to another file."
                ) from None
        time.sleep(0.1)


@contextmanager
def connected() -> Iterator[None]:
    """Hold a connection for a short block; an inner block shares the outer one's."""
    if not database.is_closed():
        yield
    else:
        with database.connection_context():
            yield


def saving(write: Callable[P, R]) -> Callable[P, R]:
    """Run a method in one write transaction, waiting cooperatively while another process holds the lock.

    The method must not yield to other greenlets: a second writer of this process would find the
    database locked. Raises `StorageError` after five seconds, or at once when the disk refuses.
    """

    @functools.wraps(write)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                with connected(), database.atomic():
                    return write(*args, **kwargs)
            except OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise StorageError(str(error)) from error
            time.sleep(0.01)

    return wrapper
