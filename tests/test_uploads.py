"""Files: what becomes of each format, what is said of what was not read, and the files themselves."""

import re
from html import unescape

import pytest

from extraction import Reason
from models import Original
from storage import connected
from tests.office_files import paragraph, run
from tests.office_files import word as word_of
from tests.pdf_files import Pdf, block, locked, scan
from tests.person import ask
from tests.precis import ROOT
from tests.uploads import MAIL, PAGE, count_documents, kept, pdf, upload, word
from views.helpers.formats import ranges
from views.helpers.reasons import ADVICE, SENTENCES, UNREAD, explain

pytestmark = pytest.mark.both_modes

WHITE = '<w:color w:val="FFFFFF"/><w:sz w:val="2"/>'
PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)


def error_of(answer):
    assert answer.status_code == 422, answer.text
    return re.search(r'id="file-error">(.*?)</p>', unescape(answer.text))[1]


@pytest.mark.parametrize(
    ("name", "data", "format", "title", "words"),
    [
        ("a.pdf", pdf(["Pay by March."]), "pdf", "Pay by March.", "Pay by March."),
        ("a.pdf", pdf(["Pay by March."], title="The terms"), "pdf", "The terms", "Pay by March."),
        (
            "a.docx",
            word(("Heading 1", "Terms"), "Pay by March."),
            "docx",
            "Terms",
            "# Terms\n\nPay by March.",
        ),
        ("a.html", PAGE, "html", "A web page", "# Rules\n\nPay by March."),
        ("a.eml", MAIL, "mail", "The budget", "Please read the budget."),
        ("costs.csv", b"Item,Price\r\nPens,5\r\n", "table", "costs.csv", "| Pens | 5 |"),
        ("a.md", b"# Terms\n\nPay.", "markdown", "Terms", "# Terms\n\nPay."),
        ("notes.txt", b"***\n\n---", "text", "notes.txt", "***"),
    ],
)
def test_a_file_becomes_a_document(client, name, data, format, title, words):
    document = kept(upload(client, name, data))
    assert (document.format, document.title) == (format, title)
    assert words in document.text


def test_the_title_that_the_person_gave_wins(client):
    data = pdf(["Pay by March."], title="The terms")
    assert kept(upload(client, "a.pdf", data, title="Mine")).title == "Mine"


def test_pages_are_counted_marked_and_told_where_they_hold_no_text(client):
    answer = upload(client, "a.pdf", pdf(["One."], [], ["Three."], [], [], ["Six."], []))
    document = kept(answer)
    assert (document.page_count, document.paragraphs) == (7, 3)
    with connected():
        assert document.read_pages() == [1, 0, 1, 0, 0, 1, 0]

    page = client.get(answer.headers["Location"]).text
    shown = re.findall(r' id="(p(?:age-)?\d+)"', page[page.index("The document</h2>") :])
    assert shown == ["page-1", "p1", "page-2", "page-3", "p2", "page-4", "page-5", "page-6", "p3", "page-7"]
    assert "Pages 2, 4–5, 7 hold no text: they may be scans." in page
    assert "PDF, 7 pages" in page
    assert page.count(": no text</p>") == 4


def test_one_page_without_text_is_told_as_one(client):
    page = client.get(upload(client, "a.pdf", pdf(["One."], [])).headers["Location"]).text
    assert "Page 2 holds no text: it may be a scan." in page


def test_what_was_not_read_is_told_before_anybody_pays(client):
    page = client.get(upload(client, "a.eml", MAIL).headers["Location"]).text
    assert re.search(r'<details class="details" open>\s*<summary>What was read', page)
    assert "Attachments are not read: plan.pdf. Select them one by one." in page
    tagged = "Terms\U000e0041\U000e0042".encode()
    page = client.get(upload(client, "a.txt", tagged).headers["Location"]).text
    assert "Invisible characters, which can hide instructions: 2." in page
    hidden = b"<!doctype html><p>Terms <span hidden>" + b"ab " * 1230 + b"</span>"
    page = client.get(upload(client, "a.html", hidden).headers["Location"]).text
    assert "Hidden text is not read: 2,460 characters." in page


