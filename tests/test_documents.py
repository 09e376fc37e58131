"""Bringing a document, whatever it is made of, and reading it."""

import io
import re
from html import unescape

import gevent
import pytest
from werkzeug.datastructures import FileStorage

from models import Document
from storage import connected
from tests.person import HTMX, bring, post_large

pytestmark = pytest.mark.both_modes

TEXTAREA = re.compile(r"<textarea [^>]*>\n(.*?)</textarea>", re.DOTALL)
HEADING = re.compile(r"<h1>(.*?)</h1>")


def upload(client, name, data, **fields):
    return post_large(client, "/documents", file=FileStorage(io.BytesIO(data), name), **fields)


def kept(answer):
    """Return the document that an answer leads to."""
    assert answer.status_code == 303, answer.text
    with connected():
        return Document.get_by_id(int(answer.headers["Location"].rsplit("/", 1)[-1]))


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
    with connected():
        assert Document.select().count() == 0


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
        ("a.pdf", b"%PDF-1.7", "The selected file must be a TXT or MD file."),
        ("a.docx", b"PK\x03\x04", "The selected file must be a TXT or MD file."),
        ("txt", b"text", "The selected file must be a TXT or MD file."),
        ("a.txt\x00.exe", b"text", "The selected file must be a TXT or MD file."),
        ("a.txt", b"", "The selected file is empty."),
        ("a.txt", b"\xef\xbb\xbf", "The selected file is empty."),
        ("a.txt", b"\xff\xfe \x00", "The selected file is empty."),
        ("a.md", b" \r\n", "The selected file is empty."),
        ("a.txt", b"\x89PNG\r\n\x1a\n\x00", "The selected file is not plain text in UTF-8."),
        ("a.txt", b"text\x00text", "The selected file is not plain text: it holds binary data."),
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
    refused(
        client, answer, "The document must be 2,000,000 characters or fewer; this one has 2,000,001.", "file"
    )


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
    answer = upload(client, "a.pdf", b"%PDF", text="", title="<t>")
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


@pytest.mark.parametrize("id", ["99", "0", "01", "-1", "+1", "1.0", "1e1", "abc", "99999999999999999999"])
@pytest.mark.parametrize(
    "path", ["/documents/{}", "/documents/{}/deletion", "/analyses/{}", "/analyses/{}.md"]
)
def test_an_address_without_a_document_is_404(client, document, path, id):
    assert client.get(path.format(id)).status_code == 404


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


def test_the_largest_document_has_a_page(client):
    page = client.get(bring(client, "One line of it.\n\n" * 117_000)).text
    assert 'id="p117000"' in page
    assert page.rstrip().endswith("</html>")


def test_while_a_long_page_is_rendered_the_others_have_their_turn(client):
    address = bring(client, "One line.\n\n" * 20_000)
    turns = 0

    def other():
        nonlocal turns
        while True:
            turns += 1
            gevent.sleep(0)

    greenlet = gevent.spawn(other)
    page = client.get(address)
    greenlet.kill()

    assert page.text.count('<p id="p') == 20_000
    assert turns > 100
