"""Stop: the call ends within a second and what had come is kept."""

import gevent
import pytest

from tests.page import Page
from tests.person import HTMX, Writer, ask, row, saved, stream

pytestmark = pytest.mark.both_modes


def watch_until(client, analysis, text):
    """Watch an analysis until its page shows a text, and leave; returns the page."""
    page = Page(analysis)
    received = b""
    with stream(client, analysis) as watching:
        for flush in watching.iter_encoded():
            received += flush
            page.read(received)
            if page.text == text:
                return page
    raise AssertionError(f"the page ended with {page.text!r}")


@pytest.mark.parametrize(("headers", "status"), [({}, 303), (HTMX, 204)])
def test_stop_closes_the_call_and_keeps_the_text(app, document, provider, headers, status):
    provider.script(text="One two three four", fault="silence", at=3)
    client = app.test_client()
    analysis = ask(client, document)
    viewer = gevent.spawn(lambda: stream(app.test_client(), analysis).data)
    page = watch_until(client, analysis, "Onetwothree")

    with gevent.Timeout(4):
        answer = client.post(f"{analysis}/cancellation", headers=headers)
        provider.wait(cancels=1, open=0)

    assert answer.status_code == status
    assert answer.headers.get("Location") == (None if status == 204 else analysis)
    page.read(viewer.get(timeout=30))
    assert page.done
    assert row(analysis).status == "stopped"
    assert row(analysis).text == "One two three"
    shown = saved(client, analysis).text
    assert 'data-status="stopped"' in shown
    assert "Stopped. Nothing more was asked for. What had come is kept." in shown
    assert provider.calls == 1


@pytest.mark.fault("usage missing")
@pytest.mark.parametrize("model", ["openai:gpt-6-sol", "anthropic:claude-sonnet-5-5"])
def test_what_was_used_until_the_stop_is_an_estimate(client, document, provider, model):
    provider.script(text="One two three four", fault="silence", at=3)
    analysis = ask(client, document, model=model)
    watch_until(client, analysis, "Onetwothree")
    client.post(f"{analysis}/cancellation")
    stream(client, analysis).get_data()
    ended = row(analysis)
    assert ended.usage_is_estimate
    assert ended.input_tokens > 50
    assert ended.output_tokens >= 3
    assert (
        f"<dd>about {ended.input_tokens} in / {ended.output_tokens} out</dd>" in saved(client, analysis).text
    )


def test_stop_before_the_first_word_keeps_nothing_and_says_so(client, document, provider):
    provider.script(before_headers=60)
    analysis = ask(client, document)
    provider.wait(calls=1)
    client.post(f"{analysis}/cancellation")
    provider.wait(cancels=1, open=0)
    stream(client, analysis).get_data()
    assert (row(analysis).status, row(analysis).text) == ("stopped", "")


def test_stopping_twice_is_stopping_once(client, document, provider):
    provider.script(fault="silence", at=1)
    analysis = ask(client, document)
    provider.wait(calls=1)
    for _ in range(3):
        assert client.post(f"{analysis}/cancellation").status_code == 303
    stream(client, analysis).get_data()
    assert client.post(f"{analysis}/cancellation").status_code == 303
    assert row(analysis).status == "stopped"
    assert provider.cancels == 1


def test_stop_after_the_end_changes_nothing(analyzer, client, document):
    path = Writer(analyzer, document).write("One.").end().path
    assert client.post(f"{path}/cancellation", headers=HTMX).status_code == 204
    assert row(path).status == "complete"


def test_one_that_waits_is_stopped_without_a_call(make_app, provider):
    provider.script(fault="silence", at=1)
    app = make_app(max_running=1)
    client = app.test_client()
    document = client.post("/documents", data={"text": "Text."}).headers["Location"]
    first, second = ask(client, document), ask(client, document)
    provider.wait(calls=1)
    viewer = gevent.spawn(lambda: stream(app.test_client(), second).data)
    gevent.idle()
    client.post(f"{second}/cancellation")
    page = Page(second)
    page.read(viewer.get(timeout=30))
    assert page.done
    assert row(second).status == "stopped"
    client.post(f"{first}/cancellation")
    stream(client, first).get_data()
    assert provider.calls == 1


def test_what_is_not_there_cannot_be_stopped(client):
    assert client.post("/analyses/99/cancellation").status_code == 404
    assert client.post("/analyses/99/cancellation", headers=HTMX).status_code == 404


def test_reading_the_address_of_stop_stops_nothing(analyzer, client, document):
    path = Writer(analyzer, document).path
    assert client.get(f"{path}/cancellation").status_code == 405
    assert row(path).status == "running"