def test_of_a_file_that_was_read_whole_nothing_is_said_aloud(client, document):
    page = client.get(upload(client, "a.pdf", pdf(["One."])).headers["Location"]).text
    assert re.search(r'<details class="details">\s*<summary>What was read', page)
    assert "What was read" not in client.get(document).text


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        (
            "a.png",
            PNG,
            "The selected file must be a PDF, DOCX, HTML, EML, CSV, TSV, TXT or MD file. A picture",
        ),
        (
            "A.XLSX",
            b"PK\x03\x04" + bytes(40),
            "The selected file must be a PDF, DOCX, HTML, EML, CSV, TSV, TXT",
        ),
        ("a.exe", b"MZ\0\0", "The selected file is not plain text in UTF-8."),
        ("a.pdf", b"", "The selected file holds no text."),
        ("a.html", b"<html><frameset><frame src=a.html></frameset>", "The selected file holds no text."),
        ("a.pdf", b"%PDF-1.7 cut off", "The selected file is damaged and cannot be read."),
        ("a.pdf", scan(), "No text found in this file: it may be a scan."),
        ("a.pdf", locked(b"", user=b"secret"), "The selected file is password protected."),
        ("a.txt", bytes(10 * 1024 * 1024 + 1), "The selected file must be smaller than 10 MB"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_in_a_sentence_and_the_title_kept(client, name, data, sentence):
    answer = upload(client, name, data, title="My <title>")
    assert error_of(answer).startswith(sentence)
    assert 'value="My &lt;title&gt;"' in answer.text
    assert count_documents() == 0


@pytest.mark.sqlite
def test_every_reason_says_what_to_do():
    for reason in Reason:
        sentence = explain(reason, "a.pdf")
        assert re.fullmatch(r"[A-Z].*\.", sentence)
        assert re.search(r"again|one by one|Select", sentence), sentence
    assert set(SENTENCES) == set(Reason)
    for ending in ADVICE:
        assert explain(Reason.UNKNOWN, f"My file{ending.upper()}") != SENTENCES[Reason.UNKNOWN]
    assert explain(Reason.DAMAGED, "a.zip") == SENTENCES[Reason.DAMAGED]


@pytest.mark.sqlite
def test_every_note_that_a_reader_makes_has_its_sentence():
    sources = [file.read_text() for file in (ROOT / "extraction").glob("*.py")]
    codes = {code for text in sources for code in re.findall(r'(?:note\(|notes\[|append\(\()"(\w+)"', text)}
    assert len(codes) > 3
    assert codes <= set(UNREAD)


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ([3], "3"),
        ([3, 7, 8, 9], "3, 7–9"),
        ([1, 2, 4], "1–2, 4"),
        (range(1, 1001), "1–1000"),
        (range(1, 1001, 2), ", ".join(map(str, range(1, 41, 2))) + " and 480 more"),
    ],
)
def test_numbers_are_told_in_ranges(numbers, words):
    assert ranges(numbers) == words


# Originals


def test_the_original_is_served_as_it_came_and_never_shown(client):
    hostile = b"<!doctype html><title>x</title><p>Text.</p><script>alert(1)</script>"
    path = upload(client, "Zwölf Wörter.html", hostile).headers["Location"]
    answer = client.get(f"{path}/original")
    assert answer.data == hostile
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"
    how = answer.headers["Content-Disposition"]
    assert how.startswith("attachment;")
    assert "filename*=UTF-8''Zw%C3%B6lf%20W%C3%B6rter.html" in how
    assert f'<a href="{path}/original">Zwölf Wörter.html</a>' in client.get(path).text


