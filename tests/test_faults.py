"""What goes wrong at a provider: how often it is asked, how it ends, what the person reads and can do."""

import re
from html import unescape

import gevent
import pytest
from gevent.event import AsyncResult, Event

from analyzer import Limits
from analyzer.runner import Runner
from tests.page import Page, events
from tests.person import ask, row, settle, stream

pytestmark = pytest.mark.both_modes

VENDORS = ["openai:gpt-6-sol", "anthropic:claude-sonnet-5-5"]
FOUR = {"text": "one two three four", "rate": 500}
CUT_OFF = FOUR | {"at": 2}

CONTINUE, AGAIN, SHORTEN = "Continue", "Try again", "Shorten the document"
KEPT = "What had come is kept."


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    monkeypatch.setattr(Runner, "PAUSES", (0.01, 0.01))


@pytest.fixture
def finish(client, document, provider):
    """Ask, watch to the end, and return what the person then sees."""

    def finish(model, **script):
        provider.script(**script)
        return Seen(client, ask(client, document, model=model))

    return finish


class Seen:
    """An analysis that was watched to its end: what the stream showed, its row, its page."""

    def __init__(self, client, analysis):
        self.path = analysis
        self.stream = stream(client, analysis).text
        self.page = Page(analysis)
        self.page.read(self.stream.encode())
        self.row = row(analysis)
        html = client.get(analysis).text
        section = re.search(r"<section id=\"analysis-.*?</section>", html, re.DOTALL)[0]
        note = re.search(r'<div class="note">(.*?)</div>\s*<details', section, re.DOTALL)
        self.note = unescape(" ".join(re.sub(r"<[^>]+>", " ", note[1]).split())) if note else ""
        self.steps = {step for step in (CONTINUE, AGAIN, SHORTEN) if f">{step}<" in section}
        self.html = html


def fault(name, script, error, sentence, steps, calls=1, status=None):
    began = script.get("at", 0) > 0
    status = status or ("incomplete" if began else "failed")
    case = (script, error, sentence, steps, calls, status)
    return pytest.param(*case, marks=pytest.mark.fault(name), id=f"{name} {script}")


OVERLOADED = "The AI service is overloaded."
SPENT = "The spending limit of the AI service is reached. Your document is saved."
REFUSED = "The AI service refused our key. Your document is saved. Ask whoever runs Precis"
BROKE_OFF = f"The AI service broke off before it was done. {KEPT}"


@pytest.mark.parametrize("model", VENDORS)
@pytest.mark.parametrize(
    ("script", "error", "sentence", "steps", "calls", "status"),
    [
        fault("key refused", {"status": 401}, "KeyRefused", REFUSED, set()),
        fault("key refused", {"status": 403}, "KeyRefused", REFUSED, set()),
        fault("rate limit", {"status": 429, "headers": {"Retry-After": "0"}}, "Busy", OVERLOADED, {AGAIN}, 3),
        fault(
            "rate limit", {"status": 429, "headers": {"Retry-After": "21"}}, "Busy", OVERLOADED, {AGAIN}, 1
        ),
        fault("spending limit", {"status": 402}, "OutOfCredit", SPENT, set()),
        *[
            fault("overloaded", {"status": status}, "Busy", OVERLOADED, {AGAIN}, 3)
            for status in (500, 502, 503, 529)
        ],
        fault("error event first", {"fault": "error_event", "at": 0}, "Busy", OVERLOADED, {AGAIN}, 3),
        fault(
            "error event later", CUT_OFF | {"fault": "error_event"}, "Broken", BROKE_OFF, {CONTINUE, AGAIN}
        ),
        *[
            fault("cut in the middle", CUT_OFF | {"fault": kind}, "Broken", BROKE_OFF, {CONTINUE, AGAIN})
            for kind in ("fin", "rst", "end")
        ],
        fault("cut in the middle", {"fault": "fin", "at": 0}, "Broken", "before its first word", {AGAIN}),
        fault("garbage", CUT_OFF | {"fault": "garbage"}, "Broken", BROKE_OFF, {CONTINUE, AGAIN}),
        fault("empty answer", {"text": ""}, "Empty", "The model returned no text.", {AGAIN}),
        fault(
            "empty answer", {"text": "", "stop": "length"}, "Empty", "The model returned no text.", {AGAIN}
        ),
        fault(
            "length limit", FOUR | {"stop": "length"}, "", "Cut at the length limit", {CONTINUE}, status="cut"
        ),
        fault("refusal", FOUR | {"stop": "refusal"}, "", "The model declined", set(), status="declined"),
        fault("model retired", {"status": 404}, "UnknownModel", "does not know this model", set()),
        fault("bad request", {"status": 400}, "BadRequest", "refused the request", set()),
        fault("too long", {"status": 413}, "TooLong", "Too long for this model", {SHORTEN}),
    ],
)
def test_each_fault_of_a_provider_has_its_own_ending(
    analyzer, finish, provider, caplog, model, script, error, sentence, steps, calls, status
):
    caplog.set_level("INFO")

    seen = finish(model, **script)

    assert (seen.row.status, seen.row.error) == (status, error)
    assert provider.calls == calls
    assert sentence in seen.note
    assert seen.steps == steps
    assert seen.row.text == "".join(["one", " two", " three", " four"][: script.get("at", 4)]) * bool(
        seen.row.words
    )
    assert seen.page.text == "".join(seen.row.text.split())
    settle(analyzer)
    ended = next(record for record in caplog.records if record.message == "ended")
    assert (ended.analysis, ended.status, ended.error) == (seen.row.id, status, error)
    # What the person can tell is what can be looked for.
    assert f"Reference {ended.reference}" in seen.note
    assert ended.provider_request_id == f"req_{calls}"
    assert ended.provider_request_id in seen.note
    assert ended.levelname == (
        "ERROR" if error in ("KeyRefused", "OutOfCredit") else "WARNING" if error else "INFO"
    )


