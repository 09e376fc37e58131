"""Events: who did what and when, as administrators see it."""

from __future__ import annotations

from flask import Blueprint

blueprint = Blueprint("events", __name__)
