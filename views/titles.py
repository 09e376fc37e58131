"""Titles: give a document another one."""

from __future__ import annotations

from flask import Blueprint, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from analyzer.text import as_title
from views.helpers.routes import find_document

blueprint = Blueprint("titles", __name__)


@blueprint.get("/documents/<id:id>/title")
def edit(id: int) -> str:
    """Ask for a document's new title."""
    return render_template("titles/edit.html", document=find_document(id), error="")


@blueprint.post("/documents/<id:id>/title")
def update(id: int) -> Response | tuple[str, int]:
    """Rename a document; what its analyses have answered stays as it is."""
    title = as_title(request.form.get("title", ""))
    # Only now: reading the form lets others run, who may delete the document.
    document = find_document(id)
    if not title:
        page = render_template("titles/edit.html", document=document, error="Enter a title.")
        return page, 422
    document.rename(title)
    return redirect(url_for("documents.show", id=id), 303)
