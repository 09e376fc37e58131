"""Who watches: each viewer takes a place. A person has so many, and so has this process."""

from __future__ import annotations

from flask import Response, current_app, render_template

import logs
import metrics
from views.helpers.identity import counted_as

RETRY_SECONDS = 10


class NoPlace(Exception):
    """All places are taken: those of the person who asks, or those of this process."""


def take_place(response: Response) -> Response:
    """Give a viewer's response a place until it is closed, or raise `NoPlace`."""
    places: dict[object, str] = current_app.extensions.setdefault("places", {})
    person, taken = counted_as(), list(places.values())
    config = current_app.config
    if len(taken) >= config["MAX_VIEWERS"] or taken.count(person) >= config["MAX_STREAMS"]:
        raise NoPlace
    place = object()
    places[place] = person
    metrics.viewers.set(len(places))

    def leave() -> None:
        places.pop(place, None)
        metrics.viewers.set(len(places))

    # Not at the end of its parts: one that is gone before the first of them never begins.
    response.call_on_close(leave)
    return response


def no_place(error: NoPlace) -> tuple[str, int, dict[str, str]]:
    """Answer one who finds no place with a page."""
    sentence = (
        "Too many pages are being watched at the moment. The analysis goes on and is saved: "
        "close other pages or wait a little, then reload this one."
    )
    page = render_template("error.html", sentence=sentence, status=503, reference=logs.request_id.get())
    return page, 503, {"Retry-After": str(RETRY_SECONDS)}
