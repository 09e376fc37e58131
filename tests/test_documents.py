"""Bringing a document, whatever it is made of, and reading it."""

import io
import re
from html import unescape

import gevent
import pytest
from werkzeug.datastructures import FileStorage

from tests.person import HTMX, bring, finished, post_large
from tests.uploads import count_documents, kept, upload

pytestmark = pytest.mark.both_modes

TEXTAREA = re.compile(r"<textarea [^>]*>\n(.*?)</textarea>", re.DOTALL)
HEADING = re.compile(r"<h1>(.*?)</h1>")


def refused(client, answer, sentence, field="text"):
    """Check an answer that keeps nothing: its status, its title, and its words in both places."""
    assert answer.status_code == 422
    page = unescape(answer.text)
    assert "<title>Error: " in page
    summary = page[page.index('<div class="summary"') : page.index("<h1")]
    assert 'role="alert" tabindex="-1" autofocus' in summary
    assert f'<a href="#{field}">{sentence}' in summary
    assert f'id="{field}-error">{sentence}' in page
    described = re.search(rf'<(?:textarea|input) id="{field}"[^>]*>', page)[0]
    assert 'aria-invalid="true"' in described
    assert f'aria-describedby="{field}-error' in described
    assert page.count("autofocus") == 1
    assert count_documents() == 0


def test_a_pasted_text_becomes_a_document(client):
    document = kept(client.post("/documents", data={"text": "A title\r\n\r\nTwo words.\r\n"}))
    assert document.text == "A title\n\nTwo words.\n"
    assert (document.title, document.words, document.paragraphs) == ("A title", 4, 2)
    assert document.characters == len(document.text)


def test_a_title_that_is_given_is_kept(client):
    assert (
        kept(client.post("/documents", data={"text": "First line", "title": " My  title "})).title
        == "My title"
    )


def test_a_title_of_nothing_is_guessed(client):
    assert kept(
        client.post("/documents", data={"text": "\n\n## First *line*\n", "title": " \x07 "})
    ).title == ("First *line")


@pytest.mark.parametrize(
    ("title", "label"),
    [
        ("x" * 5000, "x" * 119 + "…"),
        ("a\x00b\x1bc\nd\te", "a�b c d e"),
        ("safe\u202egpj.exe\u2066", "safe gpj.exe"),
        ("<b>&\"'", "<b>&\"'"),
        ("Ünï 𝄞 漢字", "Ünï 𝄞 漢字"),
    ],
)
def test_a_title_is_one_line_of_at_most_120_characters(client, title, label):
    path = bring(client, "Text.", title=title)
    assert unescape(HEADING.search(client.get(path).text)[1]) == label


@pytest.mark.parametrize(
    "name", ["a.txt", "a.md", "A.TXT", "a.b.markdown", "../../etc/a.txt", "x" * 300 + ".txt"]
)
def test_a_text_file_becomes_a_document(client, name):
    document = kept(upload(client, name, "Zwölf\r\n\r\nWörter".encode()))
    assert (document.title, document.text) == ("Zwölf", "Zwölf\n\nWörter")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_text_file_is_read_in_its_encoding(client, encoding):
    assert kept(upload(client, "a.txt", "Ünï 𝄞".encode(encoding))).text == "Ünï 𝄞"


def test_utf_16_of_both_byte_orders_is_read(client):
    assert kept(upload(client, "a.txt", b"\xfe\xff" + "Ünï 𝄞".encode("utf-16-be"))).text == "Ünï 𝄞"
    assert kept(upload(client, "a.txt", b"\xff\xfe" + "Ünï 𝄞".encode("utf-16-le"))).text == "Ünï 𝄞"


@pytest.mark.parametrize("text", ["", "   ", "\r\n \t\r\n", "\u2003\u2028"])
def test_nothing_is_refused(client, text):
    refused(client, client.post("/documents", data={"text": text}), "Paste a text or select a file.")


def test_a_form_without_fields_is_refused(client):
    refused(client, client.post("/documents"), "Paste a text or select a file.")
    refused(client, client.post("/documents", data={"file": "not a file"}), "Paste a text or select a file.")


def test_both_a_text_and_a_file_are_refused_and_the_text_kept(client):
    answer = upload(client, "a.txt", b"File.", text="Pasted.")
    refused(client, answer, "Paste a text or select a file, not both.", "file")
    assert TEXTAREA.search(answer.text)[1] == "Pasted."


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("a.txt", b"", "The selected file holds no text."),
        ("a.txt", b"\xef\xbb\xbf", "The selected file holds no text."),
        ("a.txt", b"\xff\xfe \x00", "The selected file holds no text."),
        ("a.md", b" \r\n", "The selected file holds no text."),
        ("a.txt", b"text\x00text", "The selected file is not plain text in UTF-8."),
        ("a.txt", "Zwölf".encode("latin-1"), "The selected file is not plain text in UTF-8."),
        ("a.txt", b"\xed\xa0\x80", "The selected file is not plain text in UTF-8."),
        ("a.txt", b"\xff\xfe\x00\xd8", "The selected file is not plain text in UTF-8."),
        ("a.txt", b"\xff\xfea", "The selected file is not plain text in UTF-8."),
    ],
)
def test_a_file_that_is_no_text_is_refused_beside_its_field(client, name, data, sentence):
    refused(client, upload(client, name, data, title="Kept"), sentence, "file")


