"""Deletions: asked on a page of their own, and done also while an answer is written."""

import gevent
import pytest

from models import Analysis, Document, Piece
from storage import connected
from tests.page import Page
from tests.person import Writer, ask, row, saved, stream

pytestmark = pytest.mark.both_modes


def counts():
    with connected():
        return Document.select().count(), Analysis.select().count(), Piece.select().count()


def test_a_document_goes_with_its_analyses_and_nothing_else(analyzer, client, document):
    other = client.post("/documents", data={"text": "Other."}).headers["Location"]
    Writer(analyzer, document).write("One.").end()
    Writer(analyzer, other).write("Two.").end()
    page = client.get(f"{document}/deletion").text
    assert "“Terms of use” (17 words) and its 1 analysis will be gone for ever." in page
    answer = client.post(f"{document}/deletion")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    assert client.get(document).status_code == 404
    assert client.get(other).status_code == 200
    assert counts() == (1, 1, 0)


def test_an_analysis_goes_and_its_document_stays(analyzer, client, document):
    writer = Writer(analyzer, document).write("One two.").end()
    page = client.get(f"{writer.path}/deletion").text
    assert "“Brief” of “Terms of use”, 2 words, will be gone for ever. The document stays." in page
    answer = client.post(f"{writer.path}/deletion")
    assert (answer.status_code, answer.headers["Location"]) == (303, document)
    assert row(writer.path) is None
    assert counts() == (1, 0, 0)


@pytest.mark.parametrize("what", ["analysis", "document"])
def test_asking_deletes_nothing_and_warns_of_one_that_runs(analyzer, client, document, what):
    writer = Writer(analyzer, document).write("One.")
    path = document if what == "document" else writer.path
    assert "being written: it will be stopped." in client.get(f"{path}/deletion").text
    assert counts() == (1, 1, 1)


@pytest.mark.fault("deleted meanwhile")
@pytest.mark.parametrize("what", ["analysis", "document"])
def test_deleting_while_it_streams_ends_the_call_and_tells_the_viewers(app, document, provider, what):
    provider.script(fault="silence", at=3)
    client = app.test_client()
    analysis = ask(client, document)
    provider.wait(calls=1, open=1)
    viewers = [
        gevent.spawn(lambda: stream(app.test_client(), analysis, HX_Request="true").data) for _ in range(4)
    ]
    live = gevent.spawn(lambda: app.test_client().get(f"{analysis}/live").text)
    gevent.idle()

    assert client.post(f"{document if what == 'document' else analysis}/deletion").status_code == 303

    provider.wait(cancels=1, open=0)
    for viewer in gevent.joinall(viewers, timeout=30, raise_error=True):
        page = Page(analysis)
        page.read(viewer.value)
        assert page.done
    assert live.get(timeout=30).rstrip().endswith("</html>")
    assert row(analysis) is None
    assert counts() == (0 if what == "document" else 1, 0, 0)
    assert "This analysis was deleted" in saved(client, analysis).text
    assert provider.calls == 1


def test_a_document_with_several_running_analyses_ends_them_all(client, document, provider):
    provider.script(fault="silence", at=1)
    for model in ("openai:gpt-6-sol", "anthropic:claude-sonnet-5-5", "openai:gpt-6-sol"):
        ask(client, document, model=model)
    provider.wait(calls=3, open=3)
    client.post(f"{document}/deletion")
    provider.wait(cancels=3, open=0)
    assert counts() == (0, 0, 0)


def test_deleting_one_that_waits_makes_room_for_the_next(make_app, provider):
    provider.script(fault="silence", at=1)
    client = make_app(max_running=1).test_client()
    document = client.post("/documents", data={"text": "Text."}).headers["Location"]
    first, second = ask(client, document), ask(client, document)
    third = ask(client, document, model="anthropic:claude-sonnet-5-5")
    provider.wait(calls=1)
    client.post(f"{second}/deletion")
    provider.script(text="Third.")
    client.post(f"{first}/deletion")
    stream(client, third).get_data()
    assert row(third).status == "complete"
    assert provider.calls == 2


@pytest.mark.parametrize("path", ["/documents/99/deletion", "/analyses/99/deletion"])
def test_what_is_not_there_cannot_be_deleted(client, document, path):
    assert client.get(path).status_code == 404
    assert client.post(path).status_code == 404


def test_deleting_twice_is_404_the_second_time(analyzer, client, document):
    path = Writer(analyzer, document).write("One.").end().path
    assert client.post(f"{path}/deletion").status_code == 303
    assert client.post(f"{path}/deletion").status_code == 404


def test_an_id_is_never_given_out_twice(analyzer, client, document):
    first = Writer(analyzer, document).write("One.").end()
    client.post(f"{first.path}/deletion")
    assert Writer(analyzer, document).id > first.id
    client.post(f"{document}/deletion")
    assert client.post("/documents", data={"text": "New."}).headers["Location"] != document
