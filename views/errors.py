"""What a person reads when something cannot be done: a sentence, and what to do next."""

from __future__ import annotations

import errno
import logging

from flask import Flask, render_template, request
from gunicorn.http.errors import ParseException
from peewee import DatabaseError, DataError, IntegrityError
from werkzeug.exceptions import Conflict, Forbidden, HTTPException, InternalServerError, UnprocessableEntity

import logs
from storage import StorageError, StorageFull
from views.documents import document_page
from views.helpers.formats import plural
from views.helpers.forms import AnalyzeForm
from views.helpers.hosts import UnknownHost
from views.helpers.identity import SignedOut
from views.helpers.limits import TooOften
from views.helpers.routes import find_document, is_htmx

logger = logging.getLogger(__name__)

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
SENTENCES = {
    400: "This request could not be understood. Go back, reload the page and try again.",
    404: "There is nothing at this address. It may have been deleted, or the address is mistyped.",
    405: "This address does not do that. Go back and use the page's own buttons.",
    413: "This is too large. A file may have 10 MB, a text 2,000,000 characters: split it and try again.",
    500: "Something went wrong in Precis. What you had saved is kept. Try again in a moment.",
    503: "Nothing can be saved or read at the moment. Wait a little, then try again.",
}
FULL = "Storage is full: nothing more can be saved. What was saved can be read. Tell whoever runs Precis."


def register(app: Flask) -> None:
    """Answer every error with a page, or for htmx with a fragment."""
    app.register_error_handler(SignedOut, _signed_out)
    app.register_error_handler(TooOften, _too_often)
    app.register_error_handler(StorageError, _storage)
    app.register_error_handler(DatabaseError, _storage)
    app.register_error_handler(OSError, _system)
    app.register_error_handler(IntegrityError, _fault)
    app.register_error_handler(DataError, _fault)
    app.register_error_handler(ParseException, _unreadable)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _fault)


def _answer(sentence: str, status: int) -> tuple[str, int]:
    reference = logs.request_id.get()
    if is_htmx():
        return f"{sentence} Reference {reference}." if status >= 500 else sentence, status
    page = render_template("error.html", sentence=sentence, status=status, reference=reference)
    return page, status


def _http(error: HTTPException) -> tuple[str, int, dict[str, str]] | HTTPException:
    if error.code is None or error.code < 400:
        return error
    is_ours = isinstance(error, Forbidden | Conflict | UnprocessableEntity | UnknownHost)
    sentence = error.description if is_ours else SENTENCES.get(error.code)
    # Some statuses owe the client a header, as 405 owes Allow.
    owed = {name: value for name, value in error.get_headers() if name != "Content-Type"}
    return *_answer(sentence or f"This could not be done ({error.name}).", error.code), owed


def _unreadable(error: ParseException) -> tuple[str, int]:
    """Answer a body whose chunks the server cannot tell apart; it closes the connection."""
    return _answer(SENTENCES[400], 400)


def _signed_out(error: SignedOut) -> tuple[str, int]:
    return _answer("Nobody has signed in. Open Precis by its usual address and sign in there.", 401)


def _too_often(error: TooOften) -> tuple[str, int, dict[str, str]]:
    """Answer in place, with the form as it was sent."""
    form = AnalyzeForm.sent()
    form.error = f"You have started {plural(error.amount, 'analysis', 'analyses')} in a short time. "
    form.error += f"Wait {plural(error.wait, 'second')}, then try again. Nothing is lost."
    headers = {"Retry-After": str(error.wait)}
    if is_htmx() or request.endpoint != "analyses.create":
        return *_answer(form.error, 429), headers
    return document_page(find_document((request.view_args or {})["id"]), form), 429, headers


def _storage(error: Exception) -> tuple[str, int]:
    logger.error("the database does not answer", exc_info=error)
    return _answer(FULL if isinstance(error, StorageFull) else SENTENCES[503], 503)


def _system(error: OSError) -> tuple[str, int]:
    """Answer a file that comes and finds no room on the disk, where it lies until it is read."""
    if error.errno not in NO_ROOM:
        return _fault(error)
    logger.error("there is no room for what comes", exc_info=error)
    return _answer(FULL, 503)


def _fault(error: Exception) -> tuple[str, int]:
    logger.error("a request failed", exc_info=error)
    return _answer(SENTENCES[InternalServerError.code], 500)
