"""Which sentences answer a question."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain

from providers.extract.document import Document, Work
from providers.extract.findings import AMOUNT, DATE, NAME
from providers.extract.languages import WORD, words
from providers.extract.marks import visible
from providers.extract.ranking import Best
from providers.extract.sentences import Sentence

LONGEST_QUESTION = 2_000  # characters that are looked at
NUMBER = re.compile(r"(?<!\d)(?<!\d\.)\d{1,9}(?:\.\d{1,9}){1,5}(?!\w)(?!\.\d)")
WORD_OR_NUMBER = re.compile(f"{NUMBER.pattern}|{WORD.pattern}")
MOST_WORDS = 24  # of a question that are looked for

QUESTION_WORDS = words("""
    document text paper say says tell know there happen happens mean means much many long often get give
    anyone someone something wann wer wie viel lange welche welcher welches warum wo hoch heißt
    lautet dokument quoi quel quelle quand combien cuándo cuánto quién dónde""")
# What a question asks for, and the form of its answer.
WISHES = (
    (
        re.compile(r"(?i)\b(?:when|how long|how soon|how often|date|deadline|wann|wie lange|quand|cuándo)\b"),
        DATE,
    ),
    (re.compile(r"(?i)\b(?:how much|cost|price|fee|amount|pay|wie viel|wieviel|combien|cuánto)\b"), AMOUNT),
    (re.compile(r"(?i)\b(?:who|whom|whose|wer|wen|wem|qui|quién)\b"), NAME),
)


@dataclass(slots=True)
class Answer:
    """What a question finds: sentences, best first; its words that occur nowhere; the terms that matched.

    `asked` is false for a question without a word to look for; `close` tells whether a sentence holds
    much of it.
    """

    sentences: list[Sentence] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    matched: frozenset[str] = frozenset()
    asked: bool = True
    close: bool = False


def answer(document: Document, question: str, count: int) -> Work[Answer]:
    """Rank the sentences by how much of the question they hold (BM25, with words of the same family)."""
    question = question[:LONGEST_QUESTION]
    asked = yield from _words_of(question, document)
    if not asked:
        return Answer(asked=False)
    counted = any(map(NUMBER.fullmatch, asked))
    numbers = (yield from _numbers(document)) if counted else Counter()
    family = yield from _family(document, asked, numbers)
    spread: Counter[str] = Counter()
    for term, (wanted, _) in family.items():
        spread[wanted] += document.spread[term] + numbers[term]
    total = len(document.sentences)
    rarity = {term: math.log(1 + total / (1 + spread[term])) + 0.1 for term in asked if spread[term]}
    rarity |= {term: 4 * weight for term, weight in rarity.items() if NUMBER.fullmatch(term)}
    missing = [word for term, word in asked.items() if not spread[term]]
    under: list[set[str]] = []
    for _, text in document.headings:
        yield len(text)
        seen = visible(text)
        terms = [*map(document.fold, WORD.findall(seen)), *NUMBER.findall(seen)]
        under.append({family[term][0] for term in terms if term in family})

    wish = next((form for ask, form in WISHES if ask.search(question)), None)
    average = document.words / max(total, 1) + 1
    everything = sum(rarity.values()) + len(missing) * math.log(1 + total)
    best: Best[tuple[Sentence, float]] = Best(4 * count)
    for sentence in document.sentences:
        yield 8 + 2 * len(sentence.terms)
        above = under[sentence.heading - 1] if sentence.heading else set()
        hits = _hits(sentence.terms, family)
        if counted:
            yield len(sentence.text)
            hits |= _hits(NUMBER.findall(sentence.seen), family)
            # What stands under "3.13.0" is about it, though it need not name it again.
            hits = {term: 0.4 for term in above if NUMBER.fullmatch(term)} | hits
        if not hits:
            continue
        cover = sum(rarity[term] * min(hit, 1.0) for term, hit in hits.items())
        for term in above:
            if term not in hits:
                cover += 0.5 * rarity[term]
        score = sum(rarity[term] * hit for term, hit in hits.items()) + 0.7 * cover
        score /= 0.6 + 0.4 * max(sentence.words, 8) / average
        score *= (1 + 0.5 * (cover / everything)) * (1.0 if sentence.prose else 0.6)
        if wish and wish.search(sentence.seen):
            score *= 1.4
        best.offer(score, (sentence, cover / everything))

    found = Answer(missing=missing, matched=frozenset(family))
    ranked = best.ranked()
    for score, (sentence, share) in ranked:
        yield 100
        known = any(sentence.text == other.text for other in found.sentences)
        if len(found.sentences) < count and score >= 0.4 * ranked[0][0] and not known:
            found.sentences.append(sentence)
            found.close = found.close or share >= 0.4
    return found


def spoken(document: Document, sentence: Sentence, terms: frozenset[str]) -> Iterator[re.Match[str]]:
    """Find the words of a sentence that are among the given terms."""
    return (word for word in WORD_OR_NUMBER.finditer(sentence.seen) if document.fold(word[0]) in terms)


def _words_of(question: str, document: Document) -> Work[dict[str, str]]:
    """Return the terms of a question, each with its word as it was asked."""
    read = Document((question,), document.language)
    yield from read.read()
    asked = {term: term for term in [*NUMBER.findall(question), *read.frequency]}
    if not read.unspaced:
        asked |= {term: word for word, term in read.folded.items() if term}
    return {term: asked[term] for term in list(asked)[:MOST_WORDS] if term not in QUESTION_WORDS}


def _numbers(document: Document) -> Work[Counter[str]]:
    """Count how many sentences and headings hold each number with dots."""
    spread: Counter[str] = Counter()
    for text in chain(
        (sentence.seen for sentence in document.sentences), (visible(text) for _, text in document.headings)
    ):
        yield len(text)
        spread.update(set(NUMBER.findall(text)))
    return spread


def _family(
    document: Document, asked: dict[str, str], numbers: Iterable[str]
) -> Work[dict[str, tuple[str, float]]]:
    """Return the terms of the document that are kin to one that was asked for, with that and how near."""
    family: dict[str, tuple[str, float]] = {}
    for term in chain(document.spread, numbers):
        yield 2 * len(asked)
        for wanted in asked:
            kinship = _kinship(wanted, term)
            if kinship > family.get(term, ("", 0.0))[1]:
                family[term] = (wanted, kinship)
    return family


def _kinship(wanted: str, term: str) -> float:
    """Return 1 for the same word, about a half for one of the same family (pay, payment), else 0."""
    if wanted == term:
        return 1.0
    if wanted[0].isdigit() or term[0].isdigit():
        return 0.6 if term.startswith(f"{wanted}.") else 0.0
    short, long = sorted((len(wanted), len(term)))
    unlike = (at for at in range(short) if wanted[at] != term[at])
    shared = next(unlike, short)
    if (shared >= 3 and shared == short and long - short <= 4) or (shared >= 5 and shared >= 0.6 * long):
        return 0.6
    return 0.0


def _hits(terms: Iterable[str], family: dict[str, tuple[str, float]]) -> dict[str, float]:
    """Return how strongly terms of the document hold each term that was asked for."""
    hits: dict[str, float] = {}
    for term in terms:
        if term in family:
            wanted, kinship = family[term]
            hits[wanted] = max(hits.get(wanted, 0.0), kinship) + 0.1 * kinship
    return hits
