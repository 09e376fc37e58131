"""Who watches: each viewer takes a place. A person has so many, and so has this process.

Where people sign in, who loses the right to watch is sent away: on coming back the request itself is refused.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import gevent
from flask import Response, current_app, g, render_template

import logs
import metrics
from analyzer import Viewer
from models import Analysis, Session, User
from storage import connected
from views.helpers.identity import counted_as, has_sign_in, person

logger = logging.getLogger(__name__)

Part = TypeVar("Part", str, bytes)

RETRY_SECONDS = 10
# Who loses the right is away within five seconds.
GUARD_SECONDS = 2.0


class NoPlace(Exception):
    """All places are taken: those of the person who asks, or those of this process."""


@dataclass(slots=True, eq=False)
class Place:
    """A viewer's, counted for somebody."""

    counted_as: str


@dataclass(slots=True, eq=False)
class GuardedPlace(Place):
    """One of a person who may watch the analysis, or take something along, as long as they may read it."""

    viewer: Viewer
    analysis: int | None
    person: int
    session: int | None


class Places(set[Place]):
    """Those of this process that are taken, and the greenlet that guards them."""

    guard: gevent.Greenlet | None = None


def take_place(response: Response, viewer: Viewer | None = None, analysis: int | None = None) -> Response:
    """Give a viewer's response a place until it is closed, or raise `NoPlace`.

    The viewer is made to leave when its person is shut out or signed out, or may not read the analysis.
    """
    places: Places = current_app.extensions.setdefault("places", Places())
    config, counted = current_app.config, counted_as()
    is_full = len(places) >= config["MAX_VIEWERS"]
    if is_full or sum(place.counted_as == counted for place in places) >= config["MAX_STREAMS"]:
        raise NoPlace
    place = Place(counted)
    if viewer and has_sign_in():
        place = GuardedPlace(counted, viewer, analysis, person().id, g.session_id)
        if places.guard is None or places.guard.dead:
            places.guard = gevent.spawn(_guard, places)
    places.add(place)
    metrics.viewers.set(len(places))

    def leave() -> None:
        places.discard(place)
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


def _guard(places: Places) -> None:
    """Send away those who may not watch any more, as long as there are places taken."""
    # Not the first viewer's: it looks after all.
    logs.request_id.set("")
    has_failed = False
    while places:
        gevent.sleep(GUARD_SECONDS)
        guarded = [place for place in places if isinstance(place, GuardedPlace)]
        try:
            for place in _without_right(guarded) if guarded else ():
                place.viewer.leave()
            has_failed = False
        except Exception as error:
            # Whatever it was, nobody else looks after them; and a database that is away takes no right away.
            if not has_failed:
                logger.error("who may watch could not be looked up", exc_info=error)
            has_failed = True


def _without_right(places: list[GuardedPlace]) -> list[GuardedPlace]:
    with connected():
        disabled = User.disabled_among({place.person for place in places})
        over = Session.over({place.session for place in places if place.session})
        watched = {(place.person, place.analysis) for place in places if place.analysis}
        unreadable = Analysis.unreadable(watched)
    return [
        place
        for place in places
        if place.person in disabled or place.session in over or (place.person, place.analysis) in unreadable
    ]


def as_long_as_it_stays(viewer: Viewer, parts: Iterator[Part]) -> Iterator[Part]:
    """Yield the parts of a response until its viewer is sent away: it breaks off then."""
    for part in parts:
        if viewer.has_left:
            return
        yield part
