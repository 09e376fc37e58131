"""Who asks."""

from __future__ import annotations

from contextlib import suppress
from ipaddress import IPv6Address, ip_address
from typing import cast

from flask import Flask, abort, current_app, g, request, session
from flask_limiter.util import get_remote_address

from models import Session, User
from storage import StorageError

# Whoever asks for these is nobody in particular.
OPEN = {"health.up", "health.ready", "health.stream", "metrics.show", "static"}
# Who is nobody yet, or no more, comes here.
DOORS = {"sessions.new", "sessions.callback", "sessions.show", "sessions.delete"}
# A page asks for parts of these now and then, as long as they go on.
WATCHED = {"analyses.show", "readings.show"}


class SignedOut(Exception):
    """The request needs to be somebody's, and nobody has signed in, or one who `is_disabled`."""

    def __init__(self, is_disabled: bool = False) -> None:
        self.is_disabled = is_disabled


def register(app: Flask) -> None:
    """Find out who asks before anything is done for them."""
    app.before_request(_identify)
    app.context_processor(
        lambda: {
            "somebody": g.get("person"),
            "is_admin": is_admin,
            "has_sign_in": has_sign_in(),
            "signs_in_here": signs_in_here(),
        }
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
    return "person" in g and (g.in_admin_group or g.person.name in current_app.config["ADMINS"])


def has_sign_in() -> bool:
    """Whether people sign in here at all."""
    return bool(current_app.config["AUTH"] != "none")


def signs_in_here() -> bool:
    """Whether Precis itself sends people to sign in, and keeps their sessions."""
    return bool(current_app.config["AUTH"] == "oidc")


def require_admin() -> None:
    """Answer 404 to all but administrators: what there is for them is nobody else's to know."""
    if not is_admin():
        abort(404)


def _identify() -> None:
    g.session_id, g.in_admin_group = None, False
    # Where there is no such page, nothing is shown to anybody.
    if request.endpoint in OPEN or request.url_rule is None:
        return
    found = _find()
    if found and not found.is_disabled:
        g.person = found
    elif request.endpoint not in DOORS:
        raise SignedOut(is_disabled=found is not None)


def _find() -> User | None:
    if signs_in_here():
        return _signed_in()
    return _told_by_proxy() if has_sign_in() else _local()


def _local() -> User:
    # There is one, who stays the same: no query for each request.
    if "person" not in current_app.extensions:
        current_app.extensions["person"] = User.local()
    return cast(User, current_app.extensions["person"])


def _told_by_proxy() -> User | None:
    """Return whom the proxy names; from any other address the header means nothing."""
    name = _read_name(request.headers.get(current_app.config["PROXY_USER_HEADER"], ""))
    if not name or not _is_proxy(
        request.environ.get("werkzeug.proxy_fix.orig", request.environ)["REMOTE_ADDR"]
    ):
        return None
    person = User.named(name)
    with suppress(StorageError):
        # What is saved can be read while nothing can be written.
        person.touch()
    return person


def _read_name(header: str) -> str:
    """Return the name in a header, or nothing where it is none."""
    try:
        name = header.encode("latin-1").decode()
    except UnicodeError:
        return ""
    # Two headers of one name arrive as one, with a comma: nobody knows which of them is the proxy's. And who
    # was here before anybody signed in is nobody who does.
    return name if "," not in name and User.as_name(name) not in ("", User.LOCAL) else ""


def _is_proxy(sender: str) -> bool:
    # At a unix socket nobody has an address.
    if not sender:
        return True
    address = ip_address(sender.partition("%")[0])
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address
    return any(address in network for network in current_app.config["PROXY_ADDRESSES"])


def _signed_in() -> User | None:
    """Return who has signed in with this browser."""
    found = Session.find(session["token"]) if "token" in session else None
    if found is None:
        return None
    if not _comes_by_itself():
        with suppress(StorageError):
            found.touch(current_app.config["SESSION_LENGTH"], current_app.config["SESSION_IDLE"])
    g.session_id, g.in_admin_group = found.id, found.is_admin
    return found.user


def _comes_by_itself() -> bool:
    """Whether a page that is left open asks: that is nobody's doing."""
    is_partial = request.headers.get("HX-Request-Type") == "partial"
    return request.endpoint == "streams.show" or (request.endpoint in WATCHED and is_partial)


def sign_in(user: User, is_admin: bool) -> None:
    """Let this browser be a person's from now on, by a new token: an old one may be known to others."""
    token = Session.begin(
        user, is_admin, current_app.config["SESSION_LENGTH"], current_app.config["SESSION_IDLE"]
    )
    _forget()
    session["token"] = token


def sign_out() -> None:
    """Let this browser be nobody's, for whoever holds a copy of its cookie too."""
    _forget()
    # The provider may still know who it was, and would let in whoever comes next.
    session["has_signed_out"] = True


def has_signed_out() -> bool:
    """Whether somebody has signed out with this browser, and nobody has signed in since."""
    return "has_signed_out" in session


def _forget() -> None:
    if "token" in session:
        Session.end(session["token"])
    session.clear()
