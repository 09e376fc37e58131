"""How hard a text is to read: its reading ease, its long words, its long sentences."""

from __future__ import annotations

import math
import re

from providers.extract.document import Document, Work
from providers.extract.findings import Mention
from providers.extract.ranking import Best
from providers.extract.sentences import Sentence

# Reading ease of a language: base, factor of words per sentence, factor of syllables per word, name.
READING_EASE = {
    "English": (206.835, 1.015, 84.6, "Flesch reading ease"),
    "German": (180.0, 1.0, 58.5, "Flesch reading ease in Amstad's German version"),
    "French": (207.0, 1.015, 73.6, "Flesch reading ease in Kandel and Moles' French version"),
    "Spanish": (206.84, 1.02, 60.0, "Flesch reading ease in Fernández Huerta's Spanish version"),
    "Italian": (217.0, 1.3, 60.0, "Flesch reading ease in Franchina and Vacca's Italian version"),
}
VOWELS = re.compile(r"[aeiouyäöüáéíóúàèìòùâêîôûëïœæøåãõ]{1,3}")
SILENT = re.compile(r"(?:[^aeiouyl]|[aeiouy]l)es?$|[^aeiouytd]ed$")


def reading_ease(document: Document) -> Work[tuple[str, float, float] | None]:
    """Return a formula's name, its figure for the text and the words per sentence, if one fits."""
    sentences = words = 0
    for sentence in document.sentences:
        yield 2
        if sentence.prose:
            sentences += 1
            words += sentence.words
    syllables = total = 0
    for word, often in document.spellings.items():
        yield len(word)
        syllables += often * syllables_of(word, document.language)
        total += often
    formula = READING_EASE.get(document.language)
    if not formula or words < 30:
        return None
    base, per_word, per_syllable, name = formula
    average = words / sentences
    return name, base - per_word * average - per_syllable * syllables / total, average


def hard_words(document: Document, count: int) -> Work[list[Mention]]:
    """Return the longest words by syllables, one of each family, with the paragraph of the first one."""
    least = 5 if document.language == "German" else 4
    best: Best[str] = Best(3 * count)
    for word, often in document.spellings.items():
        yield len(word)
        syllables = syllables_of(word, document.language)
        plain = 8 <= len(word) <= 40 and word.replace("-", "").isalpha()
        if plain and syllables >= least and document.folded[word]:
            best.offer(syllables + min(math.log(often), 2.0) * 0.4, word)
    families: dict[str, Mention] = {}
    for _, word in best.ranked():
        term = document.folded[word]
        families.setdefault(term[:7], Mention(word, document.first[term], document.spellings[word]))
    return list(families.values())[:count]


def longest(document: Document, count: int, over: int) -> Work[list[Sentence]]:
    """Return the sentences of more than `over` words, the longest first."""
    best: Best[Sentence] = Best(count)
    for sentence in document.quotable:
        yield 2
        if sentence.words > over and sentence.prose and not sentence.broken:
            best.offer(sentence.words, sentence)
    return [sentence for _, sentence in best.ranked()]


def syllables_of(word: str, language: str) -> int:
    """Estimate the number of syllables: groups of vowels, less a silent e in English and French."""
    word = word[:60].casefold()
    count = len(VOWELS.findall(word))
    silent = (language == "English" and SILENT.search(word)) or (
        language == "French" and word.endswith(("e", "es"))
    )
    return max(count - bool(silent), 1)
