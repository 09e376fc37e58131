"""The account: what a person takes along, and what is left when all of theirs is deleted."""

import io
import json
import zipfile
from datetime import timedelta

import gevent
import pytest

from models import Analysis, Document, Expense, Original, Reading, Session, Share, User, now
from storage import connected
from tests.person import as_person, ask, bring, finished, row, settle, stream
from tests.uploads import upload
from views.helpers import csv, takeout, viewers

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


def id_of(path):
    return int(path.rsplit("/", 1)[-1])


def take_along(person):
    """Download everything; returns the zip."""
    answer = person.get("/account/export")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/zip"
    archive = zipfile.ZipFile(io.BytesIO(answer.data))
    assert archive.testzip() is None
    return archive


@pytest.mark.parametrize("path", ["/account/export", "/events.csv"])
def test_who_is_shut_out_takes_no_more_along(app, monkeypatch, path):
    monkeypatch.setattr(viewers, "GUARD_SECONDS", 0.01)
    monkeypatch.setattr(csv, "AT_ONCE", 1)
    root = as_person(app, "root")
    for number in range(3):
        bring(root, f"Text {number}.", title=f"Title {number}")
    answer = root.get(path)
    parts = answer.iter_encoded()
    received = next(parts) + next(parts)
    with connected():
        User.update(disabled_at=now()).execute()
    with gevent.Timeout(30):
        while not all(place.viewer.has_left for place in app.extensions.get("places", ())):
            gevent.sleep(0.005)  # nothing announces it
    received += b"".join(parts)
    answer.close()
    assert b"Title 2" not in received
    assert received.count(b"brought") < 3
    assert b"index.json" not in received
    assert root.get(path).status_code == 401


def test_everything_is_taken_along_exactly_as_it_is_stored(app, anna, ben, provider):
    pasted = bring(anna, "Terms of use\r\n\r\nPay 100 € by March.\n")
    came = upload(anna, "Größe.html", b"<title>Sizes</title><p>Small</p>").headers["Location"]
    analysis = finished(anna, pasted, recipe="question", question="How much?")
    settle(app.extensions["analyzer"])
    ben.get("/")
    anna.post(f"{came}/shares", data={"name": "ben"})
    bens = bring(ben, "A text of Ben's.")
    finished(ben, bens)
    anna.get(bens)
    ben.post(f"{bens}/shares", data={"name": "anna"})
    app.extensions["trail"].save()

    archive = take_along(anna)

    p, c, a = map(id_of, (pasted, came, analysis))
    terms, sizes = f"{p} Terms of use", f"{c} Sizes"
    assert set(archive.namelist()) == {
        f"{terms}/document.txt",
        f"{terms}/analysis-{a}.md",
        f"{sizes}/document.txt",
        f"{sizes}/original Größe.html",
        "index.json",
    }
    with connected():
        assert archive.read(f"{terms}/document.txt").decode() == Document.get_by_id(p).text
    assert archive.read(f"{terms}/analysis-{a}.md") == anna.get(f"{analysis}.md").data
    assert archive.read(f"{sizes}/original Größe.html") == b"<title>Sizes</title><p>Small</p>"
    index = json.loads(archive.read("index.json"))
    assert index["person"]["name"] == "anna"
    first, second = index["documents"]
    assert (first["id"], first["title"], first["folder"]) == (p, "Terms of use", terms)
    assert (first["shared_with"], second["shared_with"]) == ([], ["ben"])
    (asked,) = first["analyses"]
    assert (asked["id"], asked["question"], asked["model"]) == (a, "How much?", "openai:gpt-6-sol")
    assert (asked["status"], asked["recipe"]) == ("complete", "question")
    assert {"price", "input_tokens", "ended_at"} <= asked.keys()
    assert [expense["analysis_id"] for expense in index["expenses"]] == [a]
    assert [share["document"] for share in index["shared_with_me"]] == [id_of(bens)]
    done = [event["action"] for event in index["events"]]
    assert done == ["shared", "read", "started", "brought", "brought"]
    assert "Ben" not in str(archive.read("index.json"))


@pytest.mark.sqlite
def test_a_running_analysis_is_taken_along_as_far_as_it_goes(anna, provider):
    provider.script(fault="silence", at=3)
    document = bring(anna, "One.")
    analysis = ask(anna, document)
    provider.wait(calls=1, open=1)
    while not (text := anna.get(f"{analysis}.md").data):
        gevent.sleep(0.001)
    (name,) = [name for name in take_along(anna).namelist() if name.endswith(".md")]
    assert take_along(anna).read(name).startswith(text)


