"""What `check` and `doctor` find and say: a sentence each, by how bad it is."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import NamedTuple

OK, WARNING, WRONG = "ok", "warning", "wrong"


class Finding(NamedTuple):
    """One line of what is said."""

    level: str
    sentence: str


ok, warning, wrong = (partial(Finding, level) for level in (OK, WARNING, WRONG))


def tell(findings: Iterable[Finding]) -> int:
    """Print findings as they come, a line each; returns 1 if anything is wrong, else 0."""
    is_wrong = False
    for level, sentence in findings:
        is_wrong |= level == WRONG
        print(f"{level:<7}  {sentence}", flush=True)  # noqa: T201
    return int(is_wrong)
