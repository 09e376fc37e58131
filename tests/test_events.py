"""Events: what is noted of who did what, where it is kept, and who may see it."""

import csv
import logging
import re
import sqlite3
from contextlib import closing
from decimal import Decimal

import gevent
import pytest

import metrics
from analyzer.readings import _Job
from models import Document, Event, Share, Sought, User, now
from storage import StorageFull, connected
from tests.openid import CLIENT, OpenID, sign_in
from tests.person import (
    HTMX,
    PARTIAL,
    as_person,
    ask,
    bring,
    finished,
    held,
    post_analysis,
    settle,
    stream,
)
from tests.precis import Precis
from tests.uploads import upload
from views.helpers import audit

pytestmark = pytest.mark.both_modes


@pytest.fixture
def app(make_app):
    return make_app(auth="proxy", admins=("root",))


@pytest.fixture
def anna(app):
    return as_person(app, "anna")


@pytest.fixture
def ben(app):
    return as_person(app, "ben")


@pytest.fixture
def root(app):
    return as_person(app, "root")


@pytest.fixture
def noted(app):
    """Return what is noted: name, action, document, analysis and detail of each event, the first first."""

    def look(**fields):
        app.extensions["trail"].save()
        with connected():
            rows = Event.select().filter(**fields).order_by(Event.id)
            return [(row.name, row.action, row.document_id, row.analysis_id, row.detail) for row in rows]

    return look


def id_of(path):
    return int(path.rsplit("/", 1)[-1])


@pytest.mark.sqlite
def test_every_address_is_noted_or_says_why_not(app):
    endpoints = {rule.endpoint for rule in app.url_map.iter_rules()}
    assert audit.ACTIONS.keys() | audit.NOT_NOTED.keys() == endpoints
    assert not audit.ACTIONS.keys() & audit.NOT_NOTED.keys()


def test_what_people_do_is_noted_with_its_numbers(app, anna, ben, provider, noted):
    provider.script(fault="cut", at=3)
    document = bring(anna, "Terms of use\n\nPay by March.")
    anna.get(document)
    analysis = finished(anna, document)
    settle(app.extensions["analyzer"])
    anna.get(f"{analysis}.md")
    rest = anna.post(f"{analysis}/continuation").headers["Location"].removesuffix("/live")
    anna.post(f"{rest}/cancellation", headers=HTMX)
    anna.post(f"{document}/title", data={"title": "Other"})
    ben.get("/")
    anna.post(f"{document}/shares", data={"name": "ben"})
    with connected():
        bens, share = User.find_by_name("ben").id, Share.get().id
    ben.get(document)
    anna.post(f"{document}/shares/{share}/deletion")
    anna.get("/account/export").get_data()
    anna.post(f"{analysis}/deletion")
    anna.post(f"{document}/deletion")
    d, a, r = id_of(document), id_of(analysis), id_of(rest)
    assert noted() == [
        ("anna", "brought", d, None, ""),
        ("anna", "read", d, None, ""),
        ("anna", "started", d, a, ""),
        ("anna", "read", None, a, ""),
        ("anna", "downloaded", d, a, ""),
        ("anna", "continued", d, r, ""),
        ("anna", "stopped", d, r, ""),
        ("anna", "renamed", d, None, ""),
        ("anna", "shared", d, None, f"person {bens}"),
        ("ben", "read", d, None, ""),
        ("anna", "ended sharing", d, None, f"person {bens}"),
        ("anna", "took along", None, None, ""),
        ("anna", "deleted", d, a, ""),
        ("anna", "deleted", d, None, ""),
    ]
    with connected():
        assert {event.address for event in Event.select()} == {"127.0.0.1"}
        assert all(now() >= event.at for event in Event.select())