def read_until(viewer, wanted):
    """Read a stream until something is in it; returns what was read."""
    told = b""
    while wanted not in told:
        told += next(viewer)
    return told


@pytest.mark.fault("rate limit")
@pytest.mark.parametrize("model", VENDORS)
def test_who_is_busy_is_asked_again_when_it_said_and_the_person_reads_so(
    analyzer, client, document, provider, monkeypatch, model
):
    paused, may_go_on = AsyncResult(), Event()

    def pause(seconds):
        paused.set(seconds)
        may_go_on.wait()

    monkeypatch.setattr(Runner, "pause", staticmethod(pause))
    provider.script(text="Here.", status=429, headers={"Retry-After": "7"}, times=1)
    analysis = ask(client, document, model=model)
    assert 7 <= paused.get(timeout=30) <= 7 * 1.25

    viewer = stream(client, analysis).response
    told = read_until(viewer, b"Busy, trying again")
    # Its time comes while the pause lasts, and says nothing new.
    analyzer._runners[row(analysis).id]._say_still_waiting()
    may_go_on.set()
    told += b"".join(viewer)
    assert b"Still waiting" not in told

    id = analysis.rsplit("/", 1)[-1]
    busy = re.search(r"Busy, trying again in ([789]) s\.", told.decode())
    assert busy
    texts = [event.data for event in events(told)]
    shown = next(
        i for i, data in enumerate(texts) if f'#wait-{id}" hx-swap="innerHTML"><p class="note">Busy' in data
    )
    assert 'hx-target="#status" hx-swap="textContent">Busy, trying again' in texts[shown]
    gone = next(
        i
        for i, data in enumerate(texts)
        if f'#wait-{id}" hx-swap="innerHTML"></hx-partial>' in data and i > shown
    )
    assert gone > shown
    assert row(analysis).text == "Here."
    assert provider.calls == 2


@pytest.mark.fault("rate limit")
def test_while_it_is_asked_again_nobody_reads_that_it_will_be(client, document, provider):
    provider.script(status=429, headers={"Retry-After": "0"}, times=1, before_text=60)
    analysis = ask(client, document)
    told, viewer = b"", stream(client, analysis).response
    while b"Busy, trying again" not in told:
        told += next(viewer)
    while b'innerHTML"></hx-partial>' not in told.partition(b"Busy, trying again")[2]:
        told += next(viewer)

    provider.wait(calls=2, open=1)
    client.post(f"{analysis}/cancellation")
    assert row(Seen(client, analysis).path).status == "stopped"


