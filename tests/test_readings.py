"""Files that take long: how far they are is told, they can be cancelled, and each ends in exactly one way."""

import os
import re
import signal
import time
from datetime import timedelta
from html import unescape

import gevent
import httpx2
import pytest

import storage
from analyzer.readings import Readings, _Job
from analyzer.trail import Trail
from extraction import Reason, Unreadable
from models import Document, Ended, Reading, User
from storage import StorageFull, connected, saving
from tests.fleet import wait_until
from tests.pdf_files import Pdf, book
from tests.person import PARTIAL, as_person, held
from tests.uploads import children_that_read, count_documents, held_up, kept, send, upload
from views.helpers.reasons import SENTENCES

pytestmark = pytest.mark.both_modes


@pytest.fixture
def connection(tables):
    with connected():
        yield


@pytest.fixture
def readings(app):
    readings = app.extensions["readings"]
    yield readings
    readings.drain()


@pytest.fixture
def long(client):
    """The path of a reading that goes on as long as the test lasts: no child of ours moves meanwhile."""
    path = upload(client, "long.pdf", book(1000)).headers["Location"]
    assert re.fullmatch(r"/readings/\d+", path)
    with held_up(os.getpid()):
        yield path


@pytest.fixture
def impatient(monkeypatch):
    """Let no file take longer than a moment before it goes on by itself."""
    monkeypatch.setattr(_Job, "PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(_Job, "TELL_SECONDS", 0.05)


@pytest.fixture
def no_turns(readings):
    """Take all the turns; called, it gives them back."""
    taken = [readings._turns.acquire() for _ in range(Readings.MOST_AT_ONCE)]

    def give_back():
        while taken:
            taken.pop()
            readings._turns.release()

    yield give_back
    give_back()


def row(path):
    with connected():
        return Reading.get_by_id(int(path.rsplit("/", 1)[-1]))


def is_over(readings):
    """Wait until nothing is read any more."""
    wait_until(lambda: not readings._jobs)


@saving
def age(path, seconds):
    """Put off what was last heard of a reading."""
    id = int(path.rsplit("/", 1)[-1])
    Reading.update(heard_at=Reading.get_by_id(id).heard_at - timedelta(seconds=seconds)).where(
        Reading.id == id
    ).execute()


def readers():
    """Return the children of this process that read a file."""
    return list(children_that_read(os.getpid()))


def follow(client, path):
    """Load a reading's page until it leads on; returns the answer, and the pages that it told."""
    told = []
    while (answer := client.get(path)).status_code == 200:
        assert "<title>Reading " in answer.text
        told += re.findall(r"Reading page ([\d,]+) of", answer.text)
        gevent.sleep(0.02)  # as a browser does that has no script
    return answer, [int(page.replace(",", "")) for page in told]


def test_a_long_file_is_read_while_its_page_tells_how_far_it_is(client, readings):
    began = time.monotonic()
    answer = upload(client, "long.pdf", book(300), title="My book")
    page = client.get(answer.headers["Location"])
    print(f"\nfirst progress after {time.monotonic() - began:.2f} s")
    assert "Reading page " in page.text
    assert "<h1>My book</h1>" in page.text
    assert count_documents() == 0

    answer, told = follow(client, answer.headers["Location"])
    print(f"read after {time.monotonic() - began:.2f} s, told {sorted(set(told))}")
    assert told == sorted(told)
    document = kept(answer)
    with connected():
        pages = document.read_pages()
    assert len(pages) == document.page_count == 300
    assert sum(pages) == document.paragraphs
    assert min(pages) >= 1
    assert document.text.index("This is page 217") < document.text.index("This is page 218")


def test_the_part_that_htmx_loads_asks_for_the_next_until_the_end(client, long, readings):
    part = client.get(long, headers=PARTIAL).text
    assert "<html" not in part
    assert f'hx-get="{long}" hx-trigger="every 1s"' in part
    assert "<noscript>" not in part
    page = client.get(long).text
    assert '<noscript><meta http-equiv="refresh" content="2"></noscript>' in page[: page.index("</head>")]

    client.post(f"{long}/cancellation")
    part = client.get(long, headers=PARTIAL).text
    assert "hx-get" not in part
    assert '<hx-partial hx-target="#status" hx-swap="textContent">You cancelled this.' in part
    page = client.get(long).text
    assert "refresh" not in page
    # What a person wanted is no error.
    assert "<title>Cancelled: long.pdf – Precis</title>" in page


def test_to_htmx_the_end_is_the_address_of_the_document(client, readings):
    path = upload(client, "long.pdf", book(101)).headers["Location"]
    is_over(readings)
    answer = client.get(path, headers=PARTIAL)
    assert (answer.status_code, answer.text) == (200, "")
    assert re.fullmatch(r"/documents/\d+", answer.headers["HX-Redirect"])
    assert client.get(answer.headers["HX-Redirect"]).status_code == 200


@pytest.mark.fault("reading cancelled")
def test_cancelled_it_leaves_nothing_not_even_its_child(client, long, readings):
    answer = client.post(f"{long}/cancellation")
    assert (answer.status_code, answer.headers["Location"]) == (303, long)
    assert "You cancelled this. Nothing of the file was kept." in client.get(long).text
    is_over(readings)
    # Long before its own time is up.
    wait_until(lambda: not readers(), seconds=5)
    assert count_documents() == 0
    client.post(f"{long}/cancellation")
    assert row(long).stop_requested


@pytest.mark.fault("reading cancelled")
def test_cancelling_what_was_read_changes_nothing(client, readings):
    path = upload(client, "long.pdf", book(101)).headers["Location"]
    answer, _ = follow(client, path)
    client.post(f"{path}/cancellation")
    assert client.get(path).headers["Location"] == answer.headers["Location"]
    assert not row(path).stop_requested


@pytest.mark.fault("reading cancelled")
def test_of_two_that_end_a_reading_at_once_exactly_one_does(connection):
    owner = User.local()
    endings = [
        lambda reading: reading.finish(lambda: Document.add(owner, "T", "Text.", 1, 1)),
        lambda reading: reading.stop(),
        lambda reading: reading.fail(Reason.DAMAGED),
    ]
    for first in endings:
        for second in endings:
            reading = Reading.begin(owner, "a.pdf", "", 1, 200)
            assert first(reading)
            before = count_documents()
            try:
                assert not second(reading)
            except Ended:
                assert second is endings[0]
            assert count_documents() == before
            assert not reading.tell(2, 200)
            found = Reading.find(owner, reading.id)
            assert bool(found.result) + bool(found.reason) + found.stop_requested == 1


def test_why_a_long_file_cannot_be_read_is_told_on_its_page(client, readings):
    path = upload(client, "blank.pdf", Pdf(*[b""] * 101).data).headers["Location"]
    is_over(readings)
    page = client.get(path).text
    assert "<title>Error: blank.pdf – Precis</title>" in page
    assert "No text found in this file: it may be a scan." in page
    assert 'href="/#new">Select a file</a>' in page
    assert count_documents() == 0


@pytest.mark.fault("killed while it reads")
def test_when_nothing_is_heard_for_long_it_was_interrupted(client, long, readings):
    age(long, Reading.LOST_SECONDS - 5)
    assert "Reading page " in client.get(long).text
    age(long, 10)
    assert SENTENCES[Reason.INTERRUPTED] in unescape(client.get(long).text)
    # The one that seemed dead and is not gives up, and adds nothing.
    is_over(readings)
    assert row(long).reason == Reason.INTERRUPTED
    assert count_documents() == 0


@pytest.mark.fault("shut down")
def test_at_the_end_of_the_process_what_is_read_is_interrupted(client, long, readings):
    readings.drain()
    assert row(long).reason == Reason.INTERRUPTED
    is_over(readings)
    # Long before its own time is up.
    wait_until(lambda: not readers(), seconds=5)


@pytest.mark.sqlite
@pytest.mark.fault("shut down")
def test_the_process_ends_in_order_although_nothing_can_be_saved(client, long, readings, monkeypatch):
    monkeypatch.setattr("storage.PATIENCE_SECONDS", 0)
    with held():
        readings.drain()
    is_over(readings)
    assert row(long).reason == ""
    age(long, Reading.LOST_SECONDS + 5)
    assert SENTENCES[Reason.INTERRUPTED] in unescape(client.get(long).text)


@pytest.mark.fault("shut down")
def test_at_the_end_of_the_process_who_waits_for_a_file_is_told(client, readings, no_turns):
    waiting = gevent.spawn(upload, client, "a.txt", b"Text.")
    wait_until(lambda: readings._jobs)
    readings.drain()
    assert waiting.get().status_code == 422
    assert SENTENCES[Reason.INTERRUPTED] in unescape(waiting.get().text)


@pytest.mark.fault("too many files")
def test_a_file_waits_its_turn_and_its_page_says_so(client, impatient, no_turns):
    path = upload(client, "a.txt", b"Text.").headers["Location"]
    assert "Other files are being read: this one waits its turn." in client.get(path).text
    no_turns()
    assert kept(follow(client, path)[0]).text == "Text."


@pytest.mark.fault("reading cancelled")
@pytest.mark.parametrize("kind", ["cancelled", "interrupted"])
def test_one_that_waits_its_turn_can_end_too(client, readings, impatient, no_turns, kind):
    path = upload(client, "a.txt", b"Text.").headers["Location"]
    if kind == "cancelled":
        client.post(f"{path}/cancellation")
    else:
        row(path).fail(Reason.INTERRUPTED)
    is_over(readings)
    no_turns()
    assert count_documents() == 0


@pytest.mark.fault("too many files")
def test_those_who_wait_keep_no_connection_from_others(app, client, no_turns, monkeypatch):
    """As many as a process has connections to PostgreSQL wait for their files, and more."""
    monkeypatch.setattr(Readings, "MOST_OF_ONE", 12)
    waiting = [gevent.spawn(upload, app.test_client(), "a.txt", b"Text.") for _ in range(12)]
    wait_until(lambda: len(app.extensions["readings"]._jobs) == 12)
    assert client.get("/").status_code == 200
    assert not any(greenlet.ready() for greenlet in waiting)
    no_turns()
    gevent.joinall(waiting)
    assert count_documents() == 12


def test_a_file_that_is_sent_twice_makes_one_document(app, no_turns):
    clients = [app.test_client() for _ in range(4)]
    greenlets = [gevent.spawn(upload, each, "a.txt", b"Text.", once="yes") for each in clients]
    wait_until(lambda: len(app.extensions["readings"]._jobs) == 4)
    no_turns()
    gevent.joinall(greenlets)
    assert len({kept(greenlet.value).id for greenlet in greenlets}) == 1
    assert count_documents() == 1


def test_a_reading_is_its_persons_alone(client):
    with connected():
        other = User.create(name="other")
        reading = Reading.begin(other, "secret.pdf", "", 1, 200)
    assert client.get(f"/readings/{reading.id}").status_code == 404
    assert client.post(f"/readings/{reading.id}/cancellation").status_code == 404
    assert not row(f"/readings/{reading.id}").stop_requested
    assert client.get("/readings/99").status_code == 404


def test_a_reading_is_forgotten_a_day_after_its_end(connection):
    owner = User.local()
    old, new = (Reading.begin(owner, "a.pdf", "", 1, None) for _ in range(2))
    age(f"/{old.id}", 24 * 3600 + 1)
    age(f"/{new.id}", 24 * 3600 - 60)
    Reading.begin(owner, "b.pdf", "", 1, None)
    assert [Reading.find(owner, reading.id) is None for reading in (old, new)] == [True, False]


def test_a_reading_goes_with_its_document(client, readings):
    path = upload(client, "long.pdf", book(101)).headers["Location"]
    client.post(f"{follow(client, path)[0].headers['Location']}/deletion")
    assert client.get(path).status_code == 404


@pytest.mark.fault("too many files")
def test_few_files_of_a_person_wait_and_not_many_of_all(make_app, monkeypatch, impatient):
    app = make_app(auth="proxy")
    readings, people = app.extensions["readings"], [as_person(app, name) for name in ("anna", "ben", "carl")]
    monkeypatch.setattr(Readings, "MOST", Readings.MOST_OF_ONE + 1)
    taken = [readings._turns.acquire() for _ in range(Readings.MOST_AT_ONCE)]
    sent = [upload(people[0], "a.md", b"One.").status_code for _ in range(Readings.MOST_OF_ONE)]
    assert sent == [303] * Readings.MOST_OF_ONE
    refused = upload(people[0], "a.md", b"One.", title="My <title>")
    assert refused.status_code == 429
    assert "5 of your files are still being read or wait for it. Wait until" in refused.text
    assert 'value="My &lt;title&gt;"' in refused.text
    assert upload(people[1], "b.md", b"Two.").status_code == 303
    refused = upload(people[2], "c.md", b"Three.")
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "60")
    assert "Too many files wait to be read at the moment." in refused.text
    assert len(readings._jobs) == Readings.MOST_OF_ONE + 1
    for _ in taken:
        readings._turns.release()
    is_over(readings)
    assert [upload(person, "d.md", b"Four.").status_code for person in people] == [303] * 3
    is_over(readings)
    assert count_documents() == Readings.MOST_OF_ONE + 4


