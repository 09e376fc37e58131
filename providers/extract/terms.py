"""The words and pairs of words that a document is about."""

from __future__ import annotations

import math
from collections import Counter

from providers.extract.document import Document, Work
from providers.extract.findings import Mention
from providers.extract.ranking import Best


def key_terms(document: Document, count: int) -> Work[list[Mention]]:
    """Return the words and pairs of words the document is about, with how often each occurs."""
    chosen: list[tuple[list[str], int]] = []
    inside: Counter[str] = Counter()
    for term, frequency in (yield from _candidates(document, 4 * count)):
        yield 100
        words = term.split(" ")
        if any(inside[word] > 0.5 * frequency for word in words):
            _lengthen(chosen, words, frequency)
            continue
        if len(chosen) == count:
            break
        chosen.append((words, frequency))
        if len(words) > 1:
            inside.update(dict.fromkeys(words, frequency))
    spelling = yield from _spelling(document)
    mentions = []
    for parts, frequency in chosen:
        text = " ".join(spelling.get(part, part).strip("'’-") for part in parts)
        mentions.append(Mention(text, document.first[" ".join(parts[:2])], frequency))
    return mentions


def _candidates(document: Document, count: int) -> Work[list[tuple[str, int]]]:
    """Rank terms and pairs that are frequent, but not in every other sentence."""
    total = max(len(document.sentences), 1)
    # Where the small words are not known, they are what stands in every other sentence.
    common = max(total * (1.0 if document.small else 0.15), 3)
    best: Best[tuple[str, int]] = Best(count)
    for term, frequency in document.frequency.items():
        yield 4
        long_enough = len(term) > 2 or (len(term) == 2 and term > "\u0e00")
        if frequency >= (2 if total > 5 else 1) and document.spread[term] <= common and long_enough:
            best.offer(frequency * math.log(2 + total / document.spread[term]), (term, frequency))
    for pair, frequency in document.pairs.items():
        yield 4
        if frequency >= max(2 + (total > 20), total // 400):
            one, other = pair.split(" ")
            if max(document.spread[one], document.spread[other]) <= common:
                best.offer(1.6 * frequency * math.log(2 + total / frequency), (pair, frequency))
    return [candidate for _, candidate in best.ranked()]


def _lengthen(chosen: list[tuple[list[str], int]], pair: list[str], frequency: int) -> None:
    """Append the second word of a pair to the chosen term that ends with its first, if it often follows."""
    for words, often in chosen:
        if len(pair) == 2 and len(words) > 1 and words[-1] == pair[0] and frequency > 0.7 * often:
            words.append(pair[1])


def _spelling(document: Document) -> Work[dict[str, str]]:
    """Return each term as it is mostly written."""
    spelling: dict[str, str] = {}
    for word, term in document.folded.items():
        yield 2
        if document.spellings[word] > document.spellings[spelling.get(term, "")]:
            spelling[term] = word
    return spelling
