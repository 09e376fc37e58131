"""The database: opened, checked, brought up to date, read and written, whichever of the two kinds it is.

SQLite serves one process, PostgreSQL any number. What differs between them is said in `sqlite` and
`postgresql` by two classes with the same few names; nobody else asks which of them it is.
"""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import ParamSpec, TypeVar

from peewee import DatabaseError, DatabaseProxy, DataError, IntegrityError
from playhouse import migrations

from storage import schema
from storage.errors import NEEDS_MORE, DatabaseRefused, Reason, StorageError, StorageFull

__all__ = [
    "DatabaseRefused",
    "StorageError",
    "StorageFull",
    "check",
    "connect",
    "connected",
    "database",
    "hold",
    "identity",
    "migrate",
    "saving",
]

P = ParamSpec("P")
R = TypeVar("R")

PATIENCE_SECONDS = 5.0

database = DatabaseProxy()


def connect(url: str) -> None:
    """Bind the models to a database, `sqlite:///file` or `postgresql://…`; nothing is opened yet."""
    if database.obj:
        database.disconnect()
    if url.startswith("sqlite:///"):
        from storage.sqlite import SQLite as Database
    else:
        try:
            from storage.postgresql import PostgreSQL as Database  # type: ignore[assignment]
        except ImportError:
            raise DatabaseRefused(f"PostgreSQL {NEEDS_MORE}") from None
    database.initialize(Database(url))


def hold(patience_seconds: float = 3.0) -> AbstractContextManager[object]:
    """Become the one server of a SQLite file until what is returned is closed; PostgreSQL has many.

    Raises `DatabaseRefused` when another process is it.
    """
    held: AbstractContextManager[object] = database.hold(patience_seconds)
    return held


def check() -> None:
    """Refuse, before anything is written to it, a database that cannot be served.

    Raises `DatabaseRefused` when it is damaged, another program's, cannot hold every text, or was changed
    by a newer version in a way that this one does not understand.
    """
    database.check()


def migrate() -> list[str]:
    """Bring the schema up to date; returns the names of the migrations that ran."""
    with connected(), database.alone():
        names = migrations.run(database.obj, str(schema.MIGRATIONS))
    # No connection may be carried over a fork, and the worker comes next.
    database.disconnect()
    return names


def identity() -> str:
    """Return what tells this database from all others, its copies too."""
    with connected():
        return str(database.execute_sql(database.IDENTITY).fetchone()[0])


@contextmanager
def connected() -> Iterator[None]:
    """Hold a connection for a short block; an inner block shares the outer one's.

    Raises `StorageError` when the database cannot be opened or read.
    """
    handled = sys.exception()
    try:
        with _connection():
            yield
    except (IntegrityError, DataError):
        raise
    except DatabaseError as error:
        _go_on_ending(error, handled)
        raise _storage_error(*database.reason(error, handled)) from error


@contextmanager
def _connection() -> Iterator[None]:
    if not database.is_closed():
        yield
        return
    # Not peewee's own context, which does not bear that the connection is taken anew inside of it.
    database.connect()
    try:
        yield
    finally:
        if not database.is_closed():
            database.close()


def saving(write: Callable[P, R]) -> Callable[P, R]:
    """Run a method in one write transaction, again for up to five seconds while it cannot be had.

    That is while another process holds the lock or the server is away: the wait is cooperative. With
    SQLite the method must not yield to other greenlets: a second writer of this process would find the
    database locked. Raises `StorageError` after that, or at once for any other reason and when it cannot
    be told whether the write was saved, and `StorageFull` when the reason is the disk.
    """

    @functools.wraps(write)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        deadline = time.monotonic() + PATIENCE_SECONDS
        handled = sys.exception()
        while True:
            is_written = False
            try:
                with _connection(), database.atomic():
                    result = write(*args, **kwargs)
                    is_written = True
                return result
            except (IntegrityError, DataError):
                raise
            except DatabaseError as error:
                _go_on_ending(error, handled)
                text, reason = database.reason(error, handled)
                is_inner = database.in_transaction()
                if reason is not Reason.LOCKED and not is_inner:
                    # A connection that is kept for longer than this write may be as broken.
                    database.renew()
                may_go_away = reason is Reason.LOCKED or (reason is Reason.GONE and not is_written)
                if not may_go_away or is_inner or time.monotonic() > deadline:
                    failure = _storage_error(text, reason)
                    failure.may_be_saved = is_written and reason is Reason.GONE
                    raise failure from error
            time.sleep(0.01)

    return wrapper


def _go_on_ending(error: BaseException | None, handled: BaseException | None) -> None:
    """Raise again what ended a greenlet in the middle of a write, and a rollback that failed has hidden."""
    while error is not None and error is not handled:
        if not isinstance(error, Exception):
            raise error
        error = error.__context__


def _storage_error(text: str, reason: Reason) -> StorageError:
    return (StorageFull if reason is Reason.FULL else StorageError)(text)