@pytest.mark.sqlite
def test_a_file_that_can_be_no_document_has_no_reading(connection):
    with pytest.raises(Unreadable):
        Readings(Trail()).read(User.local(), "a.png", b"\x89PNG\r\n\x1a\n", "")
    assert Reading.select().count() == 0


@pytest.mark.fault("shut down")
@pytest.mark.sqlite
def test_a_process_that_ends_finishes_what_it_reads_within_its_grace(precis):
    precis.start(PRECIS_GRACE_SECONDS="60")
    path = send(precis, "long.pdf", book(200))
    with held_up(precis.worker()):
        assert "Reading page" in httpx2.get(precis.url + path).text
        precis.process.send_signal(signal.SIGTERM)
        wait_until(lambda: not precis.is_up())
    assert precis.process.wait() == 0
    assert precis.rows("SELECT page_count FROM document") == [(200,)]
    precis.start()
    assert re.fullmatch(r"/documents/\d+", httpx2.get(precis.url + path).headers["Location"])


@pytest.mark.fault("killed while it reads")
def test_a_process_that_is_killed_while_it_reads_is_told_of_plainly(precis):
    precis.start()
    path = send(precis, "long.pdf", book(1000))
    with held_up(precis.worker()):
        assert "Reading page" in httpx2.get(precis.url + path).text
        precis.kill()
    storage.connect(precis.settings["PRECIS_DATABASE_URL"])
    age(path, Reading.LOST_SECONDS + 1)
    assert count_documents() == 0
    storage.database.disconnect()
    precis.start()
    assert SENTENCES[Reason.INTERRUPTED] in unescape(httpx2.get(precis.url + path).text)


@pytest.mark.fault("no room for a document")
def test_a_file_for_which_there_is_no_room_leaves_nothing_and_its_person_is_told(
    client, readings, monkeypatch
):
    def fail(*_args, **_kwargs):
        raise StorageFull("database or disk is full")

    monkeypatch.setattr(Document, "add", fail)
    short = upload(client, "a.pdf", book(1))
    assert short.status_code == 503
    assert "Storage is full: nothing more can be saved." in short.text
    path = upload(client, "long.pdf", book(101)).headers["Location"]
    is_over(readings)
    assert SENTENCES[Reason.NOT_SAVED] in unescape(client.get(path).text)
    wait_until(lambda: not readers(), seconds=5)
    assert count_documents() == 0
