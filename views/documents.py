"""Documents: bring one, read one."""

from __future__ import annotations

import re

from flask import Blueprint, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from analyzer.text import as_title, clean, count_words, guess_title, paragraphs
from models import Analysis, Document
from views.helpers.forms import AnalyzeForm
from views.helpers.pages import render_large
from views.helpers.routes import IdConverter, find_document, person

blueprint = Blueprint("documents", __name__)

MAX_CHARACTERS = 2_000_000


@blueprint.get("/")
def index() -> str:
    """Show the form for a new document, or for a shorter copy of one, and what there is."""
    id = request.args.get("shorten", "")
    long = Document.find(person(), int(id)) if re.fullmatch(IdConverter.regex, id) else None
    return _index(title=long.title, text=long.read()) if long else _index()


@blueprint.post("/documents")
def create() -> Response | tuple[str, int]:
    """Keep a pasted text or an uploaded file as a document."""
    text, error, field = _sent_text()
    if error:
        return _index(error, field, request.form.get("title", ""), request.form.get("text", "")), 422
    title = as_title(request.form.get("title", "")) or guess_title(text)
    document = Document.add(person(), title, text, count_words(text), len(paragraphs(text)))
    return redirect(url_for("documents.show", id=document.id), 303)


@blueprint.get("/documents/<id:id>")
def show(id: int) -> str:
    """Show a document beside the form that analyses it."""
    return document_page(find_document(id), AnalyzeForm.new())


def document_page(document: Document, form: AnalyzeForm) -> str:
    """Render a document's page with a form, as new or as it was sent."""
    return render_large(
        "documents/show.html",
        document=document,
        paragraphs=paragraphs(document.read()),
        analyses=Analysis.of(document),
        form=form,
    )


def _index(error: str = "", field: str = "", title: str = "", text: str = "") -> str:
    return render_template(
        "documents/index.html",
        documents=Document.recent(person()),
        analyses=Analysis.recent(person()),
        error=error,
        field=field,
        title=title,
        text=text,
    )


def _sent_text() -> tuple[str, str, str]:
    """Return the text that was sent, what is wrong with it (one of them empty), and the field it came in."""
    pasted = clean(request.form.get("text", ""))
    file = request.files.get("file")
    if not (file and file.filename):
        return *_checked(pasted, "Paste a text or select a file."), "text"
    if pasted.strip():
        return "", "Paste a text or select a file, not both.", "file"
    return *_file_text(file.filename, file.read()), "file"


def _file_text(name: str, data: bytes) -> tuple[str, str]:
    if not name.lower().endswith((".txt", ".md", ".markdown")):
        return "", "The selected file must be a TXT or MD file."
    try:
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError:
        return "", "The selected file is not plain text in UTF-8. Save it as UTF-8 text and try again."
    if "\0" in text:
        return "", "The selected file is not plain text: it holds binary data."
    return _checked(clean(text), "The selected file is empty.")


def _checked(text: str, empty: str) -> tuple[str, str]:
    if not text.strip():
        return "", empty
    if len(text) > MAX_CHARACTERS:
        return "", (
            f"The document must be {MAX_CHARACTERS:,} characters or fewer; this one has {len(text):,}. "
            "Split it and bring the parts one by one."
        )
    return text, ""
