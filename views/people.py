"""People, as administrators see them."""

from __future__ import annotations

from flask import Blueprint

blueprint = Blueprint("people", __name__)
