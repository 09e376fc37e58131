"""Readings: files that take long to read; their page tells how far that is and goes on to the document."""

from __future__ import annotations

from flask import Blueprint, Response, abort, redirect, render_template, url_for
from werkzeug.wrappers import Response as BaseResponse

from extraction import Reason
from models import Reading
from views.helpers.identity import person
from views.helpers.routes import is_partial

blueprint = Blueprint("readings", __name__)


@blueprint.get("/readings/<id:id>")
def show(id: int) -> str | BaseResponse:
    """Show how far a file is read or why it cannot be, to htmx a part of that; or go on to the document."""
    reading = _find(id)
    if reading.result:
        return _go_on(url_for("documents.show", id=reading.result))
    page = "readings/_changed.html" if is_partial() else "readings/show.html"
    return render_template(page, reading=reading)


@blueprint.post("/readings/<id:id>/cancellation")
def cancel(id: int) -> BaseResponse:
    """Cancel a reading, of which nothing is kept; without effect on one that has ended."""
    _find(id).stop()
    return redirect(url_for("readings.show", id=id), 303)


def _find(id: int) -> Reading:
    reading = Reading.find(person(), id) or abort(404)
    if reading.is_lost and reading.fail(Reason.INTERRUPTED):
        reading.reason = Reason.INTERRUPTED
    return reading


def _go_on(address: str) -> BaseResponse:
    # htmx follows a redirect by itself, and would put the whole page in the part's place.
    return Response(headers={"HX-Redirect": address}) if is_partial() else redirect(address, 303)
