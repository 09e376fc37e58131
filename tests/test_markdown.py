"""What Markdown becomes, and where a citation leads."""

import pytest

from tests.markup import PARAGRAPHS, Reading, assert_harmless, streamed
from views.helpers.markdown import render


@pytest.mark.parametrize(
    ("text", "html"),
    [
        (
            "# a\n## b\n### c\n#### d\n###### e",
            "<h3>a</h3>\n<h3>b</h3>\n<h4>c</h4>\n<h5>d</h5>\n<h6>e</h6>\n",
        ),
        ("a\n=\nb\n-", "<h3>a</h3>\n<h3>b</h3>\n"),
        ("a {#x .y}\n---", "<h3>a {#x .y}</h3>\n"),
        ("- a\n- b", "<ul>\n<li>a</li>\n<li>b</li>\n</ul>\n"),
        ("- [ ] a\n- [x] b", "<ul>\n<li>[ ] a</li>\n<li>[x] b</li>\n</ul>\n"),
        ("a  \nb\\\nc", "<p>a<br>\nb<br>\nc</p>\n"),
        ("***\n\n- - -", "<hr>\n<hr>\n"),
        ("> a\n> > b", "<blockquote>\n<p>a</p>\n<blockquote>\n<p>b</p>\n</blockquote>\n</blockquote>\n"),
        ("> a\n\n> b", "<blockquote>\n<p>a</p>\n</blockquote>\n<blockquote>\n<p>b</p>\n</blockquote>\n"),
        ("1986\\. A great year", "<p>1986. A great year</p>\n"),
        ('"a" -- b... (c) $x$ :-)', '<p>"a" -- b... (c) $x$ :-)</p>\n'),
        ("~~a~~ **b** _c_ `d`", "<p><del>a</del> <strong>b</strong> <em>c</em> <code>d</code></p>\n"),
        ("```py x\na < b\n```", "<pre><code>a &lt; b\n</code></pre>\n"),
        (
            "|a|\n|-:|\n|`x`|",
            '<table><thead><tr><th align="right">a</th></tr></thead><tbody>\n'
            '<tr><td align="right"><code>x</code></td></tr>\n</tbody></table>\n',
        ),
        ('<td style="text-align: x', '<p>&lt;td style="text-align: x</p>\n'),
        ("[^1] [[w]]\n\n[^1]: n x", "<p>[^1] [[w]]</p>\n<p>[^1]: n x</p>\n"),
        ("---\ntitle: x\n---", "<hr>\n<h3>title: x</h3>\n"),
        ("![a *b* \"c\"](http://x 't') d", '<p>a b "c" d</p>\n'),
        ("![a][b]\n  \n   [b]: http://x", "<p>a</p>\n"),
        ("\ue000b\ufdd0\ufdd1\ufdd2", "<p>\ufffdb\ufffd\ufffd\ufffd</p>\n"),
        (r"\<b> \\<b> \\\<b> \a", r"<p>&lt;b&gt; \&lt;b&gt; \&lt;b&gt; \a</p>" + "\n"),
        (r"`\<b>` ``\\<b>`` \<i", r"<p><code>\&lt;b&gt;</code> <code>\\&lt;b&gt;</code> &lt;i</p>" + "\n"),
        ("```\n\\<b>\n```", "<pre><code>\\&lt;b&gt;\n</code></pre>\n"),
        ("    \\<b>", "<pre><code>\\&lt;b&gt;</code></pre>\n"),
        (r"![\<b>](x) **\<b>** \`\<b>\`", "<p>&lt;b&gt; <strong>&lt;b&gt;</strong> `&lt;b&gt;`</p>\n"),
    ],
)
def test_markdown_becomes(text, html):
    assert render(text, PARAGRAPHS) == html


LINK = '<a href="#p{0}" class="citation" rel="noopener noreferrer nofollow">{1}</a>'


@pytest.mark.parametrize(
    ("text", "linked"),
    [
        ("[¶12]", {"¶12": 12}),
        ("[¶12-14]", {"¶12": 12, "14": 14}),
        ("[¶12–14]", {"¶12": 12, "14": 14}),
        ("[¶12, 15]", {"¶12": 12, "15": 15}),
        ("[¶12; ¶15]", {"¶12": 12, "¶15": 15}),
        ("[¶¶12, 15]", {"¶¶12": 12, "15": 15}),
        ("[¶ 12]", {"¶ 12": 12}),
        ("[¶\xa012]", {"¶&nbsp;12": 12}),
        ("[¶20, 21]", {"¶20": 20}),
        ("[¶0] [¶21] [¶9999999] [¶99999999999]", {}),
        ("[¶] [12] ¶12 [¶12a] [¶12 [¶x]", {}),
        ("[¶12](http://x)", {"¶12": 12}),
        ("[¶12]: http://x", {"¶12": 12}),
        ("![¶12](http://x)", {"¶12": 12}),
        ("[a][¶12]", {"¶12": 12}),
        ("([¶1], [¶2]). [¶1", {"¶1": 1, "¶2": 2}),
    ],
)
def test_a_citation_links_to_a_paragraph_that_exists_and_reads_as_written(text, linked):
    html = render(text, PARAGRAPHS)
    assert html.count("<a ") == len(linked)
    for words, paragraph in linked.items():
        assert LINK.format(paragraph, words) in html
    assert Reading(html).text == text + "\n"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("`[¶12]` and ``a [¶12] ` b``", "[¶12] and a [¶12] ` b\n"),
        ("[see [¶12] there](http://x)", "see [¶12] there\n"),
        ("    [¶12]", "[¶12]\n"),
        ("```\n[¶12]\n```", "[¶12]\n\n"),
        ("&#91;¶12] \\[¶12\\]", "[¶12] [¶12]\n"),
    ],
)
def test_a_citation_in_code_or_in_a_link_stays_text(text, shown):
    html = render(text, PARAGRAPHS)
    assert 'class="citation"' not in html
    assert Reading(html).text == shown


