"""The names the server answers to: under any other one, a foreign page could have been led here by its DNS.

Flask's own check, TRUSTED_HOSTS, can name no IPv6 address and leaves no way to show an error page.
"""

from __future__ import annotations

import re

from flask import Flask, current_app, request
from werkzeug.exceptions import BadRequest

_PORT = re.compile(r":[0-9]+$")


class UnknownHost(BadRequest):
    """The request was sent to a name that is not ours."""

    description = "Precis does not answer to this name. Whoever runs it can add it to PRECIS_HOSTS."


def register(app: Flask) -> None:
    """Refuse requests to other names before anything else looks at them."""
    app.before_request(_refuse_unknown)


def _refuse_unknown() -> None:
    host = request.host.lower()
    if not {host, _PORT.sub("", host)} & current_app.config["HOSTS"]:
        raise UnknownHost
