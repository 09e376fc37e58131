"""The splitter: blocks are the same, at the same positions, however the text arrives."""

import re
from itertools import accumulate, pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.markup import PARAGRAPHS, fed, streamed, texts
from views.helpers import markdown
from views.helpers.blocks import Splitter
from views.helpers.markdown import MAX_GAPS, Blocks, render


def split(text):
    """Return the HTML of each finished block and of the open one."""
    whole = fed(text)
    each = [whole.finished(at, at + 1) for at in range(len(text))]
    return [*filter(None, each), whole.tail()]


def known_at(text):
    return [at + 1 for at in range(len(text)) if fed(text).finished(at, at + 1)]


@settings(max_examples=300)
@given(texts, st.data())
@example("- a\n\n```\nx\n\ny\n```\n\nz", None)
def test_any_pieces_give_the_same_blocks_at_the_same_positions(text, data):
    cuts = range(1, len(text))
    if data:
        cuts = sorted(data.draw(st.lists(st.integers(0, len(text)))))
    whole = fed(text)
    for blocks in streamed(text, cuts):
        assert blocks.finished() == whole.finished(upto=blocks.position)
        assert whole.finished().startswith(blocks.finished())
    assert blocks.position == len(text)
    assert blocks.finished() + blocks.tail() == render(text, PARAGRAPHS)


@given(texts)
def test_a_block_is_known_at_the_smallest_prefix_that_shows_it(text):
    for blocks in streamed(text, range(1, len(text))):
        prefix = fed(text[: blocks.position])
        assert prefix.finished() == blocks.finished()
        assert prefix.tail() == blocks.tail()


@given(texts, st.integers(0, 200), st.integers(0, 200))
def test_adjoining_finished_blocks_add_up(text, a, b):
    a, b = sorted((a, b))
    blocks = fed(text)
    assert blocks.finished(0, a) + blocks.finished(a, b) == blocks.finished(0, b)
    assert blocks.finished(0, b) + blocks.finished(b) == blocks.finished()


# Each § stands where the text before it is known to have ended a block.
MARKED = [
    "a\n\nb§", "a\n\n\n \n\nb§", "\n\n \na\n\nb§c\n\nd§", "a\nb", "a\n\n", "a\n\n\xa0§b", "a\n\xa0\nb",
    "a\n\u2028\nb",
    "a\n\n- b", "a\n\n-b§", "a\n\n**§b", "a\n\n+", "a\n\n-\nb", "a\n\n--§-", "a\n\n- - -\n\nb§", "a\n\n+\tb",
    "a\n\n12. b", "a\n\n12 §b", "a\n\n12.b§", "a\n\n1986\\§. b", "a\n\n1", "a\n\n123456789",
    "a\n\n1234567890§",
    "a\n\n b", "a\n\n\tb", "a\n\n \n  \n-\n\nb§", "a\n\n>§ b\n\n>§ c\n\n|§d", "a\n\n<§!--\n\n--§>",
    "a\n\n`§``\nb\n\nc\n\n~~~\n\n````\n\nd§",
    "~~~~ x `y`\na\n\nb\n~~~\n\n~~~~ c\n\n    ~~~~\n\n~~~~~ \t\n\nd§", "```a`b\n\nc§", "    ```\n\nc§",
    "> ```\n> a\n\nb§", "- ```\n  a\n\nb§", "- a\n\n  ```\n  b\n\n  c\n  ```\n\nd§\n\n`§``\ne\n\nf",
    "- a\n```\nb\n\nc\n```\n\nd§", "1. a\n  ```\nb\n\nc\n  ```\n\nd§", "10. a\n    ```\n\nb§",
    "- a\n-\tb\n  ```\nc\n\nd", "- a\n```\nb\n```\n  ```\nc\n\nd", "- a\n# b\n  ```\nc\n\nd",
    "- a\n> b\n  ```\nc\n\nd", "- - -\n  ```\na\n\nb", "- a\n\n b\n  ```\nc\n\nd", "-\n\n  ```\na\n\nb",
    "-\n  ```\n\nb§", "-\n  a\n\n  ```\n\nb§", "-     a\n  ```\n\nb§", "-\ta\n\n    ```\n\nb§",
]  # fmt: skip


@pytest.mark.parametrize("marked", MARKED)
def test_a_block_ends_at_a_blank_line_before_a_line_that_cannot_go_on_with_it(marked):
    text = marked.replace("§", "")
    *ends, _ = accumulate(len(part) for part in marked.split("§"))
    assert known_at(text) == ends
    for blocks in streamed(text, range(1, len(text))):
        assert blocks.finished() == fed(text).finished(upto=blocks.position)


def test_a_loose_list_is_one_block_and_an_unindented_paragraph_ends_it():
    loose = "7. a\n\n   more\n\n8. b\n\n   - c\n\n"
    first, rest = split(loose + "after")
    assert first.count("<ol") == 1
    assert '<ol start="7">' in first
    assert rest == "<p>after</p>\n"


