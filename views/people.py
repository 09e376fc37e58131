"""People, as administrators see them: who is here and since when, but nothing that is theirs."""

from __future__ import annotations

from flask import Blueprint, abort, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from models import Document, User
from views.account import delete_all_of
from views.helpers.audit import about
from views.helpers.identity import has_sign_in, person, require_admin
from views.helpers.routes import analyzer

blueprint = Blueprint("people", __name__)

PAGE = 50


@blueprint.before_request
def _are_there_people() -> None:
    """Answer 404 to all but administrators, and where nobody signs in: there is one person then."""
    require_admin()
    if not has_sign_in():
        abort(404)


@blueprint.get("/people")
def index() -> str:
    """Show who has been here, by their names."""
    page = max(1, request.args.get("page", 1, type=int))
    # One more tells whether there is another page.
    people = User.listed(PAGE + 1, (min(page, 100_000) - 1) * PAGE)
    counts = Document.count_by_owner(people)
    return render_template(
        "people/index.html", people=people[:PAGE], counts=counts, page=page, has_more=len(people) > PAGE
    )


@blueprint.post("/people/<id:id>/suspension")
def suspend(id: int) -> Response:
    """Shut a person out, sign them out wherever they are, and stop what they have asked for."""
    analyzer().suspend(_find_other(id))
    return redirect(url_for("people.index"), 303)


@blueprint.post("/people/<id:id>/suspension/deletion")
def let_in(id: int) -> Response:
    """Let a person in again."""
    _find_other(id).let_in()
    return redirect(url_for("people.index"), 303)


@blueprint.get("/people/<id:id>/deletion")
def ask_deletion(id: int) -> str:
    """Ask whether all that is a person's shall go."""
    someone = _find_other(id)
    documents, analyses = Document.count_of(someone)
    return render_template("people/deletion.html", someone=someone, documents=documents, analyses=analyses)


@blueprint.post("/people/<id:id>/deletion")
def delete(id: int) -> Response:
    """Delete all that is a person's, unseen: whoever leaves takes it along before."""
    delete_all_of(_find_other(id))
    return redirect(url_for("people.index"), 303)


def _find_other(id: int) -> User:
    """Return somebody else: nobody shuts themselves out, and one's own is deleted in the account."""
    someone = User.find(id) or abort(404)
    if someone == person():
        abort(409, "This is you. Another administrator can do that.")
    about(detail=f"person {id}")
    return someone
