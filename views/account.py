"""The account: what a person has here, to be taken along or deleted."""

from __future__ import annotations

import re

from flask import Blueprint, Response, current_app, redirect, render_template, url_for
from werkzeug.wrappers import Response as BaseResponse

from analyzer import Viewer
from hub import let_others_run
from models import Document, User
from views.helpers.audit import deleted
from views.helpers.identity import person
from views.helpers.routes import analyzer
from views.helpers.takeout import pack
from views.helpers.viewers import NoPlace, as_long_as_it_stays, no_place, take_place

blueprint = Blueprint("account", __name__)
blueprint.register_error_handler(NoPlace, no_place)
blueprint.add_app_template_global(lambda: current_app.config["RETENTION_DAYS"], "retention_days")

HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


@blueprint.get("/account")
def show() -> str:
    """Show who is signed in and what can be done with all that is theirs."""
    return render_template("account/show.html")


@blueprint.get("/account/export")
def export() -> Response:
    """Send all that is the person's as a zip, while it is made."""
    viewer = Viewer()
    parts = as_long_as_it_stays(viewer, pack(person()))
    response = take_place(Response(parts, mimetype="application/zip", headers=HEADERS), viewer)
    name = re.sub(r"[^a-z0-9]+", "-", person().name).strip("-")
    response.headers["Content-Disposition"] = f'attachment; filename="precis-{name or person().id}.zip"'
    return response


@blueprint.get("/account/deletion")
def ask_deletion() -> str:
    """Ask whether all that is the person's shall go."""
    documents, analyses = Document.count_of(person())
    return render_template("account/deletion.html", documents=documents, analyses=analyses)


@blueprint.post("/account/deletion")
def delete() -> BaseResponse:
    """Delete all that is the person's, also what is being written."""
    delete_all_of(person())
    return redirect(url_for("account.show"), 303)


def delete_all_of(owner: User) -> None:
    """Delete a person's documents, one after the other, and all else of theirs but the name."""
    # First, or a file that is being read would become a document.
    owner.delete_traces()
    while documents := Document.recent(owner):
        for document in documents:
            analyzer().delete_document(document)
            deleted(document.id)
            # Between two of them the streams go on.
            let_others_run()
