"""Continue: a new analysis that begins with the old one's text, one call for one click."""

import re

import gevent
import pytest

from analyzer.runner import Runner
from models import Analysis, Piece, Status
from storage import connected
from tests.page import Page
from tests.person import HTMX, ask, finished, row, settle, stream

pytestmark = pytest.mark.both_modes

VENDORS = ["openai:gpt-6-sol", "anthropic:claude-sonnet-5-5"]


def go_on(client, analysis, key="a key", headers=None):
    """Press Continue; returns the answer."""
    return client.post(f"{analysis}/continuation", data={"request_key": key}, headers=headers)


def continued(client, analysis, **fields):
    """Press Continue and watch to the end; returns the new analysis' path."""
    answer = go_on(client, analysis, **fields)
    assert answer.status_code == 303, answer.text
    new = answer.headers["Location"].removesuffix("/live")
    stream(client, new).get_data()
    return new


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    monkeypatch.setattr(Runner, "PAUSES", (0.01, 0.01))


@pytest.fixture
def broken_off(client, document, provider):
    """An analysis whose provider hung up in the middle."""
    provider.script(text="One two. Three four.", at=2, fault="fin")
    return finished(client, document)


@pytest.mark.fault("cut in the middle")
@pytest.mark.parametrize("model", VENDORS)
def test_the_new_one_begins_with_the_old_text_and_the_old_one_stays(client, document, provider, model):
    provider.script(text="One two. Three four.", at=2, fault="fin")
    old = finished(client, document, model=model)
    before = row(old)
    provider.script(text=" Three four.")

    new = continued(client, old)

    assert (row(new).status, row(new).text) == ("complete", "One two. Three four.")
    assert (row(new).model, row(new).recipe) == (model, "brief")
    assert (row(new).joins_at, row(new).continues_id) == (len("One two."), before.id)
    assert {name: getattr(row(old), name) for name in ("status", "text", "ended_at", "price")} == {
        name: getattr(before, name) for name in ("status", "text", "ended_at", "price")
    }
    assert provider.calls == 2
    body = str(provider.requests[-1]["body"])
    assert "'assistant'" in body
    assert "One two." in body
    assert "Nobody may copy this." in body


@pytest.mark.parametrize("status", [Status.CUT, Status.INCOMPLETE, Status.INTERRUPTED])
def test_what_broke_off_offers_it_where_it_is_read(client, document, provider, status):
    analysis = finished(client, document)
    with connected():
        Analysis.update(status=status).where(Analysis.id == row(analysis).id).execute()

    for address in (analysis, f"{analysis}/live"):
        page = client.get(address).text
        assert f'action="{analysis}/continuation"' in page
        assert re.search(r'name="request_key" value="[\w-]{24}"', page)
    provider.script(text=" More.")
    assert row(continued(client, analysis)).status == "complete"


@pytest.mark.parametrize("status", [Status.COMPLETE, Status.STOPPED, Status.DECLINED, Status.RUNNING])
def test_what_did_not_break_off_cannot_be_continued(client, document, provider, status):
    analysis = finished(client, document)
    with connected():
        Analysis.update(status=status).where(Analysis.id == row(analysis).id).execute()

    answer = go_on(client, analysis)

    assert answer.status_code == 409
    assert "There is nothing to continue" in answer.text
    assert provider.calls == 1


def test_what_broke_off_before_its_first_word_can_only_be_tried_again(client, document, provider):
    provider.script(at=0, fault="fin")
    analysis = finished(client, document)

    assert ">Continue<" not in client.get(analysis).text
    assert go_on(client, analysis).status_code == 409


@pytest.mark.fault("sent twice")
def test_a_double_click_is_one_call(client, broken_off, provider):
    provider.script(text=" More.", fault="silence", at=1)
    answers = gevent.joinall(
        [gevent.spawn(go_on, client.application.test_client(), broken_off) for _ in range(20)]
    )
    addresses = {job.get().headers["Location"] for job in answers}

    assert len(addresses) == 1
    # The second press of a double click may come with the key of a page that was loaded meanwhile.
    assert go_on(client, broken_off, "another key").headers["Location"] in addresses
    provider.wait(calls=2)
    client.post(addresses.pop().replace("/live", "/cancellation"))
    provider.wait(open=0)
    assert provider.calls == 2


