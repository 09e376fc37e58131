"""What can go wrong with the database.

StorageError          it could not be read or written
└── StorageFull       because it is full or read-only
DatabaseRefused       it cannot be served at all
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum, auto

NEEDS_MORE = "needs more packages: pip install --require-hashes -r requirements-scale.txt"


class StorageError(Exception):
    """The database could not be written or read; the message is its own first reason."""

    may_be_saved = False  # nobody can tell: it went away while it was saving


class StorageFull(StorageError):
    """Storage is full or read-only; nothing more can be saved."""


class DatabaseRefused(Exception):
    """A database cannot be served, copied or replaced; the message is a sentence: why, and what to do."""


class Reason(Enum):
    """Why the database did not do what it was told."""

    LOCKED = auto()  # somebody else is at it: it goes away by itself
    GONE = auto()  # it does not answer
    FULL = auto()
    OTHER = auto()


def causes(error: BaseException | None, handled: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and all that led to it, the last first, up to what was `handled` when it began."""
    while error is not None and error is not handled:
        # Thrown into a context manager while another one is handled, peewee's loses its context; it has the
        # driver's by itself.
        yield getattr(error, "orig", error)
        error = error.__context__
