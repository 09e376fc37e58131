"""Where a sentence ends, and what is kept of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from providers.extract.languages import words

SHORTEST = 12  # characters; a shorter one stays with the sentence that follows it

ABBREVIATIONS = words("""
    mr mrs ms dr prof st vs cf approx fig figs sec art arts para paras cl ch vol eds al jan feb mar apr
    jun jul aug sept sep oct nov dec abs nr ca bzw vgl gem ggf inkl evtl sog str mio mrd dez okt hr fr
    tel mme mlle av sra dott ing""")
RARER_ABBREVIATIONS = frozenset({"no", "nos", "inc", "ltd", "co", "corp", "etc", "usw"})
END = re.compile(r"[.!?…]{1,5}[\"'”’»)\]]{0,3} |[。！？؟۔।][」』”’）]{0,2} ?")
LAST_WORD = re.compile(r"[\w.]{1,20}$")
TERMINAL = tuple('.!?…:;,。！？؟۔।"”’)')


@dataclass(slots=True)
class Sentence:
    """A stretch of one paragraph, word for word but for white space, which is folded.

    `number` counts sentences from 0, `paragraph` paragraphs from 1, `heading` the headings before it.
    `seen` is its text with blanks for what Markdown hides, `terms` are its content words, folded. `prose`
    tells a sentence from a table row, a label or a scrap of code; `broken` one that was cut out of text
    without punctuation.
    """

    number: int
    paragraph: int
    heading: int
    text: str
    seen: str
    words: int
    terms: tuple[str, ...]
    prose: bool
    broken: bool


def split(text: str, language: str) -> tuple[list[str], str]:
    """Split into the sentences that have ended, and the rest that may go on."""
    sentences, start = [], 0
    for end in END.finditer(text):
        if end.end() - start >= SHORTEST and _ends(text, start, end, language):
            sentences.append(text[start : end.end()].strip())
            start = end.end()
    return sentences, text[start:].strip()


def pieces(text: str, size: int) -> Iterator[str]:
    """Cut text without punctuation into pieces of at most `size` characters, at spaces if there are any."""
    start = 0
    while start < len(text):
        end = min(start + size, len(text))
        if end < len(text):
            space = text.rfind(" ", start + 1, end)
            end = space if space > 0 else end
        yield text[start:end]
        start = end


def reads_as_prose(text: str, words: int) -> bool:
    """Tell a sentence of `words` words from a label or a scrap of code."""
    if words < 4 or (words < 8 and not text.endswith(TERMINAL)):
        return False
    return sum(map(str.isalpha, text[:400])) > 0.62 * min(len(text), 400)


def _ends(text: str, start: int, end: re.Match[str], language: str) -> bool:
    """Tell whether a full stop ends a sentence or belongs to an abbreviation or a number."""
    if text[end.start()] not in ".…":
        return True
    following = text[end.end() : end.end() + 1]
    if following.islower():
        return False
    last = LAST_WORD.search(text, max(start, end.start() - 20), end.start())
    word = last.group().casefold() if last else ""
    if word in ABBREVIATIONS or (len(word) == 1 and word.isalpha() and word != "i"):
        return False
    if word in RARER_ABBREVIATIONS and not following.isupper():
        return False
    return not (language == "German" and word.isdigit() and len(word) <= 2)
