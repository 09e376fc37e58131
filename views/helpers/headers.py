"""What every response says about itself to the browser."""

from __future__ import annotations

from flask import Flask, Response, request

from views.helpers.identity import has_sign_in

SECURITY = {
    # img-src: the favicon is one. Answers hold no images, and no frame is made or allowed.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
# For a year; without its subdomains, which are not ours to speak for.
HTTPS_ONLY = "max-age=31536000"
# What a page shows depends on these, and on nothing in Accept: hx-sse changes that everywhere.
VARY = ("HX-Request", "HX-Request-Type")


def register(app: Flask) -> None:
    """Add the headers to every response."""
    app.after_request(_add)


def _add(response: Response) -> Response:
    for name, value in SECURITY.items():
        response.headers.setdefault(name, value)
    if request.is_secure:
        response.headers.setdefault("Strict-Transport-Security", HTTPS_ONLY)
    response.vary.update(VARY)
    if request.endpoint != "static":
        # Where people sign in, Back after somebody signed out must not show what was theirs. One person alone
        # gets the page as it was, whose request key makes of a form that is sent again no second analysis.
        response.headers.setdefault("Cache-Control", "no-store" if has_sign_in() else "private, no-cache")
    return response
