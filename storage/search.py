"""Search, the same on both databases: texts and questions are made into words here, and only looked up there.

A word is a run of letters and digits, without case and accents. Scripts that put no space between their words
(Chinese, Japanese, Thai and others) have words of one character each, so that any part of a text is found.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from peewee import __exception_wrapper__  # type: ignore[attr-defined]

from hub import let_others_run

# Of those that a question finds, how many of the newest are looked at: a common word is in all there is.
MOST_FOUND = 1000
# Words of one question; what PostgreSQL keeps in parts shares as many from part to part.
MOST_WORDS = 30
# PostgreSQL refuses longer ones than 2 kB.
WORD_LENGTH = 64
# Shorter ones begin too many others.
BEGINNING_LENGTH = 3

_ALONE = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u2fdf\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
# Vowel signs of Indian scripts, which are no letters by themselves.
_SIGNS = "\u0900-\u0963\u0971-\u0dff"
# Accents and the points of Hebrew and Arabic once they stand apart, soft hyphens and what has no width.
_DROPPED = (
    "\u00ad\u0300-\u036f\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0640\u064b-\u065f\u0670"
    "\u200b-\u200d\u2060\ufeff"
)
_ASCII_WORD = re.compile("[a-z0-9]+")
_WORD = re.compile(f"[{_ALONE}]|(?:[^\\W_{_ALONE}]|[{_SIGNS}])+")
# The same in a text as it is written: case, accents and all.
_WRITTEN = re.compile(f"[{_ALONE}]|(?:[^\\W_{_ALONE}]|[{_SIGNS}{_DROPPED}])+")
_DROP = re.compile(f"[{_DROPPED}]+")
_TERM = re.compile(r'(?P<minus>(?<!\S)-)?(?:"(?P<phrase>[^"]*)"?|(?P<words>[^\s"]+))')
_QUOTES = str.maketrans("“”„‟«»", '""""""')

SLICE = 4_000
EXCERPT_BEFORE, EXCERPT_WORDS = 8, 36


Pieces = list[tuple[str, bool]]


class Term(NamedTuple):
    """Words that follow each other; with `is_open` the last one may be the beginning of a longer one."""

    words: tuple[str, ...]
    is_open: bool


class Question(NamedTuple):
    """What a person looks for: all of the `required` terms and none of the `excluded`.

    `is_cut` says that more was asked for than is looked up.
    """

    required: tuple[Term, ...] = ()
    excluded: tuple[Term, ...] = ()
    is_cut: bool = False

    @classmethod
    def parse(cls, text: str) -> Question:
        """Read what a person typed; whatever it is, it is a question, if perhaps one without a term.

        A word finds all that begin with it, words in quotation marks exactly those in this order, and one
        with a minus sign before it keeps away what has it.
        """
        terms: dict[bool, list[Term]] = {True: [], False: []}
        room, is_cut = MOST_WORDS, len(text) > SLICE
        for found in _TERM.finditer(text[:SLICE].translate(_QUOTES)):
            phrase = found["phrase"]
            all_words = tuple(words(found["words"] if phrase is None else phrase))
            own = all_words[:room]
            is_cut |= own != all_words
            room -= len(own)
            if own:
                is_open = phrase is None and len(own[-1]) >= BEGINNING_LENGTH and own == all_words
                terms[bool(found["minus"])].append(Term(own, is_open))
        return cls(tuple(terms[False]), tuple(terms[True]), is_cut)


def words(text: str) -> list[str]:
    """Return a text's words in their order, as they are looked up; a long one by its beginning."""
    plain = _plain(text)
    found: list[str] = (_ASCII_WORD if plain.isascii() else _WORD).findall(plain)
    if len(plain) > WORD_LENGTH:
        found = [word[:WORD_LENGTH] for word in found]
    return found


def words_of_long(text: str) -> list[str]:
    """Return the words of a text of any length, letting others run meanwhile."""
    found = []
    for start, end in _slices(text):
        found += words(text[start:end])
        let_others_run()
    return found


