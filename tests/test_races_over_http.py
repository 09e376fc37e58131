"""Races over HTTP, with a server process: of those that come together one wins, and all are told."""

import random
import re
from urllib.parse import urlencode

import gevent
import pytest
from gevent import socket

from bench import stop
from tests.page import Page

pytestmark = pytest.mark.both_modes


def at_once(site, *posts):
    """Send POSTs whose last bytes go together; returns their statuses, and where they led."""
    connections = []
    for path, fields in posts:
        body = urlencode(fields)
        request = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{site.port}\r\nConnection: close\r\n"
            f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        ).encode()
        connection = socket.create_connection(("127.0.0.1", site.port))
        connection.sendall(request[:-1])
        connections.append((connection, request[-1:]))
    for connection, last in connections:
        connection.sendall(last)
    answers = [read(connection) for connection, _ in connections]
    places = [re.search(rb"\nlocation: (\S+)", answer, re.IGNORECASE) for answer in answers]
    return {int(answer.split()[1]) for answer in answers}, {place[1].decode() for place in places if place}


def read(connection):
    with connection, connection.makefile("rb") as answer:
        return answer.read()


def watch(site, path):
    """Watch an analysis to its end, in a greenlet; its value is the page."""

    def run():
        page = Page(path)
        connection = socket.create_connection(("127.0.0.1", site.port))
        connection.sendall(
            f"GET {path}/stream HTTP/1.0\r\nHost: 127.0.0.1:{site.port}\r\nHX-Request: true\r\n\r\n".encode()
        )
        page.read(read(connection).partition(b"\r\n\r\n")[2])
        return page

    return gevent.spawn(run)


@pytest.mark.fault("sent twice")
def test_one_form_that_is_posted_fifty_times_at_once_is_one_call(site):
    document = site.bring("Text.")
    form = {"recipe": "brief", "model": "openai:gpt-6-sol", "request_key": f"fifty {document}"}
    statuses, places = at_once(site, *[(f"{document}/analyses", form)] * 50)
    assert statuses == {303}
    assert len(places) == 1
    path = places.pop().removesuffix("/live")
    assert watch(site, path).get(timeout=30).done
    assert site.provider.calls == 1
    assert left(site, document) == [("complete", 0)]


@pytest.mark.fault("stopped meanwhile")
def test_one_that_is_stopped_twenty_times_at_once_is_stopped_once(site):
    site.provider.script(text="One two three four", fault="silence", at=3)
    document = site.bring("Text.")
    path = site.ask(document)
    viewers = [watch(site, path) for _ in range(4)]
    site.provider.wait(calls=1)
    statuses, places = at_once(site, *[(f"{path}/cancellation", {})] * 20)
    assert (statuses, places) == ({303}, {path})
    site.provider.wait(cancels=1, open=0)
    stored = {viewer.get(timeout=30).text for viewer in viewers}
    assert stored == {"".join(site.stored(path).split())}
    assert (site.provider.calls, site.provider.cancels) == (1, 1)
    assert left(site, document) == [("stopped", 0)]


@pytest.mark.fault("deleted meanwhile")
def test_a_document_that_is_deleted_while_all_is_going_on_leaves_nothing(site):
    site.provider.script(fault="silence", at=3)
    for _ in range(5):
        document = site.bring("Text.")
        path = site.ask(document)
        form = {"recipe": "brief", "model": "openai:gpt-6-sol"}
        viewers = [watch(site, path) for _ in range(4)]
        posts = [(f"{document}/analyses", form), (f"{path}/cancellation", {}), (f"{path}/deletion", {})] * 4
        posts.insert(6, (f"{document}/deletion", {}))
        statuses, _ = at_once(site, *posts)
        assert statuses <= {303, 404}
        assert all(viewer.get(timeout=30).done for viewer in viewers)
        site.provider.wait(open=0)
        assert left(site, document) == []


def left(site, document):
    """Return how a document's analyses stand, and how many pieces each has."""
    return site.rows(
        "SELECT status, (SELECT count(*) FROM piece WHERE analysis_id = analysis.id) FROM analysis "
        "WHERE document_id = ?",
        document.rsplit("/", 1)[-1],
    )


def test_stops_and_stops_against_the_last_token_keep_their_promises():
    chance = random.Random(1)
    with stop.site() as place:
        assert len(stop.press(place, stops=6, live=6, chance=chance)) == 6
        assert stop.race(place, races=20, lanes=5, chance=chance).total() == 20
        place.look_back()
    assert not any(place.faults.values()), place.faults
