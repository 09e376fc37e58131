"""Spending: what analyses have cost, by person, model and day."""

from __future__ import annotations

from flask import Blueprint

blueprint = Blueprint("spending", __name__)
