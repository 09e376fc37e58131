"""Text that means harm, or would cost too much: nothing but a few harmless tags comes of it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings

from tests.hostile import GROUPS, PAYLOADS, RAW_HTML
from tests.markup import ALLOWED, PARAGRAPHS, Reading, assert_harmless, streamed, texts
from views.helpers import markdown
from views.helpers.markdown import render

ROOT = Path(__file__).parent.parent

PLACES = [
    "{}", "# {}", "- {}", "> {}", "|a|\n|-|\n|{}|", "`{}`", "```\n{}\n```", "*{}*", "[{}](http://x)",
    "a\n\n{}\n\nb", "![{}](x)",
]  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_hostile_text_leaves_nothing_but_the_few_tags(place):
    for payload in PAYLOADS:
        text = place.format(payload) if "{}" in place else payload
        assert_harmless(render(text, PARAGRAPHS))


@pytest.mark.parametrize("group", GROUPS)
def test_hostile_text_is_harmless_at_every_length(group):
    for payload in GROUPS[group]:
        for blocks in streamed(payload, range(1, min(len(payload), 300))):
            assert_harmless(blocks.finished() + blocks.tail())


def test_raw_html_shows_as_text():
    assert len(RAW_HTML) > 300
    for html in RAW_HTML:
        assert Reading(render(f"`` {html} ``", PARAGRAPHS)).text == html.replace("\0", "") + "\n"
        for tag in re.findall(r"</?\w+", html):
            assert tag in Reading(render(html, PARAGRAPHS)).text


UNSAFE = [
    "javascript:alert(1)", "/documents/1", "documents/1", "//evil.example", "http:/documents/1", "#p1",
    "data:x", "ftp://x", "",
]  # fmt: skip


@pytest.mark.parametrize("unsafe", UNSAFE)
def test_a_link_that_is_not_to_the_web_or_a_mailbox_loses_its_address(unsafe):
    assert render(f"[x]({unsafe})", PARAGRAPHS) == '<p><a rel="noopener noreferrer nofollow">x</a></p>\n'


@pytest.mark.parametrize("safe", ["http://x/?a=1", "https://x", "HTTPS://x", "mailto:a@b.c"])
def test_a_link_to_the_web_or_a_mailbox_keeps_its_address(safe):
    assert f'<a href="{safe}" rel="noopener noreferrer nofollow">' in render(f"[x]({safe})", PARAGRAPHS)


def test_the_sanitizer_has_the_last_word_whatever_the_markdown_library_returns(monkeypatch):
    class Careless:
        returned = ""

        def html(self, text):
            return self.returned

    monkeypatch.setattr(markdown, "_MARKDOWN", Careless())
    for Careless.returned in [
        *RAW_HTML,
        '<a href="javascript:alert(1)">x</a>',
        '<a href="ftp://x">x</a>',
        '<a href="/documents/1">x</a>',
        '<a href="#blocks-7" class="citation htmx-indicator" id="x" title="x" target="_blank">x</a>',
        '<td align="right" style="position:fixed" onclick="x" data-x aria-label="x">x</td>',
        '<table><tr><td align="char" class="citation">x</td></tr></table>',
        '<p hx-get="/" sse-connect="/" data-hx-get="/" id="x" class="y">x</p>',
        '<code class="language-x">x</code><h1>x</h1><h2>x</h2>',
    ]:
        for tag, attributes in Reading(render("x", PARAGRAPHS)).elements:
            assert tag in ALLOWED
            for name, value in attributes.items():
                assert re.fullmatch(ALLOWED[tag][name], value), (tag, name, value)


MARK = '<span class="join" role="note" aria-label="continued here"></span>'


def assert_harmless_but_for_a_mark(html):
    before, after = re.split(rf"<p>{MARK}</p>\n|{MARK}", str(html))
    assert_harmless(before + after)
    assert (
        Reading(html).elements.count(
            ("span", {"class": "join", "role": "note", "aria-label": "continued here"})
        )
        == 1
    )


@pytest.mark.parametrize("place", PLACES)
def test_hostile_text_leaves_nothing_but_the_few_tags_and_a_mark_wherever_it_joins(place):
    for payload in PAYLOADS:
        text = place.format(payload) if "{}" in place else payload
        for join in range(0, len(text.rstrip()), max(1, len(text) // 4)):
            assert_harmless_but_for_a_mark(render(text, PARAGRAPHS, join))


@pytest.mark.parametrize(
    "text",
    ["{\ufdd2}", "{&#xfdd2;}", "a {&#xfdd2;}b {&#64978;}c", "> " * 101 + "a {\ufdd2}b", MARK, f"`{MARK}`"],
)
def test_an_answer_cannot_set_a_mark(text):
    assert MARK not in render(text, PARAGRAPHS)
    for join in range(len(text)):
        assert_harmless_but_for_a_mark(render(text, PARAGRAPHS, join))


def test_the_mark_is_never_in_a_tag_whatever_the_markdown_library_returns(monkeypatch):
    class Careless:
        def html(self, text):
            return f'<p>a</p><a href="http://x/?>{text}">b</a>'

    monkeypatch.setattr(markdown, "_MARKDOWN", Careless())
    assert_harmless_but_for_a_mark(render("a b c", PARAGRAPHS, 1))


@given(texts)
@settings(max_examples=300)
def test_anything_is_harmless(text):
    assert_harmless(render(text, PARAGRAPHS))


# In a process of its own, which says after each that it lives.
NESTED = """
import sys
from views.helpers.markdown import render
for nesting in sys.argv[1:]:
    print(len(render(nesting * 100_000 + "x", 1)), flush=True)
