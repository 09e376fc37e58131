"""What a person reads when something cannot be done."""

import pytest
from peewee import OperationalError

from models import Document
from storage import StorageError, StorageFull, database
from tests.person import HTMX, Writer

pytestmark = pytest.mark.both_modes


def fail(error):
    def failing(*args, **kwargs):
        raise error

    return failing


def is_page(answer):
    return "<!doctype html>" in answer.text and '<a href="/">Go to your documents</a>' in answer.text


@pytest.mark.parametrize(
    ("method", "path", "status", "sentence"),
    [
        ("GET", "/nowhere", 404, "There is nothing at this address."),
        ("GET", "/documents/99", 404, "There is nothing at this address."),
        ("GET", "/documents", 405, "This address does not do that."),
        ("DELETE", "/", 405, "This address does not do that."),
        ("GET", "/static/nothing.css", 404, "There is nothing at this address."),
    ],
)
def test_an_error_is_a_page_and_to_htmx_a_sentence(client, method, path, status, sentence):
    answer = client.open(path, method=method)
    assert answer.status_code == status
    assert is_page(answer)
    assert sentence in answer.text
    answer = client.open(path, method=method, headers=HTMX)
    assert answer.status_code == status
    assert answer.text.startswith(sentence)
    assert "<" not in answer.text


def test_a_method_that_is_not_allowed_names_those_that_are(client):
    assert set(client.get("/documents").headers["Allow"].split(", ")) == {"OPTIONS", "POST"}


@pytest.mark.parametrize("headers", [{}, HTMX])
def test_a_fault_of_ours_shows_a_sentence_and_no_trace(client, monkeypatch, caplog, headers):
    monkeypatch.setattr(Document, "recent", fail(RuntimeError("a secret path")))
    answer = client.get("/", headers=headers)
    assert answer.status_code == 500
    assert "Something went wrong in Precis." in answer.text
    assert is_page(answer) is not bool(headers)
    for trace in ("Traceback", "RuntimeError", "a secret path", ".py"):
        assert trace not in answer.text
    assert "a secret path" in caplog.text


@pytest.mark.parametrize("error", [StorageError("disk is full"), OperationalError("database is locked")])
@pytest.mark.parametrize("headers", [{}, HTMX])
def test_storage_that_fails_is_503_and_says_so(client, monkeypatch, error, headers):
    monkeypatch.setattr(Document, "add", fail(error))
    answer = client.post("/documents", data={"text": "Text."}, headers=headers)
    assert answer.status_code == 503
    assert "Nothing can be saved or read at the moment." in answer.text
    assert "disk" not in answer.text
    assert is_page(answer) is not bool(headers)


@pytest.mark.fault("no room for a document")
@pytest.mark.fault("storage full")
@pytest.mark.parametrize("headers", [{}, HTMX])
def test_storage_that_is_full_is_503_and_says_that_reading_goes_on(client, monkeypatch, headers):
    monkeypatch.setattr(Document, "add", fail(StorageFull("database or disk is full")))
    answer = client.post("/documents", data={"text": "Text."}, headers=headers)
    assert answer.status_code == 503
    assert "Storage is full: nothing more can be saved." in answer.text
    assert is_page(answer) is not bool(headers)


@pytest.mark.fault("database gone")
def test_without_a_database_there_is_still_a_page(client, monkeypatch):
    monkeypatch.setattr(database.obj, "connect", fail(OperationalError("unable to open database file")))
    answer = client.get("/")
    assert answer.status_code == 503
    assert is_page(answer)


def test_an_error_while_an_analysis_is_shown_never_takes_its_place(analyzer, client, document):
    """What loads the saved partial and what streams both ignore an error's answer."""
    page = client.get(Writer(analyzer, document).path).text
    assert page.count('hx-status:4xx="swap:none" hx-status:5xx="swap:none"') == 2


def test_no_error_page_repeats_what_was_asked(client):
    for path in ("/<script>alert(1)</script>", "/documents/%3Cscript%3E", "/?q=<script>alert(1)</script>"):
        assert "<script>alert" not in client.get(path).text
