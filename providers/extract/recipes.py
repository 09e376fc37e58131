"""What each recipe writes about a document."""

from __future__ import annotations

import math
import re
from collections.abc import Generator, Iterable
from itertools import islice

from providers.base import Prompt
from providers.extract.cues import DEADLINE, OBLIGATION, PROHIBITION, RIGHT, RISK, TASK, instructs, matching
from providers.extract.document import Document, Work
from providers.extract.findings import AMOUNT, DATE, addresses, definitions, names
from providers.extract.questions import answer, spoken
from providers.extract.quoting import counted, escaped, item, quote, shortened
from providers.extract.ranking import central, strongest
from providers.extract.readability import hard_words, longest, reading_ease
from providers.extract.sentences import Sentence
from providers.extract.terms import key_terms

WORDS_PER_MINUTE = 230
MOST_HEADINGS = 20
MOST_OTHERS = 12

# Text for the reader, or the amount of work just done.
Steps = Generator[str | int, None, None]


def write(document: Document, prompt: Prompt) -> Steps:
    """Read the document and write what the prompt's recipe asks for; an unknown one gets the brief."""
    title = f"“{shortened(prompt.title)}”" if prompt.title.strip() else "This document"
    if prompt.findings:
        found = _plural(len(document.paragraphs), "sentence")
        yield f"{title}: picked from the {found} that its sections gave; words are counted in these.\n\n"
        yield from document.read()
    else:
        title += f", {prompt.section}," if prompt.section else ""
        yield f"{title} has {_plural(len(document.paragraphs), 'paragraph')}"
        yield from document.read()
        yield _measure(document)
    recipe = RECIPES.get(prompt.recipe, _brief)
    if not document.sentences:
        yield "Nothing in it reads as a sentence, so there is nothing to quote.\n\n"
        recipe = _brief
    elif document.prose < 3 and len(document.sentences) > 5:
        yield (
            "Hardly any of it reads as full sentences; it may be code, a table or a list. "
            "What follows is picked by the same rules, so judge it with care.\n\n"
        )
    steps = recipe(document, prompt)
    yield from _beneath(steps) if prompt.section or prompt.findings else steps


def _beneath(steps: Steps) -> Steps:
    """Put headings one level lower, beneath the one that the section has."""
    for step in steps:
        is_headed = isinstance(step, str) and step.startswith("## ")
        yield f"#{step}" if is_headed else step


def _most(prompt: Prompt, count: int) -> int:
    """Return how many items a group has at the most: of one section among many fewer than of the whole."""
    return count // 3 + 1 if prompt.section else count


def _measure(document: Document) -> str:
    headings = _plural(len(document.headings), "heading") if document.headings else ""
    if document.unspaced > document.words / 2:
        headings = headings and f", {headings}"
        return f"{headings} and {_plural(document.words, 'character')}.\n\n"
    headings = headings and f" and {headings}"
    minutes = document.words / WORDS_PER_MINUTE
    time = "less than a minute" if minutes < 1 else f"about {_plural(round(minutes), 'minute')}"
    language = f"{document.language}, " if document.language else ""
    return f"{headings}: {language}{time} to read.\n\n"


def _brief(document: Document, prompt: Prompt) -> Steps:
    picked = yield from central(document, _enough(document))
    yield from _section("In short", map(item, picked))
    terms = yield from key_terms(document, 8)
    yield from _section("Key terms", map(counted, terms))
    known = {term.text for term in terms}
    others = [name for name in (yield from names(document, 8)) if name.text not in known]
    yield from _section("Names", map(counted, others))
    yield from _section("Structure", _structure(document.headings))
    yield from _section("Addresses", map(counted, (yield from addresses(document, 8))))


def _risks(document: Document, prompt: Prompt) -> Steps:
    risks, prohibitions, obligations, rights = yield from matching(
        document, RISK, PROHIBITION, OBLIGATION, RIGHT
    )
    if not (risks or prohibitions or obligations or rights):
        yield (
            "No sentence uses a word of duty, prohibition, liability or right that this analysis knows "
            "(in English, German, French or Spanish). That does not mean that there are none.\n\n"
        )
        yield from _brief(document, prompt)
        return
    yield "In **bold**: the words that put a sentence in its group.\n\n"
    for title, sentences, pattern in (
        ("Obligations: what somebody has to do", obligations, OBLIGATION),
        ("Prohibitions: what is not allowed", prohibitions, PROHIBITION),
        ("Risks and liability", risks, RISK),
        ("Rights: what somebody may do", rights, RIGHT),
    ):
        picked = yield from strongest(document, sentences, _most(prompt, 7), pattern)
        yield from _group(title, sentences, picked, pattern)


