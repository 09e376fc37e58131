"""Whether this process lives, whether it can serve, and whether a stream reaches who asks."""

from __future__ import annotations

import time
from collections.abc import Iterator

from flask import Blueprint, Response, current_app, request

import storage
from analyzer import Viewer
from views.helpers import sse
from views.helpers.routes import analyzer
from views.helpers.sockets import watched
from views.streams import BEAT_SECONDS

blueprint = Blueprint("health", __name__)

TICKS = 20
TICK_SECONDS = 0.1
# More than a real stream's: what bears exactly as much would cut that one now and then.
SILENCE_SECONDS = BEAT_SECONDS * 1.5
MOST_SECONDS = 120
# Anybody may ask: of the connections of those who watch none is taken, and of the others few.
MOST_AT_ONCE = 30
RETRY_SECONDS = 10


@blueprint.get("/up")
def up() -> tuple[str, int, dict[str, str]]:
    """Answer as long as the process does."""
    return "up\n", 200, {"Content-Type": "text/plain"}


@blueprint.get("/ready")
def ready() -> tuple[str, int, dict[str, str]]:
    """Answer when the database does, too, and the analyzer can be given work."""
    if (state := analyzer().state) != "ready":
        return f"{state}\n", 503, {"Content-Type": "text/plain"}
    # A table's page, not only a connection: the file may be gone under it.
    storage.database.execute_sql("SELECT id FROM document LIMIT 1").fetchall()
    return "ready\n", 200, {"Content-Type": "text/plain"}


@blueprint.get("/up/stream")
def stream() -> Response | tuple[str, int, dict[str, str]]:
    """Stream ticks, which show whether a stream comes through whole and at once; nothing is read or kept.

    First come TICKS messages, TICK_SECONDS apart, then for `seconds` (0, at most MOST_SECONDS) one after each
    silence of SILENCE_SECONDS or what is left, then `done`. Each message is the time at which it is sent, in
    seconds since the epoch. A process has MOST_AT_ONCE such streams at a time.
    """
    seconds = min(max(0, request.args.get("seconds", 0, type=int)), MOST_SECONDS)
    viewers: set[Viewer] = current_app.extensions.setdefault("ticking", set())
    if len(viewers) >= MOST_AT_ONCE:
        return "busy\n", 503, {"Content-Type": "text/plain", "Retry-After": str(RETRY_SECONDS)}
    viewer = Viewer()
    response = Response(watched(request.environ, viewer, _ticks(viewer, seconds)), headers=sse.HEADERS)
    viewers.add(viewer)
    response.call_on_close(lambda: viewers.discard(viewer))
    return response


def _ticks(viewer: Viewer, seconds: float) -> Iterator[bytes]:
    yield sse.OPEN
    pauses = [TICK_SECONDS] * TICKS
    while seconds > 0:
        pauses.append(min(seconds, SILENCE_SECONDS))
        seconds -= pauses[-1]
    for pause in pauses:
        yield sse.message(f"{time.time():.3f}")
        viewer.patience = pause
        if viewer.wait():
            return
    yield sse.message(f"{time.time():.3f}") + sse.DONE
