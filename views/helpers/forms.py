"""The Analyze form, as a page or an error shows it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from flask import request

from analyzer.text import clean
from models import Analysis
from views.helpers.routes import analyzer


def new_key() -> str:
    """Return a request key, by which a form that is sent twice is known."""
    return secrets.token_urlsafe(18)


@dataclass
class AnalyzeForm:
    """What a person has chosen: recipe, model, question; `error` is what is wrong with it.

    `request_key` makes a second sending of the same form show what the first one made.
    """

    recipe: str
    model: str
    question: str = ""
    request_key: str = field(default_factory=new_key)
    error: str = ""

    MAX_QUESTION = 2000
    MAX_KEY = 64
    NOT_OURS = "This form is not ours. Reload the page and try again."

    @classmethod
    def new(cls) -> AnalyzeForm:
        """Return the form as it is first shown: the first recipe, the default model."""
        return cls(next(iter(analyzer().recipes)), analyzer().models[0])

    @classmethod
    def like(cls, analysis: Analysis) -> AnalyzeForm:
        """Return the form as an analysis was asked for, as far as that is still on offer."""
        form = cls.new()
        if analysis.recipe in analyzer().recipes:
            form.recipe, form.question = analysis.recipe, analysis.question
        if analysis.model in analyzer().models:
            form.model = analysis.model
        return form

    @classmethod
    def sent(cls) -> AnalyzeForm:
        """Read the form that was sent and say what is wrong with it, if anything is."""
        sent = request.form
        form = cls(
            sent.get("recipe", ""),
            sent.get("model", ""),
            clean(sent.get("question", "")).strip(),
            clean(sent.get("request_key", "")),
        )
        form.error = form._fault()
        return form

    @property
    def request(self) -> tuple[str, str, str, str | None]:
        """What is asked: recipe, model, question (where the recipe takes one) and key, if there is one."""
        takes_question = analyzer().recipes[self.recipe].takes_question
        return self.recipe, self.model, self.question if takes_question else "", self.request_key or None

    def _fault(self) -> str:
        recipe = analyzer().recipes.get(self.recipe)
        if recipe is None:
            return "Choose what you want to know from the list: this recipe is not in it."
        if self.model not in analyzer().models:
            return "Choose a model from the list: this one is not on offer."
        if recipe.takes_question and not self.question:
            return "Enter a question."
        if len(self.question) > self.MAX_QUESTION:
            return f"Shorten the question to {self.MAX_QUESTION:,} characters; it has {len(self.question):,}."
        if len(self.request_key) > self.MAX_KEY:
            return self.NOT_OURS
        return ""
