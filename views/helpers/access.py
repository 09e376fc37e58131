"""Requests in the log: one line each, and the id that joins it with all else that the request caused."""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

from flask import Flask
from werkzeug.routing import Rule
from werkzeug.wsgi import get_path_info

import logs

logger = logging.getLogger(__name__)

# What machines ask for every few seconds, and what comes along with a page.
QUIET = {"health.up", "health.ready", "health.stream", "metrics.show", "static"}
ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def register(app: Flask) -> None:
    """Log every request to an application, from outside of it: those too that break Flask itself."""
    app.wsgi_app = partial(_answer, app.wsgi_app)  # type: ignore[method-assign]


def _answer(application: Any, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    given = environ.get("HTTP_X_REQUEST_ID", "")
    id = given if ID.fullmatch(given) else secrets.token_hex(6)
    logs.request_id.set(id)
    answer = _Answer(environ)

    def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        answer.status = int(status[:3])
        # Now, because Flask lets go of its request before the answer is over.
        answer.rule = environ["werkzeug.request"].url_rule
        return start_response(status, [*headers, ("X-Request-ID", id)], exc_info)

    try:
        answer.parts = application(environ, start)
    except Exception:
        answer.close()
        raise
    # Where no line is wanted nothing is counted either, and the server can send a file by itself.
    return answer if logger.isEnabledFor(answer.level) else answer.parts


class _Answer:
    """The parts of an answer, and the line that it is worth when it is over."""

    # Of one that was never begun, which is left to the server.
    status = 500
    rule: Rule | None = None
    parts: Iterable[bytes] = ()

    def __init__(self, environ: dict[str, Any]) -> None:
        self._began = time.perf_counter()
        self._environ = environ
        self._bytes = 0

    @property
    def level(self) -> int:
        return logging.DEBUG if self.rule and self.rule.endpoint in QUIET else logging.INFO

    def __iter__(self) -> Iterator[bytes]:
        for part in self.parts:
            self._bytes += len(part)
            yield part

    def close(self) -> None:
        try:
            if close := getattr(self.parts, "close", None):
                close()
        finally:
            extra = {
                "method": self._environ["REQUEST_METHOD"],
                "route": self.rule.rule if self.rule else None,
                "path": get_path_info(self._environ),
                "status": self.status,
                "seconds": round(time.perf_counter() - self._began, 4),
                "bytes": self._bytes,
            }
            logger.log(self.level, "answered", extra=extra)