@pytest.mark.sqlite
def test_an_event_is_in_the_log_at_once_and_holds_no_word_of_anybodys(anna, caplog, noted):
    caplog.set_level(logging.INFO, "analyzer.trail")
    answer = upload(anna, "canary.txt", b"The canary sings.", title="A canary")
    document = answer.headers["Location"]
    finished(anna, document, recipe="question", question="Where is the canary?")
    anna.get(f"{document}/original")
    lines = [record for record in caplog.records if record.msg == "audit"]
    assert [line.action for line in lines] == ["brought", "started", "read", "downloaded"]
    assert lines[0].document == id_of(document)
    assert lines[0].address == "127.0.0.1"
    assert "canary" not in str([vars(line) for line in lines]).lower()
    assert len(noted()) == 4
    assert "canary" not in str(noted())


@pytest.mark.sqlite
def test_who_reads_the_same_again_within_a_minute_is_noted_once(app, anna, monkeypatch, noted):
    document = bring(anna, "One.")
    analysis = finished(anna, document)
    settle(app.extensions["analyzer"])
    for _ in range(3):
        anna.get(document)
        anna.get(analysis)
        anna.get(analysis, headers=PARTIAL)
        stream(anna, analysis).get_data()
    assert len(noted(action="read")) == 2
    time = audit.time.monotonic
    monkeypatch.setattr(audit.time, "monotonic", lambda: time() + audit.AGAIN_SECONDS)
    anna.get(document)
    assert len(noted(action="read")) == 3


@pytest.mark.sqlite
def test_a_text_that_is_put_into_the_form_to_be_shortened_is_read(anna, ben, noted):
    document = id_of(bring(anna, "One."))
    for person in (anna, ben):
        person.get("/")
        person.get(f"/?shorten={document}")
    assert noted(action="read") == [("anna", "read", document, None, "")]


@pytest.mark.parametrize("end", ["read", "cancelled"])
def test_a_file_that_takes_long_is_noted_when_it_has_become_a_document(app, anna, monkeypatch, noted, end):
    monkeypatch.setattr(_Job, "PATIENCE_SECONDS", 0.01)
    readings = app.extensions["readings"]
    for _ in range(readings.MOST_AT_ONCE):
        readings._turns.acquire()
    reading = upload(anna, "a.txt", b"Terms.").headers["Location"]
    assert reading.startswith("/readings/")
    assert noted() == []
    if end == "cancelled":
        anna.post(f"{reading}/cancellation")
    readings._turns.release()
    with gevent.Timeout(30):
        while readings.is_running:
            gevent.sleep(0.001)  # nobody announces it
    brought = noted()
    if end == "read":
        document = id_of(anna.get(reading).headers["Location"])
        assert brought == [("anna", "brought", document, None, "")]
        with connected():
            assert Event.get().address == "127.0.0.1"
    else:
        assert brought == []


@pytest.mark.sqlite
def test_a_stream_without_its_page_is_read_too(app, anna, noted):
    document = bring(anna, "One.")
    analysis = ask(anna, document)
    stream(anna, analysis).get_data()
    assert noted(action="read") == [("anna", "read", None, id_of(analysis), "")]


@pytest.mark.sqlite
def test_what_shows_nothing_and_does_nothing_is_no_event(app, anna, ben, provider, noted):
    provider.script(fault="silence", at=1)
    document = bring(anna, "One.")
    form = {"request_key": "one"}
    analysis = ask(anna, document, **form)
    before = noted()
    anna.get(analysis, headers=PARTIAL)
    ask(anna, document, **form)
    anna.post(f"{document}/title", data={"title": ""})
    anna.post("/documents", data={})
    for path in (document, analysis, "/documents/999", "/analyses/999"):
        ben.get(path)
        ben.get(path, headers=PARTIAL)
    for path in (f"{analysis}/stream", "/analyses/999/stream"):
        assert ben.get(path, headers=HTMX).status_code == 200
    ben.post(f"{analysis}/cancellation")
    ben.post(f"{document}/deletion")
    assert noted() == before
    assert len(before) == 2


