"""Split Markdown that is still growing into blocks that no later text can change."""

import re

_BLANK = " \t\v\f\n"
_MARKER_SO_FAR = re.compile(r"[-+*]|[0-9]{1,9}[.)]?")

_FENCE = re.compile(r" {0,3}(`{3,}(?=[^`]*$)|~{3,})")
_FENCE_END = re.compile(r" {0,3}(`{3,}|~{3,}) *$")
_LIST_END = re.compile(r" {0,3}(?:>|#{1,6}(?: |$)|([-*_]) *(?:\1 *){2,}$)")
_LIST_ITEM = re.compile(r"( {0,3}(?:[-+*]|[0-9]{1,9}[.)]))(?:( +)(?=[^ ])| *$)")


class Splitter:
    """Cut a text into blocks, looking only backwards.

    A block ends at a blank line outside a fence that is followed by a line which is neither indented nor a
    list item. Blocks and the positions at which they are known to have ended depend on the text alone, not on
    the pieces it arrives in; feeding costs the length of what is fed, however long the open block is.
    """

    def __init__(self) -> None:
        self.position = 0
        self._lines: list[str] = []  # of the open block
        self._line: list[str] = []  # the pieces of the line that has not ended
        self._line_start = 0
        self._undecided = False  # whether the line begins a block
        self._start_block()

    def feed(self, text: str) -> list[tuple[int, str]]:
        """Take the next text and return the blocks it ended, each with the position that settled it."""
        ended = []
        for piece in text.splitlines(keepends=True):  # cuts at U+2028 and others too, which end no line
            self._line.append(piece)
            if self._undecided and (known_at := self._settle("".join(self._line))):
                ended.append((known_at, "".join(self._lines)))
                self._lines.clear()
                self._start_block()
            self.position += len(piece)
            if piece[-1] == "\n":
                self._end_line("".join(self._line))
        return ended

    def open_block(self) -> str:
        """Return the text after the last block that is known to have ended."""
        return "".join(self._lines) + "".join(self._line)

    def _start_block(self) -> None:
        self._after_blank = False
        self._fence = ""
        self._content_column = 0  # of the outermost list item, 0 outside a list
        self._bare_item = False  # a marker alone on its line, to which a blank line puts an end

    def _settle(self, line: str) -> int:
        """Return where a line after a blank one showed that it begins a block, else 0."""
        marker = _MARKER_SO_FAR.match(line)
        end = marker.end() if marker else 0
        if end == len(line):
            return 0
        self._undecided = False
        if line[end] in _BLANK and not line[:end].isdigit():
            return 0
        return self._line_start + end + 1

    def _end_line(self, line: str) -> None:
        self._lines.append(line)
        self._line.clear()
        self._line_start = self.position
        if self._fence:
            self._read_in_fence(line)
        elif line.strip(_BLANK):
            self._read(line[:-1].expandtabs(4))
            self._after_blank = False
        else:
            if self._bare_item:
                self._content_column = 0
            self._after_blank = True
        self._undecided = self._after_blank and not self._fence

    def _read_in_fence(self, line: str) -> None:
        end = _FENCE_END.match(line[:-1].expandtabs(4))
        if end and end[1].startswith(self._fence):
            self._fence = ""

    def _read(self, line: str) -> None:
        """Follow the fences and lists at the outermost level.

        What is indented as far as a list item's content belongs to the item, and a fence in there ends with
        it at the latest: it holds no block open. The same goes for what is behind a `>`.
        """
        self._bare_item = False
        if self._content_column and len(line) - len(line.lstrip(" ")) >= self._content_column:
            return
        if fence := _FENCE.match(line):
            self._fence, self._content_column = fence[1], 0
        elif _LIST_END.match(line):
            self._content_column = 0
        elif item := _LIST_ITEM.match(line):
            padding = len(item[2] or "")
            self._bare_item = not padding
            self._content_column = len(item[1]) + (padding if 1 <= padding <= 4 else 1)
        elif self._after_blank:
            self._content_column = 0
