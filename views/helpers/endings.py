"""What a person reads of how an analysis ended or what it waits for, and what can be done next."""

from __future__ import annotations

import math
import time
from typing import NamedTuple

from flask import Flask

from analyzer import Wait
from models import Analysis, Status
from views.helpers.routes import analyzer
from views.helpers.sections import coverage, is_partly_read

ENDINGS = {
    Status.CUT: "Cut at the length limit: the answer goes on from here.",
    Status.STOPPED: "Stopped. Nothing more was asked for.",
    Status.INCOMPLETE: "The AI service broke off before it was done.",
    Status.INTERRUPTED: "Precis was interrupted while this was being written. Nothing was asked twice.",
    Status.DECLINED: "The model declined to answer, or to go on. Try another model or another question.",
    Status.FAILED: "The AI service broke off before its first word. Your document is saved.",
}

# The same where the reason is known and says more.
ERRORS = {
    "KeyRefused": "The AI service refused our key. Your document is saved. "
    "Ask whoever runs Precis to check the key.",
    "OutOfCredit": "The spending limit of the AI service is reached. Your document is saved. "
    "Ask whoever runs Precis to raise it.",
    "UnknownModel": "The AI service does not know this model. Choose another one, "
    "and tell whoever runs Precis.",
    "UnknownRecipe": "What was asked for is no longer on offer. Choose something else and press Analyze.",
    "BadRequest": "The AI service refused the request. Try another model, or tell whoever runs Precis.",
    "Busy": "The AI service is overloaded. Wait a minute before you try again.",
    "Unreachable": "Could not reach the AI service. Try again in a minute; if that does not help, "
    "tell whoever runs Precis.",
    "Silent": "The AI service fell silent and was given up.",
    "OutOfTime": "The AI service took too long over this answer and was cut off.",
    "Empty": "The model returned no text.",
    "StorageFull": "Storage is full: nothing more could be saved, so the AI service was told to stop. "
    "Tell whoever runs Precis.",
    "StorageError": "The database did not answer: nothing more could be saved, "
    "so the AI service was told to stop.",
    "Internal": "Something went wrong in Precis itself. Tell whoever runs Precis.",
}
TOO_LONG = "Too long for this model{}. Shorten the document, or choose a model that can read more at once."
# Asking the same once more would come to the same.
FINAL = {"KeyRefused", "OutOfCredit", "UnknownModel", "UnknownRecipe", "BadRequest", "TooLong"}

WAITS = {
    Wait.TURN: "Others are running: it waits its turn and starts by itself.",
    Wait.TEXT: "Still waiting for the AI service’s first words.",
    Wait.BUSY: "Busy, trying again in {} s.",
    Wait.UNREACHABLE: "Could not reach the AI service, trying again in {} s.",
    Wait.SILENT: "No answer came, trying again in {} s.",
    Wait.FULL: "Storage is full; nothing more is being saved.",
    Wait.STORAGE: "The database does not answer; nothing is being saved at the moment.",
}


class Ending(NamedTuple):
    """How an analysis ended, in a sentence or two, and which next steps are offered."""

    sentence: str
    can_continue: bool
    can_try_again: bool
    can_shorten: bool


def register(app: Flask) -> None:
    """Give the templates these words."""
    app.add_template_filter(ending)
    app.add_template_filter(waiting)
    app.add_template_filter(coverage)
    app.add_template_filter(is_partly_read)


def ending(analysis: Analysis) -> Ending | None:
    """Return how an analysis ended; None for one that is complete."""
    if analysis.status == Status.COMPLETE:
        return None
    sentence = _too_long(analysis) if analysis.error == "TooLong" else ERRORS.get(analysis.error)
    sentence = sentence or ENDINGS[Status(analysis.status)]
    if analysis.words and analysis.status != Status.CUT:
        sentence += " What had come is kept."
    may_differ = is_on_offer(analysis) and analysis.error not in FINAL
    return Ending(
        sentence,
        can_continue=may_differ and analysis.can_be_continued,
        can_try_again=may_differ and analysis.status not in (Status.CUT, Status.DECLINED),
        can_shorten=analysis.error == "TooLong",
    )


def is_on_offer(analysis: Analysis) -> bool:
    """Whether what an analysis was asked with can be asked again."""
    return analysis.recipe in analyzer().recipes and analysis.model in analyzer().models


def waiting(wait: Wait | None, until: float = 0.0) -> str:
    """Return what an analysis waits for, until a monotonic time, in a sentence; none for nothing."""
    seconds = math.ceil(max(1.0, until - time.monotonic()))
    return WAITS[wait].format(seconds) if wait else ""


def _too_long(analysis: Analysis) -> str:
    window, tokens = analyzer().costs.window(analysis.model) or 0, analysis.input_tokens or 0
    # Where the provider decided by its own count, our estimate may say that it would have fitted. And
    # where sections came before, these are the tokens of theirs.
    is_ours = analysis.output_tokens is None and tokens > window > 0
    return TOO_LONG.format(f": about {_short(tokens)} of {_short(window)} tokens" if is_ours else "")


def _short(tokens: int) -> str:
    return f"{tokens / 1_000_000:.1f}M" if tokens >= 1_000_000 else f"{math.ceil(tokens / 1000)}k"