def test_two_million_characters_are_accepted_with_their_line_ends_counted_once(client):
    text = "123456789\n" * 200_000
    assert kept(post_large(client, "/documents", text=text.replace("\n", "\r\n"))).text == text
    assert kept(upload(client, "a.txt", text.replace("\n", "\r\n").encode())).characters == 2_000_000


def test_one_character_more_is_refused_and_what_was_typed_kept(client):
    text = "x" * 2_000_001
    answer = post_large(client, "/documents", text=text, title='My "title"')
    refused(client, answer, "The document must be 2,000,000 characters or fewer; this one has 2,000,001.")
    assert TEXTAREA.search(answer.text)[1] == text
    assert 'value="My &#34;title&#34;"' in answer.text


def test_a_file_of_one_character_more_is_refused(client):
    answer = upload(client, "a.txt", b"x" * 2_000_001)
    refused(client, answer, "The selected file must hold 2,000,000 characters or fewer.", "file")


def test_a_long_paste_passes_in_any_form(client):
    text = "Ünï\n" * 300_000
    assert kept(post_large(client, "/documents", text=text)).text == text
    assert kept(client.post("/documents", data={"text": text})).text == text


@pytest.mark.parametrize("path", ["/documents", "/documents/1/analyses"])
def test_too_many_bytes_are_413_on_a_page_that_says_what_to_do(client, document, path):
    data = b"x" * (17 * 1024 * 1024)
    for fields in ({"text": data.decode()}, {"file": FileStorage(io.BytesIO(data), "a.txt")}):
        answer = post_large(client, path, **fields)
        assert answer.status_code == 413
        assert "This is too large." in answer.text
        assert "<h1>" in answer.text
    answer = post_large(client, path, HTMX, text=data.decode())
    assert answer.status_code == 413
    assert answer.text.startswith("This is too large.")


def test_what_cannot_be_stored_is_cleaned_out_of_a_paste(client):
    head = b'--x\r\nContent-Disposition: form-data; name="text"\r\n\r\n'
    body = head + b"a\x00b\xed\xa0\x80c\xee\x80\x80d\xffe\r\n--x--\r\n"
    document = kept(client.post("/documents", data=body, content_type="multipart/form-data; boundary=x"))
    assert re.fullmatch("a�b�+c�d�e", document.text)
    assert client.get(f"/documents/{document.id}").status_code == 200


def test_what_was_typed_is_kept_as_text(client):
    text = '\n</textarea><script>alert(1)</script> &amp; "'
    answer = upload(client, "a.png", b"\x89PNG\r\n\x1a\n\0", text="", title="<t>")
    assert 'value="&lt;t&gt;"' in answer.text
    answer = upload(client, "a.txt", b"File.", text=text)
    assert unescape(TEXTAREA.search(answer.text)[1]) == text
    assert "<script>alert" not in answer.text


def test_the_page_numbers_its_paragraphs(client):
    page = client.get(bring(client, "One\nstill one\n\n \n<two>\r\n\r\nThree\n\n\n")).text
    found = re.findall(
        r'<p id="p(\d+)"><a class="number" href="#p(\d+)"[^>]*>(\d+)</a>(.*?)</p>', page, re.DOTALL
    )
    assert found == [
        ("1", "1", "1", "One\nstill one"),
        ("2", "2", "2", "&lt;two&gt;"),
        ("3", "3", "3", "Three"),
    ]


def test_the_analyze_button_is_one_enter_away(client, document):
    page = client.get(document).text
    button = re.search(r'<button class="main"[^>]*>Analyze', page)[0]
    assert 'accesskey="a"' in button
    assert "autofocus" in button
    assert page.count("autofocus") == 1


@pytest.mark.parametrize(
    "path", ["/documents/{}", "/documents/{}/deletion", "/analyses/{}", "/analyses/{}.md"]
)
def test_an_address_without_a_document_is_404(client, document, path):
    for id in ("99", "0", "01", "-1", "+1", "1.0", "1e1", "abc", "99999999999999999999"):
        assert client.get(path.format(id)).status_code == 404, id


@pytest.mark.parametrize("id", ["%D9%A1", "%EF%BC%91", "1%00", "1%0A", "%FF", "1%20", "a" * 5000, "9" * 5000])
def test_no_address_is_a_fault(client, document, id):
    for path in (
        f"/documents/{id}",
        f"/documents/{id}/deletion",
        f"/analyses/{id}",
        f"/analyses/{id}/stream",
    ):
        assert client.get(path).status_code == 404
    assert client.post(f"/documents/{id}/analyses").status_code == 404


