"""How URLs are read."""

from __future__ import annotations

from typing import cast

from flask import abort, current_app, request
from werkzeug.routing import BaseConverter

from analyzer import Analyzer
from analyzer.readings import Readings
from models import Analysis, Document
from views.helpers.identity import person


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
    """Return a document of the person who asks, or answer 404."""
    return Document.find(person(), id) or abort(404)


def find_analysis(id: int) -> Analysis:
    """Return an analysis of the person who asks, or answer 404."""
    return Analysis.find(person(), id) or abort(404)


def is_htmx() -> bool:
    """Whether htmx asks, so that a fragment is wanted where a page would be."""
    return request.headers.get("HX-Request") == "true"


def is_partial() -> bool:
    """Whether htmx asks for a part of a page; its history and boosted links ask for whole ones."""
    return is_htmx() and request.headers.get("HX-Request-Type") == "partial"