def excerpt(text: str, question: Question) -> Pieces:
    """Return some words of a text around the first that a question finds: pieces, and whether each is found.

    Nothing where none is. Lets others run meanwhile.
    """
    starts = {term.words[0] for term in question.required}
    for begin, end in _slices(text):
        let_others_run()
        part = text[begin:end]
        plain = _plain(part)
        if any(start in plain for start in starts) and (pieces := _marked(part, question)):
            return pieces
    return []


def marked(text: str, question: Question) -> Pieces:
    """Return a short text in pieces, and whether a question finds each."""
    return _marked(text, question, is_whole=True) or [(text, False)]


def _plain(text: str) -> str:
    if text.isascii():
        return text.lower()
    return _DROP.sub("", unicodedata.normalize("NFKD", text)).casefold()


def _slices(text: str) -> Iterator[tuple[int, int]]:
    """Yield where slices of a text begin and end: after a line or a word, where there is one."""
    start = 0
    while start < len(text):
        end = start + SLICE
        if end < len(text):
            end = max(text.rfind("\n", start, end), text.rfind(" ", start, end)) + 1 or end
        yield start, end
        start = end


def _marked(text: str, question: Question, is_whole: bool = False) -> Pieces:
    places = list(_places(text))
    hits = sorted(_hits([word for word, _, _ in places], question))
    if not hits:
        return []
    first = 0 if is_whole else max(0, hits[0][0] - EXCERPT_BEFORE)
    last = len(places) if is_whole else min(len(places), first + EXCERPT_WORDS)
    at = 0 if first == 0 else places[first][1]
    stop = len(text) if last == len(places) else places[last - 1][2]
    pieces = [("…", False)] if at > 0 else []
    for begin, end in hits:
        start, finish = places[begin][1], min(places[end - 1][2], stop)
        if start >= at and finish > start:
            pieces += [(text[at:start], False), (text[start:finish], True)]
            at = finish
    pieces += [(text[at:stop], False)] + ([("…", False)] if stop < len(text) else [])
    return [(piece, is_hit) for piece, is_hit in pieces if piece]


