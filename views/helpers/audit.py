"""What is noted of who did what: each endpoint has a word for it, or a reason why it is not noted."""

from __future__ import annotations

import time
from typing import cast

from flask import Flask, Response, current_app, g, request

from analyzer.trail import Trail
from models import User
from views.helpers.identity import person

# A request of one of these that succeeds is an event.
ACTIONS = {
    "documents.index": "read",
    "documents.create": "brought",
    "documents.show": "read",
    "originals.show": "downloaded",
    "analyses.create": "started",
    "analyses.show": "read",
    "analyses.export": "downloaded",
    "streams.show": "read",
    "live.show": "read",
    "cancellations.create": "stopped",
    "continuations.create": "continued",
    "titles.update": "renamed",
    "deletions.delete_document": "deleted",
    "deletions.delete_analysis": "deleted",
    "shares.create": "shared",
    "shares.delete": "ended sharing",
    "sessions.callback": "signed in",
    "sessions.delete": "signed out",
    "account.export": "took along",
    "account.delete": "deleted all",
    "people.suspend": "suspended",
    "people.let_in": "let in",
    "people.delete": "deleted all",
    "events.export": "downloaded",
    "spending.export": "downloaded",
}
NOT_NOTED = {
    "static": "it is nobody's",
    "health.up": "machines ask, every few seconds",
    "health.ready": "machines ask, every few seconds",
    "health.stream": "it shows nothing that is kept",
    "metrics.show": "machines ask, every few seconds",
    "search.show": "it lists what is found; what is read of it is noted",
    "readings.show": "it tells how far one's own file is read",
    "readings.cancel": "it ends what has come to nothing",
    "titles.edit": "it asks for what is noted when it is done",
    "deletions.ask_document": "it asks for what is noted when it is done",
    "deletions.ask_analysis": "it asks for what is noted when it is done",
    "shares.index": "it asks for what is noted when it is done",
    "account.show": "it shows people themselves",
    "account.ask_deletion": "it asks for what is noted when it is done",
    "people.index": "it shows names and numbers",
    "people.ask_deletion": "it asks for what is noted when it is done",
    "events.index": "it shows what is noted",
    "spending.show": "it shows names and sums",
    "sessions.show": "it shows people themselves",
    "sessions.new": "it asks for what is noted when it is done",
}
# By these a person may come to nothing: from another site, or too often. What costs too much says so itself.
REFUSALS = {403, 429}
# Noted once a minute, as refusals are: a page, its stream and what is loaded at its end are one reading.
READING = {"read", "downloaded"}
AGAIN_SECONDS = 60.0
MOST_REMEMBERED = 10_000


def register(app: Flask) -> None:
    """Note what each request has done."""
    app.after_request(_note)


def trail() -> Trail:
    """Return the application's trail."""
    return cast(Trail, current_app.extensions["trail"])


def about(document: int | None = None, analysis: int | None = None, detail: str = "") -> None:
    """Say what the event of this request is about; without that one of an id is none."""
    g.about = (document, analysis, detail)


def by(person: User) -> None:
    """Say who has signed in by this request."""
    g.doer = person


def about_nothing() -> None:
    """Say that this request has done nothing that was not done before, or nothing yet."""
    g.about = None


def too_dear() -> None:
    """Say that this request comes to nothing by what it would cost."""
    g.is_too_dear = True


def deleted(document: int) -> None:
    """Note one of the documents that this request deletes, whose own event names none."""
    trail().note("deleted", person().id, person().name, document, address=request.remote_addr or "")


def _note(response: Response) -> Response:
    action = ACTIONS.get(request.endpoint or "")
    # Who comes back from a sign-in without a proof may be somebody already.
    doer: User | None = g.get("doer" if action == "signed in" else "person")
    is_unwanted = response.status_code in REFUSALS or "is_too_dear" in g
    is_refused = is_unwanted and request.method == "POST"
    if action is None or not (is_refused or _is_done(response, doer)):
        return response
    document, analysis, detail = g.get("about") or (None, None, "")
    if is_refused:
        detail = f"refused ({response.status_code})"
    id, name = (doer.id, doer.name) if doer else (None, "")
    same = (id, action, detail, analysis, None if analysis else document)
    if not (is_refused or action in READING) or _is_new(same):
        trail().note(action, id, name, document, analysis, detail, request.remote_addr or "")
    return response


def _is_done(response: Response, doer: User | None) -> bool:
    """Whether something was shown or done: 204 shows nothing, and what is not found is nothing."""
    is_shown = request.method == "POST" or (request.method == "GET" and response.status_code != 204)
    is_about = g.get("about", None if request.view_args else ()) is not None
    return response.status_code < 400 and is_shown and is_about and doer is not None


def _is_new(what: tuple[object, ...]) -> bool:
    seen: dict[object, float] = current_app.extensions.setdefault("seen", {})
    now = time.monotonic()
    for old in list(seen):
        if seen[old] > now - AGAIN_SECONDS and len(seen) < MOST_REMEMBERED:
            break
        del seen[old]
    if what in seen:
        return False
    seen[what] = now
    return True
