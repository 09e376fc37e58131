"""Titles: a document is renamed, and is called so from then on."""

import re
from html import unescape

import pytest

from tests.person import bring, finished
from tests.test_documents import HEADING

pytestmark = pytest.mark.both_modes


def rename(client, document, title, **headers):
    return client.post(f"{document}/title", data={"title": title}, headers=headers)


def heading(client, document):
    return unescape(HEADING.search(client.get(document).text)[1])


def test_a_document_gets_another_title_everywhere(client, document, provider):
    analysis = finished(client, document)
    assert f'<a href="{document}/title">Rename</a>' in client.get(document).text
    assert 'value="Terms of use"' in client.get(f"{document}/title").text

    answer = rename(client, document, "  House \n rules ")
    assert (answer.status_code, answer.headers["Location"]) == (303, document)

    for path in (document, analysis, "/", "/search", "/search?q=house", f"{document}/deletion"):
        shown = re.sub("</?mark>", "", client.get(path).text)
        assert "House rules" in shown, path
    for path in (document, analysis, f"{document}/deletion"):
        assert "House rules" in re.search("<title>(.*?)</title>", client.get(path).text)[1]
    assert "Nothing found" in client.get('/search?q="of+use"+-pay').text


def test_later_questions_are_asked_about_the_new_title(client, document, provider):
    rename(client, document, "House rules")
    finished(client, document)
    (request,) = provider.requests
    assert "House rules" in str(request["body"])


@pytest.mark.parametrize("title", ["", "   ", "\x07\u202e", "\r\n\t"])
def test_a_title_of_nothing_is_refused_and_the_old_one_stays(client, document, title):
    answer = rename(client, document, title)
    assert answer.status_code == 422
    assert "<title>Error: " in answer.text
    assert '<a href="#title">Enter a title.</a>' in answer.text
    assert 'aria-invalid="true" aria-describedby="title-error"' in answer.text
    assert answer.text.count("autofocus") == 1
    assert heading(client, document) == "Terms of use"
    assert client.post(f"{document}/title").status_code == 422


@pytest.mark.parametrize(
    ("title", "label"),
    [
        ("x" * 5000, "x" * 119 + "…"),
        ("a\x00b\x1bc\nd", "a�b c d"),
        ("<b>&\"'", "<b>&\"'"),
        ("漢字 𝄞", "漢字 𝄞"),
    ],
)
def test_a_new_title_is_one_line_of_at_most_120_characters(client, document, title, label):
    rename(client, document, title)
    assert heading(client, document) == label
    assert f"<h1>{label}</h1>" not in client.get(document).text or "<" not in label


def test_another_site_renames_nothing(client, document):
    assert rename(client, document, "Mine", **{"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert rename(client, document, "Mine", Origin="http://evil.example").status_code == 403
    assert heading(client, document) == "Terms of use"


def test_what_is_not_there_cannot_be_renamed(client, document):
    assert client.get("/documents/99/title").status_code == 404
    assert rename(client, "/documents/99", "Title").status_code == 404
    other = bring(client, "Other.")
    rename(client, document, "House rules")
    assert heading(client, other) == "Other."
