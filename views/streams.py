"""The stream: server-sent events that let a page watch an analysis. Watching starts and costs nothing."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterator
from datetime import datetime

from flask import Blueprint, Response, abort, render_template, request

from analyzer import Ended, Notice, Text, Viewer
from models import Analysis
from views.helpers import sse
from views.helpers.audit import about
from views.helpers.identity import person
from views.helpers.rendering import Rendering
from views.helpers.routes import analyzer, is_htmx
from views.helpers.sockets import watched
from views.helpers.viewers import NoPlace, no_place, take_place

blueprint = Blueprint("streams", __name__)

# The page's note "connection lost" shows when it was not replaced for 25 s.
BEAT_SECONDS = 10.0
CURSOR = re.compile(r"[0-9]{1,10}")


@blueprint.get("/analyses/<id:id>/stream")
def show(id: int) -> Response:
    """Stream an analysis from the position in Last-Event-ID, or whole, and then `done`."""
    found = Analysis.find_to_watch(person(), id)
    if found:
        about(analysis=id)
        viewer = Viewer()
        return take_place(Response(_stream(viewer, *found), headers=sse.HEADERS), viewer, id)
    if not is_htmx():
        abort(404)
    # hx-sse asks again for ever after a 404: an orderly end is the one refusal that it takes.
    return Response(sse.OPEN + sse.DONE, headers=sse.HEADERS)


@blueprint.errorhandler(NoPlace)
def refuse(error: NoPlace) -> Response | tuple[str, int, dict[str, str]]:
    """Tell one who finds no place; the page goes on asking, and still loads what is saved at the end."""
    if not is_htmx():
        return no_place(error)
    told = sse.message(render_template("streams/_no_place.html", id=(request.view_args or {})["id"]))
    return Response(sse.OPEN + told + sse.DONE, headers=sse.HEADERS)


def _stream(
    viewer: Viewer, id: int, paragraphs: int, asked_at: datetime, joins_at: int | None, owner: int
) -> Iterator[bytes]:
    """Prepare the frames while the request is at hand: they are sent when it is over."""
    header = request.headers.get("Last-Event-ID", "")
    cursor = int(header) if CURSOR.fullmatch(header) else None
    rendering = Rendering.of(id, paragraphs, asked_at, joins_at)
    # From where the others who watch have brought it: the text before that need not be held for each.
    news = analyzer().observe(id, rendering.position, viewer)
    is_own = owner == person().id
    last = rendering.last if is_own else sse.message(render_template("streams/_last.html", id=id))
    return watched(request.environ, viewer, _frames(news, viewer, rendering, last, cursor))


def _frames(
    news: Iterator[Text | Notice | Ended],
    viewer: Viewer,
    rendering: Rendering,
    last: bytes,
    cursor: int | None,
) -> Iterator[bytes]:
    """Yield the events that bring a viewer from its cursor to the end, `last` before `done`."""
    yield sse.OPEN
    beat_due = 0.0
    is_first = is_first_notice = True
    for item in news:
        if isinstance(item, Ended):
            while cursor != rendering.position and not viewer.has_left:
                frame, cursor = rendering.message(cursor)
                yield frame
            yield last + sse.DONE
            return
        if isinstance(item, Notice):
            yield rendering.notice(item, is_first_notice)
            is_first_notice = False
            continue
        rendering.feed(item)
        # One who stalls would hold it, and the first may be the whole answer.
        del item
        if is_first and cursor is not None and cursor > rendering.position:
            # Not a position of this text: it begins anew.
            cursor = None
        now = time.monotonic()
        frame = b""
        if cursor is None or rendering.is_due(cursor, now):
            frame, cursor = rendering.message(cursor)
            # One who takes it slowly may be sent away in the middle.
            while cursor < rendering.position and not viewer.has_left:
                yield frame
                frame, cursor = rendering.message(cursor)
        if now >= beat_due:
            frame += rendering.beat
            beat_due = now + BEAT_SECONDS
        if frame:
            yield frame
        is_first = False
        resume = rendering.rests_until if cursor < rendering.position else beat_due
        viewer.patience = max(0.01, min(resume, beat_due) - now)
    # Sent away, because this process ends or the right to watch has: that is for the next request to find.
    # The delay counts only with data, and spreads the return.
    yield sse.message("", retry=random.randint(200, 1500))  # noqa: S311