def test_emphasis_ends_before_a_citation():
    assert render("**It ends.**[¶1]", PARAGRAPHS).startswith("<p><strong>It ends.</strong>[<a ")


def test_an_escaped_tag_is_text_at_every_length():
    text = r"a \<script>alert(1)\</script> \\<b> [¶1] `\<i>`"
    for blocks in streamed(text, range(1, len(text))):
        assert_harmless(blocks.finished() + blocks.tail())
    assert Reading(render(text, PARAGRAPHS)).text == "a <script>alert(1)</script> \\<b> [¶1] \\<i>\n"


def test_a_heading_without_words_is_none():
    assert render("One.\n\n## ", 3) == render("One.", 3)
    assert render("#\n\nOne.", 3) == render("One.", 3)


MARK = '<span class="join" role="note" aria-label="continued here"></span>'


# Each ‸ is where the new text joins, each ▮ the mark between words and each ▶ the mark on a line of its own.
@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("a b.‸", "<p>a b.</p>\n"),
        ("a b.‸ \n\n ", "<p>a b.</p>\n"),
        ("a b.‸ C", "<p>a b. ▮C</p>\n"),
        ("a b. ‸C d", "<p>a b. ▮C d</p>\n"),
        ("a b‸c d", "<p>a bc ▮d</p>\n"),
        ("a\n‸b", "<p>a\n▮b</p>\n"),
        ("is‸ 12 percent", "<p>is ▮12 percent</p>\n"),
        ("合同规‸定。甲方应付款。乙方", "<p>合同规定。▮甲方应付款。乙方</p>\n"),
        ("a‸ **B** c", "<p>a ▮<strong>B</strong> c</p>\n"),
        ("a‸ _b_ c", "<p>a ▮<em>b</em> c</p>\n"),
        ("a‸ (`b` c)", "<p>a ▮(<code>b</code> c)</p>\n"),
        ("a `b ‸c d`", "<p>a <code>b ▮c d</code></p>\n"),
        ("# a ‸b", "<h3>a ▮b</h3>\n"),
        ("a ‸b\n-", "<h3>a ▮b</h3>\n"),
        ("> a‸\n> b", "<blockquote>\n<p>a\n▮b</p>\n</blockquote>\n"),
        ("- a‸\n- **b** c", "<ul>\n<li>a</li>\n<li>▮<strong>b</strong> c</li>\n</ul>\n"),
        ("- a\n‸  - b", "<ul>\n<li>a\n<ul>\n<li>▮b</li>\n</ul>\n</li>\n</ul>\n"),
        ("a \n‸1. b", "<p>a</p>\n<ol>\n<li>▮b</li>\n</ol>\n"),
        ("a &a‸mp; b", "<p>a &amp; ▮b</p>\n"),
        ("```\na‸ b\n```", "<pre><code>a ▮b\n</code></pre>\n"),
        ("~‸~~ py x\na b\n~~~", "<pre><code>▮a b\n</code></pre>\n"),
        ("![a ‸b c](x) d", "<p>a ▮b c d</p>\n"),
        ("a‸b", "<p>ab</p>\n▶"),
        ("a‸b\n\nc d", "<p>ab</p>\n▶<p>c d</p>\n"),
        ("a b‸\n\nc d", "<p>a b</p>\n▶<p>c d</p>\n"),
        ("a b\n‸\nc d", "<p>a b</p>\n▶<p>c d</p>\n"),
        ("a b\n\n‸c d", "<p>a b</p>\n▶<p>c d</p>\n"),
        ("‸\n\na b", "▶<p>a b</p>\n"),
        ("\n ‸ \na b", "▶<p>a b</p>\n"),
        ("a‸\n\n***\n\nb", "<p>a</p>\n▶<hr>\n<p>b</p>\n"),
        (
            "|a|\n|-|\n| b‸ |\n| c d |",
            "<table><thead><tr><th>a</th></tr></thead><tbody>\n"
            "<tr><td>b</td></tr>\n<tr><td>▮c d</td></tr>\n</tbody></table>\n",
        ),
        (
            "| a ‸|\n| -- |\n| 1 |",
            "<table><thead><tr><th>a</th></tr></thead><tbody>\n<tr><td>▮1</td></tr>\n</tbody></table>\n",
        ),
    ],
)
def test_a_mark_shows_where_new_text_joins_an_earlier_answer(text, html):
    html = html.replace("▮", MARK).replace("▶", f"<p>{MARK}</p>\n")
    assert render(text.replace("‸", ""), PARAGRAPHS, text.index("‸")) == html


@pytest.mark.parametrize(
    "text",
    [
        "see [¶12,‸ 15, 16, 17, 18, 19; ¶20] which",
        "see [‸¶ 12–15] which",
        "see [a](http‸://x) which",
        "see [a](http://x‸ 'b c') which",
        "see [a‸ b] which\n\n   [a b]: http://x",
        "see\n\n   [a]: ‸ http://x\nwhich [a]",
    ],
)
def test_the_mark_stays_out_of_a_citation_and_of_what_makes_a_link(text):
    join, text = text.index("‸"), text.replace("‸", "")
    before, after = render(text, PARAGRAPHS, join).split(MARK)
    assert after.startswith("which")
    assert before + after == render(text, PARAGRAPHS)
