"""Where an analysis can stand."""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """Where an analysis stands: two states of life, seven endings."""

    WAITING = "waiting"
    RUNNING = "running"
    COMPLETE = "complete"
    CUT = "cut"
    STOPPED = "stopped"
    INCOMPLETE = "incomplete"
    INTERRUPTED = "interrupted"
    DECLINED = "declined"
    FAILED = "failed"


LIVE = (Status.WAITING, Status.RUNNING)
ENDINGS = tuple(status for status in Status if status not in LIVE)
# A failed one has a text only if it was to continue another one's.
BROKEN_OFF = (Status.CUT, Status.INCOMPLETE, Status.INTERRUPTED, Status.FAILED)
