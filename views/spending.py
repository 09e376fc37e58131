"""Spending: what analyses have cost, by person, model and day."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from flask import Blueprint, Response, abort, render_template, request

from models import Expense, Spent, now
from views.helpers import csv
from views.helpers.budgets import left_today
from views.helpers.identity import person, require_admin

blueprint = Blueprint("spending", __name__)
blueprint.before_request(require_admin)
blueprint.add_app_template_global(left_today)

MOST_DAYS = 366
COLUMNS = ("day", "person", "model", "analyses", "tokens in", "tokens out", "dollars", "of unknown price")


class BadPeriod(ValueError):
    """The period that was asked for is none; the message is a sentence."""


@blueprint.get("/spending")
def show() -> str | tuple[str, int]:
    """Show what was spent in a period: by person, by model, by day."""
    try:
        since, until = _period()
    except BadPeriod as error:
        sent = {"since": request.args.get("from", ""), "until": request.args.get("to", "")}
        return render_template("spending/show.html", error=str(error), **sent), 422
    return render_template(
        "spending/show.html",
        since=since,
        until=until,
        total=Expense.total(since, until),
        tables=(
            ("Person", Expense.by_person(since, until)),
            ("Model", Expense.by_model(since, until)),
            ("Day", Expense.by_day(since, until)),
        ),
    )


@blueprint.get("/spending.csv")
def export() -> Response:
    """Return what each has spent on each model on each day of a period, as CSV."""
    try:
        since, until = _period()
    except BadPeriod as error:
        abort(422, str(error))
    lines = csv.rows(COLUMNS, map(_row, Expense.by_all(since, until)))
    response = Response(lines, mimetype="text/csv")
    response.headers["Content-Disposition"] = f'attachment; filename="spending-{since}-{until}.csv"'
    return response


def _row(spent: Spent) -> tuple[object, ...]:
    tokens = spent.input_tokens, spent.output_tokens
    return *spent.kind, spent.analyses, *tokens, Decimal(spent.amount).scaleb(-6), spent.unknown


@blueprint.app_template_global()
def own_spending() -> tuple[Spent, Spent]:
    """Return what who asks has spent today, and in the last thirty days."""
    return Expense.of_person(person())


def _period() -> tuple[date, date]:
    """Read which days are asked for, this month if nothing is said; raises `BadPeriod`."""
    today = now().date()
    since, until = _day("from", today.replace(day=1)), _day("to", today)
    if since > until:
        raise BadPeriod("The first day must not come after the last one.")
    if (until - since).days >= MOST_DAYS:
        raise BadPeriod("A period may be a year long: choose a later first day or an earlier last one.")
    return since, until


def _day(name: str, default: date) -> date:
    sent = request.args.get(name, "").strip()
    try:
        return date.fromisoformat(sent) if sent else default
    except ValueError:
        raise BadPeriod("Write a day as year, month and day, such as 2027-03-01.") from None
