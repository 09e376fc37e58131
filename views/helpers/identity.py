"""Who asks."""

from __future__ import annotations

from typing import cast

from flask import Flask, abort, current_app, g, request
from flask_limiter.util import get_remote_address

from models import User

# Whoever asks for these is nobody in particular.
OPEN = {"health.up", "health.ready", "health.stream", "metrics.show", "static"}


class SignedOut(Exception):
    """The request needs to be somebody's, and nobody has signed in."""


def register(app: Flask) -> None:
    """Find out who asks before anything is done for them."""
    app.before_request(_identify)
    app.context_processor(
        lambda: {"somebody": g.get("person"), "is_admin": is_admin, "has_sign_in": has_sign_in()}
    )


def person() -> User:
    """Return who asks."""
    return cast(User, g.person)


def counted_as() -> str:
    """Return by what limits tell people apart: the person, or where nobody signs in the address."""
    return f"user {g.person.id}" if has_sign_in() and "person" in g else get_remote_address()


def is_admin() -> bool:
    """Whether who asks is an administrator; without sign-in the one person is."""
    if not has_sign_in():
        return True
    return "person" in g and g.person.name in current_app.config["ADMINS"]


def has_sign_in() -> bool:
    """Whether people sign in here at all."""
    return bool(current_app.config["AUTH"] != "none")


def require_admin() -> None:
    """Answer 404 to all but administrators: what there is for them is nobody else's to know."""
    if not is_admin():
        abort(404)


def _identify() -> None:
    # Where there is no such page, nothing is shown to anybody.
    if request.endpoint in OPEN or request.url_rule is None:
        return
    found = _local() if not has_sign_in() else _told_by_proxy()
    if found is None or found.is_disabled:
        raise SignedOut
    g.person = found


def _local() -> User:
    # There is one, who stays the same: no query for each request.
    if "person" not in current_app.extensions:
        current_app.extensions["person"] = User.local()
    return cast(User, current_app.extensions["person"])


def _told_by_proxy() -> User | None:
    """Return whom the proxy names; from any other address the header means nothing."""
    original = request.environ.get("werkzeug.proxy_fix.orig", request.environ)
    name = request.headers.get(current_app.config["PROXY_USER_HEADER"], "").strip()
    # At a unix socket nobody has an address.
    is_proxy = original["REMOTE_ADDR"] in {"", *current_app.config["PROXY_ADDRESSES"]}
    return User.named(name) if is_proxy and name else None
