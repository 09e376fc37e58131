"""What every response says about itself to the browser."""

from __future__ import annotations

from flask import Flask, Response, request

SECURITY = {
    # img-src: the favicon is one. Answers hold no images, and no frame is made or allowed.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
# What a page shows depends on these, and on nothing in Accept: hx-sse changes that everywhere.
VARY = ("HX-Request", "HX-Request-Type")


def register(app: Flask) -> None:
    """Add the headers to every response."""
    app.after_request(_add)


def _add(response: Response) -> Response:
    for name, value in SECURITY.items():
        response.headers.setdefault(name, value)
    response.vary.update(VARY)
    if request.endpoint != "static":
        response.headers.setdefault("Cache-Control", "private, no-cache")
    return response
