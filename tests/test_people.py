"""People, as administrators see them: who is here, who is shut out; and nothing that is theirs."""

import re
from datetime import timedelta

import gevent
import httpx2
import pytest

from models import Analysis, Document, Event, Session, User, now
from storage import connected
from tests.person import as_person, ask, bring, row

pytestmark = pytest.mark.both_modes


@pytest.fixture
def app(make_app):
    return make_app(auth="proxy", admins=("root",))


@pytest.fixture
def anna(app):
    return as_person(app, "anna")


@pytest.fixture
def root(app):
    return as_person(app, "root")


def person(name):
    with connected():
        return User.find_by_name(name)


@pytest.mark.sqlite
def test_an_administrator_sees_who_is_here_and_nothing_that_is_theirs(anna, root):
    bring(anna, "A text of Anna's.", title="Secret")
    page = root.get("/people").text
    assert ">anna</a>" in page
    assert re.search(
        r">anna</a></td>\s*<td class=.figure.>1</td>.*?Active.*?<td class=.figure.>1</td>", page, re.DOTALL
    )
    assert "Secret" not in page


@pytest.mark.sqlite
def test_to_all_others_there_is_no_such_page(anna, root):
    root.get("/")
    anna.get("/")
    id = person("root").id
    for path in ("/people", f"/people/{id}/deletion"):
        assert anna.get(path).status_code == 404
    for path in (f"/people/{id}/suspension", f"/people/{id}/suspension/deletion", f"/people/{id}/deletion"):
        assert anna.post(path).status_code == 404
    assert not person("root").is_disabled


@pytest.mark.sqlite
def test_where_nobody_signs_in_there_are_no_people(make_app):
    assert make_app().test_client().get("/people").status_code == 404


def test_who_is_suspended_is_out_until_let_in_again(app, anna, root):
    document = bring(anna, "One.")
    id = person("anna").id
    with connected():
        Session.create(user=id, digest="a", ends_at=now() + timedelta(days=1))
    answer = root.post(f"/people/{id}/suspension")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/people")
    assert anna.get(document).status_code in (401, 403)
    with connected():
        assert not Session.select().exists()
    assert "Suspended" in root.get("/people").text
    root.post(f"/people/{id}/suspension/deletion")
    assert anna.get(document).status_code == 200
    app.extensions["trail"].save()
    with connected():
        done = [(event.name, event.action, event.detail) for event in Event.select().order_by(Event.id)]
    assert ("root", "suspended", f"person {id}") in done
    assert ("root", "let in", f"person {id}") in done


def test_what_a_suspended_person_has_asked_for_is_never_begun_or_stopped(make_app, provider):
    app = make_app(auth="proxy", admins=("root",), max_running=2)
    anna, ben, root = (as_person(app, name) for name in ("anna", "ben", "root"))
    provider.script(text="One two three", fault="silence", at=2)
    document, others = bring(anna, "One."), bring(ben, "Two.")
    asked = [ask(anna, document, recipe="brief"), ask(ben, others, recipe="brief")]
    provider.wait(calls=2)
    asked += [ask(anna, document, recipe=recipe) for recipe in ("risks", "actions")]
    asked.append(ask(ben, others, recipe="risks"))
    with gevent.Timeout(30):
        while Analysis.saved(int(asked[0].rsplit("/", 1)[-1]))[1] != "One two":
            gevent.sleep(0.005)  # it is announced to its viewers only
    root.post(f"/people/{person('anna').id}/suspension")
    # Ben's is the next that gets its turn.
    provider.wait(calls=3, cancels=1)
    with gevent.Timeout(30):
        while row(asked[0]).is_live:
            gevent.sleep(0.005)  # nobody may watch it any more
    assert [row(each).status for each in asked] == ["stopped", "running", "stopped", "stopped", "running"]
    assert row(asked[0]).text == "One two"
    root.post(f"/people/{person('anna').id}/suspension/deletion")
    assert 'data-status="stopped"' in anna.get(asked[2]).text
    assert provider.calls == 3


@pytest.mark.sqlite
def test_who_is_suspended_is_sent_away_within_five_seconds(precis, provider):
    provider.script(text="One two three", fault="silence", at=2)
    precis.start(PRECIS_AUTH="proxy", PRECIS_ADMINS="root")
    anna, root = (
        httpx2.Client(base_url=precis.url, headers={"X-Forwarded-User": name}) for name in ("anna", "root")
    )
    with anna, root:
        # Anna's own would be stopped.
        document = root.post("/documents", data={"text": "Pay by March."}).headers["Location"]
        assert root.post(f"{document}/shares", data={"everybody": "yes"}).status_code == 303
        asked = {"recipe": "brief", "model": "openai:gpt-6-sol"}
        live = root.post(f"{document}/analyses", data=asked).headers["Location"]
        with anna.stream("GET", live.replace("/live", "/stream")) as watched:
            coming = watched.iter_text()
            while "One" not in next(coming):
                pass
            (path,) = re.findall(r'action="(/people/\d+/suspension)"', root.get("/people").text)
            assert root.post(path).status_code == 303
            with gevent.Timeout(5, AssertionError("still there")):
                last = "".join(coming)
    assert "retry:" in last, "told to come again"
    assert "done" not in last
    assert provider.open == 1, "the analysis goes on"


@pytest.mark.sqlite
def test_nobody_does_it_to_themselves(root):
    root.get("/")
    id = person("root").id
    for path in (f"/people/{id}/suspension", f"/people/{id}/deletion"):
        assert root.post(path).status_code == 409
    assert not person("root").is_disabled


def test_an_administrator_deletes_what_somebody_leaves_unseen(anna, root):
    document = bring(anna, "A text of Anna's.", title="Secret")
    mine = bring(root, "Mine.")
    id = person("anna").id
    page = root.get(f"/people/{id}/deletion").text
    assert '<p class="lead">1 document will be gone for ever,' in page
    assert "Secret" not in page
    assert root.get(document).status_code == 404
    assert root.post(f"/people/{id}/deletion").status_code == 303
    assert anna.get(document).status_code == 404
    assert root.get(mine).status_code == 200
    assert '<p class="lead">There are no documents to delete.' in root.get(f"/people/{id}/deletion").text
    with connected():
        assert Document.select().count() == 1
    assert root.post("/people/999/deletion").status_code == 404


@pytest.mark.sqlite
def test_people_come_fifty_a_page(root):
    with connected():
        for number in range(60):
            User.named(f"person {number:02}")
    first, second = root.get("/people").text, root.get("/people?page=2").text
    assert (first.count("<tr>"), second.count("<tr>")) == (51, 12)
    assert 'rel="next"' in first
    assert 'rel="prev"' in second
    for page in ("0", "-1", "x", "9" * 30):
        assert root.get(f"/people?page={page}").status_code == 200
