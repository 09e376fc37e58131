"""Places: each person and each process has so many, who leaves gives one back, and who finds none is told."""

import socket
from contextlib import ExitStack, closing

import gevent
import httpx2
import pytest
from werkzeug.test import EnvironBuilder

from bench.stalled import Launched, Stalled, complaints
from tests.chromium import squeezed
from tests.page import PARTIAL, Page, events
from tests.person import Writer, as_person, bring, saved
from tests.prose import answer
from tests.test_server import read_until, status, wait_until
from tests.test_viewers import request

pytestmark = pytest.mark.both_modes

DOCUMENT = "Terms\n\nPay by March."


# In this process: who finds a place


@pytest.fixture
def writer(analyzer, document):
    """An answer that the test writes."""
    return Writer(analyzer, document)


@pytest.fixture
def app(make_app):
    """An application where a person may watch two pages."""
    return make_app(max_streams=2)


def watch(client, path, page="stream", address="127.0.0.1", **headers):
    """Begin to watch an analysis, from an address; must be closed."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.get(f"{path}/{page}", headers=named, environ_base={"REMOTE_ADDR": address})


def fill(client, path, places=2):
    """Take places, and assert that there are so many and no more; returns those to close."""
    inside = [watch(client, path, page) for page in ("stream", "live", "stream", "live")[:places]]
    assert [answer.status_code for answer in inside] == [200] * places
    assert watch(client, path).status_code == 503
    return inside


def leave(inside):
    for viewer in inside:
        viewer.close()


@pytest.mark.fault("too many viewers")
def test_beyond_a_persons_places_htmx_is_told_in_the_page_and_the_final_answer_still_comes(client, writer):
    writer.write("One two.")
    inside = fill(client, writer.path)

    answer = watch(client, writer.path, HX_Request="true")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/event-stream"
    told, done = events(answer.data)
    assert (told.name, done.name) == ("message", "done")
    assert told.id == done.id == done.data == ""
    ((target, _, html),) = PARTIAL.findall(told.data)
    assert target == f"#pulse-{writer.id}"
    assert "Too many pages are being watched at the moment." in html
    assert f'<a href="{writer.path}">Reload</a>' in html
    assert "beat" not in html, "the beat shows only after 25 seconds"
    assert "One two." not in answer.text

    page = client.get(writer.path)
    assert page.status_code == 200
    assert "One two." in page.text
    assert saved(client, writer.path).status_code == 204
    writer.end()
    assert "<p>One two.</p>" in saved(client, writer.path).text
    leave(inside)


@pytest.mark.fault("too many viewers")
@pytest.mark.parametrize("page", ["stream", "live"])
def test_beyond_a_persons_places_others_get_a_page_that_says_when_to_come_again(client, writer, page):
    writer.write("One two.")
    inside = fill(client, writer.path)

    answer = watch(client, writer.path, page)
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "Too many pages are being watched at the moment." in answer.text
    assert answer.text.rstrip().endswith("</html>")
    leave(inside)


def test_each_person_has_places_of_their_own(client, writer):
    inside = fill(client, writer.path)
    # Nobody gets more by saying that they come from elsewhere.
    assert watch(client, writer.path, X_Forwarded_For="10.0.0.10").status_code == 503
    other = watch(client, writer.path, address="10.0.0.9")
    assert other.status_code == 200
    leave([*inside, other])


def test_who_watches_by_a_share_takes_a_place_of_their_own(make_app):
    app = make_app(auth="proxy", max_streams=1)
    anna, ben = as_person(app, "anna"), as_person(app, "ben")
    document = bring(anna, DOCUMENT)
    writer = Writer(app.extensions["analyzer"], document, "anna")
    ben.get("/")
    anna.post(f"{document}/shares", data={"name": "ben"})
    leave([watch(ben, writer.path), *fill(anna, writer.path, 1)])
    inside = [*fill(ben, writer.path, 1), *fill(anna, writer.path, 1)]
    assert {place.counted_as for place in app.extensions["places"]} == {"user 1", "user 2"}
    leave(inside)
    assert not app.extensions["places"]


@pytest.mark.fault("too many viewers")
def test_a_process_has_only_so_many_places_whoever_asks(app, client, writer):
    app.config["MAX_VIEWERS"] = 3
    inside = [watch(client, writer.path, address=f"10.0.0.{number}") for number in range(3)]
    assert [answer.status_code for answer in inside] == [200] * 3
    assert watch(client, writer.path, address="10.0.0.9").status_code == 503
    leave(inside[:1])
    again = watch(client, writer.path, address="10.0.0.9")
    assert again.status_code == 200
    leave([*inside, again])


def test_what_is_not_there_takes_no_place_and_looks_the_same_when_there_is_none(client, writer):
    gone = [watch(client, "/analyses/999", HX_Request="true") for _ in range(5)]
    inside = fill(client, writer.path)
    gone.append(watch(client, "/analyses/999", HX_Request="true"))
    assert {answer.data for answer in gone} == {b": open\n\nevent: done\ndata: \n\n"}
    assert watch(client, "/analyses/999").status_code == 404
    leave(inside)


def leave_before_the_first_byte(app, path):
    """Have an answer prepared and drop it, as the server does with that of a client that is gone."""
    app(EnvironBuilder(path, base_url="http://localhost").get_environ(), lambda *_: None).close()


def leave_in_the_middle(app, path):
    answer = app.test_client().get(path)
    next(answer.iter_encoded())
    answer.close()


def leave_twice(app, path):
    answer = app.test_client().get(path)
    answer.close()
    answer.close()


def ask_for_the_head_only(app, path):
    app.test_client().head(path).close()


@pytest.mark.fault("browser gone")
@pytest.mark.parametrize("page", ["stream", "live"])
@pytest.mark.parametrize(
    "go", [leave_before_the_first_byte, leave_in_the_middle, leave_twice, ask_for_the_head_only]
)
def test_each_viewer_gives_back_one_place_however_it_goes(app, client, writer, go, page):
    stays = watch(client, writer.path)
    for _ in range(3):
        go(app, f"{writer.path}/{page}")
    other = watch(client, writer.path)
    assert other.status_code == 200
    assert watch(client, writer.path).status_code == 503
    leave([stays, other])
    leave(fill(client, writer.path))


# A server process that may open few files

FEW_FILES = "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))"


@pytest.mark.fault("out of descriptors")
def test_with_few_files_some_watch_the_rest_are_told_and_nothing_else_suffers(tmp_path, provider):
    provider.script(text=answer(6), rate=40)
    with Launched(tmp_path, provider, FEW_FILES) as server, ExitStack() as viewers:
        server.start()
        worker = server.worker()
        analysis = server.ask(server.bring(DOCUMENT))
        provider.wait(calls=1)

        def enter():
            viewer = viewers.enter_context(closing(socket.create_connection(("127.0.0.1", server.port))))
            viewer.sendall(request(f"{analysis}/stream"))
            return viewer, read_until(viewer, b"\r\n\r\n")

        with gevent.Timeout(30, AssertionError("somebody was kept waiting")):
            asked = gevent.joinall([gevent.spawn(enter) for _ in range(60)], raise_error=True)
            assert httpx2.get(f"{server.url}{analysis}").status_code == 200
        answers = [each.value for each in asked]
        inside = [each for each in answers if b" 200 OK" in each[1]]
        refused = [head for _, head in answers if b" 503 " in head]
        assert len(inside) == 4
        assert len(refused) == 56
        assert all(b"Retry-After: " in head for head in refused)

        first, head = inside.pop()
        first.close()
        wait_until(lambda: b" 200 OK" in enter()[1], timeout=5)
        assert status(server, analysis)[0] == "running"
        for viewer, head in inside:
            page = Page(analysis)
            page.read((head + read_until(viewer, b"event: done\ndata: \n\n")).partition(b"\r\n\r\n")[2])
            assert page.done

        assert status(server, analysis) == ("complete", answer(6))
        assert server.worker() == worker
        assert complaints(server.log) == []


def test_with_few_files_few_analyses_run_and_the_rest_wait_their_turn(tmp_path, provider):
    provider.script(fault="silence", at=0)
    with Launched(tmp_path, provider, FEW_FILES) as server:
        server.start()
        document = server.bring(DOCUMENT)
        for _ in range(50):
            server.ask(document)
        assert httpx2.get(f"{server.url}{document}").status_code == 200
        counts = "SELECT status, count(*) FROM analysis GROUP BY status ORDER BY status"
        assert server.rows(counts) == [("running", 6), ("waiting", 44)]
        assert complaints(server.log) == []


# A browser

END = "window.end = new Promise(end => addEventListener('htmx:sse:close', () => end(), {once: true})); null"


@pytest.mark.fault("too many viewers")
def test_a_page_without_a_place_says_so_at_once_and_goes_on_by_itself(precis, provider, browser):
    provider.script(text=answer(60), rate=50)
    precis.start(PRECIS_MAX_STREAMS="1")
    analysis = precis.ask(precis.bring(DOCUMENT))
    with closing(Stalled(precis.port, f"{analysis}/stream").socket) as first:
        read_until(first, b"says20")
        browser.context.clock.install()
        tab = browser.open(precis.url + analysis)
        told = tab.page.get_by_text("Too many pages are being watched at the moment.")
        told.wait_for()
        assert "says20" in tab.text()
        assert squeezed(precis.stored(analysis)).startswith(tab.text())
        # It asks again every five seconds, which is no reason to take the focus away.
        tab.page.get_by_role("link", name="Reload").focus()
        tab.page.evaluate(END)
        tab.page.clock.fast_forward(5000)
        tab.page.evaluate("end")
        assert len(tab.streams()) == 2
        assert tab.focus() == "Reload"

    tab.page.clock.fast_forward(5000)
    told.wait_for(state="detached")
    tab.wait_for_text(len(tab.text()) + 100)
    httpx2.post(f"{precis.url}{analysis}/cancellation")
    tab.wait_for_status("stopped")
    tab.assert_shows(precis.stored(analysis))
    tab.assert_content()
