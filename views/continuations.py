"""Continue: go on where an analysis broke off."""

from __future__ import annotations

from flask import Blueprint, abort, request
from werkzeug.wrappers import Response

from analyzer.text import clean
from views.analyses import ask
from views.helpers.endings import is_on_offer
from views.helpers.forms import AnalyzeForm
from views.helpers.routes import find_analysis

blueprint = Blueprint("continuations", __name__)


@blueprint.post("/analyses/<id:id>/continuation")
def create(id: int) -> Response:
    """Ask for the rest of an analysis: a new one that begins with the old one's text, and costs money."""
    key = clean(request.form.get("request_key", "")) or None
    analysis = find_analysis(id)
    if key and len(key) > AnalyzeForm.MAX_KEY:
        abort(422, AnalyzeForm.NOT_OURS)
    if not analysis.can_be_continued:
        abort(409, "There is nothing to continue: this analysis did not break off in the middle of a text.")
    if not is_on_offer(analysis):
        abort(409, "What this analysis was asked with is no longer on offer. Press Analyze to ask anew.")
    return ask(analysis.document, analysis.recipe, analysis.model, analysis.question, key, analysis)
