"""The numbers of this server, for Prometheus."""

from __future__ import annotations

from contextlib import suppress

import gevent
from flask import Blueprint, current_app, request
from prometheus_client import REGISTRY

import metrics
from models import Analysis
from storage import StorageError, connected

blueprint = Blueprint("metrics", __name__)

# What a proxy adds, be it ours or anybody's.
FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "Via")
PATIENCE_SECONDS = 1.0


@blueprint.get("/metrics")
def show() -> tuple[bytes | str, int, dict[str, str]]:
    """Tell who asks this process directly: what a proxy passes on comes from outside."""
    if any(name in request.headers for name in FORWARDED):
        return "The numbers are told on the spot only.\n", 404, {"Content-Type": "text/plain"}
    source = current_app.extensions.get("metrics", REGISTRY)
    return metrics.exposition(source, _count_waiting()), 200, {"Content-Type": metrics.CONTENT_TYPE}


def _count_waiting() -> int | None:
    # While the database is away or hangs, all else is told in time.
    with suppress(StorageError), gevent.Timeout(PATIENCE_SECONDS, False), connected():
        return Analysis.count_waiting()
    return None
