"""Stop: ask for the end of an analysis."""

from __future__ import annotations

from flask import Blueprint, redirect, url_for
from werkzeug.wrappers import Response

from views.helpers.routes import analyzer, find_analysis, is_htmx

blueprint = Blueprint("cancellations", __name__)


@blueprint.post("/analyses/<id:id>/cancellation")
def create(id: int) -> Response | tuple[str, int]:
    """Stop an analysis and keep what has come; without effect on one that has ended."""
    analysis = find_analysis(id)
    analyzer().cancel(analysis.id)
    return ("", 204) if is_htmx() else redirect(url_for("analyses.show", id=id), 303)
