"""The page for browsers without JavaScript: the same text, as progressive HTML."""

from __future__ import annotations

from collections.abc import Iterator

from flask import Blueprint, Response, request, stream_template

from analyzer import Ended, Text, Viewer
from models import Analysis
from storage import connected
from views.analyses import shown
from views.helpers.routes import analyzer, find_analysis, person
from views.helpers.sockets import watched

blueprint = Blueprint("live", __name__)

HEADERS = {"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no"}


@blueprint.get("/analyses/<id:id>/live")
def show(id: int) -> Response:
    """Send an analysis as it is written; the page is complete when the analysis is."""
    analysis = find_analysis(id)
    viewer = Viewer()
    texts = _texts(analyzer().observe(id, 0, viewer))
    page = stream_template(
        "live/show.html", analysis=analysis, document=analysis.document, texts=texts, ended=lambda: _ended(id)
    )
    return Response(watched(request.environ, viewer, page), headers=HEADERS)


def _texts(news: Iterator[Text | Ended]) -> Iterator[str]:
    for item in news:
        if isinstance(item, Text):
            yield item.text


def _ended(id: int) -> dict[str, object] | None:
    """Return what the saved partial shows, or None when there is nothing saved to show."""
    with connected():
        analysis = Analysis.find(person(), id)
        return shown(analysis) if analysis and not analysis.is_live else None
