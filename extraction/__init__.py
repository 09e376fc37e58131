"""Extraction: the text of a file, read by a child process that can harm nobody.

What a file is, its content decides and not its name. The child gets the file, no environment, no network use
and hard limits of time, memory and disk; whatever becomes of it, this process goes on undisturbed.

    Extraction (process.py)         here, in the process that serves
        formats.py                  what a file is
        plain.py                    text and Markdown, which need no child
        child.py  <- Tell           there, in a process that limits.py confines
            pdf, word, web, mail, table
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from extraction.process import Extraction as Extraction


class Reason(StrEnum):
    """Why a file cannot be read."""

    UNKNOWN = "unknown"  # no format that is read here
    EMPTY = "empty"
    NOT_TEXT = "not-text"  # seems a text, but is not in UTF-8, or UTF-16 with its mark
    PASSWORD = "password"  # noqa: S105
    NO_TEXT = "no-text"  # pages, but no text on any: it may be a scan
    DAMAGED = "damaged"
    TOO_MANY_PAGES = "too-many-pages"
    TOO_LONG = "too-long"  # more characters than a document may have
    TOO_LARGE = "too-large"  # the file, or what it unpacks to
    TOO_MUCH_WORK = "too-much-work"  # more time or memory than one file may take
    INTERRUPTED = "interrupted"  # this process ended first
    NOT_SAVED = "not-saved"  # it was read, and there was no room for it


class Unreadable(Exception):
    """A file that cannot be read, and why."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


class Part(NamedTuple):
    """What was read in one go: a page where the file has pages, else any run of whole paragraphs."""

    text: str
    page: int | None = None


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        # Imported when asked for: the child imports this package too, and shall not load gevent to start.
        if name == "Extraction":
            from extraction.process import Extraction

            return Extraction
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