def test_a_long_fence_stays_one_block_however_it_arrives():
    fence = "```python\n" + "x = [\n\n# 1986. not a list\n- y ]\n" * 3000 + "```\n"
    blocks = Blocks(PARAGRAPHS)
    for token in re.findall(r"\s*\S+", "Intro\n\n" + fence):
        blocks.feed(token)
    assert blocks.finished() == "<p>Intro</p>\n"
    blocks.feed("\n\nend")
    assert blocks.finished().count("<pre>") == 1
    assert blocks.finished().count("not a list") == 3000
    assert blocks.tail() == "<p>end</p>\n"


@pytest.mark.parametrize("begin", ["", "a\n\n", "```\n", "- a\n\n  ", "a\n\n1"])
def test_feeding_reads_each_character_once_or_twice(begin, monkeypatch):
    read = []
    for name in ("_settle", "_end_line"):
        method = getattr(Splitter, name)
        monkeypatch.setattr(
            Splitter, name, lambda self, s, method=method: read.append(len(s)) or method(self, s)
        )
    blocks = Blocks(PARAGRAPHS)
    blocks.feed(begin)
    for _ in range(10_000):
        blocks.feed("word ")
    blocks.feed("\nword" * 10_000)
    assert 100_000 <= sum(read) + len("\nword") <= 2 * blocks.position


def test_definitions_do_not_reach_into_another_block():
    assert split("[x]\n\n[x]: http://x\n") == ["<p>[x]</p>\n", ""]
    assert "href" in render("[x]\n[y]\n\n  [x]: http://x\n", PARAGRAPHS)


@pytest.mark.parametrize("text", ["", " ", "\n", " \n\t\n \n", "\n" * 1000])
def test_nothing_but_white_space_shows_nothing(text):
    assert split(text) == [""]
    assert render(text, PARAGRAPHS) == ""


MARK = '<span class="join" role="note" aria-label="continued here"></span>'


def unmarked(html):
    return html.replace(f"<p>{MARK}</p>\n", "").replace(MARK, "")


@settings(max_examples=300)
@given(texts, st.integers(0, 60), st.data())
@example("a b\n\n- c\n\n  d e\n\nf", 10, None)
def test_one_mark_shows_once_new_text_came_and_changes_nothing_else(text, join, data):
    cuts = range(1, len(text))
    if data:
        cuts = sorted(data.draw(st.lists(st.integers(0, len(text)))))
    whole = Blocks(PARAGRAPHS, join)
    whole.feed(text)
    blocks = Blocks(PARAGRAPHS, join)
    for start, end in pairwise([0, *cuts, len(text)]):
        blocks.feed(text[start:end])
        html = blocks.finished() + blocks.tail()
        has_new_text = not text[join:end].isspace() and join < end
        assert html.count(MARK) == has_new_text
        assert html == render(text[:end], PARAGRAPHS, join)
        assert unmarked(html) == render(text[:end], PARAGRAPHS)
        assert blocks.finished() == whole.finished(upto=end)
        assert unmarked(blocks.finished()) == fed(text).finished(upto=end)


@given(texts, st.integers(0, 60), st.integers(0, 200), st.integers(0, 200))
def test_adjoining_finished_blocks_add_up_with_a_mark_among_them(text, join, a, b):
    a, b = sorted((a, b))
    blocks = Blocks(PARAGRAPHS, join)
    blocks.feed(text)
    assert blocks.finished(0, a) + blocks.finished(a, b) == blocks.finished(0, b)
    assert blocks.finished(0, b) + blocks.finished(b) == blocks.finished()


words = st.lists(st.sampled_from(["a", "Bc", "é.", "def,"]), min_size=2, max_size=9)


@given(st.lists(words, min_size=1, max_size=4), st.data())
def test_in_plain_text_the_mark_stands_at_the_join_or_at_the_end_of_the_word_it_cuts(paragraphs, data):
    text = "\n\n".join(" ".join(words) for words in paragraphs)
    join = data.draw(st.integers(0, len(text) - 1))
    before, _ = render(text, PARAGRAPHS, join).split(MARK)
    cut_word = re.search(r"\S*$", text[:join])[0] and re.match(r"\S*", text[join:])[0]
    assert re.sub(r"<.*?>|\s", "", before) == re.sub(r"\s", "", text[:join] + cut_word)


@pytest.mark.parametrize(
    "block", ["word " * 1000, "[x]: /y '" + "word " * 1000 + "'", "- a\n\n  b c\n" * 200]
)
def test_a_join_costs_a_few_renderings_of_the_one_block_it_is_in(block, monkeypatch):
    rendered = []
    method = markdown._block_html
    monkeypatch.setattr(
        markdown, "_block_html", lambda block, *rest: rendered.append(len(block)) or method(block, *rest)
    )
    text = "before\n\n" * 100 + block + "\n\nafter" * 100
    blocks = Blocks(PARAGRAPHS, len("before\n\n" * 100) + 12)
    for at in range(0, len(text), 7):
        blocks.feed(text[at : at + 7])
    assert MARK in blocks.finished()
    assert len(text) <= sum(rendered) + len("after") <= len(text) + MAX_GAPS * (len(block) + 10)
