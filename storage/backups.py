"""Copies of a SQLite file, there and back; PostgreSQL has tools of its own for that."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from itertools import count
from pathlib import Path

from storage.errors import DatabaseRefused
from storage.sqlite import LOCKED, examine, hold, kind_of, open_file, opened


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
    examine(file)
    _remove(copy)
    try:
        with opened(file) as connection:
            try:
                connection.execute("VACUUM INTO ?", (str(copy),))
            except sqlite3.OperationalError as error:
                raise DatabaseRefused(f"{target} cannot be written: {error}.") from error
        examine(copy)
        _sync(copy)
        yield copy
    finally:
        _remove(copy)


def _contents(file: Path) -> str:
    count_rows = "SELECT (SELECT count(*) FROM document), (SELECT count(*) FROM analysis)"
    with opened(file) as connection:
        documents, analyses = connection.execute(count_rows).fetchone()
    return f"{file.stat().st_size / 1e6:,.1f} MB, documents: {documents:,}, analyses: {analyses:,}"


def _leave_nothing_waiting(file: Path) -> None:
    """Give to nobody what waits in a backup: it may have been asked since, and asking again costs again.

    The next start ends as interrupted whatever runs in another's name.
    """
    claim = "UPDATE analysis SET status = 'running', lease_until = created_at WHERE status = 'waiting'"
    with opened(file) as connection:
        connection.execute(claim)


def _keep(file: Path) -> Path | None:
    """Give the database a second name before its first one is taken; returns it, or None if none was there.

    The first name has a whole database at every moment, and no log that SQLite would replay onto the next.
    """
    try:
        with closing(open_file(file)) as connection:
            # This folds the log into the file and removes it, which nobody else may have open for that.
            connection.execute("PRAGMA journal_mode = DELETE").fetchall()
    except sqlite3.Error as error:
        if kind_of(error) in LOCKED:
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
