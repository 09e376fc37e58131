"""The reading of a body: what its chunks hold, however they and the network's pieces are cut."""

from __future__ import annotations

import random
from socket import IPPROTO_TCP, TCP_NODELAY

import gevent
import h11
import httpx2
import pytest
from gevent.queue import Queue
from gevent.server import StreamServer

from providers.streaming import reads

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
EVENT = b'data: {"word": "one"}\n\n'
# Each looks like something that stands between two chunks, or like the end of an event there.
TRICKS = [
    b"\n\n\r\n",
    b"\n\n",
    b"\r\n",
    b"5\r\n",
    b"0\r\n\r\n",
    b"3\r\n\n\n",
    b"\n\n\r\n3\r\nabc\r\n",
    b"a",
    b"\r",
    b"\n",
]


@pytest.fixture
def serve():
    """A server that answers each request with its next body, once that is asked for."""
    servers, asked = [], Queue()

    def start(*bodies):
        waiting, connections = list(bodies), []

        def answer(connection, address):
            connections.append(address)
            connection.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
            while connection.recv(65536):
                connection.sendall(HEAD)
                asked.get()
                connection.sendall(waiting.pop(0))

        server = StreamServer(("127.0.0.1", 0), answer)
        server.start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}", asked, connections

    yield start
    for server in servers:
        server.stop()


def framed(chunks, choose):
    """Return chunks as HTTP frames them, in all the ways in which it may."""
    sizes = [
        choose(
            [
                f"{len(chunk):x}",
                f"{len(chunk):x}",
                f"{len(chunk):X}",
                f"0{len(chunk):x}",
                f"{len(chunk):x};a=b",
            ]
        )
        for chunk in chunks
    ]
    body = b"".join(
        b"%s\r\n%s\r\n" % (size.encode(), chunk) for size, chunk in zip(sizes, chunks, strict=True)
    )
    return body + b"0\r\n\r\n"


def read(client, url, asked, cut):
    """Return a body whose network brings at most `cut()` bytes at a time."""
    with client.stream("GET", url) as response:
        stream = response.extensions["network_stream"]
        network = stream.read
        stream.read = lambda most, timeout=None: network(min(most, cut()), timeout)
        asked.put(True)
        body = b"".join(reads(response))
    vars(stream).pop("read", None)
    return body


def test_a_body_is_read_as_it_was_sent_however_it_is_cut(serve):
    chance = random.Random(5)
    sent = [[chance.choice([EVENT, EVENT, *TRICKS]) for _ in range(40)] for _ in range(150)]
    url, asked, connections = serve(*(framed(chunks, chance.choice) for chunks in sent))
    with httpx2.Client() as client:
        for chunks in sent:
            most = chance.choice([3, 30, 300])
            assert read(client, url, asked, lambda most=most: chance.randint(1, most)) == b"".join(chunks)
    assert len(connections) == 1


def test_a_chunk_costs_the_parser_nothing(serve, monkeypatch):
    url, asked, _ = serve(framed([EVENT] * 1000, lambda ways: ways[0]))
    seen = []
    parse = h11.Connection.next_event
    monkeypatch.setattr(h11.Connection, "next_event", lambda self: seen.append(1) or parse(self))
    with httpx2.Client() as client:
        # Three whole chunks at a time.
        assert read(client, url, asked, lambda: 3 * len(b"15\r\n%s\r\n" % EVENT)) == EVENT * 1000
    assert len(seen) < 20


def test_one_that_is_cut_off_while_it_gives_its_connection_back_has_given_it_back(serve):
    url, asked, _ = serve(framed([EVENT], lambda ways: ways[0]))
    with httpx2.Client() as client:
        pool = client._transport._pool
        with client.stream("GET", url) as response:
            asked.put(True)
            body = reads(response)
            # Others are about to take or give back theirs.
            with pool._optional_thread_lock, gevent.Timeout(0.05, False):
                list(body)
            body.close()
        gevent.sleep(0)

        assert [connection.is_idle() for connection in pool.connections] == [True]
        assert not pool._requests
