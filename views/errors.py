"""What a person reads when something cannot be done: a sentence, and what to do next."""

from __future__ import annotations

import errno
import logging

from flask import Flask, Response, redirect, render_template, request, url_for
from gunicorn.http.errors import ParseException
from peewee import DatabaseError, DataError, IntegrityError
from werkzeug.exceptions import Conflict, Forbidden, HTTPException, InternalServerError, UnprocessableEntity
from werkzeug.wrappers import Response as BaseResponse

import logs
from models import OverBudget, PriceUnknown
from storage import StorageError, StorageFull
from views.documents import document_page
from views.helpers import sse
from views.helpers.audit import too_dear
from views.helpers.bodies import Crowded
from views.helpers.budgets import refusal
from views.helpers.formats import plural
from views.helpers.forms import AnalyzeForm
from views.helpers.hosts import UnknownHost
from views.helpers.identity import SignedOut, has_signed_out, signs_in_here
from views.helpers.limits import TooOften
from views.helpers.routes import find_document, is_htmx, is_partial
from views.sessions import SUSPENDED

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
NOBODY = "Nobody has signed in. Open Precis by its usual address and sign in there."
FULL = "Storage is full: nothing more can be saved. What was saved can be read. Tell whoever runs Precis."


def register(app: Flask) -> None:
    """Answer every error with a page, or for htmx with a fragment."""
    app.register_error_handler(SignedOut, _signed_out)
    app.register_error_handler(TooOften, _too_often)
    app.register_error_handler(OverBudget, _too_dear)
    app.register_error_handler(PriceUnknown, _too_dear)
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
    is_ours = isinstance(error, Forbidden | Conflict | UnprocessableEntity | UnknownHost | Crowded)
    sentence = error.description if is_ours else SENTENCES.get(error.code)
    # Some statuses owe the client a header, as 405 owes Allow.
    owed = {name: value for name, value in error.get_headers() if name != "Content-Type"}
    return *_answer(sentence or f"This could not be done ({error.name}).", error.code), owed


def _unreadable(error: ParseException) -> tuple[str, int]:
    """Answer a body whose chunks the server cannot tell apart; it closes the connection."""
    return _answer(SENTENCES[400], 400)


def _signed_out(error: SignedOut) -> BaseResponse | tuple[str, int]:
    """Tell one who has to sign in, and keep what a form held."""
    if request.endpoint == "streams.show" and is_htmx():
        # hx-sse asks again for ever after anything else.
        return Response(sse.OPEN + sse.DONE, headers=sse.HEADERS)
    if error.is_disabled:
        return _answer(SUSPENDED, 401)
    if request.endpoint == "analyses.show" and is_partial():
        return render_template("analyses/_signed_out.html", **(request.view_args or {})), 200
    if is_htmx():
        return render_template("sessions/_signed_out.html"), 401
    if request.method == "POST":
        return _keep_form(), 401
    if signs_in_here() and request.endpoint != "streams.show":
        # Back after signing out is no wish to sign in.
        where = "sessions.show" if has_signed_out() else "sessions.new"
        return redirect(url_for(where, next=request.full_path.removesuffix("?")), 303)
    return _answer(NOBODY, 401)


def _keep_form() -> str:
    """Show what a form held, to be sent again; a file the person has to select again."""
    files = [(name, file.filename) for name, file in request.files.items(multi=True) if file.filename]
    return render_template("sessions/signed_out.html", sent=list(request.form.items(multi=True)), files=files)


def _too_often(error: TooOften) -> tuple[str, int, dict[str, str]]:
    sentence = f"You have started {plural(error.amount, 'analysis', 'analyses')} in a short time. "
    sentence += f"Wait {plural(error.wait, 'second')}, then try again. Nothing is lost."
    return _not_begun(sentence, 429, {"Retry-After": str(error.wait)})


def _too_dear(error: OverBudget | PriceUnknown) -> tuple[str, int, dict[str, str]]:
    too_dear()
    return _not_begun(*refusal(error))


def _not_begun(sentence: str, status: int, headers: dict[str, str]) -> tuple[str, int, dict[str, str]]:
    """Answer in place, with the form as it was sent."""
    if is_htmx() or request.endpoint != "analyses.create":
        return *_answer(sentence, status), headers
    form = AnalyzeForm.sent()
    form.error = sentence
    return document_page(find_document((request.view_args or {})["id"]), form), status, headers


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
