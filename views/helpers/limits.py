"""How often a person may start an analysis."""

from __future__ import annotations

from flask import Flask, Response, current_app, request
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address

from models import Analysis
from views.helpers.forms import AnalyzeForm
from views.helpers.routes import person

limiter = Limiter(get_remote_address, strategy="moving-window", headers_enabled=True)


def register(app: Flask) -> None:
    """Count in this process's memory."""
    app.config.setdefault("RATELIMIT_STORAGE_URI", "memory://")
    limiter.init_app(app)


def _limit() -> str:
    return str(current_app.config["ANALYZE_LIMIT"])


def _costs_nothing() -> bool:
    # No limit is set, or what this request asks for was asked before and will only be shown again.
    if not _limit():
        return True
    form = AnalyzeForm.sent()
    document_id = (request.view_args or {})["id"]
    return not form.error and Analysis.asked_before(document_id, person(), *form.request) is not None


def _counts(response: Response) -> bool:
    return response.status_code < 400


analyze_limit = limiter.limit(_limit, exempt_when=_costs_nothing, deduct_when=_counts)
