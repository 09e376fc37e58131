"""What is read from the files in `corpus`, as programs in use have written them; and the guide to that."""

import re
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from analyzer.readings import Readings
from analyzer.text import clean, paragraphs
from extraction import Extraction, Unreadable, limits, packing
from extraction.paragraphs import ROWS
from views.helpers.reasons import UNREAD

ROOT = Path(__file__).resolve().parent.parent
CORPUS = ROOT / "tests" / "corpus"
EXPECTED = tomllib.loads((CORPUS / "expected.toml").read_text())
READABLE = [name for name, expected in EXPECTED.items() if "unreadable" not in expected]
UNREADABLE = [name for name in EXPECTED if name not in READABLE]
GUIDE = " ".join((ROOT / "docs" / "documents.md").read_text().split())
# Letters drawn as one, soft hyphens, control characters, what could not be decoded.
LEFTOVERS = re.compile("[ﬀ-ﬆ\x00-\x08\x0b-\x1f\xad\ufffe\ufffd\ufeff]")


def read(name):
    """Return an extraction that has ended, and its text by page (under None if there are no pages)."""
    extraction = Extraction((CORPUS / name).read_bytes(), name)
    texts = {}
    for part in extraction:
        texts.setdefault(part.page, []).append(clean(part.text))
    return extraction, {page: "\n\n".join(parts) for page, parts in texts.items()}


@pytest.fixture(scope="module", params=READABLE)
def reading(request):
    """Return what is expected of a file, its extraction, and its text by page."""
    return EXPECTED[request.param], *read(request.param)


def marked(text):
    """Return a text with its paragraphs' borders as pilcrows."""
    return f"¶{'¶'.join(part.strip() for part in paragraphs(text))}¶"


def pattern(fragment):
    """Return what finds a fragment; in one without lines any white space is a space."""
    return re.compile(
        re.escape(fragment) if "\n" in fragment else r"\s+".join(map(re.escape, fragment.split(" ")))
    )


def end_of(fragment, text, start):
    """Return where a fragment ends that comes next."""
    found = pattern(fragment).search(text, start)
    assert found, f"{fragment!r} is not in what is left: {text[start:]}"
    return found.end() - fragment.endswith("¶")


def test_every_file_is_expected_and_explained():
    files = {file.name for file in CORPUS.iterdir()} - {"README.md", "expected.toml"}
    rows = re.findall(r"^\| (`.+?`) \|", (CORPUS / "README.md").read_text(), re.MULTILINE)

    assert files == set(EXPECTED)
    assert files == set(", ".join(rows).replace("`", "").split(", "))


def test_there_are_files_of_every_format():
    formats = Counter(EXPECTED[name]["format"] for name in READABLE)

    assert formats.keys() == {"pdf", "docx", "html", "mail", "table", "markdown", "text"}
    assert formats.total() >= 25


def test_a_file_tells_what_it_is_and_what_of_it_is_not_read(reading):
    expected, extraction, texts = reading

    assert extraction.format == expected["format"]
    assert extraction.title == expected["title"]
    assert sorted(extraction.notes) == sorted(map(tuple, expected.get("notes", [])))
    assert {code for code, _ in extraction.notes} <= UNREAD.keys()
    assert extraction.pages == expected.get("pages")
    assert list(texts) == ([*range(1, extraction.pages + 1)] if extraction.pages else [None])
    assert [page for page, text in texts.items() if not text.strip()] == expected.get("blank", [])


def test_a_file_is_read_in_order_and_page_by_page_and_nothing_twice(reading):
    expected, _, texts = reading
    found = expected["found"] if isinstance(expected["found"], dict) else {0: expected["found"]}

    for page, fragments in found.items():
        text, position = marked(texts[int(page) or None]), 0
        for fragment in fragments:
            position = end_of(fragment, text, position)
        assert {part: len(pattern(part).findall(text)) for part in fragments} == Counter(fragments)


def test_nothing_is_read_that_nobody_sees_and_no_letter_is_odd(reading):
    expected, _, texts = reading
    text = "\n\n".join(texts.values())

    assert [fragment for fragment in expected.get("absent", []) if fragment in text] == []
    assert LEFTOVERS.findall(text) == []


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_file_that_cannot_be_read_says_why(name):
    with pytest.raises(Unreadable) as caught:
        read(name)

    assert caught.value.reason == EXPECTED[name]["unreadable"]


def test_the_guide_quotes_the_product():
    sentences = " ".join((ROOT / "views" / "helpers" / "reasons.py").read_text().split())
    quotes = re.findall("“([^”]+)”", GUIDE.partition("## Limits")[0])
    pieces = [piece.strip() for quote in quotes for piece in re.split(r"[\d,.:–…]+", quote)]

    assert len(quotes) > 4
    assert [piece for piece in pieces if piece not in sentences] == []


@pytest.mark.parametrize(
    "limit",
    [
        f"a file | {limits.MAX_BYTES // 10**6} MB",
        f"pages | {limits.MAX_PAGES:,}",
        f"text | {limits.MAX_CHARACTERS:,} characters",
        f"a DOCX unpacked | {packing.MAX_UNPACKED // 10**6} MB, {packing.MAX_ENTRIES:,} entries",
        f"processor time | {limits.CPU_SECONDS} s",
        f"memory | {limits.MEMORY // 2**20} MB",
        f"time in all | {limits.WALL_SECONDS:.0f} s",
        f"files at a time | {Readings.MOST_AT_ONCE} in a process",
        f"rows of Markdown, {ROWS} to a paragraph",
    ],
)
def test_the_guide_names_each_limit_as_it_is(limit):
    assert limit in GUIDE
