"""Deletions, each on a page of its own that names what will be gone."""

from __future__ import annotations

from flask import Blueprint, redirect, render_template, url_for
from werkzeug.wrappers import Response

from views.helpers.routes import analyzer, find_analysis, find_document

blueprint = Blueprint("deletions", __name__)


@blueprint.get("/documents/<id:id>/deletion")
def ask_document(id: int) -> str:
    """Ask whether a document shall go, with its analyses."""
    document = find_document(id)
    count, live = document.count_analyses()
    return render_template("deletions/document.html", document=document, count=count, live=live)


@blueprint.post("/documents/<id:id>/deletion")
def delete_document(id: int) -> Response:
    """Delete a document and its analyses, also while one is being written."""
    analyzer().delete_document(find_document(id))
    return redirect(url_for("documents.index"), 303)


@blueprint.get("/analyses/<id:id>/deletion")
def ask_analysis(id: int) -> str:
    """Ask whether an analysis shall go."""
    analysis = find_analysis(id)
    recipe = analyzer().recipes.get(analysis.recipe)
    return render_template("deletions/analysis.html", analysis=analysis, recipe=recipe)


@blueprint.post("/analyses/<id:id>/deletion")
def delete_analysis(id: int) -> Response:
    """Delete an analysis, also while it is being written."""
    analysis = find_analysis(id)
    document = analysis.document
    analyzer().delete(analysis)
    return redirect(url_for("documents.show", id=document.id), 303)
