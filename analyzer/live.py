"""What is known in this process of an analysis that lives, and the news of it that its viewers get."""

from __future__ import annotations

import bisect
import sys
import time
from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

from gevent import get_hub
from gevent.hub import Waiter

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

    __slots__ = ("_waiter", "appetite", "can_return", "has_left", "patience")

    def __init__(self, patience: float = 10.0, appetite: int = sys.maxsize, can_return: bool = True) -> None:
        # An Event with its Timeout costs more than twice as much, and each viewer waits at each tick.
        self._waiter = Waiter()
        self.patience = patience
        self.appetite = appetite
        self.can_return = can_return
        self.has_left = False

    def leave(self) -> None:
        """End its watching at once, from any greenlet."""
        self.has_left = True
        self.wake()

    def wake(self) -> None:
        """Let it look for news, from any greenlet."""
        get_hub().loop.run_callback(self._waiter.switch, True)

    def wait(self) -> bool:
        """Wait for news, or until its patience ends; returns whether there may be some."""
        timer = get_hub().loop.timer(self.patience)
        timer.start(self._waiter.switch, False)
        try:
            return bool(self._waiter.get())
        finally:
            timer.close()
            self._waiter.clear()


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

    def grow(self, text: str) -> None:
        """Take a text that is saved now, tell the viewers, and wait for nothing any more."""
        if self.notice.wait:
            self.notice = Notice(None)
        self.add(text)
        self.announce()

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
        if after + most >= self.position:
            return max(after, self.position)
        index = bisect.bisect_right(self.starts, after + most)
        return max(after, self.starts[index] if index < len(self.starts) else self.position)

    def announce(self) -> None:
        """Wake all who watch."""
        for viewer in self.viewers:
            viewer.wake()


class Lives(dict[int, Live]):
    """The analyses that live in this process's memory, by id: those that grow here, and those it follows."""

    def __init__(self) -> None:
        super().__init__()
        self.is_dismissed: Callable[[Viewer], bool] = lambda _: False

    @property
    def own(self) -> set[int]:
        """Which grow here."""
        return {id for id, live in self.items() if not live.is_followed}

    @property
    def followed(self) -> list[tuple[int, Live]]:
        """Those that grow elsewhere, or nowhere yet."""
        return [(id, live) for id, live in self.items() if live.is_followed]

    def open(self, id: int, text: str) -> None:
        """Let one grow here from a saved text, whether viewers have come before or not."""
        live = self.get(id)
        if live is None:
            self[id] = Live(text)
        elif live.is_followed:
            live.adopt(text)
            live.announce()

    def finish(self, id: int, ended: Ended) -> Live | None:
        """Tell the viewers how one ended, and forget it; returns it, if it lived here."""
        if live := self.pop(id, None):
            live.ended = ended
            live.announce()
        return live

    def lose(self, id: int) -> None:
        """Forget one that somebody else has taken over: its viewers go on with what is saved."""
        if live := self.pop(id, None):
            live.is_lost = True
            live.announce()

    def leave(self, id: int, live: Live, viewer: Viewer) -> None:
        """Let a viewer go, and with the last one what was only followed."""
        live.viewers.discard(viewer)
        if live.is_followed and not live.viewers and self.get(id) is live:
            del self[id]

    def dismiss(self, everybody: bool) -> None:
        """Send the viewers away, those too who come from now on; or those only who can return."""
        self.is_dismissed = lambda viewer: everybody or viewer.can_return
        for live in self.values():
            for viewer in filter(self.is_dismissed, live.viewers):
                viewer.leave()
