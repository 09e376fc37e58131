"""What the kernel says of processes: a file of /proc may vanish while it is read, and that is no failure."""

import os
from contextlib import suppress
from pathlib import Path

GONE = FileNotFoundError, ProcessLookupError


def is_alive(pid):
    """Return whether a process runs: a dead one stays listed until its parent looks."""
    with suppress(*GONE):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def children(pid):
    """Return the pids of a process' children, the main thread's with the oldest first, also of dead ones."""
    found = []
    for thread in sorted(os.listdir(f"/proc/{pid}/task"), key=int):
        with suppress(*GONE):
            found += map(int, Path(f"/proc/{pid}/task/{thread}/children").read_text().split())
    return found


def open_files(pid):
    """Return what a process' open descriptors lead to, by descriptor."""
    found = {}
    for descriptor in os.listdir(f"/proc/{pid}/fd"):
        with suppress(*GONE):
            found[int(descriptor)] = os.readlink(f"/proc/{pid}/fd/{descriptor}")
    return found


def count_sockets(pid):
    """Return how many sockets a process holds open."""
    return sum(file.startswith("socket:") for file in open_files(pid).values())
