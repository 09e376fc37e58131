"""The one cookie, of those who sign in here: Flask's signed session, which holds a token and no more."""

from __future__ import annotations

from flask import Flask, request
from flask.sessions import SecureCookieSessionInterface


class Cookie(SecureCookieSessionInterface):
    """Keep it to this host, and under TLS to TLS: no other host of the domain can set one of this name."""

    def get_cookie_name(self, app: Flask) -> str:
        """Return a name that browsers take under TLS only, and from this very host."""
        return "__Host-precis" if request.is_secure else "precis"

    def get_cookie_secure(self, app: Flask) -> bool:
        """Whether it is for TLS only."""
        return request.is_secure

    def get_cookie_samesite(self, app: Flask) -> str:
        """Return that no other site's form or picture has it sent."""
        # Not Strict: who comes back from the provider comes from another site.
        return "Lax"
