"""Originals: the files that documents came as."""

from __future__ import annotations

from io import BytesIO

from flask import Blueprint, Response, abort, send_file

from models import Original
from views.helpers.routes import find_readable_document

blueprint = Blueprint("originals", __name__)


@blueprint.get("/documents/<id:id>/original")
def show(id: int) -> Response:
    """Return a document's file as it came, to be saved: shown here, a page would run its scripts as ours."""
    original = Original.of(find_readable_document(id)) or abort(404)
    response = send_file(
        BytesIO(original.data), "application/octet-stream", as_attachment=True, download_name=original.name
    )
    response.headers["Cache-Control"] = "no-store"
    return response
