"""What Markdown hides from its reader: addresses, targets, images, tags and marks."""

from __future__ import annotations

import re

URL = r"https?://(?:[^\s<>\"“”`()\]]|\](?!\()|\([^\s<>\"“”`()\]]{0,100}\)){1,300}"
_TARGET = r"\([^\s()]{0,300}(?:\([^\s()]{0,100}\)[^\s()]{0,100})?(?: \"[^\"]{0,200}\")?\)"
_TAG = r"</?[a-z][a-z0-9-]{0,20}(?: [a-z:@-]{1,30}(?:=[^<>]{0,500})?)? ?/?>|<!--[^<>]{0,300}-->"
_ENTITY = r"&#?[a-z0-9]{2,30};"
_IMAGE = rf"!\[[^\[\]]{{0,300}}\](?:{_TARGET}|\[[^\[\]]{{0,100}}\])"
_HIDDEN = re.compile(
    rf"{_IMAGE}|(?<=\]){_TARGET}|(?<=\])\[[^\[\]¶]{{0,100}}\]|{URL}|{_TAG}|{_ENTITY}"
    r"|`{3,20}(?:[a-z]{1,20}(?= |$))?|`"
)
_LINK = re.compile(
    rf"{_IMAGE}|\[(?:{_IMAGE}|[^\[\]]){{1,300}}\](?:{_TARGET}|\[[^\[\]¶]{{0,100}}\]|: )"
    rf"|{URL}|{_TAG}|{_ENTITY}"
)
# The end of an entry of a table of contents; its page may have come apart from it.
_LEADER = re.compile(r"(?:\.{5}|(?: \.){5}|…{3})[. …]{0,200}\w{0,5}$")


def visible(text: str) -> str:
    """Blank out what a reader of the rendered text would not see; all else keeps its place."""
    return _HIDDEN.sub(lambda hidden: " " * len(hidden[0]), text)


def only_leads_away(text: str) -> bool:
    """Tell whether a text is nothing but links, images and tags, or an entry of a table of contents."""
    return bool(_LEADER.search(text, max(0, len(text) - 260))) or not any(
        map(str.isalnum, _LINK.sub("", text))
    )