@pytest.mark.fault("spending limit")
@pytest.mark.parametrize(
    ("model", "script"),
    [
        (VENDORS[0], {"status": 429, "error": {"error": {"code": "insufficient_quota", "message": "quota"}}}),
        (VENDORS[0], {"status": 429, "error": {"error": {"code": "credit_balance_exhausted"}}}),
        (VENDORS[0], {"status": 403, "error": {"error": {"code": "spend_limit_reached"}}}),
        (VENDORS[1], {"status": 400, "error": {"error": {"message": "Your credit balance is too low"}}}),
        (VENDORS[1], {"status": 429, "error": {"error": {"type": "rate_limit_error"}}}),
    ],
)
def test_what_means_money_is_never_asked_again(finish, provider, model, script):
    seen = finish(model, **script)

    assert seen.row.error == "OutOfCredit"
    assert provider.calls == 1
    assert SPENT in seen.note


@pytest.mark.fault("unreachable")
@pytest.mark.parametrize("model", VENDORS)
def test_who_cannot_be_reached_is_asked_three_times(make_app, provider, caplog, model):
    closed = "http://127.0.0.1:1"
    client = make_app(openai_base_url=closed, anthropic_base_url=closed).test_client()
    document = client.post("/documents", data={"text": "Text."}).headers["Location"]

    seen = Seen(client, ask(client, document, model=model))

    settle(client.application.extensions["analyzer"])
    assert next(record for record in caplog.records if record.message == "ended").calls == 3
    assert (seen.row.status, seen.row.error) == ("failed", "Unreachable")
    assert "Could not reach the AI service." in seen.note
    assert seen.steps == {AGAIN}
    assert seen.stream.count("Could not reach the AI service, trying again") >= 1


SILENCES = [{"before_headers": 60}, {"before_text": 60}]


@pytest.mark.fault("no first token")
@pytest.mark.parametrize("model", VENDORS)
@pytest.mark.parametrize("silence", SILENCES, ids=str)
def test_who_says_nothing_is_asked_once_more_and_given_up(
    analyzer, client, document, provider, monkeypatch, model, silence
):
    may_go_on = Event()
    monkeypatch.setattr(Runner, "pause", staticmethod(lambda seconds: may_go_on.wait()))
    analyzer.limits = Limits(first_token=0.5, gap=60, total=60)
    provider.script(**silence)
    analysis = ask(client, document, model=model)
    read_until(stream(client, analysis).response, b"No answer came, trying again")
    may_go_on.set()

    seen = Seen(client, analysis)

    assert (seen.row.status, seen.row.error, seen.row.text) == ("failed", "Silent", "")
    assert provider.wait(cancels=2, open=0).calls == 2
    assert seen.steps == {AGAIN}


@pytest.mark.fault("no first token")
@pytest.mark.parametrize("silence", SILENCES, ids=str)
def test_who_waits_long_for_the_first_text_reads_so(client, document, provider, monkeypatch, silence):
    # A busy machine has asked by then.
    monkeypatch.setattr(Runner, "STILL_WAITING_SECONDS", 1)
    provider.script(**silence)
    analysis = ask(client, document)
    viewer = stream(client, analysis).response
    read_until(viewer, b'hx-target="#status" hx-swap="textContent">Still waiting')
    client.post(f"{analysis}/cancellation")
    assert b"event: done" in b"".join(viewer)


@pytest.mark.fault("no first token")
def test_text_that_comes_at_the_second_try_is_the_answer(analyzer, finish, provider):
    analyzer.limits = Limits(first_token=0.3, gap=60, total=60)

    seen = finish(VENDORS[0], text="Here.", fault="silence", at=0, times=1)

    assert (seen.row.status, seen.row.text) == ("complete", "Here.")
    assert provider.calls == 2


@pytest.mark.fault("empty answer")
def test_an_answer_of_blanks_is_empty(finish):
    seen = finish(VENDORS[0], text="\n\n ")

    assert (seen.row.status, seen.row.error) == ("failed", "Empty")


@pytest.mark.fault("no first token")
@pytest.mark.parametrize("model", VENDORS)
def test_a_model_that_thinks_is_waited_for_and_never_asked_twice(analyzer, finish, provider, model):
    analyzer.limits = Limits(first_token=0.3, gap=0.3, total=60)

    seen = finish(model, text="Here.", reasoning=30, rate=40)
    assert (seen.row.status, seen.row.text) == ("complete", "Here.")
    assert provider.calls == 1

    seen = finish(model, text="Here.", reasoning=5, rate=40, fault="silence", at=0)
    assert (seen.row.status, seen.row.error) == ("failed", "Silent")
    assert provider.calls == 2


