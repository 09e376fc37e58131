"""How numbers, times and states are put in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from hashlib import sha256
from pathlib import Path

from flask import Flask, url_for

from analyzer import Estimate
from models import Document, Status, millionths, now
from views.helpers.forms import new_key
from views.helpers.routes import analyzer

STATUS_WORDS = {
    Status.WAITING: "Waiting",
    Status.RUNNING: "Analysing",
    Status.COMPLETE: "Complete",
    Status.CUT: "Cut short",
    Status.STOPPED: "Stopped",
    Status.INCOMPLETE: "Incomplete",
    Status.INTERRUPTED: "Interrupted",
    Status.DECLINED: "Declined",
    Status.FAILED: "Failed",
}

FORMAT_NAMES = {
    "pdf": "PDF",
    "docx": "Word document",
    "html": "Web page",
    "mail": "Mail",
    "table": "Table",
    "markdown": "Markdown",
    "text": "Plain text",
}


def register(app: Flask) -> None:
    """Give the templates these words."""
    app.add_template_filter(status_word)
    app.add_template_filter(seconds)
    app.add_template_filter(money)
    app.add_template_filter(short_money)
    app.add_template_filter(dollars)
    app.add_template_filter(count)
    app.add_template_filter(when)
    app.add_template_filter(format_name)
    app.add_template_filter(estimates)
    app.add_template_filter(model_name)
    app.add_template_filter(recipe_title)
    app.add_template_global(new_key)
    app.add_template_global(plural)
    app.context_processor(_choices)
    static = Path(app.static_folder or "static")
    versions = {
        file.relative_to(static).as_posix(): sha256(file.read_bytes()).hexdigest()[:10]
        for file in static.rglob("*")
        if file.is_file()
    }

    @app.template_global()
    def asset(name: str) -> str:
        """Return a static file's URL, which changes with its content, so that it can be cached for ever."""
        return url_for("static", filename=name, v=versions[name])


def _choices() -> dict[str, object]:
    return {"recipes": analyzer().recipes.values(), "offered": analyzer().models}


def model_name(model: str) -> str:
    """Return a model's name as people know it; the offline analyst says what it is."""
    provider, _, name = model.partition(":")
    return "Offline, no AI" if provider == "offline" else name


def recipe_title(name: str) -> str:
    """Return a recipe's title; one whose file is gone keeps its name."""
    recipe = analyzer().recipes.get(name)
    return recipe.title if recipe else name


def status_word(status: str) -> str:
    """Return the word for a status."""
    return STATUS_WORDS[Status(status)]


def seconds(value: float | None) -> str:
    """Return a duration as `0.8 s`, `14 s` or `2 min 5 s`."""
    if value is None:
        return "–"
    if value < 9.95:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def money(price: Decimal | None) -> str:
    """Return a price in dollars as people say it; an unknown one is called so."""
    if price is None:
        return "price unknown"
    if price == 0:
        return "free"
    if price < Decimal("0.01"):
        return "under $0.01"
    return f"about ${price:,.2f}"


def short_money(price: Decimal | None) -> str:
    """Return a price as a column of a table has room for it."""
    return "–" if price is None else money(price).removeprefix("about ")


def dollars(amount: int, rounding: str = ROUND_FLOOR) -> str:
    """Return millionths of a dollar as `$1,234.56`, and few of them with four digits behind the point."""
    exact = Decimal(amount).scaleb(-6)
    digits = Decimal("0.01") if amount >= 100_000 or not amount else Decimal("0.0001")
    return f"${exact.quantize(digits, rounding):,}"


def estimates(document: Document, paragraphs: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield each model on offer and what an analysis of a document by it would take, in words."""
    text = "\n\n".join(paragraphs)
    for model in analyzer().models:
        yield model, estimate(analyzer().costs.estimate(document, text, model))


def estimate(found: Estimate) -> str:
    """Return an estimate as `about 12,000 of 200,000 tokens, at most $0.31`."""
    window = f" of {found.window:,}" if found.window and found.sections == 1 else ""
    words = f"about {round_up(found.tokens):,}{window} tokens"
    if found.sections > 1:
        words += f" in {plural(found.sections, 'section')}, {plural(found.calls, 'call')}"
    if found.price is None or found.price < Decimal("0.01"):
        return f"{words}, {money(found.price)}"
    return f"{words}, at most {dollars(millionths(found.price), ROUND_CEILING)}"


def round_up(number: int) -> int:
    """Return a number with two digits that mean something, never less than it was."""
    step = 10 ** max(0, len(str(number)) - 2)
    return -(-number // step) * step


def count(number: int | None) -> str:
    """Return a number with thousands marked."""
    return "–" if number is None else f"{number:,}"


def plural(number: int, one: str, many: str = "") -> str:
    """Return `1 word`, `2,000 words`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def ranges(numbers: Sequence[int], most: int = 20) -> str:
    """Return ascending numbers as `3, 7–9`; of very many the first ranges, and how many numbers follow."""
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][-1] + 1:
            found[-1][1:] = [number]
        else:
            found.append([number])
    shown = ", ".join("–".join(map(str, each)) for each in found[:most])
    rest = sum(each[-1] - each[0] + 1 for each in found[most:])
    return f"{shown} and {rest:,} more" if rest else shown


def format_name(format: str) -> str:
    """Return what people call a format."""
    return FORMAT_NAMES.get(format, format)


def when(time: datetime) -> str:
    """Return a time in UTC, the day left out when it is today's."""
    return time.strftime("%H:%M UTC" if time.date() == now().date() else "%-d %b %Y, %H:%M UTC")
