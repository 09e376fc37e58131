"""Everything that speaks HTTP or HTML. A file is named after the URL's word."""

from __future__ import annotations

from flask import Flask, request

import storage
from views import (
    account,
    analyses,
    cancellations,
    continuations,
    deletions,
    documents,
    errors,
    events,
    health,
    live,
    metrics,
    originals,
    people,
    readings,
    search,
    sessions,
    shares,
    spending,
    streams,
    titles,
)
from views.helpers import (
    access,
    audit,
    bodies,
    cross_site,
    endings,
    formats,
    headers,
    hosts,
    identity,
    limits,
    reasons,
    routes,
    source,
    turns,
)


def register(app: Flask, role: str = "all") -> None:
    """Give an application its routes, its guards and its words; a `worker` only tells how it is."""
    app.url_map.converters["id"] = routes.IdConverter
    access.register(app)
    bodies.register(app)
    if role == "worker":
        app.before_request(_serve_no_pages)
    # The order of the guards is the order of these lines: what is refused as foreign is not counted.
    hosts.register(app)
    cross_site.register(app)
    # While one waits it holds no connection to the database.
    turns.register(app)
    app.before_request(_connect)
    app.teardown_request(_disconnect)
    identity.register(app)
    limits.register(app)
    headers.register(app)
    audit.register(app)
    formats.register(app)
    endings.register(app)
    reasons.register(app)
    source.register(app)
    errors.register(app)
    pages = (documents, originals, readings, analyses, streams, live)
    actions = (cancellations, continuations, deletions, shares, titles)
    for view in (*pages, *actions, search, sessions, account, spending, people, events, health, metrics):
        app.register_blueprint(view.blueprint)


def _serve_no_pages() -> tuple[str, int, dict[str, str]] | None:
    if request.blueprint in {health.blueprint.name, metrics.blueprint.name}:
        return None
    return "This process runs analyses; the pages are elsewhere.\n", 404, {"Content-Type": "text/plain"}


def _connect() -> None:
    # Whether the process lives, and how its pages look, does not depend on its database.
    if request.endpoint not in {"health.up", "health.stream", "metrics.show", "static"}:
        # Read first: a body that comes slowly would keep a connection from everybody else.
        request.form  # noqa: B018
        storage.database.connect(reuse_if_open=True)


def _disconnect(error: BaseException | None) -> None:
    if not storage.database.is_closed():
        storage.database.close()
