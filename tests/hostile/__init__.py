"""Texts that mean harm: what an answer, a document, a title or a file's name may hold, and must stay."""

import tomllib
from itertools import chain
from pathlib import Path

FOLDER = Path(__file__).parent
GROUPS = tomllib.loads((FOLDER / "payloads.toml").read_text(encoding="utf-8"))
LONG = [
    "<img src=x onerror=__hit=1 title=" + "x" * 20_000 + ">",
    "<p " + "a=b " * 2000 + "onclick=__hit=1>",
    "<" + "x" * 20_000 + " onclick=__hit=1>",
    "[x](http://x/" + "y" * 20_000 + " 'onclick=__hit=1')",
    "<b>" * 1000 + "<script>__hit=1</script>",
    "- " * 150 + "<script>",
    ">" * 150 + " [¶1] <img src=x> & &lt;b&gt;",
    "*a **b " * 200 + "c** d*" * 200,
]
PAYLOADS = [*chain.from_iterable(GROUPS.values()), *LONG]
# Of one line, without what ends code in Markdown.
RAW_HTML = [text for text in PAYLOADS if text[0] == "<" and not set(text) & set("`\n\r") and len(text) < 1000]
