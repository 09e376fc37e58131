"""What one hostile client sends: it is refused, forgotten and paid for by nobody else."""

import importlib
import pkgutil
import re
import socket
import time
from contextlib import ExitStack, closing
from functools import partial
from html import unescape
from io import BytesIO
from itertools import pairwise, permutations
from pathlib import Path
from re import _constants as kinds
from re import _parser as parser
from urllib.parse import urlencode

import gevent
import gevent.event
import httpx2
import pytest

import server
from analyzer import injection
from logs import OURS
from tests.fleet import wait_until
from tests.test_server import connect, read_until

FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=x"
MB = 1024 * 1024


def head(method="POST", path="/documents", kind=FORM, *lines):
    """Return the head of a request up to its last line."""
    words = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Type: {kind}", *lines]
    return "\r\n".join(words).encode() + b"\r\n"


def send(site, data, then=b"", most=64 * MB):
    """Send bytes, and then others again and again until nobody takes them; returns what is answered."""
    with closing(socket.create_connection(("127.0.0.1", site.port))) as sock:
        reader = gevent.spawn(read_all, sock)
        sent = 0
        try:
            sock.sendall(data)
            while then and sent < most and not reader.ready():
                sock.sendall(then)
                sent += len(then)
        except OSError:
            pass
        return reader.get()


def read_all(sock):
    data = b""
    try:
        while more := sock.recv(65536):
            data += more
    except ConnectionResetError:
        pass
    return data


def status(answer):
    """Return the status of the first answer of what came."""
    return int(answer.split()[1])


