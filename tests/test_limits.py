"""How often a person may start an analysis, and how many run at a time."""

import re
import time
from collections import Counter
from html import unescape

import gevent
import pytest

from tests.page import Page
from tests.person import HTMX, as_person, ask, bring, held, post_analysis, row, stream

pytestmark = pytest.mark.both_modes


@pytest.fixture
def client(make_app):
    """A person who may start five analyses per minute."""
    return make_app(analyze_limit="5 per minute").test_client()


def use_up(client, document):
    for _ in range(5):
        assert post_analysis(client, document).status_code == 303


def test_the_sixth_in_a_minute_is_refused_and_not_made(client, document, provider):
    use_up(client, document)
    answer = post_analysis(client, document)
    assert answer.status_code == 429
    provider.wait(calls=5, open=0)
    assert provider.calls == 5


def test_htmx_is_told_in_place(client, document):
    use_up(client, document)
    answer = post_analysis(client, document, HTMX)
    assert answer.status_code == 429
    begin, _, end = answer.text.partition("Wait ")
    assert begin == "You have started 5 analyses in a short time. "
    wait, _, end = end.partition(" ")
    wait = int(wait)
    assert end == "seconds, then try again. Nothing is lost."
    assert 0 < wait <= 61
    assert re.fullmatch(r"[1-9]\d?", answer.headers["Retry-After"])
    assert abs(int(answer.headers["Retry-After"]) - wait) <= 1


def test_the_plain_page_keeps_the_form_as_it_was_sent(client, document):
    use_up(client, document)
    chosen = {"recipe": "question", "question": "Who <pays>?", "request_key": "k-1"}
    answer = post_analysis(client, document, model="offline:extractive", **chosen)
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) > 0
    page = unescape(answer.text)
    assert "<title>Error: Terms of use" in page
    assert re.search(r'value="question"[^>]* checked', page)
    assert 'value="Who <pays>?"' in page
    assert 'value="offline:extractive" selected' in page
    assert 'name="request_key" value="k-1"' in page
    assert "You have started 5 analyses in a short time." in page


def test_the_window_moves(client, document, monkeypatch):
    real, ahead = time.time, 0.0
    monkeypatch.setattr(time, "time", lambda: real() + ahead)
    for _ in range(5):
        assert post_analysis(client, document).status_code == 303
        ahead += 10
    assert post_analysis(client, document).status_code == 429
    # The first of the five was 50 s ago: in 11 s there is room for one, and for one only.
    ahead += 11
    assert post_analysis(client, document).status_code == 303
    assert post_analysis(client, document).status_code == 429
    ahead += 61
    use_up(client, document)


def test_what_costs_nothing_is_not_counted(client, document):
    analysis = ask(client, document, request_key="k")
    for _ in range(6):
        assert client.get(document).status_code == 200
        stream(client, analysis).get_data()
        assert client.post(f"{analysis}/cancellation").status_code == 303
        assert post_analysis(client, document, recipe="poem").status_code == 422
        assert post_analysis(client, "/documents/99").status_code == 404
        assert post_analysis(client, document, {"Sec-Fetch-Site": "cross-site"}).status_code == 403
        assert ask(client, document, request_key="k") == analysis
    for _ in range(4):
        assert post_analysis(client, document).status_code == 303
    assert post_analysis(client, document).status_code == 429


def test_a_repeated_key_is_shown_beyond_the_limit(client, document, provider):
    analysis = ask(client, document, request_key="k")
    for _ in range(4):
        post_analysis(client, document)
    assert post_analysis(client, document).status_code == 429
    assert ask(client, document, request_key="k") == analysis
    assert post_analysis(client, document, HTMX, request_key="k").headers["HX-Push-Url"] == analysis


def test_each_address_has_its_own_count(client, document):
    use_up(client, document)
    data = {"recipe": "brief", "model": "openai:gpt-6-sol"}
    other = client.post(f"{document}/analyses", data=data, environ_base={"REMOTE_ADDR": "10.0.0.9"})
    assert other.status_code == 303
    # Nobody gets a new count by saying that they come from elsewhere.
    assert post_analysis(client, document, {"X-Forwarded-For": "10.0.0.10"}).status_code == 429


