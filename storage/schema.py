"""The migrations that this version knows."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations"


def unknown(applied: Iterable[str]) -> set[str]:
    """Return those of the applied migrations that a newer version has made."""
    return set(applied) - {migration.stem for migration in MIGRATIONS.glob("*.py")}