"""


def test_deep_nesting_does_not_end_the_process():
    nestings = ["> ", ">", "- ", "* + ", "1. ", "> - ", "*a **b "]
    command = [sys.executable, "-c", NESTED, *nestings]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    lengths = [int(line) for line in run.stdout.splitlines()]
    assert run.returncode == 0, (nestings[len(lengths)], run.stderr)
    assert len(lengths) == len(nestings)
    assert min(lengths) > 100_000


@pytest.mark.parametrize(
    "text",
    [
        "> " * 101 + "a [¶1] <b> &amp;",
        "".join("  " * depth + "- a\n" for depth in range(60)),
        "|a" * 1000 + "\n" + "|-" * 1000 + "\n" + "|b\n" * 100,
    ],
)
def test_what_would_cost_too_much_shows_as_written(text):
    html = render(text, PARAGRAPHS)
    assert [tag for tag, _ in Reading(html).elements] == ["pre", "code"]
    assert Reading(html).text == text + "\n"


def test_long_is_not_deep():
    text = "".join(f"- *a* `b` [¶{number}]\n  - c\n" for number in range(1000))
    assert render(text, 1000).count("<ul>") == 1001
    assert "<pre>" not in render("> " * 40 + "a", PARAGRAPHS)


REPETITIONS = [
    "[" * 50_000, "*" * 50_000, "![" * 50_000, "`" * 50_000, "<" * 50_000, "&" * 50_000, "*a " * 50_000,
    "[¶1" * 50_000, "[¶1, " + "1, " * 50_000, "{&#xfdd0;" * 20_000, "{&#xfdd0;¶" * 20_000, "[¶1]" * 5000,
    "- " * 50_000, "- - " * 20_000 + "a", "1. " * 20_000, "> " * 20_000, "-\n" * 20_000, "a\n\n1" * 20_000,
    " " * 50_000 + "`" * 50_000, "```" + "~`" * 50_000, "[x]: /\n" * 20_000, "[a](" * 20_000, "\n" * 50_000,
]  # fmt: skip


@pytest.mark.parametrize("text", REPETITIONS, ids=lambda text: text[:6].strip() or "blank")
def test_repetition_is_rendered(text):
    assert_harmless(render(text, PARAGRAPHS))
