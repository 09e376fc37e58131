"""The account: what a person has here, to be taken along or deleted."""

from __future__ import annotations

from flask import Blueprint, render_template

blueprint = Blueprint("account", __name__)


@blueprint.get("/account")
def show() -> str:
    """Show who is signed in and what can be done with all that is theirs."""
    return render_template("account/show.html")
