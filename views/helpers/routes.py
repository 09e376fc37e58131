"""How URLs are read."""

from __future__ import annotations

from typing import Any, TypeVar, cast

from flask import abort, current_app, request
from werkzeug.routing import BaseConverter

from analyzer import Analyzer
from analyzer.readings import Readings
from models import Analysis, Document
from views.helpers.audit import about
from views.helpers.identity import person

Found = TypeVar("Found", Document, Analysis)


class IdConverter(BaseConverter):
    """An id: ASCII digits that fit a database's integer, written in one way only."""

    regex = "[1-9][0-9]{0,17}"

    def to_python(self, value: str) -> int:
        return int(value)


def analyzer() -> Analyzer:
    """Return the application's analyzer."""
    return cast(Analyzer, current_app.extensions["analyzer"])


def readings() -> Readings:
    """Return what reads this application's files."""
    return cast(Readings, current_app.extensions["readings"])


def find_document(id: int) -> Document:
    """Return a document of the person who asks, to do with it what they like, or answer 404."""
    return _noted(Document.find(person(), id) or abort(404))


def find_readable_document(id: int) -> Document:
    """Return a document that the person who asks may read, or answer 404."""
    return _noted(Document.find_readable(person(), id) or abort(404))


def find_analysis(id: int) -> Analysis:
    """Return an analysis of the person who asks, to do with it what they like, or answer 404."""
    return _noted(Analysis.find(person(), id) or abort(404))


def find_readable_analysis(id: int) -> Analysis:
    """Return an analysis that the person who asks may read, or answer 404."""
    return _noted(Analysis.find_readable(person(), id) or abort(404))


def _noted(thing: Found) -> Found:
    """Have the event of this request be about what was found."""
    if isinstance(thing, Analysis):
        about(document=thing.document.id, analysis=thing.id)
    else:
        about(document=thing.id)
    return thing


def is_own(thing: Any) -> bool:
    """Whether a document or an analysis is of the person who asks, and not only shared with them."""
    return bool(thing.owner_id == person().id)


def is_htmx() -> bool:
    """Whether htmx asks, so that a fragment is wanted where a page would be."""
    return request.headers.get("HX-Request") == "true"


def is_partial() -> bool:
    """Whether htmx asks for a part of a page; its history and boosted links ask for whole ones."""
    return is_htmx() and request.headers.get("HX-Request-Type") == "partial"
