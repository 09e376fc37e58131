"""Shares: with whom a document is shared, to be read."""

from __future__ import annotations

from flask import Blueprint, abort, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from models import Document, Gone, Share, User
from views.helpers.audit import about
from views.helpers.identity import has_sign_in, person
from views.helpers.routes import find_document, is_own

blueprint = Blueprint("shares", __name__)
blueprint.add_app_template_test(is_own, "own")

# As long as a name can be.
MOST_CHARACTERS = 200


@blueprint.before_request
def _is_there_anybody() -> None:
    """Answer 404 where nobody signs in: there is nobody to share with."""
    if not has_sign_in():
        abort(404)


@blueprint.get("/documents/<id:id>/shares")
def index(id: int) -> str:
    """Show who may read a document, and ask who else shall."""
    return _page(find_document(id))


@blueprint.post("/documents/<id:id>/shares")
def create(id: int) -> Response | tuple[str, int]:
    """Let a colleague read a document, or all who sign in."""
    name = request.form.get("name", "").strip()
    is_for_all = "everybody" in request.form
    # Only now: reading the form lets others run, who may delete the document.
    document = find_document(id)
    colleague = None if is_for_all else User.find_by_name(name)
    error = "" if is_for_all else _fault(name, colleague)
    try:
        if not error and not Share.give(document, colleague):
            error = f"This document is already shared with {colleague or 'everybody who signs in'}."
    except Gone:
        abort(404)
    if error:
        return _page(document, error, name), 422
    about(document=id, detail=f"person {colleague.id}" if colleague else "everybody")
    return redirect(url_for("shares.index", id=id), 303)


@blueprint.post("/documents/<id:id>/shares/<id:share_id>/deletion")
def delete(id: int, share_id: int) -> Response:
    """End a share: who watches by it is sent away within seconds."""
    share = Share.find(find_document(id), share_id) or abort(404)
    share.end()
    about(document=id, detail=f"person {share.user.id}" if share.user else "everybody")
    return redirect(url_for("shares.index", id=id), 303)


@blueprint.app_template_filter()
def sharing(document: Document) -> str:
    """Return in a few words with whom a document is shared; nothing where it is not."""
    match [share.user for share in Share.of(document)]:
        case []:
            return ""
        case [None, *_]:
            return "Shared with everybody who signs in"
        case [only]:
            return f"Shared with {only}"
        case [one, other]:
            return f"Shared with {one} and {other}"
        case readers:
            return f"Shared with {readers[0]} and {len(readers) - 1} others"


def _fault(name: str, colleague: User | None) -> str:
    if not name:
        return "Enter a colleague’s name."
    if colleague is None or colleague.name == User.LOCAL:
        return "Nobody of this name has been here. Check how it is written; they must have signed in once."
    return "That is you: you can read it anyway." if colleague == person() else ""


def _page(document: Document, error: str = "", name: str = "") -> str:
    return render_template(
        "shares/index.html",
        document=document,
        shares=Share.of(document),
        error=error,
        name=name,
        most_characters=MOST_CHARACTERS,
    )
