"""Which sentences say most."""

from __future__ import annotations

import heapq
import math
import re
from collections.abc import Iterable
from typing import Generic, TypeVar

from providers.extract.document import Document, Work
from providers.extract.languages import words
from providers.extract.lines import LABEL
from providers.extract.sentences import Sentence

T = TypeVar("T")

ITEM = re.compile(r"\(?\w\) |\([ivx]{1,5}\) ")
NOTICE = re.compile(r"(?i)^copyright|©|\(c\)|(?<!\]\()https?://|@")
UNFINISHED = (";", ":", ",", " or", " and", " und", " oder")
# A sentence that begins with one of these leans on the one before.
LEANING = words("""
    this that these those it they he she such however therefore thus moreover furthermore otherwise but
    and or so also then if dies diese dieser dieses er sie es jedoch daher damit dabei und aber auch
    cela ce ces il elle ils elles mais donc esto esta este""")


class Best(Generic[T]):
    """Keep the best few of many without sorting all; of equals the first one offered wins."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._heap: list[tuple[float, int, T]] = []
        self._offered = 0

    def offer(self, score: float, item: T) -> None:
        """Keep an item if it is among the best so far."""
        self._offered += 1
        entry = (score, -self._offered, item)
        if len(self._heap) < self._size:
            heapq.heappush(self._heap, entry)
        elif score > self._heap[0][0]:
            heapq.heapreplace(self._heap, entry)

    def ranked(self) -> list[tuple[float, T]]:
        """Return what was kept with its scores, best first."""
        return [(score, item) for score, _, item in sorted(self._heap, reverse=True)]


def central(document: Document, count: int, *, plain: bool = False) -> Work[list[Sentence]]:
    """Pick the sentences that say most of what the document is about, in document order.

    A sentence scores by the weight of its terms, its place and its length; one that repeats what is
    picked already, or comes from the same place, counts for less. `plain` prefers short ones.
    """
    candidates: Best[Sentence] = Best(12 * count)
    previous = running = 0
    for sentence in document.quotable:
        yield 8 + 2 * len(sentence.terms)
        opens = sentence.paragraph != previous
        previous = sentence.paragraph
        if document.prose > 2 and not sentence.prose:
            continue
        score = _weight(document, sentence)
        score *= 1.25 - 0.25 * sentence.number / len(document.sentences)
        score *= 1.1 if opens else 1.0
        standing = _standing(sentence.text)
        if standing >= 0.7 and running < 3:
            # The first sentence has nothing to lean on, and often says what the document is.
            standing = 2.0 if running == 0 else standing * 1.25
            running += 1
        candidates.offer(score * standing * _length_factor(sentence, plain), sentence)
    picked: list[Sentence] = []
    left = [(score, sentence, set(sentence.terms)) for score, sentence in candidates.ranked()]
    while left and len(picked) < count:
        yield 40 * len(left)
        _, best, known = max(left, key=lambda entry: entry[0])
        picked.append(best)
        left = [
            (score * _fresh(sentence, terms, best, known), sentence, terms)
            for score, sentence, terms in left
            if sentence is not best
        ]
    return in_order(picked)


def strongest(
    document: Document, sentences: list[Sentence], count: int, pattern: re.Pattern[str]
) -> Work[list[Sentence]]:
    """Pick the sentences that say most, more so with more of the pattern's words, in document order."""
    best: Best[Sentence] = Best(count)
    for sentence in sentences:
        yield len(sentence.text)
        hits = len({hit.casefold() for hit in pattern.findall(sentence.seen)})
        score = _weight(document, sentence) * (1 + 0.3 * min(hits, 4)) * _length_factor(sentence)
        best.offer(score * (1 if sentence.prose else 0.4), sentence)
    return in_order(sentence for _, sentence in best.ranked())


def in_order(sentences: Iterable[Sentence]) -> list[Sentence]:
    """Return sentences in the order of the document."""
    return sorted(sentences, key=lambda sentence: sentence.number)


def _weight(document: Document, sentence: Sentence) -> float:
    weights = (_term_weight(document, term) for term in dict.fromkeys(sentence.terms))
    return sum(weights) / (10 + len(sentence.terms))


def _term_weight(document: Document, term: str) -> float:
    frequency, total = document.frequency[term], len(document.sentences)
    if frequency == 1 and total > 20:
        return 0.0
    return (1 + math.log(frequency)) * math.log(1 + total / document.spread[term])


def _length_factor(sentence: Sentence, plain: bool = False) -> float:
    words = sentence.words
    if plain:
        return 0.3 if words < 6 else 1.0 if words <= 18 else 0.7 if words <= 25 else 0.15
    return 0.5 if words < 7 else 1.0 if words <= 40 else 0.75 if words <= 60 else 0.45


def _standing(text: str) -> float:
    """Return how well a sentence stands alone: less if it leans on another or is an item or a label."""
    if ITEM.match(text) or LABEL.match(text) or NOTICE.search(text) or text.endswith(UNFINISHED):
        return 0.3
    return 0.7 if text.partition(" ")[0].strip(",").casefold() in LEANING else 1.0


def _fresh(one: Sentence, terms: set[str], other: Sentence, others: set[str]) -> float:
    """Return how much a sentence adds to another one."""
    overlap = len(terms & others) / max(min(len(terms), len(others)), 1)
    near = 0.6 if one.paragraph == other.paragraph else 0.85 if one.heading == other.heading else 1.0
    return near * (1 - 0.9 * overlap)
