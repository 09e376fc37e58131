"""A document, read once: its sentences and headings, and how often each of its words occurs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Sequence
from typing import TypeVar

from providers.extract.languages import IS_UNSPACED, SMALL_WORDS, WORD, language_of
from providers.extract.lines import blocks, unmarked
from providers.extract.marks import only_leads_away, visible
from providers.extract.sentences import SHORTEST, Sentence, pieces, reads_as_prose, split

T = TypeVar("T")
Work = Generator[int, None, T]

LONGEST = 1_200  # characters; a longer "sentence" is text without punctuation and is cut to pieces
PIECE = 240  # characters of such a piece
PAIRS = 50_000  # different neighbours that are counted; growing a far larger table would take a long step


class Document:
    """Paragraphs, and what `read` has found in them; `numbers` are theirs, if they do not count from 1.

    `headings` are (paragraph, text). `words`, `prose` and `unspaced` count words, sentences that read as
    prose, and characters of scripts without spaces. A term is a folded word: `folded` has the term of a
    word, `spellings` how often a word comes, `frequency` and `pairs` how often a term and a pair of
    neighbours come, `spread` in how many sentences, `first` in which paragraph first.
    """

    def __init__(
        self,
        paragraphs: Sequence[str],
        language: str | None = None,
        numbers: Sequence[int] | None = None,
    ) -> None:
        self.paragraphs = paragraphs
        self.numbers = numbers or range(1, len(paragraphs) + 1)
        self.language = language_of(paragraphs) if language is None else language
        self.small = SMALL_WORDS.get(self.language, frozenset())
        self.sentences: list[Sentence] = []
        self._quotable: list[Sentence] = []
        self.headings: list[tuple[int, str]] = []
        self.words = self.prose = self.unspaced = 0
        self.folded: dict[str, str] = {}
        self.spellings: Counter[str] = Counter()
        self.frequency: Counter[str] = Counter()
        self.spread: Counter[str] = Counter()
        self.pairs: Counter[str] = Counter()
        self.first: dict[str, int] = {}

    @property
    def quotable(self) -> list[Sentence]:
        """Return the sentences but for table rows and mere links, or all if they are nothing else."""
        return self._quotable or self.sentences

    def read(self) -> Work[None]:
        """Split the document into sentences and count its words."""
        for number, paragraph in zip(self.numbers, self.paragraphs, strict=True):
            rest = ""
            for block, seems, ended in blocks(paragraph):
                yield len(block) + 40
                kind = "text" if seems == "heading" and len(self.paragraphs) == 1 else seems
                if kind == "heading":
                    self.headings.append((number, unmarked(block).rstrip("# ")))
                if not block:
                    continue
                whole, rest = split(f"{rest} {block}" if rest else block, self.language)
                if ended and rest:
                    whole.append(rest)
                    rest = ""
                for text in whole:
                    yield len(text)
                    self._add(text, number, kind)
                if len(rest) > LONGEST:
                    for piece in pieces(rest, PIECE):
                        yield len(piece)
                        self._add(piece.strip(), number, "broken")
                    rest = ""
            if rest:
                self._add(rest, number, "text")

    def _add(self, text: str, paragraph: int, kind: str) -> None:
        text = text if kind == "row" else unmarked(text)
        seen = visible(text)
        terms, words = self._count(seen, paragraph)
        if kind == "heading" or (len(text) < SHORTEST and words < 3):
            return
        says = kind != "row" and not only_leads_away(text)
        prose = says and reads_as_prose(" ".join(seen.split()), words)
        self.prose += prose
        number, heading = len(self.sentences), len(self.headings)
        sentence = Sentence(
            number, paragraph, heading, text, seen, words, tuple(terms), prose, kind == "broken"
        )
        self.sentences.append(sentence)
        if says:
            self._quotable.append(sentence)

    def _count(self, text: str, paragraph: int) -> tuple[list[str], int]:
        """Count the words of a sentence; return its terms and how many words it has."""
        terms: list[str] = []
        words, previous = 0, ""
        for word in WORD.findall(text):
            if IS_UNSPACED.match(word):
                words += len(word)
                self.unspaced += len(word)
                terms.extend(word[i : i + 2] for i in range(len(word) - 1))
                continue
            words += 1
            self.spellings[word] += 1
            term = self.folded.get(word)
            if term is None:
                term = self.folded[word] = self.fold(word)
            if term:
                terms.append(term)
                if previous:
                    self._pair(f"{previous} {term}", paragraph)
            previous = term
        self.words += words
        self.frequency.update(terms)
        self.spread.update(dict.fromkeys(terms, 1))
        for term in terms:
            self.first.setdefault(term, paragraph)
        return terms, words

    def _pair(self, pair: str, paragraph: int) -> None:
        if pair in self.pairs or len(self.pairs) < PAIRS:
            self.pairs[pair] += 1
            self.first.setdefault(pair, paragraph)

    def fold(self, word: str) -> str:
        """Return the form in which a word is counted, or "" for a small word."""
        term = word.casefold().strip("'’-")
        head, apostrophe, tail = term.replace("’", "'").partition("'")
        if apostrophe:
            term = tail if len(head) <= 2 and len(tail) > 1 else head
        if term in self.small or len(term) < 2:
            return ""
        if len(term) > 4 and term.endswith("s") and not term.endswith(("ss", "us", "is")):
            term = term[:-1]
        return term

    def forget(self) -> Work[None]:
        """Let go of what was read, bit by bit: freeing it all at once would be a long step of its own."""
        for index in (self.spellings, self.first, self.folded, self.frequency, self.spread, self.pairs):
            while index:
                for _ in range(min(len(index), 500)):
                    index.popitem()
                yield 2_000
        while self.sentences or self.headings:
            del self.sentences[-500:], self._quotable[-500:], self.headings[-500:]
            yield 2_000
