"""What the viewers of one analysis are sent: rendered once, however many watch.

But for the progress in words a message is a pure function of the text and two positions, so that any
process can resume any viewer: the blocks that were finished between them are appended, and the open
block replaces the tail.
"""

from __future__ import annotations

import re
import time
from contextlib import suppress
from datetime import datetime
from weakref import WeakValueDictionary

from flask import render_template

from analyzer import Notice, Text, Wait
from models import Status, now
from storage import StorageError
from views.helpers import sse
from views.helpers.endings import waiting
from views.helpers.formats import STATUS_WORDS, plural
from views.helpers.markdown import Blocks
from views.helpers.sections import progress

# A long open block is sent whole each time, but no more often than keeps a viewer under this.
BYTES_PER_SECOND = 40_000
# A late viewer gets a long answer in messages of about so many characters: one who stalls holds one.
MOST_CHARACTERS = 16_000

_HEADING = re.compile(r"^## ", re.MULTILINE)

_open: WeakValueDictionary[int, Rendering] = WeakValueDictionary()


class Rendering:
    """The growing answer of one analysis as messages; shared by all its viewers in this process."""

    def __init__(
        self,
        id: int,
        paragraphs: int,
        asked_at: datetime,
        joins_at: int | None = None,
        beat: bytes = b"",
        last: bytes = b"",
    ) -> None:
        self.id = id
        self.rests_until = 0.0
        self._paced_to = 0
        self._blocks = Blocks(paragraphs, joins_at)
        self._messages: dict[int | None, tuple[bytes, int]] = {}
        self._began = time.monotonic() - (now() - asked_at).total_seconds()
        self._told = ""
        self._section = ""
        self._words = 0
        self._in_word = False
        self.beat = beat
        self.last = last

    @classmethod
    def of(cls, id: int, paragraphs: int, asked_at: datetime, joins_at: int | None) -> Rendering:
        """Return the rendering that this analysis' viewers share, as long as one of them holds it."""
        rendering = _open.get(id)
        if rendering is None:
            beat = sse.message(render_template("streams/_beat.html", id=id))
            last = sse.message(render_template("streams/_last.html", id=id, own=True))
            rendering = _open[id] = cls(id, paragraphs, asked_at, joins_at, beat, last)
        return rendering

    @property
    def position(self) -> int:
        """The position up to which it has been fed."""
        return self._blocks.position

    def feed(self, news: Text) -> None:
        """Take in text from any of its viewers; what is known already is passed over."""
        new = news.position - self._blocks.position
        if new > 0:
            text = news.text[-new:]
            self._blocks.feed(text)
            self._count(text)
            self._messages.clear()
            # A section is saved before its heading is. Asked for here, where nothing is left half done.
            if _HEADING.search(text):
                with suppress(StorageError):
                    self._section = progress(self.id)

    def is_due(self, after: int, now: float) -> bool:
        """Return whether those at a position have something to get, and the last message has had its rest."""
        # The first to get a message sets the pace of the next one: the others get the same one now.
        has_rested = now >= self.rests_until or after < self._paced_to
        return after < self.position and has_rested

    def message(self, after: int | None) -> tuple[bytes, int]:
        """Return the event that brings a viewer on from a position, and how far; None stands for none.

        That is up to now, but for one who has much to catch up with.
        """
        if after not in self._messages:
            self._messages[after] = self._message(after)
        return self._messages[after]

    def notice(self, notice: Notice, is_first: bool) -> bytes:
        """Return the event that tells what is waited for; what the page began with is not announced again."""
        sentence = waiting(notice.wait, notice.until)
        status = Status.WAITING if notice.wait is Wait.TURN else Status.RUNNING
        note = f'<p class="note">{sentence}</p>' if sentence else ""
        parts = [
            _partial(f"tag-{self.id}", "textContent", STATUS_WORDS[status]),
            _partial(f"wait-{self.id}", "innerHTML", note),
        ]
        if not (is_first and notice.wait in (None, Wait.TURN)):
            parts.append(_partial("status", "textContent", sentence or STATUS_WORDS[status]))
        return sse.message("".join(parts))

    def _count(self, text: str) -> None:
        self._words += len(text.split()) - (self._in_word and not text[0].isspace())
        self._in_word = not text[-1].isspace()

    def _message(self, after: int | None) -> tuple[bytes, int]:
        id = self.id
        upto = self._blocks.upto(after or 0, MOST_CHARACTERS)
        finished = self._blocks.finished(after or 0, upto)
        # Text of the next block may belong before this position; it is shown with all of its block.
        tail = self._blocks.tail() if upto == self.position else ""
        parts = [_partial(f"tail-{id}", "innerHTML", tail)]
        if after is None or finished:
            parts.insert(0, _partial(f"blocks-{id}", "innerHTML" if after is None else "beforeend", finished))
        second = f"{int(time.monotonic() - self._began)} s"
        if (told := self._section + second) != self._told or after is None:
            self._told = told
            words = f"{second}, {plural(self._words, 'word')}"
            section = f"{self._section} · " if self._section else ""
            parts.append(_partial(f"progress-{id}", "textContent", section + words))
        # Only those who are up to date set the pace: a late viewer must not hold them back.
        if (after or 0) >= self._paced_to and upto == self.position:
            self._paced_to = self.position
            self.rests_until = time.monotonic() + len(tail) / BYTES_PER_SECOND
        return sse.message("".join(parts), id=upto), upto


def _partial(target: str, swap: str, html: str) -> str:
    return f'<hx-partial hx-target="#{target}" hx-swap="{swap}">{html}</hx-partial>'
