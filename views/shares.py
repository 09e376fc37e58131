"""Shares: with whom a document is shared, to be read."""

from __future__ import annotations

from flask import Blueprint

blueprint = Blueprint("shares", __name__)