@pytest.mark.sqlite
def test_who_is_refused_is_noted(make_app, noted):
    app = make_app(auth="proxy", analyze_limit="1 per minute")
    anna = as_person(app, "anna")
    document = bring(anna, "One.")
    ask(anna, document)
    for _ in range(2):
        assert post_analysis(anna, document).status_code == 429
    anna.post(f"{document}/deletion", headers={"Sec-Fetch-Site": "cross-site"})
    app.extensions["trail"].save()
    with connected():
        events = [(each.name, each.action, each.detail) for each in Event.select().order_by(Event.id)]
    assert events[2:] == [("anna", "started", "refused (429)"), ("", "deleted", "refused (403)")]


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("budget", "model"),
    [
        ("budget_analysis", "openai:gpt-6-sol"),
        ("budget_day", "openai:gpt-6-sol"),
        ("budget_day", "anthropic:claude-sonnet-5-5"),
    ],
)
def test_what_costs_too_much_is_noted_and_a_wrong_form_is_not(make_app, budget, model):
    prices = ("openai:gpt-6-sol=0/1000",)
    app = make_app(prices=prices, max_output_tokens=1000, **{budget: Decimal("0.5")})
    client = app.test_client()
    document = bring(client, "One.")
    for recipe in ("poem", "brief"):
        assert post_analysis(client, document, recipe=recipe, model=model).status_code == 422
    app.extensions["trail"].save()
    with connected():
        events = [(each.action, each.document_id, each.detail) for each in Event.select().order_by(Event.id)]
    assert events == [("brought", id_of(document), ""), ("started", id_of(document), "refused (422)")]


def test_reading_waits_for_no_lock_and_is_noted_afterwards(app, anna, noted):
    document = bring(anna, "One.")
    noted()
    with held():
        assert anna.get(document).status_code == 200
    assert noted(action="read") == [("anna", "read", id_of(document), None, "")]


@pytest.mark.sqlite
def test_on_a_full_disk_reading_goes_on_and_events_wait(app, anna, monkeypatch, noted):
    trail, keep = app.extensions["trail"], Event.keep
    document = bring(anna, "One.")
    noted()
    failures = metrics.event_failures._value.get()
    monkeypatch.setattr(trail, "PAUSE_SECONDS", 0)

    def full(rows):
        raise StorageFull

    monkeypatch.setattr(Event, "keep", full)
    trail.begin()
    assert anna.get(document).status_code == 200
    with gevent.Timeout(30):
        while metrics.event_failures._value.get() == failures:
            gevent.sleep(0.001)  # nobody announces it
    monkeypatch.setattr(Event, "keep", keep)
    trail.end()
    assert noted(action="read") == [("anna", "read", id_of(document), None, "")]


@pytest.mark.sqlite
def test_events_that_nobody_can_save_do_not_fill_the_memory(app, anna, monkeypatch, noted):
    trail, lost = app.extensions["trail"], metrics.events_lost._value.get()
    monkeypatch.setattr(trail, "MOST_WAITING", 2)
    for text in ("One.", "Two.", "Three."):
        bring(anna, text)
    assert metrics.events_lost._value.get() == lost + 1
    assert len(noted()) == 2


@pytest.mark.sqlite
def test_what_was_done_last_is_kept_when_the_server_ends(tmp_path, provider):
    with Precis(tmp_path, provider) as precis:
        document = precis.start().bring("One.")
        precis.stop()
        with closing(sqlite3.connect(tmp_path / "precis.db")) as connection:
            rows = connection.execute("SELECT name, action, document_id FROM event").fetchall()
    assert rows == [("local", "brought", id_of(document))]


@pytest.mark.sqlite
def test_signing_in_and_out_is_noted_and_coming_back_without_a_proof_is_not(make_app, noted):
    with OpenID() as openid:
        app = make_app(auth="oidc", oidc_issuer=openid.issuer, secret_key=("0123456789" * 4,), **CLIENT)
        anna = app.test_client()
        sign_in(anna, openid, "anna")
        assert anna.get("/session/callback?state=x&code=y").status_code == 303
        anna.post("/session/deletion")
        app.extensions["trail"].save()
    with connected():
        assert [event.action for event in Event.select().order_by(Event.id)] == ["signed in", "signed out"]
        assert {event.name for event in Event.select()} == {User.get().name}


