"""Search: find documents and analyses by their words, or list all there are."""

from __future__ import annotations

import logging
import math
import re
from urllib.parse import urlsplit

import gevent
from flask import Blueprint, Response, current_app, make_response, render_template, request, url_for

from analyzer.text import clean
from models import Analysis, Document, Order, Unsearched
from storage import StorageError
from storage.search import Question
from views.helpers.identity import person
from views.helpers.routes import is_partial

blueprint = Blueprint("search", __name__)
logger = logging.getLogger(__name__)

ORDERS = {
    Order.BEST: "Best match",
    Order.NEWEST: "Newest",
    Order.OLDEST: "Oldest",
    Order.TITLE: "Title",
    Order.LONGEST: "Longest",
}
PAGE = 50
CATCH_UP_SECONDS = 1.0


@blueprint.get("/search")
def show() -> str | Response:
    """Show a page of what is found, or of all there is; to htmx only the part that changes."""
    is_whole = _catch_up()
    found = _found() | {"is_whole": is_whole}
    return _partial(found) if is_partial() else render_template("search/show.html", **found)


def _found() -> dict[str, object]:
    text = clean(request.args.get("q", "")).strip()
    question = Question.parse(text) if text else None
    orders = {order: word for order, word in ORDERS.items() if question or order is not Order.BEST}
    default = next(iter(orders))
    order = next((order for order in orders if order == request.args.get("order")), default)
    page = _page_number()
    place = person(), question, order, PAGE, (page - 1) * PAGE
    return {
        "sought": text,
        "question": question,
        "orders": orders,
        "order": order,
        "default": default,
        "page": page,
        "size": PAGE,
        "documents": Document.search(*place),
        "analyses": Analysis.search(*place),
    }


def _page_number() -> int:
    sent = request.args.get("page", "")
    return int(sent) if re.fullmatch("[1-9][0-9]{0,5}", sent) else 1


def _partial(found: dict[str, object]) -> Response:
    response = make_response(render_template("search/_found.html", **found, with_count=True))
    # The first question is a page to come back from; while it is typed on, it stays one.
    is_here = urlsplit(request.headers.get("HX-Current-URL", "")).path == request.path
    url = url_for("search.show", q=found["sought"], order=request.args.get("order"))
    response.headers["HX-Replace-Url" if is_here else "HX-Push-Url"] = url
    response.vary.add("HX-Current-URL")
    return response


def _catch_up() -> bool:
    """Have search find what is new, and return whether it does; what takes long goes on by itself."""
    tasks = current_app.extensions.setdefault("catching_up", [])
    is_whole = _index(CATCH_UP_SECONDS)
    if not is_whole and all(task.dead for task in tasks):
        tasks[:] = [gevent.spawn(_index, math.inf)]
    return is_whole


def _index(seconds: float) -> bool:
    try:
        return Unsearched.catch_up(seconds)
    except StorageError as error:
        # What can be read can be searched, as far as it is known.
        logger.error("what is new could not be made searchable", exc_info=error)
        return False
