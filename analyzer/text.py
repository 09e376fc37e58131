"""Text as Precis keeps it: normalised once, cut into numbered paragraphs."""

from __future__ import annotations

import re

REPLACEMENT = "�"
# NUL ends strings in databases, lone surrogates cannot be encoded, and U+E000 stands for `<` while
# an answer is rendered.
_UNWANTED = re.compile("[\x00\ue000\ud800-\udfff]")
_SUSPECT = re.compile("[\x00\r\ue000\ud800-\udfff]")
_BLANK_LINES = re.compile(r"\n(?:[^\S\n]*\n)+")
TITLE_LENGTH = 120


def clean(text: str) -> str:
    """Return text with \\n line ends and nothing that cannot be stored or shown."""
    if not _SUSPECT.search(text):
        return text
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    # Two halves of a pair that came apart (JSON escapes them singly) are joined again.
    text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return _UNWANTED.sub(REPLACEMENT, text)


class Door:
    """`clean` for text that comes in chunks: what a chunk's end leaves undecided waits for the next."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = ""

    def pass_in(self, chunk: str) -> str:
        """Return the clean text that is decided now, possibly none."""
        if self._held:
            chunk, self._held = self._held + chunk, ""
        if chunk and (chunk[-1] == "\r" or "\ud800" <= chunk[-1] <= "\udbff"):
            chunk, self._held = chunk[:-1], chunk[-1]
        return clean(chunk)

    @property
    def rest(self) -> str:
        """What is still held back, clean, as if nothing were to follow."""
        return clean(self._held)


def paragraphs(text: str) -> list[str]:
    """Cut a document into its paragraphs: runs of non-blank lines, numbered from 1 by their place."""
    return [part.strip("\n") for part in _BLANK_LINES.split(f"\n{text}\n") if part.strip()]


def unwrap(paragraph: str) -> str:
    """Return a paragraph without the line breaks that only kept its lines short."""
    *lines, _ = paragraph.split("\n")
    is_wrapped = lines and all(55 <= len(line.strip()) <= 100 for line in lines)
    return " ".join(paragraph.split()) if is_wrapped else paragraph


def count_words(text: str) -> int:
    """Return the number of words, taken as runs of non-space."""
    return len(text.split())


def guess_title(text: str) -> str:
    """Return the first line that says something, without Markdown marks, cut to a title's length."""
    for line in text.split("\n"):
        if title := as_title(line.strip().lstrip("#>*-=_ \t").rstrip("#*=_ \t")):
            return title
    return "Untitled"


def as_title(words: str) -> str:
    """Return words as a label of one line: no control or direction marks, at most 120 characters."""
    # A first line may be megabytes long, and this goes letter by letter.
    shown = "".join(char if char.isprintable() else " " for char in clean(words[:2000]))
    title = " ".join(shown.split())
    return title if len(title) <= TITLE_LENGTH else title[: TITLE_LENGTH - 1].rstrip() + "…"
