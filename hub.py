"""The one thread that all of a process shares: whoever has much to do lets others have their turn."""

from __future__ import annotations

import gevent


def let_others_run() -> None:
    """Let all run that can, those too whom a socket or a timer has just woken."""
    # Not 0: then only who is ready already runs, and gevent looks at sockets and timers every fifty turns.
    gevent.sleep(1e-6)
