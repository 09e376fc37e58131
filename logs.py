"""The log: one line of JSON on stderr for each thing that happened, told by its time, place and numbers.

No word of a document, a question or an answer ever comes into it, whoever logs and whatever raises. So
of an exception it holds the type, the code and the frames, but no message: one of SQLite's own quotes
the text that it could not decode. An event is a constant; what varies is passed as `extra`. The
standard library's logging writes it, because all that we stand on speaks through that already.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import sys
import threading
import traceback
import warnings
from contextvars import Context, ContextVar
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import gevent
from gunicorn import glogging

ROOT = f"{Path(__file__).resolve().parent}/"
OURS = {
    "app",
    "server",
    "config",
    "check",
    "doctor",
    "findings",
    "hub",
    "logs",
    "metrics",
    "storage",
    "models",
    "records",
    "extraction",
    "providers",
    "analyzer",
    "views",
}
STANDARD = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}
# Of a recursion without end the last ones tell enough.
MAX_FRAMES = 30
MAX_CAUSES = 8

logger = logging.getLogger(__name__)

request_id: ContextVar[str] = ContextVar("request_id", default="")


def configure() -> None:
    """Send all that is logged, and all that would be printed about a failure, to stderr as JSON.

    Called once, by the server's first process, before anything of it runs.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    # Here and not by their levels, which the SDKs take from the environment when they are imported.
    handler.addFilter(lambda record: record.levelno >= logging.WARNING or _part(record) in OURS)
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)
    # Otherwise a thread object is made for each greenlet that logs.
    logging.logThreads = False
    # Otherwise logging prints a record that it cannot write, with all its arguments.
    logging.raiseExceptions = False
    # Not `captureWarnings`, which logs the message: pydantic's quote the value.
    warnings.showwarning = _warned  # type: ignore[assignment]
    sys.unraisablehook = _uncaught
    threading.excepthook = _uncaught
    gevent.get_hub().print_exception = lambda _greenlet, *exc_info: _uncaught(exc_info)
    gevent.Greenlet.add_spawn_callback(_inherit)


class JsonLines(logging.Formatter):
    """Formats a record as one line: time, level, logger, event, request, its own fields, its exception."""

    def __init__(self) -> None:
        super().__init__()
        self._encode = json.JSONEncoder(default=_plain).encode
        self._first_process = os.getpid()

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "event": self._event(record),
        }
        if id := request_id.get():
            line["request"] = id
        line |= {name: value for name, value in vars(record).items() if name not in STANDARD}
        if record.exc_info:
            line["exception"] = _causes(record.exc_info[1])
        return self._encode(line)

    def _event(self, record: logging.LogRecord) -> str:
        if record.process == self._first_process:
            # It serves nobody, so that it has nothing to quote.
            return record.getMessage()
        # Gunicorn's "Invalid request from ip=…: " goes on with the request, and its arguments are URLs.
        return record.msg.partition(": ")[0] if isinstance(record.msg, str) else type(record.msg).__name__


class ServerLogger(glogging.Logger):
    """Gunicorn's logger, without the handlers and formats of its own."""

    def setup(self, cfg: Any) -> None:
        """Leave its lines to the root's handler."""
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True


def _part(record: logging.LogRecord) -> str:
    return record.name.partition(".")[0]


def _plain(value: object) -> float | str:
    """Return what JSON can say of what it has no form for: a number, or else the type."""
    return float(value) if isinstance(value, Decimal) else type(value).__name__


def _causes(error: BaseException | None) -> list[dict[str, Any]]:
    """Return an exception and those that led to it, in the order in which Python would blame them."""
    causes: list[dict[str, Any]] = []
    while error is not None and len(causes) < MAX_CAUSES:
        frames = [
            f"{frame.f_code.co_filename.removeprefix(ROOT)}:{line} {frame.f_code.co_qualname}"
            for frame, line in traceback.walk_tb(error.__traceback__)
        ]
        kind = type(error)
        causes.append(
            {
                "type": f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins."),
                "code": _code(error),
                "frames": frames[-MAX_FRAMES:],
            }
        )
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return causes


def _code(error: BaseException) -> str | None:
    """Return what the system or SQLite calls it, which is as much as their message says."""
    if isinstance(error, OSError):
        return errno.errorcode.get(error.errno or 0)
    return getattr(error, "sqlite_errorname", None)


def _uncaught(exc_info: Any) -> None:
    """Take what gevent, threading and the interpreter would print; their first three items are the same."""
    logger.error("nobody caught this", exc_info=tuple(exc_info[:3]))


def _warned(message: object, category: type[Warning], filename: str, lineno: int, *_: object) -> None:
    at = f"{filename.removeprefix(ROOT)}:{lineno}"
    logger.warning("warning", extra={"category": category.__name__, "at": at})


def _inherit(greenlet: gevent.Greenlet) -> None:
    """Let a request's id, and nothing else of it, go along to what the request spawns."""
    # A greenlet begins with an empty context. A copy of this one would hold Flask's request, form and all.
    if id := request_id.get():
        greenlet.gr_context = Context()
        greenlet.gr_context.run(request_id.set, id)
