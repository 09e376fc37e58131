"""The OpenID provider: people are sent there to sign in, and come back with a code that it vouches for."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast
from urllib.parse import urlencode

import gevent
from flask import Flask, current_app, session, url_for

import storage
from models import User

P = ParamSpec("P")
R = TypeVar("R")

logger = logging.getLogger(__name__)

# For each of its answers, and for all that one request of ours asks it.
ANSWER_SECONDS, ALL_SECONDS = 5, 15
# How far its clock may be from ours.
LEEWAY_SECONDS = 60
# What an ID token may be signed by: what the provider lists may have "none" among it.
ASYMMETRIC = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA", "Ed25519"),
)
CODE = re.compile(r"[a-z_]{1,60}")
MAX_SUBJECT = 255
# Browsers drop a cookie that has more than 4,096 characters with its name.
MAX_COOKIE = 4_000


class ProviderAway(Exception):
    """The provider does not answer, or not as one does."""


class NotSignedIn(Exception):
    """What came back is no proof of who came; the message is a code, such as `access_denied`."""


@dataclass(frozen=True)
class Proof:
    """What the provider says of a person: who it is for all time, what to call them, and their groups."""

    subject: str
    name: str
    shown_name: str
    groups: frozenset[str]


def register(
    app: Flask, *, issuer: str, discovery: str, client_id: str, client_secret: str, admin_group: str
) -> None:
    """Let people sign in with a provider, which is first asked when the first of them does."""
    # Its packages are not needed by who has no provider.
    from authlib.integrations.flask_client import OAuth

    app.extensions["openid"] = OAuth(app).register(
        "openid",
        client_id=client_id,
        client_secret=client_secret,
        server_metadata_url=discovery,
        client_kwargs={
            "scope": "openid profile email",
            "code_challenge_method": "S256",
            "default_timeout": ANSWER_SECONDS,
        },
    )
    app.config.update(OPENID_ISSUER=issuer, OPENID_ADMIN_GROUP=admin_group)


def _asking(ask: Callable[P, R]) -> Callable[P, R]:
    """Bound a conversation with the provider, and tell its failures apart from those of who comes back."""

    @wraps(ask)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        from authlib.common.errors import AuthlibBaseError
        from joserfc.errors import JoseError
        from requests import RequestException

        # Who waits here would keep the connection from everybody else.
        if not storage.database.is_closed():
            storage.database.close()
        try:
            with gevent.Timeout(ALL_SECONDS, ProviderAway("it takes too long")):
                return ask(*args, **kwargs)
        except (AuthlibBaseError, JoseError) as error:
            # An address may say anything.
            raise NotSignedIn(error.error if CODE.fullmatch(error.error or "") else "unknown") from error
        except (RequestException, ValueError, LookupError) as error:
            raise ProviderAway(type(error).__name__) from error

    return wrapper


@_asking
def begin(next: str, asks_again: bool) -> str:
    """Return the address at the provider where the sign-in begins, which ends at `next`.

    If it `asks_again`, the provider does not let in by itself whom it knows.
    """
    client, known = current_app.extensions["openid"], _describe()
    scope = client.client_kwargs["scope"]
    if current_app.config["OPENID_ADMIN_GROUP"] and "groups" in known.get("scopes_supported", ()):
        scope += " groups"
    uri = url_for("sessions.callback", _external=True)
    begun = client.create_authorization_url(uri, scope=scope, **({"prompt": "login"} if asks_again else {}))
    address: str = begun.pop("url")
    client.save_authorize_data(redirect_uri=uri, next=next, **begun)
    _make_room()
    return address


def _make_room() -> None:
    """Forget the sign-ins that this browser has begun first, as far as its cookie cannot hold them all."""
    begun = sorted((key for key in session if key.startswith("_state_")), key=lambda key: session[key]["exp"])
    serializer = cast(Any, current_app.session_interface).get_signing_serializer(current_app)
    for oldest in begun[:-1]:
        if len(serializer.dumps(dict(session))) <= MAX_COOKIE:
            return
        session.pop(oldest)


def next_of(state: str) -> str | None:
    """Return where a sign-in that this browser has begun ends, or None if it has begun no such."""
    begun = current_app.extensions["openid"].framework.get_state_data(session, state)
    return begun["next"] if begun else None


@_asking
def finish() -> Proof:
    """Return who has come back, or raise `NotSignedIn`."""
    client, known = current_app.extensions["openid"], _describe()
    claims_options = {
        "iss": {"essential": True, "value": known["issuer"]},
        "aud": {"essential": True, "value": client.client_id},
    }
    token = client.authorize_access_token(claims_options=claims_options, leeway=LEEWAY_SECONDS)
    claims = token.get("userinfo")
    if not claims:
        raise NotSignedIn("no_id_token")
    if "userinfo_endpoint" in known:
        # Many say there only what a person is called.
        more = client.userinfo(token=token)
        if more.get("sub") != claims["sub"]:
            raise NotSignedIn("userinfo_of_another")
        claims = {**more, **claims}
    return _proof(claims, known["issuer"])


def admin_group() -> str | None:
    """Return the group whose members are administrators, if there is one."""
    return current_app.config["OPENID_ADMIN_GROUP"] or None


def end_address() -> str | None:
    """Return where the person can sign out at the provider too, as far as that is known."""
    client = current_app.extensions["openid"]
    address = client.server_metadata.get("end_session_endpoint")
    return f"{address}?{urlencode({'client_id': client.client_id})}" if address else None


def _describe() -> dict[str, Any]:
    client = current_app.extensions["openid"]
    known: dict[str, Any] = client.load_server_metadata()
    if known["issuer"] != current_app.config["OPENID_ISSUER"]:
        # To be asked for again, when it has been put right.
        client.server_metadata.clear()
        logger.error("the provider calls itself by another address than PRECIS_OIDC_ISSUER")
        raise ProviderAway("another issuer")
    # Authlib goes by this list.
    known["id_token_signing_alg_values_supported"] = ASYMMETRIC
    return known


def _proof(claims: dict[str, Any], issuer: str) -> Proof:
    subject = claims["sub"]
    if not isinstance(subject, str) or not 0 < len(subject) <= MAX_SUBJECT:
        raise NotSignedIn("no_subject")
    said = [claims.get(claim) for claim in ("preferred_username", "email", "sub")]
    names = [name for name in said if isinstance(name, str) and User.as_name(name)]
    if not names:
        raise NotSignedIn("no_name")
    shown = claims.get("name")
    shown_name = shown.strip() if isinstance(shown, str) and User.as_name(shown) else names[0].strip()
    groups = claims.get("groups")
    listed = groups if isinstance(groups, list) else [groups]
    return Proof(
        f"{issuer} {subject}",
        names[0],
        shown_name,
        frozenset(group for group in listed if isinstance(group, str)),
    )
