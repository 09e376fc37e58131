"""Events: who did what and when, as administrators see it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress

from flask import Blueprint, Response, render_template, request

from analyzer import Viewer
from analyzer.text import clean
from models import Event, Sought
from storage import StorageError
from views.helpers import csv
from views.helpers.audit import ACTIONS, trail
from views.helpers.identity import require_admin
from views.helpers.routes import IdConverter
from views.helpers.viewers import NoPlace, as_long_as_it_stays, no_place, take_place

blueprint = Blueprint("events", __name__)
blueprint.register_error_handler(NoPlace, no_place)
blueprint.before_request(require_admin)

PAGE = 50
MOST_ROWS = 50_000
COLUMNS = ("time (UTC)", "person", "action", "document", "analysis", "detail", "address")


@blueprint.get("/events")
def index() -> str:
    """Show the newest events of those that are sought."""
    _catch_up()
    # One more tells whether there is another page.
    events = Event.newest(_sought(), PAGE + 1, _number("before"))
    return render_template(
        "events/index.html",
        events=events[:PAGE],
        has_more=len(events) > PAGE,
        actions=sorted(set(ACTIONS.values())),
        **_filter(),
    )


@blueprint.get("/events.csv")
def export() -> Response:
    """Send the newest MOST_ROWS of the events that are sought, while they are read."""
    _catch_up()
    viewer = Viewer()
    lines = as_long_as_it_stays(viewer, csv.rows(COLUMNS, _rows(_sought())))
    response = Response(lines, mimetype="text/csv", headers={"Cache-Control": "no-store"})
    take_place(response, viewer)
    response.headers["Content-Disposition"] = 'attachment; filename="events.csv"'
    return response


def _rows(sought: Sought) -> Iterator[tuple[object, ...]]:
    for event in Event.each(sought, MOST_ROWS):
        at = event.at.isoformat(" ", "seconds")
        yield at, event.name, event.action, event.document_id, event.analysis_id, event.detail, event.address


def _catch_up() -> None:
    # What cannot be saved at the moment is missing; what there is can be read.
    with suppress(StorageError):
        trail().save()


def _filter() -> dict[str, str]:
    return {name: clean(request.args.get(name, "")).strip() for name in ("person", "action", "document")}


def _sought() -> Sought:
    sent = _filter()
    # What is no number is no document's: no event is about it.
    document = _number("document") or (-1 if sent["document"] else None)
    return Sought(sent["person"], sent["action"], document)


def _number(name: str) -> int | None:
    sent = request.args.get(name, "").strip()
    return int(sent) if re.fullmatch(IdConverter.regex, sent) else None
