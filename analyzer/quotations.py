"""What an answer quotes, and whether it stands in the document word for word.

A quotation is what stands between quotation marks within a block of Markdown, and a block quotation. It has
at least three words, or six characters of a script that puts no space between its words, and none is in code.
An ellipsis or a bracket parts it: all parts have to stand in the document, in their order. Words are compared
whole, as runs of letters and digits: case, punctuation, line breaks and the styles of quotation marks and
dashes do not count. Nothing is nearly the same. The title and the question are no quotations of the document
where an answer repeats them as a whole.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from html import unescape
from typing import NamedTuple

from hub import in_turns, let_others_run

# A word counts as two characters of a script without spaces.
SHORTEST = 6
# Characters of the document that are looked through for all quotations of an answer: 0.2 seconds, about.
MOST_SEARCHED = 500_000_000

# A millisecond's work, about: all streams of this process wait meanwhile.
CHARACTERS_AT_ONCE = 20_000
BLOCKS_AT_ONCE = 100
MARKS_AT_ONCE = 500
SEARCHED_AT_ONCE = 2_000_000

# What a mark closes, if that is open, the nearest first; what it opens else.
_CLOSES = {marks[0]: marks[1:] for marks in ("”“„”", "“„", "»«»", "«»", "›‹›", "‹›", "」「", "』『", '""')}
_ALWAYS_OPEN = "“„«‹「『"
_SOMETIMES_OPEN = '"”»›'
_MARK = re.compile(f"[{_ALWAYS_OPEN}{_SOMETIMES_OPEN}」』]")
_BEFORE_WORDS = "[(…*_'’‘“„«‹「『"

_ITEM = re.compile(r"[ \t]*((?:(?:[-+*]|[0-9]{1,9}[.)])[ \t]+)*)")
_FENCE = re.compile(r"(`{3,})[^`]*$|(~{3,})")
_BACKTICKS = re.compile(r"`+")
_CELL_EDGE = re.compile(r"(?<!\\)\|")
_ATTRIBUTION = re.compile(r"[—–―]|--")
_CITATION = re.compile(r"(?<!\\)\[¶[^\[\]]*\]")
_OTHER_QUOTATION = re.compile(rf"{_CITATION.pattern}|^[-+*][ \t]", re.MULTILINE)
_OMISSION = re.compile(r"…|\.{3,}|(?:\. ){2,}\.|(\[[^\[\]]*\])")
_ESCAPE = re.compile(r"\\([!-/:-@\[-`{-~])|&#?\w{1,32};")

# Letters, digits and signs of scripts that put no space between their words.
_UNSPACED = (
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e50-\u0e59\u0e81-\u0eff\u0f40-\u0fbc\u1000-\u1049\u1050-\u109f"
    "\u1780-\u17d3\u17e0-\u17e9\u3005-\u3007\u3041-\u3096\u3099-\u309f\u30a1-\u30fa\u30fc-\u30ff"
    "\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
# Vowel signs and accents that are no letters by themselves.
_SIGNS = (
    "\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u064b-\u065f"
    "\u0670\u06d6-\u06dc\u06df-\u06e8\u06ea-\u06ed\u0900-\u0963\u0971-\u0dff"
)
_WORD = re.compile(rf"[{_UNSPACED}]+|(?:[^\W_{_UNSPACED}]++|[{_SIGNS}]++)++")
_IS_UNSPACED = re.compile(f"[{_UNSPACED}]")
_BETWEEN_UNSPACED = re.compile(rf" (?<=[{_UNSPACED}] )(?=[{_UNSPACED}])")
# Without it most English is ASCII, and most Chinese has nothing for which NFKC has another form: that takes a
# third of the time.
_PUNCTUATION = re.compile(
    "[\u00a0«»\u2000-\u200a\u2010-\u2029…‹›\u3000\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65]+"
)
# A letter or digit of ASCII stays in lower case, what else there is becomes a blank.
_ASCII = {code: chr(code).lower() if chr(code).isalnum() else " " for code in range(128)} | {ord("*"): None}
# Soft hyphens, what has no width, and the marks of emphasis.
_DROPPED = re.compile("[*\u00ad\u200b-\u200f\u2060-\u2064\ufe00-\ufe0f\ufeff]")
# Where a text can be cut without parting a word.
_BETWEEN_WORDS = re.compile(r"[\s.,;:!?，。、；：！？]")


class Comparison(NamedTuple):
    """How many different quotations were compared, which were not found, and how many are left.

    Some are left only where a long document is quoted hundreds of times.
    """

    compared: int
    not_found: list[str]
    left: int = 0


class Quotation(NamedTuple):
    """What is quoted, in one line, and the ways in which its parts may stand in a document made `plain`.

    That is as they are shown and, where Markdown shows it otherwise, as they are written.
    """

    text: str
    ways: tuple[tuple[str, ...], ...]

    def stands_in(self, document: str) -> int:
        """Return how many characters of a plain document were needed to find it, 0 if it is not there."""
        return next(filter(None, (_end(parts, document) for parts in self.ways)), 0)

    def repeats(self, known: str) -> bool:
        """Whether it is the whole of a plain text, or as much of its beginning as an ellipsis leaves."""
        first, *others = self.ways[0]
        is_all = known.strip() == first.strip()
        return not others and (is_all or (self.text.endswith("…") and known.startswith(first.rstrip())))


def compare(answer: str, read: Callable[[], str | None], *known: str) -> Comparison | None:
    """Return how an answer's quotations compare with its document, which is read only if there are any.

    What repeats a text that is `known`, the title or the question, is none. Returns None where nothing is
    quoted or there is no document. While it takes long others run.
    """
    found = quotations(answer)
    for text in known if found else ():
        words = plain(text)
        found = [quotation for quotation in found if not quotation.repeats(words)]
    body = read() if found else None
    if body is None:
        return None
    document = plain(body)
    not_found: list[str] = []
    searched = since = compared = 0
    for quotation in found:
        if searched >= MOST_SEARCHED:
            break
        end = quotation.stands_in(document)
        if not end:
            not_found.append(quotation.text)
        compared += 1
        searched += end or len(document)
        if searched - since >= SEARCHED_AT_ONCE:
            since = searched
            let_others_run()
    return Comparison(compared, not_found, len(found) - compared)


def quotations(answer: str) -> list[Quotation]:
    """Return what an answer quotes, each once, in its order."""
    found: dict[tuple[str, ...], Quotation] = {}
    for block, is_quoted in in_turns(_blocks(answer), BLOCKS_AT_ONCE):
        for text in _OTHER_QUOTATION.split(block) if is_quoted else _between_marks(block):
            quotation = _quotation(text)
            if quotation:
                found.setdefault(quotation.ways[0], quotation)
    return list(found.values())


def plain(text: str) -> str:
    """Return a document's words as they are compared, a blank around each but in scripts that have none."""
    pieces: list[str] = []
    start = 0
    while start < len(text):
        least = start + CHARACTERS_AT_ONCE
        border = _BETWEEN_WORDS.search(text, least, least + CHARACTERS_AT_ONCE)
        end = border.end() if border else least + CHARACTERS_AT_ONCE
        words = _words(text[start:end])
        if words:
            is_one = pieces and _BETWEEN_UNSPACED.search(f"{pieces[-1][-1]} {words[0]}")
            pieces += [words] if is_one else [" ", words]
            let_others_run()
        start = end
    return "".join([*pieces, " "])


