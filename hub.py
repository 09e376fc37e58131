"""The one thread that all of a process shares: whoever has much to do lets others have their turn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

import gevent

T = TypeVar("T")


def let_others_run() -> None:
    """Let all run that can, those too whom a socket or a timer has just woken."""
    # Not 0: then only who is ready already runs, and gevent looks at sockets and timers every fifty turns.
    gevent.sleep(1e-6)


def in_turns(items: Iterable[T], at_once: int) -> Iterator[T]:
    """Yield what is given, and after each so many let all else run that is ready to."""
    for index, item in enumerate(items, 1):
        yield item
        if not index % at_once:
            let_others_run()