def test_asking_afresh_while_it_is_continued_is_another_analysis(client, broken_off, document, provider):
    provider.script(text=" More.", fault="silence", at=0)
    continuing = go_on(client, broken_off).headers["Location"].removesuffix("/live")

    fresh = ask(client, document, request_key="another key")

    assert fresh != continuing
    assert (row(fresh).joins_at, row(continuing).joins_at) == (None, len("One two."))
    assert go_on(client, broken_off, "a third key").headers["Location"] == f"{continuing}/live"
    provider.wait(calls=3)


def test_continuing_again_after_its_end_is_a_new_call(client, broken_off, provider):
    provider.script(text=" More.")

    first = continued(client, broken_off, key="first")
    second = continued(client, broken_off, key="second")

    assert first != second
    assert provider.calls == 3


def test_a_continuation_that_breaks_off_is_continued_in_turn(client, broken_off, provider):
    provider.script(text=" Three four. Five.", at=1, fault="fin")
    second = continued(client, broken_off)
    assert (row(second).status, row(second).text) == ("incomplete", "One two. Three")
    provider.script(text=" four. Five.")

    third = continued(client, second, key="again")

    assert row(third).text == "One two. Three four. Five."


def test_one_that_finds_nothing_to_add_is_complete(client, broken_off, provider):
    provider.script(text="")

    new = continued(client, broken_off)

    assert (row(new).status, row(new).text, row(new).error) == ("complete", "One two.", "")


@pytest.mark.parametrize("fault", [{"status": 503}, {"at": 0, "fault": "fin"}])
def test_one_that_fails_keeps_the_old_text_and_can_be_tried_again(client, broken_off, provider, fault):
    provider.script(**fault)
    failed = continued(client, broken_off)
    assert (row(failed).status, row(failed).text) == ("failed", "One two.")
    provider.script(text=" Three.")

    assert ">Continue<" in client.get(failed).text
    assert "What had come is kept." in client.get(failed).text
    assert row(continued(client, failed, key="again")).text == "One two. Three."


def test_one_that_can_only_fail_again_offers_nothing_of_the_kind(client, broken_off, provider):
    provider.script(status=401)
    failed = continued(client, broken_off)

    assert ">Continue<" not in client.get(failed).text
    assert ">Try again<" not in client.get(failed).text


def test_what_is_deleted_while_it_is_to_be_continued_is_not_found(client, broken_off, provider, monkeypatch):
    ask_for = Analysis.ask.__func__

    def ask_too_late(cls, *arguments, **named):
        with connected():
            Analysis.delete().where(Analysis.id == named["continues"].id).execute()
        return ask_for(cls, *arguments, **named)

    monkeypatch.setattr(Analysis, "ask", classmethod(ask_too_late))

    assert go_on(client, broken_off).status_code == 404
    assert provider.calls == 1


def test_htmx_gets_the_section_with_the_old_text_in_it(client, broken_off, provider):
    provider.script(text=" Three.", before_text=0.2)

    answer = go_on(client, broken_off, headers=HTMX)

    assert answer.status_code == 200
    new = answer.headers["HX-Push-Url"]
    assert "One two." in answer.text
    assert f'continues <a href="{broken_off}">an earlier one</a>' in answer.text
    page = Page(new)
    page.read(stream(client, new).data)
    assert page.text == "Onetwo.Three."


def test_it_is_counted_like_any_other_call(make_app, provider):
    client = make_app(analyze_limit="1 per minute").test_client()
    document = client.post("/documents", data={"text": "Text."}).headers["Location"]
    provider.script(text="One two. Three four.", at=2, fault="fin")
    analysis = finished(client, document)

    for headers in ({}, HTMX):
        answer = go_on(client, analysis, headers=headers)
        assert answer.status_code == 429
        assert "Wait" in answer.text
        assert int(answer.headers["Retry-After"]) > 0
    assert provider.calls == 1