def _words(text: str) -> str:
    if not text.isascii():
        text = _PUNCTUATION.sub(" ", _DROPPED.sub("", text))
    if text.isascii():
        return " ".join(text.translate(_ASCII).split())
    text = unicodedata.normalize("NFKC", text).casefold()
    words = " ".join(_WORD.findall(text))
    return words if words.isascii() else _BETWEEN_UNSPACED.sub("", words)


def _blocks(answer: str) -> Iterator[tuple[str, bool]]:
    """Yield the parts of an answer that no quotation goes beyond, and whether each is one by itself."""
    lines: list[str] = []
    was_quoted, fence = False, ""
    for line in answer.split("\n"):
        marker = _ITEM.match(line)
        inner = line[marker.end() :] if marker else line
        is_quoted = inner.startswith(">")
        inner = inner.lstrip("> \t") if is_quoted else inner
        if is_quoted != was_quoted:
            # A fence in a block quotation ends with it.
            fence = "" if was_quoted else fence
            yield from _block(lines, was_quoted)
            lines, was_quoted = [], is_quoted
        if fence:
            is_end = inner.startswith(fence) and not inner.strip(f"{fence[0]} \t")
            fence = "" if is_end else fence
        elif opened := _FENCE.match(inner):
            fence = opened[1] or opened[2]
            yield from _block(lines, is_quoted)
            lines = []
        elif is_quoted:
            lines.append(inner)
        else:
            is_alone = inner.startswith(("#", "|"))
            if is_alone or not inner.strip() or (marker and marker[1]):
                yield from _block(lines, False)
                lines = []
            if is_alone:
                yield from ((cell, False) for cell in _CELL_EDGE.split(inner))
            else:
                lines.append(inner)
    yield from _block(lines, was_quoted)


