"""The page of a search: what it shows of what was found, and how one gets to all of it."""

import re
from html import unescape

import pytest

from tests.person import PARTIAL, Writer, bring
from tests.test_search import keep_many

pytestmark = pytest.mark.both_modes


def items(answer):
    """Return the titles that a page lists, as they are written in it."""
    return re.findall(r'<li>\s*<a href="/[a-z]+/[0-9]+">(.*?)</a>', answer.text, re.DOTALL)


def test_the_page_shows_what_was_found_with_the_words_marked(client, analyzer):
    path = bring(client, "<b>Terms</b> & conditions\n\nPay <i>by March</i>.", title="<b>Terms")
    Writer(analyzer, path).write("Pay **soon** <script>.").end()
    answer = client.get("/search?q=pay+terms")
    assert items(answer) == ["&lt;b&gt;<mark>Terms</mark>"]
    assert "<mark>Pay</mark> &lt;i&gt;by March&lt;/i&gt;." in answer.text
    assert "1 document and 0 analyses found" in answer.text
    answer = client.get("/search?q=soon")
    assert items(answer) == ["Brief of &lt;b&gt;Terms"]
    assert "Pay **<mark>soon</mark>** &lt;script&gt;." in answer.text


@pytest.mark.parametrize("question", ['"><script>alert(1)</script>', "</title><img src=x onerror=alert(1)>"])
def test_a_question_is_shown_as_text(client, question):
    for headers in ({}, PARTIAL):
        shown = client.get("/search", query_string={"q": question}, headers=headers).text
        assert question not in shown
        assert question in unescape(shown)


def test_a_question_that_finds_nothing_is_told_what_to_try(client, document):
    shown = client.get("/search?q=nowhere").text
    assert 'role="status">Nothing found<' in shown
    assert "Nothing has all of these words. Try fewer of them" in shown
    assert "Type a word or a number to look for." in client.get("/search?q=-terms").text
    many = "+".join(f"w{n}" for n in range(40))
    assert "Only the first words were looked for" in client.get(f"/search?q={many}").text


def test_all_there_is_can_be_reached_page_by_page(client):
    assert "There is nothing yet." in client.get("/search").text
    keep_many(120)
    path, seen = "/search", []
    while path:
        answer = client.get(path)
        assert 'role="status">120 documents and 0 analyses<' in answer.text
        seen += items(answer)
        following = re.search(r'<a rel="next" href="([^"]+)"', answer.text)
        path = following and unescape(following[1])
    assert seen == [f"Title {n}" for n in reversed(range(120))]
    assert "Page 3 of 3" in answer.text
    back = unescape(re.search(r'<a rel="prev" href="([^"]+)"', answer.text)[1])
    assert items(client.get(back)) == seen[50:100]
    assert len(items(client.get("/search?q=word&order=oldest&page=3"))) == 20


@pytest.mark.parametrize("number", ["0", "-1", "x", "1.5", "9" * 30, "٣"])
def test_a_page_that_cannot_be_is_the_first(client, document, number):
    assert items(client.get("/search", query_string={"page": number})) == ["Terms of use"]


def test_a_page_after_the_last_leads_back(client, document):
    answer = client.get("/search?page=999999")
    assert items(answer) == []
    assert '<a rel="prev" href="/search">' in answer.text


def test_each_order_is_a_link_and_an_unknown_one_is_the_first(client, document):
    answer = client.get("/search?q=terms&order=sideways")
    assert '<a href="/search?q=terms" aria-current="true">Best match</a>' in answer.text
    for order in ("newest", "oldest", "title", "longest"):
        path = f"/search?q=terms&amp;order={order}"
        assert f'<a href="{path}">' in answer.text
        assert f'<a href="{path}" aria-current="true">' in client.get(unescape(path)).text
    assert "Best match" not in client.get("/search").text


def test_htmx_gets_the_part_that_changes_and_an_address_to_come_back_to(client, document):
    here = {"HX-Current-URL": "http://localhost/"}
    answer = client.get("/search?q=terms", headers=PARTIAL | here)
    assert "<html" not in answer.text
    assert "<title>terms – Search – Precis</title>" in answer.text
    said = '<hx-partial hx-target="#count" hx-swap="textContent">1 document and 0 analyses found</hx-partial>'
    assert said in answer.text
    assert answer.headers["HX-Push-Url"] == "/search?q=terms"
    assert "HX-Current-URL" in answer.vary
    here = {"HX-Current-URL": "http://localhost/search?q=te"}
    answer = client.get("/search?q=terms&order=title", headers=PARTIAL | here)
    assert answer.headers["HX-Replace-Url"] == "/search?q=terms&order=title"
    assert "HX-Push-Url" not in answer.headers


def test_the_front_page_leads_to_search(client, document):
    shown = client.get("/").text
    assert '<form class="search" role="search" action="/search"' in shown
    assert '<a href="/search">' in shown