def _places(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield the words of a text, and where each is written."""
    if text.isascii():
        for found in _ASCII_WORD.finditer(text.lower()):
            yield found[0][:WORD_LENGTH], found.start(), found.end()
    else:
        for found in _WRITTEN.finditer(text):
            for word in words(found[0]):
                yield word, found.start(), found.end()


def _hits(found: list[str], question: Question) -> Iterator[tuple[int, int]]:
    """Yield where terms of a question begin and end among words."""
    for exact, is_open in question.required:
        *before, last = exact
        for place, word in enumerate(found):
            if word.startswith(last) if is_open else word == last:
                start = place - len(before)
                if start >= 0 and found[start:place] == before:
                    yield start, place + 1


class FTS5:
    """Search in SQLite: a row of words for each text, whose number is the text's id."""

    execute_sql: Any
    read_aside: Any

    def index(self, kind: str, id: int, head: Sequence[str], body: Sequence[str]) -> None:
        """Have a `document` or an `analysis` found by the words of its head and body, and by no others."""
        row = (id, " ".join(head), " ".join(body))
        self.execute_sql(f"INSERT OR REPLACE INTO {kind}_words (rowid, head, body) VALUES (?, ?, ?)", row)

    def find(self, kind: str, owner: int, question: Question, ranked: bool) -> list[tuple[int, float]]:
        """Return the ids of a person's newest that a question finds, the newest first, as many as are looked
        at and one more; each, where that is `ranked`, with how well it suits, the best having most.
        """
        if not question.required:
            return []
        # Many hits count little more than some: only so much more is always more than a short text's many.
        score = f"-bm25({kind}_words, 1000, 1)" if ranked else "0"
        # The words come first, newest first, and the loop over them ends as soon as there are enough.
        found = (
            f"SELECT {kind}_words.rowid, {score} FROM {kind}_words "
            f"CROSS JOIN {kind} ON {kind}.id = {kind}_words.rowid "
            f"WHERE {kind}_words MATCH ? AND {kind}.owner_id = ? ORDER BY {kind}_words.rowid DESC LIMIT ?"
        )
        values = (self._expression(question), owner, MOST_FOUND + 1)
        rows: list[tuple[int, float]] = self.read_aside(found, values)
        return rows

    def _expression(self, question: Question) -> str:
        required = " AND ".join(map(self._term, question.required))
        return " NOT ".join([f"({required})", *map(self._term, question.excluded)])

    @staticmethod
    def _term(term: Term) -> str:
        return f'"{" ".join(term.words)}"' + (" *" if term.is_open else "")


class TextSearch:
    """Search in PostgreSQL: rows of words for each text, its head's and its body's, in parts.

    Of a row it keeps 1 MB, 16,383 places, and 256 places of a word: what is more would be left out unsaid.
    """

    PART = 1_000
    MOST_PLACES = 255

    cursor: Any
    insert_many: Any

    def index(self, kind: str, id: int, head: Sequence[str], body: Sequence[str]) -> None:
        """See `FTS5`."""
        rows = [(id, self._vector(part, "A")) for part in self._parts(head)]
        rows += [(id, self._vector(part)) for part in self._parts(body)]
        self._execute(f"DELETE FROM {kind}_words WHERE {kind}_id = %s", (id,))
        if rows:
            self.insert_many(f"{kind}_words ({kind}_id, words)", rows)

    def find(self, kind: str, owner: int, question: Question, ranked: bool) -> list[tuple[int, float]]:
        """See `FTS5`."""
        if not question.required:
            return []
        required, excluded = (list(map(self._term, terms)) for terms in question[:2])
        has = (
            f"EXISTS (SELECT 1 FROM {kind}_words w WHERE w.{kind}_id = {kind}.id AND w.words @@ %s::tsquery)"
        )
        conditions = [f"{kind}.owner_id = %s", *([has] * len(required)), *([f"NOT {has}"] * len(excluded))]
        found = f"SELECT id FROM {kind} WHERE {' AND '.join(conditions)} ORDER BY id DESC LIMIT %s"
        values = [owner, *required, *excluded, MOST_FOUND + 1]
        if not ranked:
            return list(self._execute(f"SELECT id, 0 FROM ({found}) found ORDER BY id DESC", values))
        # Some of the rows tell enough of a long text, and ranking each of them would take seconds.
        score = (
            f"SELECT ts_rank(words, question) AS rank FROM {kind}_words, CAST(%s AS tsquery) question "
            f"WHERE {kind}_id = found.id AND words @@ question ORDER BY {kind}_words.id LIMIT 20"
        )
        best = f"SELECT id, (SELECT max(rank) FROM ({score}) ranks) FROM ({found}) found ORDER BY id DESC"
        return list(self._execute(best, [" | ".join(required), *values]))

    def _execute(self, statement: str, values: Sequence[object]) -> Any:
        # Planned with the values: how rare its words are decides how a question is answered best.
        with __exception_wrapper__:
            return self.cursor().execute(statement, values, prepare=False)

    @classmethod
    def _parts(cls, found: Sequence[str]) -> Iterator[Sequence[str]]:
        start = 0
        while start < len(found):
            part = found[start : start + cls.PART]
            if max(Counter(part).values()) > cls.MOST_PLACES:
                part = part[: cls.MOST_PLACES]
            yield part
            # A phrase on the border is whole in one of both.
            start += len(part) if start + len(part) >= len(found) else len(part) - MOST_WORDS

    @staticmethod
    def _vector(found: Sequence[str], weight: str = "") -> str:
        places: dict[str, list[str]] = {}
        for place, word in enumerate(found, 1):
            places.setdefault(word, []).append(f"{place}{weight}")
        return " ".join(f"'{word}':{','.join(at)}" for word, at in places.items())

    @staticmethod
    def _term(term: Term) -> str:
        phrase = " <-> ".join(f"'{word}'" for word in term.words)
        return f"({phrase}{':*' if term.is_open else ''})"