def _block(lines: list[str], is_quoted: bool) -> Iterator[tuple[str, bool]]:
    if is_quoted:
        while lines and not lines[-1].strip():
            lines.pop()
        if len(lines) > 1 and _ATTRIBUTION.match(lines[-1]):
            lines.pop()
    if lines:
        yield "\n".join(lines), is_quoted


def _between_marks(block: str) -> Iterator[str]:
    """Yield what stands between marks that belong together, of those within each other the outermost."""
    if not _MARK.search(block):
        return
    opened: list[tuple[str, int]] = []
    kinds: Counter[str] = Counter()
    pairs: list[tuple[int, int]] = []
    for found in in_turns(_MARK.finditer(_without_code(block)), MARKS_AT_ONCE):
        mark, at = found[0], found.start()
        before, after = block[at - 1 : at] or " ", block[at + 1 : at + 2] or " "
        fitting = _CLOSES.get(mark, "")
        is_closing = any(kinds[kind] for kind in fitting) and not (mark == '"' and before.isspace())
        if is_closing:
            kind, start = opened.pop()
            while kind not in fitting:
                kinds[kind] -= 1
                kind, start = opened.pop()
            kinds[kind] -= 1
            pairs.append((start + 1, at))
        elif mark in _ALWAYS_OPEN or (mark in _SOMETIMES_OPEN and _may_open(before, after)):
            opened.append((mark, at))
            kinds[mark] += 1
    outermost: list[tuple[int, int]] = []
    for start, end in reversed(pairs):
        if not outermost or end < outermost[-1][0]:
            outermost.append((start, end))
    yield from (block[start:end] for start, end in reversed(outermost))


def _may_open(before: str, after: str) -> bool:
    is_within_word = before.isalnum() and not _IS_UNSPACED.match(before)
    return (after.isalnum() or after in _BEFORE_WORDS) and not is_within_word


def _without_code(block: str) -> str:
    """Return a block of the same length without what stands in code spans."""
    runs = [run.span() for run in _BACKTICKS.finditer(block)]
    partners: list[int] = []
    nearest: dict[int, int] = {}
    for index in reversed(range(len(runs))):
        length = runs[index][1] - runs[index][0]
        partners.append(nearest.get(length, -1))
        nearest[length] = index
    partners.reverse()
    pieces: list[str] = []
    at = index = 0
    while index < len(runs):
        partner = partners[index]
        if partner >= 0:
            (start, _), (_, end) = runs[index], runs[partner]
            pieces += [block[at:start], " " * (end - start)]
            at, index = end, partner
        index += 1
    return "".join([*pieces, block[at:]])


def _quotation(text: str) -> Quotation | None:
    written = _CITATION.sub(" ", text)
    shown = _ESCAPE.sub(_unescaped, written)
    ways = [_parts(shown)] if shown == written else [_parts(shown), _parts(written)]
    size = sum(len(word) if _IS_UNSPACED.match(word) else 2 for part in ways[0] for word in part.split())
    return Quotation(_in_one_line(shown), tuple(ways)) if size >= SHORTEST else None


def _parts(text: str) -> tuple[str, ...]:
    parts: list[str] = []
    at = 0
    was_bracket = False
    for omission in in_turns([*_OMISSION.finditer(text), None], MARKS_AT_ONCE):
        part = text[at : omission.start()] if omission else text[at:]
        is_bracket = bool(omission and omission[1])
        if words := _words(part):
            # “[T]he tenant” and “pay[s]” part a word.
            is_parted = was_bracket and part[0].isalnum(), is_bracket and part[-1].isalnum()
            parts.append(_whole(words, *is_parted))
        at = omission.end() if omission else at
        was_bracket = is_bracket
    return tuple(parts)


def _whole(words: str, goes_on_before: bool, goes_on_after: bool) -> str:
    """Return words with the blanks that have to stand around them."""
    first = "" if goes_on_before or _IS_UNSPACED.match(words[0]) else " "
    last = "" if goes_on_after or _IS_UNSPACED.match(words[-1]) else " "
    return f"{first}{words}{last}"


def _unescaped(escape: re.Match[str]) -> str:
    return escape[1] or unescape(escape[0])


def _in_one_line(text: str) -> str:
    return " ".join(text.replace("*", "").split())


def _end(parts: tuple[str, ...], document: str) -> int:
    end = 0
    for part in in_turns(parts, MARKS_AT_ONCE):
        start = document.find(part, end)
        if start < 0:
            return 0
        # One blank can stand between two parts.
        end = start + len(part) - part.endswith(" ")
    return end