def test_one_that_waits_its_turn_shows_the_old_text_and_then_goes_on(
    analyzer, client, broken_off, document, provider
):
    settle(analyzer)
    analyzer.max_running = 1
    provider.script(fault="silence", at=1)
    running = ask(client, document)
    provider.wait(calls=2)
    new = go_on(client, broken_off).headers["Location"].removesuffix("/live")
    assert row(new).status == "waiting"
    assert client.get(f"{new}.md").text == "One two."
    provider.script(text=" Three.")

    client.post(f"{running}/cancellation")

    stream(client, new).get_data()
    assert (row(new).status, row(new).text) == ("complete", "One two. Three.")


def test_one_that_waited_through_a_restart_still_begins_with_the_old_text(
    analyzer, make_app, client, broken_off, document, provider
):
    settle(analyzer)
    analyzer.max_running = 0
    new = go_on(client, broken_off).headers["Location"].removesuffix("/live")
    provider.script(text=" Three.")

    client = make_app().test_client()

    stream(client, new).get_data()
    assert (row(new).status, row(new).text) == ("complete", "One two. Three.")


def test_the_first_words_of_a_continuation_are_its_own(client, broken_off, provider):
    """Not the old ones: the time to the first words is that of the new call."""
    provider.script(text=" Three.", before_text=0.1)
    new = go_on(client, broken_off).headers["Location"].removesuffix("/live")
    assert row(new).first_text_at is None
    stream(client, new).get_data()
    assert row(new).first_text_at > row(new).started_at


def test_the_offline_analyst_goes_on_where_it_was_cut(make_app):
    text = "\n\n".join(f"Party {n} shall pay {n}00 EUR by {n} March 2027." for n in range(1, 20))
    client = make_app(max_output_tokens=60).test_client()
    document = client.post("/documents", data={"text": text}).headers["Location"]
    analysis = finished(client, document, model="offline:extractive")
    assert row(analysis).status == "cut"
    parts = 1
    while row(analysis).status == "cut" and parts < 40:
        shorter = row(analysis).text
        analysis = continued(client, analysis, key=f"part {parts}")
        assert row(analysis).text.startswith(shorter)
        parts += 1

    client = make_app(max_output_tokens=4096).test_client()
    whole = finished(client, document, model="offline:extractive")
    assert parts > 2
    assert row(analysis).text == row(whole).text


def test_the_old_one_can_be_deleted(client, broken_off, provider):
    provider.script(text=" Three.")
    new = continued(client, broken_off)

    assert client.post(f"{broken_off}/deletion").status_code == 303

    assert (row(new).text, row(new).continues_id) == ("One two. Three.", None)
    assert "an earlier one" not in client.get(new).text


def test_without_what_it_was_asked_with_it_says_so(analyzer, client, broken_off, provider):
    analyzer.models = ("offline:extractive",)

    answer = go_on(client, broken_off)

    assert answer.status_code == 409
    assert "no longer on offer" in answer.text
    assert ">Continue<" not in client.get(broken_off).text


def test_one_that_is_stopped_while_it_waits_keeps_the_old_text(analyzer, client, broken_off, provider):
    settle(analyzer)
    analyzer.max_running = 0
    new = go_on(client, broken_off).headers["Location"].removesuffix("/live")

    client.post(f"{new}/cancellation")

    assert (row(new).status, row(new).text, row(new).words) == ("stopped", "One two.", 2)
    assert "One two." in client.get(new).text
    with connected():
        assert Piece.select().count() == 0
    assert provider.calls == 1


def test_a_key_that_no_form_of_ours_has_is_refused(client, broken_off, provider):
    answer = go_on(client, broken_off, "k" * 65)
    assert answer.status_code == 422
    assert "This form is not ours." in answer.text
    assert provider.calls == 1


def test_a_key_with_what_cannot_be_stored_is_a_key(client, broken_off, provider):
    places = {go_on(client, broken_off, "a\0b").headers["Location"] for _ in range(2)}
    assert len(places) == 1
    assert provider.wait(calls=2).calls == 2


def test_an_unknown_one_is_not_found(client):
    assert go_on(client, "/analyses/99").status_code == 404
