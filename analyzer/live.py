"""What is known in this process of an analysis that lives, and the news of it that its viewers get."""

from __future__ import annotations

import bisect
import sys
import time
from enum import StrEnum
from typing import NamedTuple

from gevent.event import Event

from analyzer.text import Door
from models import Status


class Text(NamedTuple):
    """News for a viewer: `text` ends at `position`. Empty text only says that nothing has come."""

    position: int
    text: str


class Wait(StrEnum):
    """What keeps an analysis from going on."""

    TURN = "turn"  # others run
    TEXT = "text"  # the provider takes its time
    BUSY = "busy"  # the provider is busy: it is asked again
    UNREACHABLE = "unreachable"  # it cannot be reached: it is asked again
    SILENT = "silent"  # it has said nothing for too long: it is asked again
    FULL = "full"  # nothing can be saved: the disk is full or read-only
    STORAGE = "storage"  # nothing can be saved: the database is locked, or worse


class Notice(NamedTuple):
    """News that is not kept: what the analysis waits for, None for nothing, until a monotonic time."""

    wait: Wait | None
    until: float = 0.0


class Ended(NamedTuple):
    """The last news: how the analysis ended, or None when it is gone."""

    status: Status | None


class Viewer:
    """One who watches an analysis: woken by text, by its ending, or to leave.

    `patience` is how many seconds it waits for news before it is handed an empty text, `appetite` about how
    many characters it takes at a time. One that cannot go on elsewhere, `can_return` says, is sent away last.
    """

    __slots__ = ("appetite", "can_return", "has_left", "news", "patience")

    def __init__(self, patience: float = 10.0, appetite: int = sys.maxsize, can_return: bool = True) -> None:
        self.news = Event()
        self.patience = patience
        self.appetite = appetite
        self.can_return = can_return
        self.has_left = False

    def leave(self) -> None:
        """End its watching at once, from any greenlet."""
        self.has_left = True
        self.news.set()


class Live:
    """The saved text of a live analysis in this process's memory, and who watches it.

    It grows here, or it is followed: then somebody else's, or nobody's yet.
    """

    __slots__ = (
        "begun",
        "door",
        "ended",
        "is_followed",
        "is_lost",
        "look_at",
        "notice",
        "patience",
        "pieces",
        "position",
        "starts",
        "submitted",
        "unsaved",
        "viewers",
        "watchers",
    )

    def __init__(self, text: str = "", is_followed: bool = False) -> None:
        self.pieces: list[str] = []
        self.starts: list[int] = []
        self.position = 0
        self.is_lost = False
        self.notice = Notice(None)
        self.ended: Ended | None = None
        self.viewers: set[Viewer] = set()
        # The other processes that follow it, and until when.
        self.watchers: dict[str, float] = {}
        self.look_at = self.patience = 0.0
        self.is_followed = is_followed
        if not is_followed:
            self.adopt(text)

    def wait_for(self, wait: Wait | None, seconds: float = 0.0) -> None:
        """Tell the viewers what it waits for, and for how long; None for nothing any more."""
        self.notice = Notice(wait, time.monotonic() + seconds) if wait else Notice(None)
        self.announce()

    def adopt(self, text: str) -> None:
        """Begin to grow here, from a saved text of which more may be known than before."""
        self.is_followed = False
        if rest := text[self.position :]:
            self.add(rest)
        self.door = Door()
        self.submitted = self.position
        self.unsaved = ""
        self.begun = False

    def add(self, text: str) -> None:
        """Take a text that is saved now."""
        self.starts.append(self.position)
        self.pieces.append(text)
        self.position += len(text)

    def since(self, after: int) -> str:
        """Return the text from a position on."""
        return self.between(after, self.position)

    def between(self, after: int, upto: int) -> str:
        """Return the text between two positions, of which the second is where a piece ends."""
        if after >= upto:
            return ""
        first, last = bisect.bisect_right(self.starts, after) - 1, bisect.bisect_left(self.starts, upto)
        text = self.pieces[first][after - self.starts[first] :]
        return text if first + 1 == last else text + "".join(self.pieces[first + 1 : last])

    def upto(self, after: int, most: int) -> int:
        """Return where the piece ends that completes `most` characters, or the last one."""
        index = bisect.bisect_right(self.starts, after + most)
        return max(after, self.starts[index] if index < len(self.starts) else self.position)

    def announce(self) -> None:
        """Wake all who watch."""
        for viewer in self.viewers:
            viewer.news.set()
