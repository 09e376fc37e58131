"""Signing in with an OpenID provider, and out."""

from __future__ import annotations

import logging
from urllib.parse import quote

from flask import Blueprint, abort, g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from models import User
from views.helpers import openid
from views.helpers.audit import by
from views.helpers.identity import has_signed_out, sign_in, sign_out, signs_in_here

logger = logging.getLogger(__name__)

blueprint = Blueprint("sessions", __name__)

RETRY_SECONDS = 10
# As it is written in an address. It waits in the cookie, which has room for 4,000 with all else.
MAX_NEXT = 1_000

CANCELLED = "You have not signed in: the sign-in was cancelled, or you may not use Precis."
STALE = "The sign-in took too long, was begun in another browser or was used already. Sign in again."
AWAY = "The sign-in does not answer at the moment. Wait a little, then try again."
SUSPENDED = "You may not use Precis any more: an administrator has suspended it. Your documents are kept."


@blueprint.before_request
def _only_here() -> None:
    if not signs_in_here():
        abort(404)


@blueprint.get("/session")
def show() -> str:
    """Tell who is signed in, or how to, to come to the page `next`."""
    next = request.args.get("next")
    return render_template("sessions/show.html", elsewhere=openid.end_address(), next=next)


@blueprint.get("/session/new")
def new() -> Response:
    """Send the person to the provider, who comes back to `callback` and then to the page `next`."""
    next = local_path(request.args.get("next", ""))
    return redirect(next if "person" in g else openid.begin(next, asks_again=has_signed_out()), 303)


@blueprint.get("/session/callback")
def callback() -> Response | tuple[str, int]:
    """Sign in who comes back from the provider with a proof."""
    next = openid.next_of(request.args.get("state", ""))
    proof = openid.finish()
    user = User.of_subject(proof.subject, proof.name, proof.shown_name)
    if user.is_disabled:
        logger.warning("a sign-in failed", extra={"reason": "suspended", "person": user.id})
        return _refused(SUSPENDED, 403)
    by(user)
    sign_in(user, is_admin=openid.admin_group() in proof.groups)
    return redirect(next or url_for("documents.index"), 303)


@blueprint.post("/session/deletion")
def delete() -> Response:
    """Sign out."""
    sign_out()
    return redirect(url_for("sessions.show"), 303)


@blueprint.errorhandler(openid.NotSignedIn)
def refuse(error: openid.NotSignedIn) -> Response | tuple[str, int]:
    """Tell one who comes back without a proof, unless another tab or a time before has brought one."""
    if "person" in g:
        return redirect(url_for("documents.index"), 303)
    logger.warning("a sign-in failed", extra={"reason": str(error)})
    is_cancelled = str(error) in {"access_denied", "login_required"}
    return _refused(CANCELLED, 403) if is_cancelled else _refused(STALE, 400)


@blueprint.errorhandler(openid.ProviderAway)
def wait(error: openid.ProviderAway) -> tuple[str, int, dict[str, str]]:
    """Tell that the provider is away."""
    logger.error("the OpenID provider does not answer", exc_info=error)
    return *_refused(AWAY, 503), {"Retry-After": str(RETRY_SECONDS)}


def _refused(sentence: str, status: int) -> tuple[str, int]:
    return render_template("sessions/refused.html", sentence=sentence), status


def local_path(address: str) -> str:
    """Return an address if it is one of ours, without a host, else that of the first page.

    Browsers go to another host after two slashes, take a backslash for one, and drop line breaks and tabs.
    """
    is_ours = address.startswith("/") and not address.startswith("//") and "\\" not in address
    return (
        address
        if is_ours and address.isprintable() and len(quote(address)) <= MAX_NEXT
        else url_for("documents.index")
    )