@pytest.mark.sqlite
def test_the_largest_document_has_a_page(client):
    page = client.get(bring(client, "One line of it.\n\n" * 117_000)).text
    assert 'id="p117000"' in page
    assert page.rstrip().endswith("</html>")


@pytest.mark.sqlite
def test_while_a_long_page_is_rendered_the_others_have_their_turn_and_a_short_one_waits_for_nobody(client):
    addresses = [bring(client, "One line.\n\n" * paragraphs) for paragraphs in (20_000, 20)]
    turns = 0

    def other():
        nonlocal turns
        while True:
            turns += 1
            gevent.sleep(0)

    greenlet = gevent.spawn(other)
    pages, needed = [], []
    for address in addresses:
        before = turns
        pages.append(client.get(address).text)
        needed.append(turns - before)
    greenlet.kill()

    assert [page.count('<p id="p') for page in pages] == [20_000, 20]
    assert needed[0] > 100
    assert needed[1] == 0


def test_a_form_that_is_sent_twice_makes_one_document(client, app):
    """By a double click the second comes after the first was answered, or at the same time."""
    form = {"text": "Once.", "once": "yes"}
    first = client.post("/documents", data=form)
    clients = [app.test_client() for _ in range(5)]
    greenlets = [gevent.spawn(each.post, "/documents", data=form) for each in clients]
    gevent.joinall(greenlets)
    assert {greenlet.value.headers["Location"] for greenlet in greenlets} == {first.headers["Location"]}
    assert count_documents() == 1

    for other in (form | {"title": "Another"}, form | {"text": "Twice."}, {"text": "Once."}):
        client.post("/documents", data=other)
    assert count_documents() == 4


def test_headings_and_tables_are_shown_as_such(client):
    table = "| Item | Price |\n| --- | ---: |\n| Pens \\| ink | 5 |"
    text = f"## Prices <1>\n\n{table}\n\n| Paper | 7 |\n\nAs agreed.\n\n| not | a table |\n\n#hashtag"
    page = client.get(bring(client, text)).text
    assert 'id="p1" role="heading" aria-level="3"><a' in page
    assert "</a>Prices &lt;1&gt;</p>" in page
    assert '<thead><tr><th scope="col">Item</th><th scope="col">Price</th></tr></thead>' in page
    assert "<tr><td>Pens | ink</td><td>5</td></tr>" in page
    assert "<tbody><tr><td>Paper</td><td>7</td></tr></tbody>" in page
    assert "</a>| not | a table |</p>" in page
    assert "</a>#hashtag</p>" in page
    assert re.findall(r' id="p(\d)"', page) == ["1", "2", "3", "4", "5", "6"]


def test_levels_that_a_document_skips_are_not_skipped_on_the_page(client):
    levels = (4, 4, 5, 1, 3, 2, 6, 1)
    page = client.get(bring(client, "\n\n".join(f"{'#' * level} Heading" for level in levels))).text
    assert re.findall(r'aria-level="(\d)"', page) == ["3", "3", "4", "3", "4", "4", "5", "3"]


def test_a_table_of_too_many_cells_is_shown_as_it_is_written(client):
    row = "|" + " x |" * 200
    page = client.get(bring(client, "\n".join([row, "|" + " --- |" * 200, *[row] * 40]))).text
    assert "<td>" not in page
    assert row in page


def test_the_page_says_what_an_analysis_takes_of_each_model(client, document):
    page = client.get(document).text
    estimates = re.findall(r"<li>([^<]*tokens[^<]*)</li>", page)
    assert [estimate.partition(":")[0] for estimate in estimates] == [
        "gpt-6-sol",
        "claude-sonnet-5-5",
        "Offline, no AI",
    ]
    assert all(re.search(r": about \d+( of [\d,]+)? tokens, ", estimate) for estimate in estimates)
    assert estimates[2].endswith(", free")


def test_what_has_been_analysed_already_is_offered_again(client, provider, document):
    """The same text in another document counts: who would pay twice for it?"""
    text = "Terms of use\n\nThe user shall pay 100 EUR by 1 March 2027.\n\nNobody may copy this."
    finished(client, document)
    newest = finished(client, document)
    risks = finished(client, document, recipe="risks", model="offline:extractive")
    finished(client, document, recipe="question", question="Who pays?")
    provider.script(fault="fin", at=1)
    finished(client, document, recipe="actions")

    page = client.get(bring(client, text, title="Another name")).text
    section = page[page.index("Already analysed") :]
    assert re.findall(r'href="(/analyses/\d+)"', section) == [risks, newest]
    assert "Brief with gpt-6-sol, " in section
    assert "Already analysed" not in client.get(bring(client, text + "!")).text


def test_who_has_nothing_yet_may_open_an_example(client):
    page = client.get("/").text
    example = re.search(r'<textarea name="text" hidden[^>]*>\n(.*?)</textarea>', page, re.DOTALL)
    document = bring(client, unescape(example[1]))
    assert "<h1>Agreement on the hire of a coffee machine</h1>" in client.get(document).text
    assert "Open an example" not in client.get("/").text
