"""Answer from the document itself: the provider that needs no key, no network and no model.

Each answer is an extract: sentences of the document, word for word, each with its paragraph. It keeps
every promise of `Reply`, so that what works with it works with a language model.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable
from decimal import Decimal
from itertools import chain

from providers.base import Broken, Prompt, Provider, Reply, StopReason, Usage
from providers.extract.document import Document
from providers.extract.quoting import quoted
from providers.extract.recipes import Steps, write

DEFAULT_MODEL = "extractive"

LABEL = (
    "*Extractive analysis: sentences picked from the document itself, word for word. "
    "No language model was used.*\n\n"
)
ANEW = "\n\n*This extract does not begin with what stands above, so it follows as a whole.*\n\n"
SLICE = 2_000  # units of work, about one per character, between two signs of life: some 2 ms


class Offline(Provider):
    """A provider that reads the document by itself, free and deterministic."""

    name = "offline"

    def reply(self, prompt: Prompt, model: str) -> Reply:
        return _ExtractiveReply(prompt)

    def price(self, usage: Usage, model: str) -> Decimal:
        return Decimal(0)


class _ExtractiveReply(Reply):
    """An extract, or what is left of it behind an `answer` that is its beginning.

    Behind any other answer, such as a model's or one picked by rules that have changed since, it says so
    and follows as a whole. Where nothing is left, the reply is empty and complete.
    """

    def __init__(self, prompt: Prompt) -> None:
        self._prompt = prompt
        self._closed = False

    def __iter__(self) -> Generator[str, None, None]:
        document = _material(self._prompt)
        written = work = 0
        extract: Iterable[str | int] = write(document, self._prompt)
        # Once at the top of an answer is enough, and once where its sections are put together.
        if not self._prompt.section or document.numbers[:1] == range(1, 2):
            extract = chain([LABEL], extract)
        if self._prompt.answer.strip():
            extract = _after(self._prompt.answer, extract)
        # The closing 0 is work for nobody: a reply closed after its last text must not seem whole.
        for step in chain(extract, document.forget(), [0]):
            if self._closed:
                raise Broken("The reply was closed.")
            text = "" if isinstance(step, int) else step
            work += step if isinstance(step, int) else 0
            if not text and work < SLICE:
                continue
            words = len(text.split())
            if text and tokens(written + words) > self._prompt.max_output_tokens:
                self.stop_reason = StopReason.LENGTH
                return
            written += words
            work = 0
            self.usage = Usage(input=tokens(document.words), output=tokens(written))
            yield text
        self.stop_reason = StopReason.END

    def close(self) -> None:
        self._closed = True


def _material(prompt: Prompt) -> Document:
    """Return what is read: the document, a section of it, or the sentences found in its sections."""
    if not prompt.findings:
        return Document(prompt.paragraphs, numbers=prompt.numbers)
    found = sorted(set(chain.from_iterable(map(quoted, prompt.findings))))
    return Document([text for _, text in found], numbers=[number for number, _ in found])


def _after(answer: str, extract: Iterable[str | int]) -> Steps:
    """Leave out what `answer` has already; where that is not the extract's beginning, leave out nothing."""
    repeated: list[str] = []
    place, is_behind = 0, False
    for step in extract:
        if isinstance(step, int) or is_behind:
            yield step
        elif answer.startswith(step, place):
            repeated.append(step)
            place += len(step)
        else:
            is_behind = True
            left = answer[place:]
            yield from [step.removeprefix(left)] if step.startswith(left) else [ANEW, *repeated, step]
    if place < len(answer) and not is_behind:
        yield from [ANEW, *repeated]


def tokens(words: int) -> int:
    """Estimate tokens from words: four for every three, the usual figure for English text."""
    return math.ceil(words * 4 / 3)