def _actions(document: Document, prompt: Prompt) -> Steps:
    due: list[Sentence] = []
    tasks: list[Sentence] = []
    amounts: list[Sentence] = []
    dated: list[Sentence] = []
    for sentence in document.quotable:
        yield 4 * len(sentence.text)
        asks = instructs(sentence) or OBLIGATION.search(sentence.seen)
        if DATE.search(sentence.seen):
            (due if asks or DEADLINE.search(sentence.seen) else dated).append(sentence)
        elif asks:
            tasks.append(sentence)
        if AMOUNT.search(sentence.seen):
            amounts.append(sentence)
    if not (due or tasks or amounts or dated):
        yield "No date, no amount and no sentence that asks somebody to do something was found.\n\n"
        yield from _brief(document, prompt)
        return
    chosen = yield from strongest(document, tasks, _most(prompt, 10), OBLIGATION)
    yield from _group("Deadlines and periods", due, due[: _most(prompt, 12)], DATE)
    yield from _group("To do, with no date given", tasks, chosen, TASK)
    yield from _group("Amounts", amounts, amounts[: _most(prompt, 10)], AMOUNT)
    yield from _group("Other dates", dated, dated[: _most(prompt, 8)], DATE)


def _plain_language(document: Document, prompt: Prompt) -> Steps:
    picked = yield from central(document, _enough(document), plain=True)
    yield from _section("Main points, in short sentences", map(item, picked))
    ease = yield from reading_ease(document)
    if ease:
        name, figure, average = ease
        yield (
            f"## How hard it is to read\n\n{name}: **{figure:.0f}** ({_in_words(figure)}; 60 to 70 is plain "
            f"language, under 30 is very hard). A sentence has {average:.0f} words on average.\n\n"
        )
    elif document.words > 100:
        yield "## How hard it is to read\n\nNo readability formula is known here for this language.\n\n"
    yield from _section("Defined terms", map(_defined, (yield from definitions(document, 12))))
    yield from _section("Long words", map(counted, (yield from hard_words(document, 8))))
    winding = yield from longest(document, 3, over=40)
    yield from _section(
        "Longest sentences",
        (f"- {s.words} words: {quote(s, limit=160)} [¶{s.paragraph}]\n" for s in winding),
    )


def _question(document: Document, prompt: Prompt) -> Steps:
    asked = shortened(prompt.question, 200)
    if not asked:
        yield "No question was asked, so here is what the document is mostly about.\n\n"
        yield from _brief(document, prompt)
        return
    found = yield from answer(document, prompt.question, 5)
    if not found.asked:
        yield f"“{asked}” holds no word to look for, so here is what the document is mostly about.\n\n"
        yield from _brief(document, prompt)
        return
    missing = ", ".join(f"“{escaped(word)}”" for word in found.missing[:8])
    if not found.sentences:
        where = f"it holds none of the words {missing}" if missing else "its words stand only in headings"
        yield f"Nothing in this document matches “{asked}”: {where}.\n"
        return
    items = (item(sentence, spoken(document, sentence, found.matched)) for sentence in found.sentences)
    if found.close:
        yield from _section(f"Best matches for “{asked}”", items)
    else:
        yield "No sentence holds much of the question. These come nearest:\n\n"
        yield from _section(f"Nearest to “{asked}”", items)
    if missing:
        yield f"Not found anywhere in the document: {missing}.\n"


RECIPES = {"risks": _risks, "actions": _actions, "plain-language": _plain_language, "question": _question}


def _section(title: str, items: Iterable[str]) -> Steps:
    """Write a heading and its list, or nothing: the heading comes with the first item, never alone."""
    heading = f"## {title}\n\n"
    for entry in items:
        yield heading + entry
        heading = ""
    if not heading:
        yield "\n"


def _group(title: str, sentences: list[Sentence], picked: list[Sentence], pattern: re.Pattern[str]) -> Steps:
    """Write the sentences that were picked of a group, and where the others stand."""
    items = [item(sentence, pattern.finditer(sentence.seen)) for sentence in picked]
    yield from _section(title, items + (yield from _more(sentences, picked)))


def _more(sentences: list[Sentence], picked: list[Sentence]) -> Work[list[str]]:
    """Return an item that cites where the sentences stand that are not shown, if there are any."""
    shown = {sentence.paragraph for sentence in picked}
    others: dict[int, None] = {}
    for sentence in sentences:
        yield 2
        if sentence.paragraph not in shown:
            others[sentence.paragraph] = None
    if not others:
        return []
    cited = ", ".join(f"[¶{paragraph}]" for paragraph in islice(others, MOST_OTHERS))
    left = len(others) - MOST_OTHERS
    rest = f" and {_plural(left, 'more paragraph')}" if left > 0 else ""
    return [f"- More of this kind in {cited}{rest}\n"]


def _structure(headings: list[tuple[int, str]]) -> Iterable[str]:
    for paragraph, text in headings[:MOST_HEADINGS]:
        yield f"- {shortened(text, 90)} [¶{paragraph}]\n"
    if len(headings) > MOST_HEADINGS:
        yield f"- … and {_plural(len(headings) - MOST_HEADINGS, 'more heading')}\n"


def _defined(definition: tuple[Sentence, list[str]]) -> str:
    sentence, terms = definition
    named = ", ".join(f"**{escaped(term)}**" for term in terms)
    return f"- {named}: {quote(sentence)} [¶{sentence.paragraph}]\n"


def _enough(document: Document) -> int:
    """Return how many sentences stand for the whole: more for a longer document, within reason."""
    return min(max(round(math.sqrt(len(document.sentences)) / 2) + 2, 3), 9)


def _in_words(ease: float) -> str:
    steps = ((80, "easy"), (60, "plain"), (50, "fairly hard"), (30, "hard"))
    return next((word for least, word in steps if ease >= least), "very hard")


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