@pytest.mark.fault("stall in the middle")
@pytest.mark.parametrize("model", VENDORS)
def test_who_falls_silent_is_never_asked_twice(analyzer, finish, provider, model):
    analyzer.limits = Limits(first_token=60, gap=0.3, total=60)

    seen = finish(model, **CUT_OFF, fault="silence")

    assert (seen.row.status, seen.row.error, seen.row.text) == ("incomplete", "Silent", "one two")
    assert provider.wait(open=0).calls == 1
    assert seen.steps == {CONTINUE, AGAIN}
    assert f"fell silent and was given up. {KEPT}" in seen.note


@pytest.mark.fault("answer without end")
def test_an_answer_that_takes_too_long_is_cut_off_and_not_called_silent(analyzer, finish, provider):
    analyzer.limits = Limits(first_token=60, gap=60, total=0.3)

    seen = finish(VENDORS[0], text="word " * 10_000, rate=100)

    assert (seen.row.status, seen.row.error) == ("incomplete", "OutOfTime")
    assert "took too long over this answer" in seen.note
    provider.wait(open=0)


@pytest.mark.fault("answer without end")
def test_a_server_that_ignores_the_limit_is_cut_off(make_app, provider):
    client = make_app(max_output_tokens=10).test_client()
    document = client.post("/documents", data={"text": "Text."}).headers["Location"]
    provider.script(text="word " * 2000, rate=2000)

    seen = Seen(client, ask(client, document))

    assert seen.row.status == "cut"
    assert 320 <= len(seen.row.text) < 5000
    provider.wait(open=0, cancels=1)


@pytest.mark.fault("too long")
def test_a_document_that_cannot_fit_costs_no_call(app, client, provider, monkeypatch):
    """The figures are those of the estimate and of the model's window."""
    monkeypatch.setattr(app.extensions["analyzer"].providers["openai"], "window", lambda model: 2_000)
    document = client.post("/documents", data={"text": "A word of five. " * 1000}).headers["Location"]

    seen = Seen(client, ask(client, document))

    assert (seen.row.status, seen.row.error) == ("failed", "TooLong")
    assert re.search(r"Too long for this model: about [45]k of 2k tokens\.", seen.note)
    assert seen.steps == {SHORTEN}
    assert provider.calls == 0


@pytest.mark.fault("too long")
def test_shortening_begins_with_the_long_text(client, document):
    page = client.get(f"/?shorten={document.rsplit('/', 1)[-1]}").text

    assert "Nobody may copy this.</textarea>" in page
    assert 'value="Terms of use"' in page
    for other in ("99", "x", "1" * 30, ""):
        assert "Nobody may copy this" not in client.get(f"/?shorten={other}").text


@pytest.mark.parametrize("model", VENDORS)
def test_stop_works_while_a_retry_is_waited_for(analyzer, client, document, provider, monkeypatch, model):
    paused = Event()

    def pause(seconds):
        paused.set()
        gevent.sleep(60)

    monkeypatch.setattr(Runner, "pause", staticmethod(pause))
    provider.script(status=503)
    analysis = ask(client, document, model=model)
    paused.wait()

    client.post(f"{analysis}/cancellation")

    seen = Seen(client, analysis)
    assert seen.row.status == "stopped"
    assert seen.steps == {AGAIN}
    assert provider.calls == 1
    # The one call was refused: nothing was spent.
    assert (seen.row.input_tokens, seen.row.price) == (None, None)


@pytest.mark.parametrize("model", VENDORS)
def test_trying_again_asks_the_same_and_keeps_what_failed(client, document, finish, provider, model):
    failed = finish(model, status=503)
    form = re.search(
        r'<form method="post" action="(/documents/[^"]+)" hx-post.*?</form>',
        failed.html.split('class="steps"')[1],
        re.DOTALL,
    )
    fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', form[0]))
    provider.script(text="Here.")

    again = client.post(form[1], data=fields).headers["Location"].removesuffix("/live")
    twice = client.post(form[1], data=fields).headers["Location"].removesuffix("/live")

    assert again == twice != failed.path
    seen = Seen(client, again)
    assert (seen.row.status, seen.row.model, seen.row.text) == ("complete", model, "Here.")
    assert row(failed.path).status == "failed"
    assert provider.calls == 3 + 1
