"""What a reader tells while it reads: the child's one way out, in lines of JSON."""

from __future__ import annotations

import json
from pathlib import Path
from time import monotonic
from traceback import extract_tb
from typing import BinaryIO

from extraction import Reason, Unreadable
from extraction.limits import MAX_CHARACTERS, MAX_PAGES

# Each line that is sent wakes the process that listens.
TOLD_EVERY = 0.05


class Tell:
    """Tells what was read, as it is read: one JSON object a line."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._told_at = 0.0
        self._characters = 0

    def pages(self, count: int) -> None:
        """Tell how many pages there are, before any is read; raises Unreadable if they are too many."""
        if count > MAX_PAGES:
            raise Unreadable(Reason.TOO_MANY_PAGES)
        self._say({"pages": count}, at_once=True)

    def part(self, text: str, page: int | None = None) -> None:
        """Tell whole paragraphs, parted by blank lines, of a page (counted from 1) if there are pages.

        A page is told once, also if it is empty. Raises Unreadable when there is more text than is kept.
        """
        self._characters += len(text)
        if self._characters > MAX_CHARACTERS:
            raise Unreadable(Reason.TOO_LONG)
        self._say({"text": text} if page is None else {"page": page, "text": text})

    def title(self, title: str) -> None:
        """Tell the file's own title."""
        self._say({"title": title[:1000]})

    def note(self, code: str, detail: str) -> None:
        """Tell of something that was not read: what it is, and how many or their names."""
        self._say({"note": [code, detail[:1000]]})

    def unreadable(self, reason: Reason) -> None:
        """Tell that there is nothing to be had, and why; the last word."""
        self._say({"unreadable": reason}, at_once=True)

    def failed(self, error: Exception) -> None:
        """Tell that an exception ended it: its type and places, not its message, which may quote the file."""
        places = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in extract_tb(error.__traceback__)]
        self._say({"failed": type(error).__name__, "at": places[-10:]}, at_once=True)

    def done(self) -> None:
        """Tell that all has been read; the last word, without which nothing was."""
        self._say({"done": True}, at_once=True)

    def _say(self, what: dict[str, object], *, at_once: bool = False) -> None:
        # Half of a surrogate pair, which a file may well hold, has no place in UTF-8.
        line = json.dumps(what, ensure_ascii=False).encode("utf-8", "replace")
        self._out.write(line + b"\n")
        if at_once or monotonic() > self._told_at + TOLD_EVERY:
            self._out.flush()
            self._told_at = monotonic()