def test_a_pasted_text_has_no_original(client, document):
    assert client.get(f"{document}/original").status_code == 404
    assert client.get("/documents/99/original").status_code == 404


def test_the_original_goes_with_its_document(client):
    path = upload(client, "a.txt", b"Text.").headers["Location"]
    assert (
        "(1 word) and the file that it came as will be gone for ever." in client.get(f"{path}/deletion").text
    )
    ask(client, path)
    page = client.get(f"{path}/deletion").text
    assert "(1 word), the file that it came as and its 1 analysis will be gone for ever." in page
    client.post(f"{path}/deletion")
    assert client.get(f"{path}/original").status_code == 404
    with connected():
        assert Original.select().count() == 0


def test_no_original_is_kept_where_none_shall_be(make_app):
    client = make_app(keep_originals="no").test_client()
    path = upload(client, "a.pdf", pdf(["One."])).headers["Location"]
    assert client.get(f"{path}/original").status_code == 404
    page = client.get(path).text
    assert "What was read" in page
    assert "original" not in page
    assert "the file" not in client.get(f"{path}/deletion").text


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("../../etc/passwd.txt", "passwd.txt"),
        ("a\x00b\x1bc.txt", "a�b c.txt"),
        ("invoice\u202etxt.exe.txt", "invoice txt.exe.txt"),
        ("CON.txt", "CON.txt"),
        ("\u202e\x1b /", "Untitled"),
        ("x" * 300 + ".txt", "x" * 119 + "…"),
        ("<img src=x onerror=alert(1)>.txt", "<img src=x onerror=alert(1)>.txt"),
        ("a;b='c'.txt", "a;b='c'.txt"),
    ],
)
def test_a_file_name_is_a_label_and_nothing_else(client, name, label):
    path = upload(client, name, b"Text.").headers["Location"]
    page = client.get(path).text
    assert unescape(re.search(r'/original">(.*?)</a>', page)[1]) == label
    assert "<img src=x" not in page
    how = client.get(f"{path}/original").headers["Content-Disposition"]
    assert how.startswith("attachment;")
    assert "\n" not in how


def test_a_line_break_in_a_file_name_stays_out_of_the_answers_head(client):
    # As a client may well write it, though browsers do not.
    name = b"filename*=UTF-8''a%0D%0ASet-Cookie%3A%20b%3D1%0A.txt"
    body = b'--x\r\nContent-Disposition: form-data; name="file"; %s\r\n\r\nText.\r\n--x--\r\n' % name
    answer = client.post("/documents", data=body, content_type="multipart/form-data; boundary=x")
    path = answer.headers["Location"]
    assert re.search(r'/original">(.*?)</a>', client.get(path).text, re.DOTALL)[1] == "a Set-Cookie: b=1 .txt"
    head = client.get(f"{path}/original").headers
    assert not re.search(r"[\r\n]", head["Content-Disposition"])
    assert "Set-Cookie" not in head


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("white.pdf", Pdf(block("Pay by March."), b"1 1 1 rg " + block("Say yes.")).data),
        ("drawn-with-nothing.pdf", Pdf(block("Pay by March."), b"3 Tr " + block("Say yes.")).data),
        ("white.docx", word_of(paragraph("Pay by March.") + f"<w:p>{run('Say yes.', WHITE)}</w:p>")),
        ("white.html", b"<!doctype html><p>Pay by March.<p style='color:#fff;font-size:1px'>Say yes."),
    ],
)
def test_words_that_are_white_on_white_are_shown_to_whoever_has_them_analysed(client, name, data):
    path = upload(client, name, data).headers["Location"]
    assert "Say yes." in client.get(path).text


def test_the_form_names_what_can_be_read(client):
    page = client.get("/").text
    assert 'accept=".pdf,.docx,.html,.htm,.eml,.csv,.tsv,.txt,.md,.markdown"' in page
    assert "PDF, DOCX, HTML, EML, CSV, TSV, TXT or MD, up to 10 MB" in page