@pytest.mark.sqlite
@pytest.mark.parametrize(
    "title",
    ["../../etc/passwd", "CON", 'a/b\\c:d*e?f"g<h>i|j', "end. ", "\u202egpj.exe", "x" * 120, "...", "日本語"],
)
def test_a_folder_is_safe_everywhere_whatever_the_title(title):
    name = takeout.folder_of(Document(id=7, title=title))
    assert name.startswith("7")
    assert not set(name) & set('/\\:*?"<>|\u202e')
    assert name == name.rstrip(". ")
    assert len(name) <= 70


@pytest.mark.sqlite
def test_others_go_on_while_it_is_packed_and_little_is_held(anna):
    size = 2_000_000
    for number in range(3):
        upload(anna, f"{number}.txt", f"{number} ".encode() * (size // 2))
    turns, parts = [], []
    with connected():
        person = User.find_by_name("anna")

    def count():
        while True:
            turns.append(len(parts))
            gevent.sleep(0)

    counter = gevent.spawn(count)
    parts.extend(map(len, takeout.pack(person)))
    counter.kill()
    assert max(parts) <= 2 * takeout.SLICE
    # A turn for each slice of each text, and of each file.
    assert len(turns) > 6 * size // takeout.SLICE


@pytest.mark.sqlite
def test_what_is_deleted_meanwhile_is_left_out(anna):
    first, second = bring(anna, "One."), bring(anna, "Two.")
    with connected():
        person = User.find_by_name("anna")
    parts = takeout.pack(person)
    taken = [next(parts)]
    anna.post(f"{second}/deletion")
    archive = zipfile.ZipFile(io.BytesIO(b"".join([*taken, *parts])))
    assert [name for name in archive.namelist() if name.endswith(".txt")] == [
        f"{id_of(first)} One/document.txt"
    ]
    assert len(json.loads(archive.read("index.json"))["documents"]) == 1


@pytest.mark.sqlite
def test_deleting_everything_asks_first_and_names_what_goes_and_stays(anna):
    page = anna.get("/account/deletion").text
    assert '<p class="lead">There are no documents to delete.' in page
    assert "gone for ever" not in page
    document = bring(anna, "One.")
    finished(anna, document)
    page = anna.get("/account/deletion").text
    assert "Your 1 document and 1 analysis will be gone for ever" in page
    assert "What analyses have cost stays" in page
    assert anna.get(document).status_code == 200


def test_everything_of_one_person_goes_and_nothing_of_others(app, anna, ben, provider):
    ben.get("/")
    finished_one = finished(anna, upload(anna, "sparrow.txt", b"A sparrow sings.").headers["Location"])
    settle(app.extensions["analyzer"])
    bens = bring(ben, "A text of Ben's.")
    ben.post(f"{bens}/shares", data={"name": "anna"})
    provider.script(fault="silence", at=3)
    document = bring(anna, "Two.")
    anna.post(f"{document}/shares", data={"everybody": "yes"})
    running = ask(anna, document)
    provider.wait(calls=2, open=1)
    viewer = gevent.spawn(lambda: stream(anna, running).data)
    with connected():
        person = User.find_by_name("anna")
        Reading.begin(person, "long.pdf", "", 1, 300)
        Session.create(user=person, digest="a", ends_at=now() + timedelta(days=1))
        spent = Expense.select().count()

    answer = anna.post("/account/deletion")

    assert (answer.status_code, answer.headers["Location"]) == (303, "/account")
    provider.wait(cancels=1, open=0)
    assert viewer.get(timeout=30)
    assert row(finished_one) is None
    with connected():
        assert [found.id for found in Document.select()] == [id_of(bens)]
        for kind in (Analysis, Original, Reading, Session, Share):
            assert not kind.select().exists(), kind
        assert Expense.select().count() == spent
        assert User.find_by_name("anna") == person
    assert "sparrow" not in anna.get("/search?q=sparrow").text.partition('id="found"')[2]


def test_a_file_that_is_being_read_becomes_no_document_after_all(app, anna):
    anna.get("/")
    with connected():
        person = User.find_by_name("anna")
        reading = Reading.begin(person, "long.pdf", "", 1, 300)
    anna.post("/account/deletion")
    assert not reading.tell(2, 300)


@pytest.mark.sqlite
def test_the_account_leads_to_all_of_it(anna, app):
    page = anna.get("/account").text
    for path in ("/account/export", "/account/deletion"):
        assert f'href="{path}"' in page
    assert 'href="/people"' not in page
    assert 'href="/people"' in as_person(app, "root").get("/account").text
