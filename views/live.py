"""The page for browsers without JavaScript: the same text, as progressive HTML."""

from __future__ import annotations

from collections.abc import Iterator

from flask import Blueprint, Response, request, stream_template

from analyzer import Ended, Notice, Text, Viewer
from models import Analysis
from storage import connected
from views.analyses import shown
from views.helpers.endings import waiting
from views.helpers.identity import person
from views.helpers.routes import analyzer, find_readable_analysis
from views.helpers.sockets import PIECE, watched
from views.helpers.viewers import NoPlace, no_place, take_place

blueprint = Blueprint("live", __name__)
blueprint.register_error_handler(NoPlace, no_place)

HEADERS = {"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no"}


@blueprint.get("/analyses/<id:id>/live")
def show(id: int) -> Response:
    """Send an analysis as it is written; the page is complete when the analysis is."""
    analysis = find_readable_analysis(id)
    # Loaded anew it would come whole, from its beginning.
    viewer = Viewer(appetite=PIECE, can_return=False)
    texts = _texts(analyzer().observe(id, 0, viewer))
    page = stream_template(
        "live/show.html",
        analysis=analysis,
        document=analysis.document,
        texts=texts,
        # One who was sent away may have lost the right to read it.
        ended=lambda: None if viewer.has_left else _ended(id),
    )
    return take_place(Response(watched(request.environ, viewer, page), headers=HEADERS), viewer, id)


def _texts(news: Iterator[Text | Notice | Ended]) -> Iterator[tuple[str, str]]:
    """Yield each text, or what is waited for before it comes."""
    for item in news:
        if isinstance(item, Text):
            yield item.text, ""
        elif isinstance(item, Notice) and item.wait:
            yield "", waiting(item.wait, item.until)


def _ended(id: int) -> dict[str, object] | None:
    """Return what the saved partial shows, or None when there is nothing saved to show."""
    with connected():
        analysis = Analysis.find_readable(person(), id)
        return shown(analysis) if analysis and not analysis.is_live else None
