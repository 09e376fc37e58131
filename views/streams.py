"""The stream: server-sent events that let a page watch an analysis. Watching starts and costs nothing."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterator
from datetime import datetime

from flask import Blueprint, Response, abort, request

from analyzer import Ended, Text, Viewer
from models import Analysis
from views.helpers import sse
from views.helpers.rendering import Rendering
from views.helpers.routes import analyzer, is_htmx, person
from views.helpers.sockets import watched

blueprint = Blueprint("streams", __name__)

# The page's note "connection lost" shows when it was not replaced for 25 s.
BEAT_SECONDS = 10.0
CURSOR = re.compile(r"[0-9]{1,10}")


@blueprint.get("/analyses/<id:id>/stream")
def show(id: int) -> Response:
    """Stream an analysis from the position in Last-Event-ID, or whole, and then `done`."""
    found = Analysis.find_to_watch(person(), id)
    if found is None and not is_htmx():
        abort(404)
    # hx-sse asks again for ever after a 404: an orderly end is the one refusal that it takes.
    frames = _stream(*found) if found else iter([sse.OPEN, sse.DONE])
    return Response(frames, headers=sse.HEADERS)


def _stream(id: int, paragraphs: int, asked_at: datetime) -> Iterator[bytes]:
    """Prepare the frames while the request is at hand: they are sent when it is over."""
    header = request.headers.get("Last-Event-ID", "")
    cursor = int(header) if CURSOR.fullmatch(header) else None
    viewer = Viewer()
    news = analyzer().observe(id, 0, viewer)
    frames = _frames(news, viewer, Rendering.of(id, paragraphs, asked_at), cursor)
    return watched(request.environ, viewer, frames)


def _frames(
    news: Iterator[Text | Ended], viewer: Viewer, rendering: Rendering, cursor: int | None
) -> Iterator[bytes]:
    """Yield the events that bring a viewer from its cursor to the end."""
    yield sse.OPEN
    beat_due = 0.0
    is_first = True
    for item in news:
        if isinstance(item, Ended):
            if cursor != rendering.position:
                yield rendering.message(cursor)
            yield rendering.last + sse.DONE
            return
        rendering.feed(item)
        if is_first and cursor is not None and cursor > rendering.position:
            # Not a position of this text: it begins anew.
            cursor = None
        now = time.monotonic()
        frame = b""
        if cursor is None or (cursor < rendering.position and now >= rendering.rests_until):
            frame = rendering.message(cursor)
            cursor = rendering.position
        if now >= beat_due:
            frame += rendering.beat
            beat_due = now + BEAT_SECONDS
        if frame:
            yield frame
        is_first = False
        resume = rendering.rests_until if cursor < rendering.position else beat_due
        viewer.patience = max(0.01, min(resume, beat_due) - now)
    # Sent away because this process ends. The delay counts only with data, and spreads the return.
    yield sse.message("", retry=random.randint(200, 1500))  # noqa: S311
