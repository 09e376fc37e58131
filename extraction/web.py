"""HTML, read as it is shown: nothing hidden, and the page's main part where it names one."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass
from html import escape

from selectolax.lexbor import LexborHTMLParser, LexborNode, SelectolaxError

from extraction import Reason, Unreadable
from extraction.charset import decode
from extraction.numerals import integer, numeral
from extraction.paragraphs import Grid, Paragraphs, lowered, raised
from extraction.telling import Tell

# A browser looks for it in the first 1024 bytes; saved pages put a comment of their own first.
_META = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?([\w.:-]{1,40})", re.IGNORECASE)
_XML = re.compile(rb"\s*<\?xml[^>]{0,200}?encoding\s*=\s*[\"']([\w.:-]{1,40})", re.IGNORECASE)
_HEAD = 4096
_XHTML = re.compile(
    r"\s*<\?xml\s|.*?(?:<!doctype\s+html[^>]*xhtml|<html[^>]*xmlns\s*=\s*[\"']http://www\.w3\.org/1999/xhtml)",
    re.DOTALL | re.IGNORECASE,
)
_ATTRIBUTES = r"""(?:[^<>"'/]++|"[^"]*+"|'[^']*+'|/(?!>))*+"""
# What may hold a tag that is none ends with the file at last: were it left open, many would take for ever.
_XML_PIECE = re.compile(
    r"<!--.*?(?:-->|\Z)|<!\[CDATA\[(?P<data>.*?)(?:\]\]>|\Z)"
    rf"|<(?P<raw>script|style)\b{_ATTRIBUTES}>.*?(?:</(?P=raw)\s*>|\Z)"
    rf"|<(?P<tag>[a-z][^\s<>/\"']*+)(?P<attributes>{_ATTRIBUTES})/>",
    re.DOTALL | re.IGNORECASE,
)
_VOID = {
    *("area", "base", "basefont", "br", "col", "embed", "frame", "hr", "img", "input", "keygen", "link"),
    *("meta", "param", "source", "track", "wbr"),
}
_SPACES = re.compile("  +")
_SPACE = re.compile(r"[ \t\n\r\f]+")
_LINE_ENDS = re.compile(r" *\n *")
_INVISIBLE = re.compile(
    r"(?:^|;)\s*(?:display\s*:\s*none|visibility\s*:\s*(?:hidden|collapse)|mso-hide\s*:\s*all"
    r"|(?:font-size|opacity)\s*:\s*0(?:\.0*)?(?![.\d]))",
    re.IGNORECASE,
)
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_LEFT_OUT = {
    *("head", "script", "style", "template", "iframe", "object", "embed", "canvas", "audio", "video"),
    *("select", "datalist", "button", "rp", "rt"),
    # Of drawings and formulas what they say of themselves, and do not show.
    *("title", "desc", "metadata", "defs", "annotation", "annotation-xml"),
}
_EMBEDDED = {"iframe": ("src", "srcdoc"), "object": ("data",), "embed": ("src",)}
_COUNTED = {"img": "images", "math": "formulas"}
# Fields whose value is nothing that somebody has typed and sees.
_UNTYPED = {"hidden", "password", "submit", "button", "reset", "image", "file", "color", "range"}
_BLOCKS = {
    *("address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "dialog"),
    *("div", "dl", "dt", "fieldset", "figcaption", "figure", "footer", "form", "header", "hgroup", "hr"),
    *("legend", "li", "main", "nav", "ol", "p", "pre", "search", "section", "summary", "table", "tbody"),
    *("td", "text", "tfoot", "th", "thead", "tr", "ul", "textarea", *_HEADINGS),
}
_LISTS = {"ul", "ol", "menu"}
_VERBATIM = {"pre", "textarea"}
_SHIFTS = {"sup": raised, "sub": lowered}
_STRUCK = {"del", "s", "strike"}
_STYLES = {"a": "lowerLetter", "A": "upperLetter", "i": "lowerRoman", "I": "upperRoman"}
_DEEPEST_QUOTE = 5


def read(data: bytes, tell: Tell) -> None:
    """Tell the paragraphs, lists and tables of a page; raises Unreadable."""
    out = Paragraphs(tell)
    tell.title(put(decode(data, label(data), out.notes), out))
    out.close()


def label(data: bytes) -> str:
    """Return the encoding that a page says it is in, empty if it does not say."""
    found = _META.search(data[:_HEAD]) or _XML.match(data)
    return found[1].decode() if found else ""


def put(html: str, out: Paragraphs) -> str:
    """Put out what a page shows and return its title; notes `hidden` and `outside`, in characters."""
    if _XHTML.match(html[:_HEAD]):
        html = _XML_PIECE.sub(_as_html, html)
    try:
        page = LexborHTMLParser(html)
    except (SelectolaxError, ValueError):
        raise Unreadable(Reason.TOO_MUCH_WORK) from None
    if page.body is not None:
        main = _main(page)
        reading = _Reading(out, page.body, main)
        if main is not None and not reading.has_text:
            reading = _Reading(out, page.body, None)
        out.notes.update(reading.notes)
    title = page.css_first("head > title")
    first = title.first_child if title is not None else None
    return " ".join((first.text_content or "").split()) if first is not None else ""


def _as_html(piece: re.Match[str]) -> str:
    """Return a piece of XHTML for a parser of HTML, to which `<script/>` takes all that follows."""
    if piece["data"] is not None:
        return escape(piece["data"])
    tag = piece["tag"]
    is_closed = tag is None or tag.lower() in _VOID
    return piece[0] if is_closed else f"<{tag}{piece['attributes']}></{tag}>"


def _main(page: LexborHTMLParser) -> LexborNode | None:
    """Return the page's main part, if it has exactly one, or exactly one article."""
    for selector in ("main, [role=main]", "article"):
        found = [node for node in page.css(selector) if not _is_hidden(node)]
        if len(found) == 1:
            return found[0]
    return None


@dataclass(slots=True)
class _List:
    """A list that is open, and the number of its next item."""

    group: Hashable
    style: str
    next: int = 1
    step: int = 1


class _Reading:
    """One walk over a page, without recursion: a page may be as deep as it is long."""

    def __init__(self, out: Paragraphs, body: LexborNode, main: LexborNode | None) -> None:
        self.notes: Counter[str] = Counter()
        self.has_text = False
        self._out = out
        self._main = None if main is None else main.mem_id
        self._left = "" if main is None else "outside"  # the note that what comes now is counted under
        self._open: list[tuple[str, str, int]] = []
        self._text: list[str] = []
        self._level = 0
        self._marker = ""
        self._lists: list[_List] = []
        self._term: Hashable = None
        self._quotes = 0
        self._verbatim = 0
        self._grids: list[Grid] = []
        self._walk(body)

    def _walk(self, body: LexborNode) -> None:
        node: LexborNode | None = body
        while node is not None:
            if self._enter(node):
                if (child := node.first_child) is not None:
                    node = child
                    continue
                self._leave()
            while self._open and node is not None and node.next is None:
                node = node.parent
                self._leave()
            node = node.next if self._open and node is not None else None
        self._flush()

    def _enter(self, node: LexborNode) -> bool:
        """Begin an element, or take a text; returns whether there may be something in it."""
        if node.is_text_node:
            self._take(node.text_content or "")
            return False
        tag = node.tag or ""
        if not self._left and _embeds(node):
            self.notes["embedded"] += 1
        if not node.is_element_node or tag in _LEFT_OUT or _is_permalink(node):
            return False
        if tag in _COUNTED and not self._left:
            self.notes[_COUNTED[tag]] += 1
        self._open.append((tag, self._left, len(self._text)))
        if _is_hidden(node):
            self._left = "hidden"
        elif self._left == "outside" and node.mem_id == self._main:
            self._left = ""
            self._begin(node, tag)
        elif tag == "nav" and not self._left:
            self._flush()
            self._left = "outside"
        elif not self._left:
            self._begin(node, tag)
        return True

    def _leave(self) -> None:
        tag, left, start = self._open.pop()
        if not self._left:
            self._end(tag, start)
        self._left = left

    def _take(self, text: str) -> None:
        if self._left:
            self.notes[self._left] += len("".join(text.split()))
        elif text:
            self._text.append(text if self._verbatim else _SPACE.sub(" ", text))

    def _begin(self, node: LexborNode, tag: str) -> None:
        attributes = node.attributes
        if tag in _BLOCKS or tag in _LISTS:
            self._flush()
        if tag == "br":
            self._text.append("\n")
        elif tag in _HEADINGS:
            self._level = _HEADINGS[tag]
        elif tag in _LISTS:
            style = _STYLES.get(attributes.get("type") or "", "decimal") if tag == "ol" else ""
            group = self._lists[0].group if self._lists else object()
            first, step = (_count_items(node), -1) if "reversed" in attributes else (1, 1)
            self._lists.append(_List(group, style, integer(attributes.get("start") or "", first), step))
        elif tag == "li":
            self._mark(attributes.get("value") or "")
        elif tag in ("dt", "svg"):
            self._term = object()
        elif tag == "tspan" and "x" in attributes:
            self._text.append("\n")
        elif tag == "input":
            self._text.append(_entered(attributes))
        elif tag == "blockquote":
            self._quotes += 1
        elif tag in _VERBATIM:
            self._verbatim += 1
        elif tag in _STRUCK:
            self._text.append("~~")
        elif tag == "table":
            self._begin_table(attributes.get("role") or "")
        elif self._grids and tag == "tr":
            self._grids[-1].row()
        elif self._grids and tag in ("td", "th"):
            spans = (integer(attributes.get(name) or "", 1) for name in ("colspan", "rowspan"))
            self._grids[-1].cell(*spans)

    def _end(self, tag: str, start: int) -> None:
        if tag in _BLOCKS or tag in _LISTS:
            self._flush()
        if tag in _HEADINGS:
            self._level = 0
        elif tag in _LISTS:
            self._lists.pop()
        elif tag == "li":
            self._marker = ""
        elif tag in ("dl", "svg"):
            self._term = None
        elif tag == "blockquote":
            self._quotes -= 1
        elif tag in _VERBATIM:
            self._verbatim -= 1
        elif tag in _STRUCK:
            self._text.append("~~")
        elif tag in _SHIFTS:
            self._text[start:] = [_SHIFTS[tag]("".join(self._text[start:]))]
        elif tag == "table":
            self._grids.pop().end()

    def _mark(self, number: str) -> None:
        self._marker = "- "
        if self._lists and (style := self._lists[-1].style):
            here = integer(number, self._lists[-1].next)
            self._lists[-1].next = here + self._lists[-1].step
            self._marker = f"{numeral(here, style)}. "

    def _begin_table(self, role: str) -> None:
        if self._grids:
            self._grids[-1].dissolve()
        self._grids.append(Grid(self._out, is_layout=role in ("presentation", "none")))

    def _flush(self) -> None:
        """Put out the text so far as a paragraph of what it stands in."""
        # Where a word may be parted says nothing, and would part it for whoever searches or quotes.
        text = "".join(self._text).replace("\xad", "")
        self._text.clear()
        if not self._verbatim:
            text = _LINE_ENDS.sub("\n", _SPACES.sub(" ", text)).strip(" \n")
        if not text or text.isspace():
            return
        self.has_text = True
        text, self._marker = self._marker + text, ""
        if self._quotes:
            mark = "> " * min(self._quotes, _DEEPEST_QUOTE)
            text = mark + text.strip("\n").replace("\n", f"\n{mark}")
        place = self._grids[-1] if self._grids else self._out
        if not self._lists:
            place.add(text, self._level, self._term, depth=1)
        else:
            innermost = self._lists[-1]
            place.add(text, self._level, None if innermost.style else innermost.group, len(self._lists) - 1)


def _is_permalink(node: LexborNode) -> bool:
    """Whether it is the sign that programs put after a heading, with the heading's own address."""
    inner = node.first_child
    return (
        node.tag == "a"
        and (node.attributes.get("href") or "").startswith("#")
        and inner is not None
        and inner.next is None
        and inner.is_text_node
        and inner.text_content == "¶"
    )


def _embeds(node: LexborNode) -> bool:
    """Whether it shows another file in its place."""
    names = _EMBEDDED.get(node.tag or "", ())
    return any(node.attributes.get(name) for name in names) and not _is_hidden(node)


def _count_items(node: LexborNode) -> int:
    count, child = 0, node.first_child
    while child is not None:
        count += child.tag == "li"
        child = child.next
    return count


def _entered(attributes: dict[str, str | None]) -> str:
    """Return what a field of a form holds."""
    kind = (attributes.get("type") or "text").lower()
    if kind in ("checkbox", "radio"):
        return "☒ " if "checked" in attributes else "☐ "
    return "" if kind in _UNTYPED else f" {attributes.get('value') or ''} "


def _is_hidden(node: LexborNode) -> bool:
    attributes = node.attributes
    style = attributes.get("style")
    return (
        "hidden" in attributes
        # No script is run here, but in the browser that somebody reads it in.
        or node.tag == "noscript"
        or (node.tag == "dialog" and "open" not in attributes)
        or (style is not None and _INVISIBLE.search(style) is not None)
    )
