"""How much one file may be, and may cost the process that reads it."""

from __future__ import annotations

import os
import resource
import signal
import sys
from contextlib import suppress
from pathlib import Path

MAX_BYTES = 10_000_000
MAX_PAGES = 1000
MAX_CHARACTERS = 2_000_000
WALL_SECONDS = 15.0
CPU_SECONDS = 5
MEMORY = 512 * 1024 * 1024


def confine() -> None:
    """Confine this process for good: its time, its memory, no file written, no process started.

    Called before anything is imported that parses.
    """
    # A server's sockets are handed on to what it starts.
    os.closerange(3, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    os.chdir("/")
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 1))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    # It would leave an empty file where it is not allowed to write a full one.
    sys.dont_write_bytecode = True
    # Ctrl-C in a terminal reaches it too: a death by that name is told from a parser's.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # Behind whatever serves, and yet not starved by it: a file that waits too long would seem too much work.
    os.nice(10)
    # Where memory is short it shall be the first to go, and not the process that serves.
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def shut() -> None:
    """Let this process open nothing more: no file, no socket, no pipe. What it has imported is all it has."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