# The page


def test_an_administrator_finds_events_and_nobody_else(app, anna, root):
    document = bring(anna, "One.")
    bring(root, "Two.")
    anna.post(f"{document}/deletion")
    for path in ("/events", "/events.csv"):
        assert anna.get(path).status_code == 404
    assert actions(root) == ["deleted", "brought", "brought"]
    assert actions(root, person="ANNA") == ["deleted", "brought"]
    assert actions(root, person="nobody") == []
    assert actions(root, action="brought") == ["brought", "brought"]
    assert actions(root, document=id_of(document)) == ["deleted", "brought"]
    assert actions(root, document="x") == []
    app.extensions["trail"].note("deleted", None, "retention", id_of(document))
    assert actions(root, person="retention") == ["deleted"]
    for odd in ("\0", "9" * 30, "%", "'"):
        assert actions(root, person=odd) == actions(root, action=odd) == actions(root, document=odd) == []
        assert actions(root, before=odd) == actions(root)


def actions(root, **sought):
    return re.findall(
        r'<td class="title">\w+</td>\s*<td>([a-z ]+)</td>', root.get("/events", query_string=sought).text
    )


def test_events_come_fifty_a_page_and_the_file_has_them_all(app, anna, root):
    for number in range(60):
        app.extensions["trail"].note("brought", 1, "anna", number + 1, detail="=1+1")
    page = root.get("/events", query_string={"person": "", "action": "brought"}).text
    assert page.count("<tr>") == 51
    older = re.search(r'rel="next" href="([^"]+)"', page)[1].replace("&amp;", "&")
    assert "action=brought" in older
    assert root.get(older).text.count("<tr>") == 11
    rows = list(csv.reader(root.get("/events.csv?action=brought").text.splitlines()))
    assert [row[3] for row in rows[1:]] == [str(number) for number in range(60, 0, -1)]
    assert rows[1][1:6] == ["anna", "brought", "60", "", "'=1+1"]
    assert len(list(csv.reader(root.get("/events.csv?document=7").text.splitlines()))) == 2


@pytest.mark.sqlite
def test_the_file_of_events_is_bounded(app, root, monkeypatch):
    for number in range(9):
        app.extensions["trail"].note("brought", 1, "anna", number + 1)
    monkeypatch.setattr("views.events.MOST_ROWS", 4)
    assert len(root.get("/events.csv").text.splitlines()) == 5
    with connected():
        found = [event.document_id for event in Event.each(Sought(action="brought"), most=7, at_once=3)]
    assert found == [9, 8, 7, 6, 5, 4, 3]


@pytest.mark.sqlite
def test_while_the_file_of_events_is_sent_others_run(root):
    Event.keep([Event.Row(now(), 1, "anna", "read", number, None, "", "") for number in range(1, 1001)])
    turns = []

    def other():
        while True:
            turns.append(1)
            gevent.sleep(0)

    answer = root.get("/events.csv")
    others = gevent.spawn(other)
    assert len(answer.text.splitlines()) == 1001
    others.kill()
    assert len(turns) >= 10


@pytest.mark.sqlite
def test_events_stay_when_what_they_are_about_goes(app, anna, noted):
    document = bring(anna, "One.")
    anna.post("/account/deletion")
    with connected():
        assert not Document.select().exists()
    assert [event[:3] for event in noted()] == [
        ("anna", "brought", id_of(document)),
        ("anna", "deleted", id_of(document)),
        ("anna", "deleted all", None),
    ]


@pytest.mark.sqlite
def test_an_administrator_who_deletes_all_is_found_by_each_documents_number(app, anna, root):
    documents = [bring(anna, "One."), bring(anna, "Two.")]
    with connected():
        person = User.find_by_name("anna").id
    root.post(f"/people/{person}/deletion")
    for document in documents:
        assert actions(root, document=id_of(document), person="root") == ["deleted"]
    assert actions(root, person="root") == ["deleted all", "deleted", "deleted"]
