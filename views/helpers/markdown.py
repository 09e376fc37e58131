"""Turn an answer's Markdown into HTML that is safe to show, whole or while it grows."""

import re
from bisect import bisect_right
from html import escape
from itertools import accumulate, islice

import nh3
import pyromark
from markupsafe import Markup

from views.helpers.blocks import Splitter

MAX_DEPTH = 100  # elements within elements: the sanitiser's time grows with the square of it
MAX_GROWTH = 30  # times the Markdown's length: a row of a table gets all its cells, however few are written
MAX_GAPS = 4  # places tried for the mark where a text joins another: each costs a rendering of the block,
LONG_BLOCK = 16_000  # so in one of so many characters there is one try

_MARKDOWN = pyromark.Markdown(options=pyromark.Options.ENABLE_TABLES | pyromark.Options.ENABLE_STRIKETHROUGH)

_SANITIZER = nh3.Cleaner(
    tags={
        *("p", "br", "hr", "h3", "h4", "h5", "h6", "em", "strong", "del", "code", "pre", "blockquote", "a"),
        *("ul", "ol", "li", "table", "thead", "tbody", "tr", "th", "td"),
    },
    attributes={"a": {"href"}, "ol": {"start"}, "*": set()},  # without "*" any tag may have lang and title
    tag_attribute_values={cell: {"align": {"left", "center", "right"}} for cell in ("th", "td")},
    allowed_classes={"a": {"citation"}},
    url_schemes={"http", "https", "mailto"},
    url_relative=lambda url: url if re.fullmatch(r"#p[1-9][0-9]*", url) else None,
    link_rel="noopener noreferrer nofollow",
)

# Stand-ins that mean nothing to Markdown or HTML and are replaced in what is fed: the first is refused at
# the token log's door, the others are noncharacters, which Unicode reserves for a program's own use.
_LESS_THAN = "\ue000"
_CITATION = "\ufdd0"
_ESCAPED_LESS_THAN = "\ufdd1"  # with its backslash, which only code shows
_JOIN = "{\ufdd2}"  # in braces, after which emphasis begins as it does after a space
_STAND_INS = str.maketrans(dict.fromkeys((_LESS_THAN, _CITATION, _ESCAPED_LESS_THAN, _JOIN[1]), "\ufffd"))

# Each space has one place where it can match: with two, a long list without its end would take for ever.
_NUMBER = r"(?:¶¶?[ \xa0]?)?([0-9]{1,7})"
_NUMBERS = rf"{_NUMBER}(?: ?[-–—] ?{_NUMBER})?"
_CITED = re.compile(rf"\[(?=¶)({_NUMBERS}(?:[,;] ?{_NUMBERS})*)\]")
_CITED_NUMBER = re.compile(_NUMBER)

# In what pyromark writes, a literal < is always a tag's, and a literal " in a tag always an attribute's end.
_TAG = re.compile(
    r'<(?:(/?)h([1-6])|(t[hd]) style="text-align: (\w+)"|img src="[^"]*" alt="([^"]*)"[^>]*>'
    r'|a href="(?!(?i:https?://|mailto:))[^"]*")'
)
_EMPTY_HEADING = re.compile(r"<h([3-6])></h\1>\n?")
_ESCAPE = re.compile(r"(?<!\\)((?:\\\\)*)\\<")
_CODE = re.compile(r"<code.*?</code>", re.DOTALL)
_EDGE = re.compile(r"</|<(?!br |hr )")
_CITED_OR_VERBATIM = re.compile(
    rf"<(?:a .*?</a>|code.*?</code>)|{{{_CITATION}([^<{{{_CITATION}]*){_CITATION}}}", re.DOTALL
)

_JOIN_MARK = '<span class="join" role="note" aria-label="continued here"></span>'
_JOIN_LINE = f"<p>{_JOIN_MARK}</p>\n"
# Before a word, so that no marker, rule of a table or number in a citation is taken for one. Chinese and
# Japanese have their gaps after punctuation.
_GAP = re.compile(r"(?<=[\s、。，！？；：])(?=[*_~`\"'“‘„«(\[]{0,3}[^\W\d_])|(?<=[^\s,;¶–—-] )(?=[0-9])")


def render(text: str, paragraphs: int, join: int | None = None) -> Markup:
    """Return an answer's Markdown as safe HTML, byte for byte what its `Blocks` come to.

    Raw HTML shows as text, images leave their description, and `[¶12]` links to `#p12` if the document has
    that many `paragraphs`. `join` is as for `Blocks`.
    """
    blocks = Blocks(paragraphs, join)
    blocks.feed(text)
    return blocks.finished() + blocks.tail()


