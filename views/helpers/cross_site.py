"""The cross-site check: another site's page cannot make a person's browser act here.

Rule of OWASP's cheat sheet on request forgery (Fetch Metadata). Every current browser sends
Sec-Fetch-Site to a secure or local address; elsewhere Origin tells.
"""

from __future__ import annotations

from flask import Flask, abort, request

SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}


def register(app: Flask) -> None:
    """Refuse foreign unsafe requests before anything else looks at them."""
    app.before_request(_refuse_foreign)


def _refuse_foreign() -> None:
    if request.method in SAFE_METHODS:
        return
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    if site is not None:
        is_own = site in {"same-origin", "none"}
    elif origin is not None:
        is_own = origin.partition("://")[2] == request.host
    else:
        # Not a browser: nobody's cookies can be abused.
        is_own = True
    if not is_own:
        abort(403, "This request came from another site. Open the page here and try again.")
