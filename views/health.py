"""Whether this process lives, and whether it can serve."""

from __future__ import annotations

from flask import Blueprint

import storage

blueprint = Blueprint("health", __name__)


@blueprint.get("/up")
def up() -> tuple[str, int, dict[str, str]]:
    """Answer as long as the process does."""
    return "up\n", 200, {"Content-Type": "text/plain"}


@blueprint.get("/ready")
def ready() -> tuple[str, int, dict[str, str]]:
    """Answer when the database does, too."""
    # A table's page, not only a connection: the file may be gone under it.
    storage.database.execute_sql("SELECT id FROM document LIMIT 1").fetchall()
    return "ready\n", 200, {"Content-Type": "text/plain"}