class Blocks:
    """An answer that grows: its finished blocks, each rendered once, and the open one.

    `position` is the number of characters fed. The finished blocks and the positions at which they were known
    to be finished depend on the text alone, not on the pieces it was fed in, and no later text changes them.
    Feeding costs the length of what is fed.

    `join` is the number of characters that an earlier answer left. As soon as more than white space follows
    them, one mark shows where: before the first word that begins there or later in a block that spans the
    join, or else between two blocks. But for the mark the HTML is the same.
    """

    def __init__(self, paragraphs: int, join: int | None = None) -> None:
        self._paragraphs = paragraphs
        self._join = join  # counted from the open block's start; None once a finished block has the mark
        self._splitter = Splitter()
        self._known_at: list[int] = []
        self._html: list[str] = []

    @property
    def position(self) -> int:
        return self._splitter.position

    def feed(self, text: str) -> None:
        """Take the next text of the answer, cut anywhere."""
        for known_at, block in self._splitter.feed(text.translate(_STAND_INS)):
            self._known_at.append(known_at)
            self._html.append(_joined_html(block, self._paragraphs, self._join))
            if self._join is not None:
                self._join = None if _goes_beyond(block, self._join) else max(self._join - len(block), 0)

    def finished(self, after: int = 0, upto: int | None = None) -> Markup:
        """Return the blocks that were known to be finished after one position and up to another.

        What adjoins adds up: finished(0, a) + finished(a, b) is finished(0, b).
        """
        first = bisect_right(self._known_at, after)
        last = None if upto is None else bisect_right(self._known_at, upto)
        return _markup("".join(self._html[first:last]))

    def upto(self, after: int, most: int) -> int:
        """Return how far about so many characters of HTML bring one from a position, by whole blocks."""
        size = 0
        for index in range(bisect_right(self._known_at, after), len(self._html)):
            size += len(self._html[index])
            if size > most and index + 1 < len(self._html):
                return self._known_at[index]
        return self.position

    def tail(self) -> Markup:
        """Return the open block as far as it goes, at the cost of its length."""
        return _markup(_joined_html(self._splitter.open_block(), self._paragraphs, self._join))


def _markup(sanitized: str) -> Markup:
    return Markup(sanitized)  # noqa: S704


def _goes_beyond(block: str, join: int) -> bool:
    return bool(block[join:].strip())


def _joined_html(block: str, paragraphs: int, join: int | None) -> str:
    html = _block_html(block, paragraphs)
    if join is None or not _goes_beyond(block, join):
        return html
    if not block[:join].strip():
        return _JOIN_LINE + html
    # Only rendering tells whether a gap is in a link's title, a fence's first line or a table's structure:
    # there the stand-in is lost, or other HTML comes of it.
    for gap in islice(_GAP.finditer(block, join), MAX_GAPS if len(block) < LONG_BLOCK else 1):
        joined = block[: gap.start()] + _JOIN + block[gap.start() :]
        before, found, after = _block_html(joined, paragraphs).partition(_JOIN)
        # In sanitised HTML a literal < or > is always a tag's.
        is_text = before.rfind("<") <= before.rfind(">")
        if found and is_text and before + after == html:
            return before + _JOIN_MARK + after
    return html + _JOIN_LINE


def _block_html(block: str, paragraphs: int) -> str:
    # An open block comes by at each tick: what most texts have not is looked for without an expression.
    text = _ESCAPE.sub(rf"\1{_ESCAPED_LESS_THAN}", block) if r"\<" in block else block
    text = text.replace("<", _LESS_THAN)
    # Braces are punctuation like brackets, so emphasis next to them works the same, but nothing is a link.
    text = _CITED.sub(rf"{{{_CITATION}\1{_CITATION}}}", text) if "[¶" in text else text
    # A heading whose words have not come yet is none.
    html = _EMPTY_HEADING.sub("", _TAG.sub(_adapt, _MARKDOWN.html(text)))
    if _is_costly(html, len(block)):
        html = f"<pre><code>{escape(block)}</code></pre>\n"
    else:
        html = _unescape(html)
        html = _link_citations(html, paragraphs) if _CITATION in html else html
    return _SANITIZER.clean(html).replace(_LESS_THAN, "&lt;")


def _adapt(tag: re.Match[str]) -> str:
    """Shift a heading below the page's own, align a cell without a style, leave an image's description."""
    slash, level, cell, side, description = tag.groups()
    if level:
        # Below the page's h1 and h2, whichever level an answer begins with: most begin with ##.
        return f"<{slash}h{min(max(int(level), 2) + 1, 6)}"
    if cell:
        return f'<{cell} align="{side}"'
    return "<a" if description is None else description


def _is_costly(html: str, length: int) -> bool:
    if len(html) > MAX_GROWTH * length + 10_000:
        return True
    if html.count("</") <= MAX_DEPTH:
        return False
    return max(accumulate(-1 if edge == "</" else 1 for edge in _EDGE.findall(html))) > MAX_DEPTH


def _unescape(html: str) -> str:
    """Leave the backslash of an escaped < in code only, where it escapes nothing."""
    if _ESCAPED_LESS_THAN not in html:
        return html
    html = _CODE.sub(lambda code: code[0].replace(_ESCAPED_LESS_THAN, "\\" + _LESS_THAN), html)
    return html.replace(_ESCAPED_LESS_THAN, _LESS_THAN)


def _link_citations(html: str, paragraphs: int) -> str:
    def link(number: re.Match[str]) -> str:
        paragraph = int(number[1])
        if not 1 <= paragraph <= paragraphs:
            return number[0]
        return f'<a href="#p{paragraph}" class="citation">{number[0]}</a>'

    def restore(match: re.Match[str]) -> str:
        if match[1] is None:
            return match[0].replace("{" + _CITATION, "[").replace(_CITATION + "}", "]")
        return f"[{_CITED_NUMBER.sub(link, match[1])}]"

    return _CITED_OR_VERBATIM.sub(restore, html)
