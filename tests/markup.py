"""Pieces of Markdown to build texts of, and what a browser makes of the HTML that comes of them."""

import re
from html.parser import HTMLParser
from itertools import pairwise

from hypothesis import strategies as st

from views.helpers.markdown import Blocks

PARAGRAPHS = 20

FRAGMENTS = [
    "\n", "\n\n", "\n\n\n", " ", "  ", "   ", "    ", "\t", " \n", "  \n", "\\\n", "a", "b ", "text. ", "é",
    "- a", "* b", "+ c", "-", "*", "+", "1", "1.", "1. a", "7) b", "1986. A", r"1986\. A great year", "12",
    "1234567890. x",
    "\n- a\n\n- b\n", "\n- a\n- b\n", "\n1. a\n\n   b\n\n2. c\n", "\n- - a\n", "\n  - b\n", "\n-\n\n  a\n",
    "\n10. a\n",
    "```", "````", "~~~", "```py\n", "\n```\n", "\n~~~ info `x`\n", "\n  ```\n", "\n   ~~~\n", "- ```\n",
    "> ```\n", "`", "``",
    "\n> a\n", "> > b\n", ">", "\n---\n", "\n***\n", "\n- - -\n", "\n===\n", "* * *", "# h\n", "\n## h\n",
    "#", "####### x",
    "| a | b |\n|--:|:-:|\n| 1 | 2 |\n", "|", "**", "_", "~~", "**bold.**[¶1]", "[¶12]", "[¶12-14]",
    "[¶1, 99]", "¶", "[",
    "[x](http://x)", "[x][y]", "[y]: http://y\n", "![i](j)", "](", "<b>", "</div>", "</template>",
    "<!-- c -->", "&lt;", "&", "&#xe000;",
    "<hx-partial hx-target='#x'>", "<", "👩‍👩‍👧", "שלום", "\u2028", "\x85", "\xa0", "\f", "\v", "\u200b",
    "\ue000", "\ufdd0", "\x00",
]  # fmt: skip
texts = st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.text(max_size=3)), max_size=30).map("".join)

PLAIN = [
    "p", "br", "hr", "h3", "h4", "h5", "h6", "em", "strong", "del", "code", "pre", "blockquote", "ul", "li",
]  # fmt: skip
ALLOWED = {
    **{tag: {} for tag in [*PLAIN, "table", "thead", "tbody", "tr"]},
    "ol": {"start": r"\d+"},
    "th": {"align": "left|center|right"},
    "td": {"align": "left|center|right"},
    "a": {
        "href": r"(?:https?://|mailto:).*|#p[1-9]\d*",
        "class": "citation",
        "rel": "noopener noreferrer nofollow",
    },
}


def fed(text):
    blocks = Blocks(PARAGRAPHS)
    blocks.feed(text)
    return blocks


def streamed(text, cuts):
    blocks = Blocks(PARAGRAPHS)
    for start, end in pairwise([0, *cuts, len(text)]):
        blocks.feed(text[start:end])
        yield blocks


class Reading(HTMLParser):
    """What a browser makes of some HTML: tags with their attributes, and the text."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.open, self.text = [], [], ""
        self.feed(str(html))
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in ("br", "hr"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def handle_comment(self, data):
        raise AssertionError(f"a comment: {data}")

    handle_decl = handle_pi = unknown_decl = handle_comment


def assert_harmless(html):
    reading = Reading(html)
    assert not reading.open
    for tag, attributes in reading.elements:
        assert tag in ALLOWED
        for name, value in attributes.items():
            assert re.fullmatch(ALLOWED[tag][name], value, re.DOTALL | re.IGNORECASE), (tag, name, value)
        if tag == "a":
            assert "rel" in attributes
            assert attributes.get("href", "").startswith("#") == ("class" in attributes)