def memory(pid, line):
    return int(re.search(rf"{line}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())[1]) * 1024


# On the wire


def test_fifty_slow_heads_and_fifty_slow_bodies_hold_up_no_page(site):
    with ExitStack() as slow:
        heads, bodies = (
            [
                slow.enter_context(closing(socket.create_connection(("127.0.0.1", site.port))))
                for _ in range(50)
            ]
            for _ in range(2)
        )
        for sock in heads:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        for sock in bodies:
            sock.sendall(head("POST", "/documents", FORM, "Content-Length: 9") + b"\r\ntext=")
        site.provider.script(text="One two.")
        analysis = site.ask(site.bring("Terms."))
        assert httpx2.get(f"{site.url}{analysis}/stream").text.count("event: done") == 1
        # A head has three seconds.
        assert {sock.recv(1) for sock in heads} == {b""}
        for sock in bodies:
            sock.sendall(b"Slow")
        assert {status(read_until(sock, b"\r\n")) for sock in bodies} == {303}


@pytest.fixture
def dribbling():
    """A connection at which a byte comes every millisecond."""
    ours, theirs = socket.socketpair()

    def dribble():
        while True:
            theirs.sendall(b"x")
            gevent.sleep(0.001)

    greenlet = gevent.spawn(dribble)
    with closing(theirs), closing(server.Client(ours)) as client:
        yield client
        greenlet.kill()


def test_a_body_that_comes_too_slowly_is_given_up_although_it_comes(dribbling, monkeypatch):
    monkeypatch.setattr(server, "STALL_SECONDS", 0.2)
    came = []
    with pytest.raises(ConnectionResetError):
        came.extend(iter(partial(dribbling.recv, 10), b""))
    assert len(came) > 10


def test_a_body_that_comes_fast_enough_may_take_long_until_it_falls_silent(dribbling, monkeypatch):
    monkeypatch.setattr(server, "STALL_SECONDS", 0.5)
    monkeypatch.setattr(server, "LEAST_RATE", 1)
    for _ in range(800):
        dribbling.recv(1)
    monkeypatch.setattr(server, "LEAST_RATE", 1_000_000)
    dribbling.expect()
    dribbling.recv(1)


def test_a_body_that_stops_is_given_up(monkeypatch):
    monkeypatch.setattr(server, "STALL_SECONDS", 0.01)
    monkeypatch.setattr(server, "LEAST_RATE", 1)
    ours, theirs = socket.socketpair()
    with closing(theirs), closing(server.Client(ours)) as client:
        theirs.sendall(bytes(100_000))
        assert client.recv(100_000)
        with gevent.Timeout(30), pytest.raises(ConnectionResetError):
            client.recv(10)


def test_who_sends_without_a_pause_leaves_everybody_else_their_turn():
    ours, theirs = socket.socketpair()
    turns = []
    with closing(server.Client(ours)) as client, closing(theirs):
        theirs.sendall(bytes(server.UNASKED + 40_000))
        client.recv(server.UNASKED)
        other = gevent.spawn(lambda: [(turns.append(1), gevent.sleep(0)) for _ in range(9)])
        for _ in range(4):
            # Less than it asks for is there now, and more when it asks again.
            client.recv(10_000)
        other.kill()
    assert len(turns) >= 3


@pytest.mark.parametrize(
    ("kind", "begin", "expected"),
    [
        (FORM, b"text=", 413),
        (MULTIPART, b'--x\r\nContent-Disposition: form-data; name="text"\r\n\r\n', 413),
        (MULTIPART, b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n', 413),
        (MULTIPART, b"--x\r\nX: ", 413),
        # Nobody reads it.
        ("application/octet-stream", b"x", 422),
    ],
    ids=["form", "field", "file", "part head", "unknown"],
)
def test_a_body_that_never_ends_is_refused_and_costs_no_memory(site, kind, begin, expected):
    """A body of a gigabyte is one of these: who sends it never gets that far."""
    worker = site.worker()
    opening = head("POST", "/documents", kind, "Transfer-Encoding: chunked", "Connection: close")
    opening += b"\r\n%x\r\n%s\r\n" % (len(begin), begin)
    chunk = b"40000\r\n" + bytes(0x40000) + b"\r\n"
    # Once before: what the first of its kind loads, and its page, are no body's.
    send(site, opening, chunk)
    Path(f"/proc/{worker}/clear_refs").write_text("5")
    before = memory(worker, "VmRSS")
    assert status(send(site, opening, chunk)) == expected
    assert memory(worker, "VmHWM") - before < 20 * MB
    assert site.worker() == worker


@pytest.mark.parametrize(
    ("data", "then", "expected"),
    [
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 100_000 + b"\r\n\r\n", b"", 431),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: a\r\n" * 1000 + b"\r\n", b"", 431),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"X: " + b"a" * 1000 + b"\r\n", 431),
        (b"GET /", b"a" * 65536, 414),
        (b"GET /search?q=" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", b"", 414),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nCookie: " + b"a=b; " * 9000 + b"\r\n\r\n", b"", 431),
        (head("POST", "/documents", FORM, "Transfer-Encoding: chunked") + b"\r\n", b"1;" + b"a" * 65536, 400),
        (
            head("POST", "/documents", FORM, "Transfer-Encoding: chunked") + b"\r\n0\r\n",
            b"X: " + b"a" * 1000 + b"\r\n",
            400,
        ),
    ],
    ids=["header line", "headers", "flood", "line", "query", "cookie", "chunk extension", "trailers"],
)
def test_a_head_without_measure_is_refused(site, data, then, expected):
    worker = site.worker()
    assert status(send(site, data, then)) == expected
    assert site.worker() == worker


def test_the_largest_head_that_passes_is_answered(site):
    lines = {f"X-{number}": "a" * 8000 for number in range(90)} | {
        "Cookie": "a=b; " * 1600,
        "Connection": "close",
    }
    with closing(connect(site, f"/search?q={'a' * 4000}", **lines)) as sock:
        assert status(read_until(sock, b"\r\n")) == 200


# Forms


def post(client, body, kind=MULTIPART):
    return client.post("/documents", data=body, content_type=kind)


def part(name, value=b"", lines=b""):
    return b'--x\r\nContent-Disposition: form-data; name="%s"\r\n%s\r\n%s\r\n' % (name, lines, value)


def nested(depth):
    body = part(b"text", b"Terms.")
    for level in range(depth):
        body = b"--y%d\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n%s--y%d--\r\n" % (
            level,
            body,
            level,
        )
    return body


@pytest.mark.parametrize(
    ("body", "kind", "expected"),
    [
        (part(b"text") * 1001 + b"--x--\r\n", MULTIPART, 413),
        (part(b"text", b"Terms.", b"X: " + b"a" * 10 * MB + b"\r\n") + b"--x--\r\n", MULTIPART, 303),
        (part(b"text", b"Terms.", b"X: a\r\n" * 100_000) + b"--x--\r\n", MULTIPART, 303),
        (part(b"text", nested(1000)) + b"--x--\r\n", MULTIPART, 303),
        (part(b"text", b"x" * 13 * MB) + b"--x--\r\n", MULTIPART, 413),
        (b"--x\r\n" * 1_000_000, MULTIPART, 422),
        (b"text=Terms.&" + b"a=b&" * 1_000_000, FORM, 413),
        (b"text=Terms.&" + b"text=b&" * 10_000, FORM, 413),
        (b"text=Terms.&" + b"&" * 7 * MB, FORM, 413),
        (b"text=" + b"x" * 9 * MB, FORM, 413),
        (b"text=Terms." + b"&a=b" * 999, FORM, 303),
        (b"text=" + b"%" * 3 * MB, FORM, 422),
        (b"text=" + b"%ff" * 2 * MB, FORM, 422),
        (b"", "multipart/form-data; boundary=" + "x" * 100_000, 422),
        (b"", "multipart/form-data" + "; a=b" * 20_000, 422),
        (b"", "a/b" * 30_000, 422),
    ],
    ids=[
        *(
            "1,001 parts",
            "a long line in a part",
            "lines in a part",
            "nested parts",
            "a long field",
            "delimiters",
        ),
        "fields",
        *(
            "one field",
            "no fields",
            "bytes",
            "as many as may be",
            "per cents",
            "no characters",
            "boundary",
            "parameters",
            "kind",
        ),
    ],
)
def test_a_form_without_measure_is_read_or_refused(client, body, kind, expected):
    assert post(client, body, kind).status_code == expected


class Unfinished(BytesIO):
    """A form of 100,000 bytes of which 80,000 have come; the rest does when it is told."""

    def __init__(self):
        super().__init__(b"text=" + b"a" * 99_995)
        self.goes_on = gevent.event.Event()

    @property
    def has_stopped(self):
        return self.tell() >= 80_000

    def read(self, size=-1):
        if self.has_stopped:
            self.goes_on.wait()
        return super().read(min(size, 1000))

    def readinto(self, buffer):
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def send(self, app):
        return app.test_client().post("/documents", input_stream=self, content_type=FORM)


@pytest.fixture
def unfinished(app):
    """Three forms that are being sent."""
    found = [Unfinished() for _ in range(3)]
    senders = [gevent.spawn(body.send, app) for body in found]
    wait_until(lambda: all(body.has_stopped for body in found))
    yield found, senders
    for body in found:
        body.goes_on.set()
    gevent.joinall(senders)


def test_all_bodies_together_have_a_bound_and_small_ones_pass(client, unfinished, monkeypatch):
    bodies, senders = unfinished
    monkeypatch.setattr("views.helpers.bodies.MOST_HELD", 320_000)
    for kind, large in ((FORM, b"text=" + b"a" * 99_995), (MULTIPART, part(b"text", b"a" * 100_000))):
        refused = post(client, large, kind)
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "60")
        assert "Too much is being sent to Precis at the moment." in refused.text
    monkeypatch.setattr("views.helpers.bodies.MOST_HELD", 0)
    assert post(client, b"text=" + b"a" * 20_000, FORM).status_code == 303
    monkeypatch.setattr("views.helpers.bodies.MOST_HELD", 320_000)
    for body in bodies:
        body.goes_on.set()
    assert [sender.get().status_code for sender in senders] == [303] * 3
    # Nothing is held any more, of what was refused neither.
    assert post(client, b"text=" + b"a" * 300_000, FORM).status_code == 303


def test_who_takes_long_to_send_makes_room_where_it_is_short(client, unfinished, monkeypatch):
    bodies, senders = unfinished
    monkeypatch.setattr("views.helpers.bodies.MOST_HELD", 420_000)
    monkeypatch.setattr("views.helpers.bodies.CROWDED_SECONDS", 0)
    answers = []
    for body, sender in zip(bodies, senders, strict=True):
        body.goes_on.set()
        answers.append(sender.get().status_code)
    assert answers == [503, 303, 303]


def test_a_long_form_is_read_as_it_was_sent_while_others_have_their_turn(client):
    text = "Ä+b c%\n" * 20_000
    turns = []
    other = gevent.spawn(lambda: [(turns.append(1), gevent.sleep(0)) for _ in range(999)])
    path = post(client, urlencode({"title": "Ä & =", "text": text}).encode(), FORM).headers["Location"]
    other.kill()
    page = unescape(client.get(path).text)
    assert "Ä & =" in page
    assert page.count("Ä+b c%") == 20_000
    assert len(turns) > 20


# Regular expressions

CATEGORIES = {kinds.CATEGORY_DIGIT: "1", kinds.CATEGORY_SPACE: " \n", kinds.CATEGORY_WORD: "a1"}
# Asked at one place of a text only, never for all of them.
MATCHED = {"views.helpers.blocks._FENCE_END", "views.helpers.blocks._LIST_END"}
# What reads files does so in a child process that has its limits.
READERS = {"extraction", "app"}


def patterns():
    """Yield the names and patterns of what is compiled anywhere in the product."""
    for part in sorted(OURS - READERS):
        package = importlib.import_module(part)
        inner = pkgutil.walk_packages(getattr(package, "__path__", []), f"{part}.")
        for module in (package, *(importlib.import_module(found.name) for found in inner)):
            for name, value in vars(module).items():
                if not name.startswith("__"):
                    yield from within(value, f"{module.__name__}.{name}")


def within(value, name):
    """Yield the names and patterns of what is one, or holds some in tables of any depth."""
    if isinstance(value, re.Pattern) and value.pattern:
        yield name, value
    elif isinstance(value, dict):
        yield from within([*value, *value.values()], name)
    elif isinstance(value, list | tuple | set | frozenset):
        for index, each in enumerate(value):
            yield from within(each, f"{name}[{index}]")


PATTERNS = dict(patterns())


def letters(tree):
    """Yield what a parsed pattern speaks of, which is what it can be kept busy with."""
    for kind, value in tree:
        if kind is kinds.LITERAL:
            yield chr(value)
        elif kind is kinds.RANGE:
            yield chr(value[0])
        elif kind is kinds.CATEGORY:
            yield from CATEGORIES.get(value, "a")
        elif kind is kinds.IN:
            yield from letters(value)
        elif kind in (kinds.ANY, kinds.NOT_LITERAL):
            yield "a"
        else:
            parts = value[1] if kind is kinds.BRANCH else value
            for part in parts if isinstance(parts, tuple | list) else ():
                if isinstance(part, parser.SubPattern):
                    yield from letters(part)


def cost(search, text):
    """Return the least CPU time of three that a search of a whole text takes."""
    costs = []
    for _ in range(3):
        began = time.thread_time()
        for _ in search(text):
            pass
        costs.append(time.thread_time() - began)
    return min(costs)


def test_there_are_patterns_to_look_at():
    assert len(PATTERNS) > 120
    assert "analyzer.injection._PATTERNS[0][1]" in PATTERNS
    assert set(PATTERNS) > MATCHED


@pytest.mark.parametrize("name", PATTERNS)
def test_a_text_of_twice_the_length_costs_a_pattern_no_more_than_twice_the_time(name):
    pattern = PATTERNS[name]
    search = pattern.finditer if name not in MATCHED else lambda text: [pattern.match(text)]
    few = [
        letter
        for letter in dict.fromkeys(letters(parser.parse(pattern.pattern, pattern.flags)))
        if ord(letter)
    ]
    few = few[:: max(1, len(few) // 6)]
    for unit in (*few, *map("".join, permutations(few, 2))):
        texts = [unit * (size // len(unit)) + "\1" for size in (2000, 4000)]
        if isinstance(pattern.pattern, bytes):
            texts = [text.encode() for text in texts]
        once = cost(search, texts[0])
        # Where it takes next to nothing there is nothing to compare.
        assert once < 0.002 or cost(search, texts[1]) < 3.2 * once, unit


def looked_through(monkeypatch, text):
    """Return the CPU time between two turns of others while a text is looked through."""
    times = [time.thread_time()]
    monkeypatch.setattr(injection, "let_others_run", lambda: times.append(time.thread_time()))
    injection.speaking([text])
    return [until - since for since, until in pairwise([*times, time.thread_time()])]


@pytest.mark.parametrize("unit", ["instruc", "prompt ignore ignore ", "指示", "the user "])
def test_a_text_of_words_that_orders_have_is_looked_through_in_turns(monkeypatch, unit):
    costs = looked_through(monkeypatch, unit * (400_000 // len(unit)))
    assert max(costs) < 0.25 * sum(costs)
    assert sum(costs) < 1


def test_a_short_ordinary_text_is_looked_through_at_once(monkeypatch):
    text = "The user follows the instructions. Words about this and that are here, and there. " * 20
    assert len(looked_through(monkeypatch, text)) == 1
