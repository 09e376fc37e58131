"""Asking for an analysis: the one request that costs money."""

import re

import gevent
import pytest

from models import Analysis
from storage import connected
from tests.page import PARTIAL as PARTIALS
from tests.person import HTMX, ask, finished, post_analysis, stream

pytestmark = pytest.mark.both_modes

KEY = re.compile(r'name="request_key" value="([^"]+)"')


def count_analyses():
    with connected():
        return Analysis.select().count()


def test_without_a_script_the_answer_is_the_live_page(client, document):
    answer = post_analysis(client, document)
    assert answer.status_code == 303
    assert re.fullmatch(r"/analyses/\d+/live", answer.headers["Location"])


def test_htmx_gets_the_partial_the_address_and_a_new_key(client, document):
    shown_key = KEY.search(client.get(document).text)[1]
    answer = post_analysis(client, document, HTMX, request_key=shown_key)
    assert answer.status_code == 200
    path = answer.headers["HX-Push-Url"]
    id = path.rsplit("/", 1)[-1]
    assert path == f"/analyses/{id}"
    assert f'<section id="analysis-{id}" class="analysis" data-status="running"' in answer.text
    assert f'hx-sse:connect="/analyses/{id}/stream"' in answer.text
    assert "<html" not in answer.text
    targets = {target: html for target, _, html in PARTIALS.findall(answer.text)}
    assert targets["#form-error"] == ""
    assert targets["#status"] == "Analysing"
    assert KEY.search(targets["#request-key"])[1] != shown_key


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"recipe": "poem"}, "Choose what you want to know"),
        ({"recipe": "../brief"}, "Choose what you want to know"),
        ({"model": "openai:gpt-1"}, "Choose a model from the list"),
        ({"model": "anthropic"}, "Choose a model from the list"),
        ({"recipe": "question"}, "Enter a question."),
        ({"recipe": "question", "question": " \n\t "}, "Enter a question."),
        ({"recipe": "question", "question": "x" * 2001}, "Shorten the question to 2,000 characters"),
        ({"request_key": "x" * 65}, "This form is not ours."),
    ],
)  # fmt: skip
def test_a_form_that_cannot_be_followed_says_why_in_place(client, document, provider, fields, sentence):
    answer = post_analysis(client, document, HTMX, **fields)
    assert answer.status_code == 422
    assert answer.text.startswith(sentence)
    assert "<" not in answer.text

    answer = post_analysis(client, document, **fields)
    assert answer.status_code == 422
    assert "<title>Error: " in answer.text
    assert f'tabindex="-1" autofocus>{sentence}' in answer.text
    if fields.get("question", "").strip():
        assert f'value="{fields["question"]}"' in answer.text
    assert answer.text.count("autofocus") == 1
    assert count_analyses() == 0
    assert provider.calls == 0


@pytest.mark.parametrize("missing", ["recipe", "model"])
def test_a_missing_field_is_asked_for_and_starts_nothing(client, document, provider, missing):
    form = {"recipe": "brief", "model": "openai:gpt-6-sol"}
    del form[missing]

    answer = client.post(f"{document}/analyses", data=form)

    assert answer.status_code == 422
    assert "from the list" in answer.text
    assert provider.state()["calls"] == 0


def test_a_request_key_with_what_cannot_be_stored_is_a_key(client, document, provider):
    asked = [ask(client, document, request_key="a\0b") for _ in range(2)]
    assert asked[0] == asked[1]
    assert provider.wait(calls=1).calls == 1


def test_a_plain_page_with_an_error_keeps_what_was_chosen(client, document):
    chosen = {"recipe": "question", "model": "offline:extractive", "question": "", "request_key": "k-1"}
    page = post_analysis(client, document, **chosen).text
    assert re.search(r'value="question"[^>]* checked', page)
    assert re.search(r'value="offline:extractive" selected', page)
    assert KEY.search(page)[1] == "k-1"


def test_a_question_reaches_the_model_and_the_page(client, document, provider):
    analysis = finished(client, document, recipe="question", question=" Who <pays>? ")
    assert "Who <pays>?" in str(provider.requests[0]["body"])
    assert '<p class="question">Who &lt;pays&gt;?</p>' in client.get(analysis).text


def test_an_unknown_document_is_404_and_costs_nothing(client, provider):
    assert post_analysis(client, "/documents/99").status_code == 404
    assert provider.calls == 0


def test_a_repeated_key_shows_what_it_made_while_that_runs_and_after(client, document, provider):
    provider.script(fault="silence", at=2)
    first = ask(client, document, request_key="k")
    provider.wait(calls=1)
    assert ask(client, document, request_key="k") == first
    answer = post_analysis(client, document, HTMX, request_key="k")
    assert answer.headers["HX-Push-Url"] == first
    client.post(f"{first}/cancellation")
    stream(client, first).get_data()
    assert ask(client, document, request_key="k") == first
    assert 'data-status="stopped"' in post_analysis(client, document, HTMX, request_key="k").text
    assert provider.calls == 1


def test_without_a_key_each_submit_is_a_new_analysis(client, document, provider):
    assert ask(client, document) != ask(client, document) != ask(client, document, request_key="")
    provider.wait(calls=3)


def test_fifty_submits_of_one_form_at_once_make_one_analysis(app, document, provider):
    posts = [
        gevent.spawn(lambda: ask(app.test_client(), document, request_key="double click")) for _ in range(50)
    ]
    places = {post.get() for post in gevent.joinall(posts, raise_error=True)}
    assert len(places) == 1
    assert count_analyses() == 1
    stream(app.test_client(), places.pop()).get_data()
    provider.wait(calls=1, open=0)
    assert provider.calls == 1


def test_watching_and_reading_never_call_the_provider_again(client, document, provider):
    analysis = finished(client, document)
    for path in (document, analysis, f"{analysis}/stream", f"{analysis}/live", f"{analysis}.md") * 3:
        assert client.get(path).status_code == 200
    assert provider.calls == 1
