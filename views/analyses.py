"""Analyses: ask for one, read one."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, abort, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from analyzer.quotations import compare
from analyzer.text import paragraphs
from models import Analysis, Document, Gone, User
from views.documents import document_page
from views.helpers.audit import about, about_nothing
from views.helpers.forms import AnalyzeForm
from views.helpers.identity import has_sign_in, person
from views.helpers.limits import count_start
from views.helpers.markdown import Blocks
from views.helpers.pages import render_large
from views.helpers.routes import analyzer, find_document, find_readable_analysis, is_htmx, is_own, is_partial
from views.helpers.sections import together_at

blueprint = Blueprint("analyses", __name__)


@blueprint.post("/documents/<id:id>/analyses")
def create(id: int) -> BaseResponse | tuple[str, int]:
    """Ask for an analysis: the one request that costs money."""
    form = AnalyzeForm.sent()
    # Only now: reading the form lets others run, who may delete the document.
    document = find_document(id)
    if form.error:
        return (form.error if is_htmx() else document_page(document, form)), 422
    return ask(document, *form.request)


def ask(document: Document, *question: Any) -> BaseResponse:
    """Start what is asked about a document, see `Analyzer.start`, and answer with it."""
    if not Analysis.asked_before(document.id, person(), *question):
        count_start()
    try:
        analysis, is_new = analyzer().start(document, person(), *question)
    except Gone:
        abort(404)
    if is_new:
        about(document=document.id, analysis=analysis.id)
    else:
        about_nothing()
    if not is_htmx():
        return redirect(url_for("live.show", id=analysis.id), 303)
    # A button of the section that this one replaces takes the focus with it, if nobody else does.
    focus = {"takes_focus": "focus" in request.form}
    # One that begins anew has no text that would have to be read.
    text = "" if is_new and analysis.joins_at is None else None
    page = render_template("analyses/_created.html", **shown(analysis, text), form=AnalyzeForm.new(), **focus)
    return make_response(page, {"HX-Push-Url": url_for("analyses.show", id=analysis.id)})


@blueprint.get("/analyses/<id:id>")
def show(id: int) -> str | tuple[str, int]:
    """Show an analysis on its page; to htmx its saved partial, or 204 while it runs."""
    if is_partial():
        return _saved_partial(id)
    analysis = find_readable_analysis(id)
    document = analysis.document
    return render_large(
        "analyses/show.html",
        **shown(analysis),
        document=document,
        paragraphs=paragraphs(document.read()),
        analyses=Analysis.of(document),
        form=AnalyzeForm.like(analysis),
    )


@blueprint.get("/analyses/<id:id>.md")
def export(id: int) -> Response:
    """Return exactly the text that is stored, also while it grows."""
    find_readable_analysis(id)
    saved = Analysis.saved(id)
    response = Response(saved[1] if saved else "", mimetype="text/markdown")
    response.headers["Content-Disposition"] = f'attachment; filename="analysis-{id}.md"'
    return response


def _saved_partial(id: int) -> str | tuple[str, int]:
    analysis = Analysis.find_readable(person(), id)
    if analysis is None:
        return render_template("analyses/_gone.html", id=id)
    about(document=analysis.document.id, analysis=id)
    if analysis.is_live:
        return "", 204
    return render_template("analyses/_saved.html", **shown(analysis))


def shown(analysis: Analysis, text: str | None = None) -> dict[str, object]:
    """Return what the partial of an analysis needs: itself and its answer as far as it goes."""
    if text is None:
        saved = Analysis.saved(analysis.id)
        text = saved[1] if saved else ""
    blocks = Blocks(analysis.document.paragraphs, analysis.joins_at)
    blocks.feed(text)
    facts: dict[str, object] = {"analysis": analysis, "asked_by": _asked_by(analysis)}
    if analysis.is_live:
        return facts | {"finished": blocks.finished(), "tail": blocks.tail()}
    document = analysis.document
    facts["quotations"] = compare(text, document.read, document.title, analysis.question)
    at = together_at(analysis, text)
    if at is None:
        return facts | {"finished": blocks.finished() + blocks.tail()}
    # With its first character the block before a heading is known to have ended.
    return facts | {
        "finished": blocks.finished(0, at + 1),
        "together": blocks.finished(at + 1) + blocks.tail(),
    }


def _asked_by(analysis: Analysis) -> User | None:
    """Return whose it is, where people sign in."""
    if not has_sign_in():
        return None
    return person() if is_own(analysis) else analysis.owner