def test_where_people_sign_in_each_has_their_own_count_whatever_else_they_send(make_app):
    app = make_app(auth="proxy", analyze_limit="1 per minute")
    anna, ben = as_person(app, "anna"), as_person(app, "ben")
    documents = {client: bring(client, "Terms.") for client in (anna, ben)}
    for client in (anna, ben):
        assert post_analysis(client, documents[client]).status_code == 303
    for headers in (
        {},
        {"Authorization": "Bearer x"},
        {"Cookie": "precis=x"},
        {"X-Forwarded-For": "192.0.2.7"},
    ):
        assert post_analysis(anna, documents[anna], headers, recipe="risks").status_code == 429, headers
    elsewhere = as_person(app, "ANNA")
    elsewhere.environ_base["REMOTE_ADDR"] = "::1"
    assert post_analysis(elsewhere, documents[anna], recipe="risks").status_code == 429


def test_behind_a_trusted_proxy_the_last_address_counts(make_app, document):
    client = make_app(analyze_limit="1 per minute", trusted_proxies=1).test_client()
    document = client.post("/documents", data={"text": "Text."}).headers["Location"]
    assert post_analysis(client, document, {"X-Forwarded-For": "10.0.0.1"}).status_code == 303
    assert post_analysis(client, document, {"X-Forwarded-For": "6.6.6.6, 10.0.0.1"}).status_code == 429
    assert post_analysis(client, document, {"X-Forwarded-For": "10.0.0.2"}).status_code == 303


def test_an_empty_limit_is_none(make_app):
    client = make_app(analyze_limit="").test_client()
    document = client.post("/documents", data={"text": "Text."}).headers["Location"]
    for _ in range(30):
        assert post_analysis(client, document, model="offline:extractive").status_code == 303


def test_beyond_the_cap_on_running_an_analysis_waits_says_so_and_starts_by_itself(make_app, provider):
    provider.script(fault="silence", at=1)
    client = make_app(max_running=1).test_client()
    document = client.post("/documents", data={"text": "Text."}).headers["Location"]
    first = ask(client, document)
    provider.wait(calls=1)
    answer = post_analysis(client, document, HTMX, model="anthropic:claude-sonnet-5-5")
    second = answer.headers["HX-Push-Url"]
    assert 'data-status="waiting"' in answer.text
    assert "Others are running: it waits its turn and starts by itself." in answer.text
    assert ">Waiting</span>" in answer.text
    provider.script(text="Second.")
    client.post(f"{first}/cancellation")

    page = Page(second)
    received = stream(client, second).data
    page.read(received)
    assert page.text == "Second."
    id = second.rsplit("/", 1)[-1]
    assert f'hx-target="#wait-{id}" hx-swap="innerHTML"></hx-partial>' in received.decode()
    assert f'hx-target="#tag-{id}" hx-swap="textContent">Analysing<' in received.decode()
    assert row(second).status == "complete"
    assert provider.calls == 2


def test_no_more_than_the_cap_ever_run(make_app, provider):
    provider.script(text="One two three.", rate=200)
    client = make_app(max_running=3).test_client()
    document = client.post("/documents", data={"text": "Text."}).headers["Location"]
    asked = [ask(client, document) for _ in range(12)]
    most = 0
    for analysis in asked:
        most = max(most, provider.open)
        stream(client, analysis).get_data()
        most = max(most, provider.open)
    assert most <= 3
    assert [row(analysis).status for analysis in asked] == ["complete"] * 12
    assert provider.calls == 12


def test_many_at_once_do_not_pass_the_limit_while_the_database_is_locked(client, document, provider):
    with held() as are_waiting:
        posts = [gevent.spawn(post_analysis, client.application.test_client(), document) for _ in range(20)]
        are_waiting(5)

    answers = Counter(post.get().status_code for post in posts)

    assert answers == {303: 5, 429: 15}
    provider.wait(calls=5, open=0)
    assert provider.calls == 5
