"""Documents: bring one, read one."""

from __future__ import annotations

import re
from datetime import datetime

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.wrappers import Response

from analyzer.readings import Crowded, Readings
from analyzer.text import as_title, clean, count_words, guess_title, paragraphs
from extraction import Unreadable
from extraction.limits import MAX_CHARACTERS
from models import Analysis, Document, Reading, moments_ago
from views.helpers.audit import about, about_nothing
from views.helpers.forms import AnalyzeForm
from views.helpers.identity import has_sign_in, person
from views.helpers.pages import render_large
from views.helpers.reasons import explain
from views.helpers.routes import IdConverter, find_readable_document, is_own, readings

blueprint = Blueprint("documents", __name__)

CROWDED = {
    True: f"{Readings.MOST_OF_ONE} of your files are still being read or wait for it. "
    "Wait until one of them has been, then select this one again.",
    False: "Too many files wait to be read at the moment. Wait a minute, then select this one again.",
}


@blueprint.get("/")
def index() -> str:
    """Show the form for a new document, or for a shorter copy of one, and what there is."""
    id = request.args.get("shorten", "")
    long = Document.find(person(), int(id)) if re.fullmatch(IdConverter.regex, id) else None
    if long is None:
        about_nothing()
        return _index()
    about(document=long.id)
    return _index(title=long.title, text=long.read())


@blueprint.post("/documents")
def create() -> ResponseReturnValue:
    """Keep a pasted text as a document, or read a file into one."""
    text, file = clean(request.form.get("text", "")), request.files.get("file")
    has_file, has_text = bool(file and file.filename), bool(text.strip())
    if not has_file and not has_text:
        return _refuse("Paste a text or select a file.", "text")
    if has_file and has_text:
        return _refuse("Paste a text or select a file, not both.", "file")
    return _read_file() if has_file else _keep(text)


def _keep(text: str) -> Response | tuple[str, int]:
    if len(text) > MAX_CHARACTERS:
        return _refuse(
            f"The document must be {MAX_CHARACTERS:,} characters or fewer; this one has {len(text):,}. "
            "Split it and bring the parts one by one.",
            "text",
        )
    title, count = _sent_title() or guess_title(text), len(paragraphs(text))
    document = Document.add(person(), title, text, count_words(text), count, unless_since=_sent_since())
    about(document=document.id)
    return redirect(url_for("documents.show", id=document.id), 303)


def _read_file() -> ResponseReturnValue:
    file = request.files["file"]
    name = file.filename or ""
    try:
        found = readings().read(
            person(), name, file.read(), _sent_title(), _sent_since(), request.remote_addr or ""
        )
    except Unreadable as error:
        return _refuse(explain(error.reason, name), "file")
    except Crowded as error:
        page, _ = _refuse(CROWDED[error.is_own], "file")
        return page, 429 if error.is_own else 503, {"Retry-After": "60"}
    if isinstance(found, Reading):
        about_nothing()
        return redirect(url_for("readings.show", id=found.id), 303)
    about(document=found.id)
    return redirect(url_for("documents.show", id=found.id), 303)


@blueprint.get("/documents/<id:id>")
def show(id: int) -> str:
    """Show a document beside the form that analyses it."""
    return document_page(find_readable_document(id), AnalyzeForm.new())


def document_page(document: Document, form: AnalyzeForm) -> str:
    """Render a document's page with a form, as new or as it was sent."""
    return render_large(
        "documents/show.html",
        document=document,
        paragraphs=paragraphs(document.read()),
        analyses=Analysis.of(document),
        # Not for readers: some of it may be of the owner's other documents.
        analysed_before=Analysis.of_same_text(document) if is_own(document) else (),
        form=form,
    )


def _sent_title() -> str:
    return as_title(request.form.get("title", ""))


def _sent_since() -> datetime | None:
    """Return since when the same, in our own form, is taken for one that was sent twice."""
    return moments_ago() if "once" in request.form else None


def _refuse(error: str, field: str) -> tuple[str, int]:
    """Show the form as it was sent, with what is wrong."""
    sent = request.form
    return _index(error, field, sent.get("title", ""), sent.get("text", "")), 422


def _index(error: str = "", field: str = "", title: str = "", text: str = "") -> str:
    return render_template(
        "documents/index.html",
        documents=Document.recent(person()),
        shared=Document.shared_with(person()) if has_sign_in() else (),
        analyses=Analysis.recent(person()),
        error=error,
        field=field,
        title=title,
        text=text,
    )
