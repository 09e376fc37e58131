"""Every route with everything a client can send it: no fault of ours, no trace, no word of another person's.

    python -m tests.test_fuzz 50000 [SEED]      as many requests; --scale: on PostgreSQL and Redis;
                                                --oidc: people sign in, and are signed out again and again

Each request is made of a seed, so that a run can be repeated.
"""

from gevent import monkey

monkey.patch_all()

import random  # noqa: E402
import re  # noqa: E402
import socket  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from collections import Counter  # noqa: E402
from contextlib import ExitStack, closing  # noqa: E402
from itertools import cycle, islice  # noqa: E402
from urllib.parse import urlencode  # noqa: E402

import pytest  # noqa: E402

import config  # noqa: E402
import storage  # noqa: E402
from app import create_app  # noqa: E402
from models import User  # noqa: E402
from tests import office_files, pdf_files  # noqa: E402
from tests.fleet import said  # noqa: E402
from tests.openid import CLIENT, Forger, parameter  # noqa: E402
from tests.person import as_person, ask, bring  # noqa: E402
from tests.scale import Scale  # noqa: E402
from tests.test_denial import read_all  # noqa: E402

CANARY = "Zilpzalp"
MODEL = "offline:extractive"
PEOPLE = ("anna", "ben", "root", None)
METHODS = (
    "GET",
    "GET",
    "GET",
    "POST",
    "POST",
    "POST",
    "HEAD",
    "OPTIONS",
    "PUT",
    "PATCH",
    "DELETE",
    "TRACE",
    "X",
)
# By the endpoint what it reads, and what fits.
FIELDS = {
    "documents.index": {"shorten": ("1", "2")},
    "documents.create": {"text": ("Terms.", "Ter\0ms."), "title": ("A title",), "once": ("yes",)},
    "analyses.create": {
        "recipe": ("brief", "question"),
        "model": (MODEL,),
        "question": ("Who pays?", "Who\0 pays?"),
        "request_key": ("k1", "k\0"),
    },
    "continuations.create": {"request_key": ("k1", "k\0")},
    "titles.update": {"title": ("A title", "A\0 title")},
    "shares.create": {"name": ("anna", "ben", "ben\0")},
    "search.show": {"q": ("terms", "pay\0 100"), "page": ("1", "2", "x", "0"), "order": ("newest", "title")},
    "events.index": {"person": ("anna",), "action": ("read",), "document": ("1",), "before": ("9",)},
    "events.export": {"person": ("anna",), "action": ("read",), "document": ("1",)},
    "spending.show": {"from": ("2026-01-01",), "to": ("2026-12-31",)},
    "spending.export": {"from": ("2026-01-01",), "to": ("2026-12-31",)},
    "people.index": {"page": ("1", "2")},
    "health.stream": {"seconds": ("0", "1")},
    "sessions.new": {"next": ("/", "/search?q=a")},
    "sessions.callback": {"code": ("any",)},
}
# What no route, or another one, reads.
STRAY = ("file", "reader", "everybody", "user", "within", "after", "state", "error", "iss", "partial", "kind")
IDS = (
    0,
    1,
    2,
    3,
    4,
    5,
    -1,
    10**9,
    10**18,
    10**30,
    "1.0",
    "٣",
    "1%2F2",
    "..%2F..",
    "%00",
    "%FF",
    "a" * 5000,
    "1;x",
    "",
)
TEXTS = (
    *("", " ", "1", "0", "-1", "1e9", "Terms.", "brief", MODEL, "everybody", "ben", "anna"),
    *(
        "a\0b",
        "\ud800",
        "\u202e\u2066",
        "\ufeff",
        "\U000e0041",
        "é\u0301" * 50,
        "\r\nSet-Cookie: a=b",
        "\x1b[2J",
    ),
    *("0x1", "+1", "1_0", "\u0663", "\u00b2", "9" * 19, "9" * 5000, "1.5", "nan", "0000-00-00", "9999-12-31"),
    *(
        "<script>alert(1)</script>",
        "{{7*7}}",
        "' OR 1=1 --",
        "../../../etc/passwd",
        "%s%n",
        '"' * 99,
        "a " * 500,
    ),
)
HEADERS = {
    "HX-Request": ("true", "false", ""),
    "HX-Request-Type": ("partial", "full", "x"),
    "HX-Target": ("#analysis", "\xff"),
    "Last-Event-ID": ("0", "-1", "99999999999", "1-2", "a" * 9000, "\xff"),
    "Range": ("bytes=0-1", "bytes=9-1", "bytes=-", "x"),
    "If-None-Match": ("*", '"a"', "W/", '"' * 99),
    "If-Modified-Since": ("yesterday", "Thu, 01 Jan 1970 00:00:00 GMT", "Thu, 99 Foo 99999 99:99:99"),
    "Content-Type": (
        "text/plain",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "application/json",
        "\xff",
    ),
    "Accept": ("text/event-stream", "*/*;q=x", "\xff"),
    "Accept-Encoding": ("gzip", "\xff"),
    "Cookie": ("session=x", "session=" + "a" * 4000, "=;=;;", "\xff=\xff"),
    "Authorization": ("Basic x", "Bearer \xff", "Basic OjpAOg=="),
    "X-Forwarded-For": ("1.2.3.4", "x", "," * 99),
    "X-Forwarded-Host": ("evil.example",),
    "X-Forwarded-Proto": ("https", "x"),
    "X-Forwarded-Prefix": ("/x",),
    "X-Request-ID": ("a", "\xff", "a" * 999, "<b>"),
    "Sec-Fetch-Site": ("same-origin", "cross-site", "x"),
    "Origin": ("null", "http://evil.example", "x"),
    "Host": ("evil.example", "localhost:99999", "\xff", ""),
    "Transfer-Encoding": ("chunked",),
    "Content-Length": ("0", "5"),
}
TRACES = ("Traceback", 'File "', "peewee", "werkzeug", "sqlite3", "psycopg", "authlib", "site-packages")


def files():
    """Return files of every kind, and broken ones."""
    whole = {
        "a.pdf": pdf_files.scan(),
        "b.pdf": b"%PDF-1.7 cut off",
        "c.docx": office_files.word(office_files.paragraph("Terms.")),
        "d.docx": b"PK\3\4" + bytes(99),
        "e.html": b"<p>Terms.<script>x</script>",
        "f.eml": b"From: a@b\r\nSubject: =?x?\r\n\r\nTerms.",
        "g.csv": b'a,b\n"1',
        "h.txt": b"\xff\xfeT\0",
        "i.png": b"\x89PNG\r\n\x1a\n",
        "../\0\u202e.md": b"# Terms",
        "": b"",
    }
    return list(whole.items())


class Fuzz:
    """Requests to an application, and what is seen in the answers.

    It is behind a proxy that signs people in, or has its own `door`, which they go through again whenever
    they have been signed out. `kind` is what the endpoints begin with that are asked.
    """

    def __init__(self, app, seed, door=None, kind=""):
        self.app = app
        self.random = random.Random(seed)
        self.files = files()
        self.seen = Counter()
        self.door = door
        self.rules = [
            rule
            for rule in app.url_map.iter_rules()
            if rule.endpoint != "static" and rule.endpoint.startswith(kind)
        ]
        names = (*PEOPLE, "clara")
        self.clients = {
            name: as_person(app, name) if name and not door else app.test_client() for name in names
        }
        self.states = {}
        self.own = {}
        self.sign_in()
        self.victim = self.clients["clara"]
        document = bring(self.victim, f"{CANARY}. The user shall pay.", title=CANARY)
        analysis = ask(self.victim, document, model=MODEL, recipe="question", question=f"What is {CANARY}?")
        assert CANARY in self.victim.get(f"{analysis}/stream").text
        with storage.connected():
            self.victims_id = User.named("clara").id

    def sign_in(self):
        """Let everybody in again who is out."""
        for name in filter(None, self.clients if self.door else ()):
            if self.clients[name].get("/").status_code != 200:
                self.door.says = {"sub": name}
                self.door.more = self.door.says | {"preferred_username": name}
                assert self.door.sign_in(self.clients[name]).status_code == 303

    def run(self, count):
        """Make so many requests; the first answer that is wrong ends it."""
        furnished = -1
        for rule in cycle(self.rules):
            # What would delete what must not be read is not sent, and does not count.
            sent = self.seen.total()
            if sent == count:
                break
            if sent % 50 == 0 and sent != furnished:
                furnished = sent
                self.furnish()
            self.request(rule)
        # Whoever had been deleted would have no word to give away.
        assert CANARY in self.victim.get("/").text

    def furnish(self):
        """Let there be what can be asked for, and people who may."""
        with storage.connected():
            User.update(disabled_at=None).execute()
        self.sign_in()
        for name in ("anna", "ben", "root"):
            document = bring(self.clients[name], "Terms\n\nThe user shall pay 100 EUR.")
            analysis = ask(self.clients[name], document, model=MODEL)
            self.own[name] = [path.rsplit("/", 1) for path in (document, analysis)]

    def request(self, rule):
        pick = self.random.choice
        name = pick(PEOPLE)
        # Mostly one that leads somewhere.
        method = pick([*METHODS, *sorted(rule.methods - {"HEAD", "OPTIONS"}) * 20])
        path, ids = self.path(rule, name)
        if rule.endpoint.startswith("people.") and self.victims_id in ids:
            return
        fields = self.fields(rule.endpoint, name)
        kind, body = self.body(fields)
        headers = {"Content-Type": kind} | {
            header: pick(HEADERS[header])
            for header in self.random.sample(sorted(HEADERS), pick((0, 0, 1, 1, 3)))
        }
        query = urlencode(pick((fields, fields, self.fields("", name))), errors="surrogatepass")
        asked = f"{method} {path[:80]} by {name}, {headers}, {query[:200]}, {body[:200]}"
        answer = self.clients[name].open(path, method=method, query_string=query, data=body, headers=headers)
        if self.door and answer.headers.get("Location", "").startswith(self.door.issuer):
            self.states[name] = parameter(answer.headers["Location"], "state")
        self.check(rule, answer, asked)

    def path(self, rule, name):
        """Return a path of a rule, and the ids in it."""
        pick = self.random.choice
        # The first of each kind is the one that nobody here may see.
        ids = [pick(pick(((1,), range(1, 9), range(1, 40), IDS))) for _ in rule.arguments]
        path = rule.rule
        for start, id in self.own.get(name, ()) if self.random.random() < 0.8 else ():
            path = path.replace(f"{start}/<id:id>", f"{start}/{id}")
        for id, argument in zip(ids, sorted(rule.arguments), strict=True):
            path = path.replace(f"<id:{argument}>", str(id))
        return path, ids

    def fields(self, endpoint, name):
        """Return fields, as a form of that endpoint has them and as it does not, with any text."""
        pick, chance = self.random.choice, self.random.random
        fitting = FIELDS.get(endpoint, {})
        if endpoint == "sessions.callback" and name in self.states:
            fitting = fitting | {"state": (self.states[name],)}
        odd = (*TEXTS, "x" * self.random.randrange(3000))
        fields = [
            (field, pick(odd if chance() < 0.4 else texts))
            for field, texts in fitting.items()
            if chance() < 0.8
        ]
        return fields + [(pick((*STRAY, *TEXTS)), pick(odd)) for _ in range(pick((0, 0, 0, 1, 4)))]

    def body(self, fields):
        """Return a kind of body and one of that kind, or what says so."""
        pick = self.random.choice
        if self.random.random() < 0.5:
            return "application/x-www-form-urlencoded", urlencode(fields, errors="surrogatepass").encode()
        parts = [(f'name="{name}"', text.encode(errors="surrogatepass")) for name, text in fields]
        if self.random.random() < 0.3:
            name, data = pick(self.files)
            parts.append((f'name="file"; filename="{name}"', data[: pick((len(data), len(data) // 2))]))
        body = b"".join(
            b"--x\r\nContent-Disposition: form-data; %s\r\n\r\n%s\r\n"
            % (head.encode(errors="surrogatepass"), data)
            for head, data in parts
        )
        return "multipart/form-data; boundary=x", body + pick((*[b"--x--\r\n"] * 6, b"--x", b""))

    def check(self, rule, answer, asked):
        # It lasts as long as it was asked to.
        text = "" if rule.endpoint == "health.stream" else answer.get_data().decode(errors="replace")
        answer.close()
        self.seen[answer.status_code] += 1
        assert answer.status_code < 500 or answer.status_code == 503, asked
        assert CANARY not in f"{text}{answer.headers}", asked
        assert not [word for word in TRACES if word in text], asked
        for header, value in answer.headers:
            assert re.fullmatch(r"[A-Za-z0-9-]+", header), asked
            assert re.fullmatch(r"[\t\x20-\x7e\x80-\xff]*", value), asked
        assert answer.headers["X-Request-ID"], asked


# Of a form that breaks off Werkzeug leaves the files to be collected.
@pytest.mark.filterwarnings("ignore:.*SpooledTemporaryFile:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.both_modes
def test_no_request_of_a_client_is_a_fault_of_ours_or_gives_away_a_word(make_app):
    fuzz = Fuzz(make_app(auth="proxy", admins=("root",), models=(MODEL,)), seed=1)
    fuzz.run(300)
    assert fuzz.seen.total() == 300
    assert {200, 303, 401, 404, 405} <= set(fuzz.seen)


@pytest.mark.filterwarnings("ignore:.*SpooledTemporaryFile:pytest.PytestUnraisableExceptionWarning")
def test_no_sign_in_of_a_client_is_a_fault_of_ours(make_app):
    with Forger() as forger:
        fuzz = Fuzz(make_app(**signing_in(forger), models=(MODEL,)), seed=1, door=forger, kind="sessions.")
        fuzz.run(100)
    assert {200, 303, 400} <= set(fuzz.seen)


def signing_in(forger):
    """Return the settings with which people sign in by a provider."""
    return {
        "auth": "oidc",
        "oidc_issuer": forger.issuer,
        "secret_key": ("0123456789" * 4,),
        "admins": ("root",),
        **CLIENT,
    }


def broken(seed):
    """Yield requests that are no longer quite HTTP."""
    chance = random.Random(seed)
    head = (
        "POST /documents HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    )
    whole = [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        f"{head}Content-Length: 11\r\n\r\ntext=Terms.".encode(),
        f"{head}Transfer-Encoding: chunked\r\n\r\nb\r\ntext=Terms.\r\n0\r\n\r\n".encode(),
        f"{head}Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n".encode(),
    ]
    while True:
        data = bytearray(chance.choice(whole))
        for _ in range(chance.randrange(1, 6)):
            place = chance.randrange(len(data))
            match chance.randrange(4):
                case 0:
                    data[place] = chance.randrange(256)
                case 1:
                    del data[place : place + chance.randrange(9)]
                case 2:
                    data[place:place] = chance.choice(
                        (b"\r", b"\n", b"\0", b" ", b":", b"\r\n\r\n", b"\xff" * 99)
                    )
                case _:
                    data[place:place] = data[: chance.randrange(99)]
            data = data or bytearray(b"\n")
        yield bytes(data)


def test_bytes_that_are_hardly_a_request_harm_nobody(site):
    worker, known = site.worker(), said(site, "a request failed")
    for data in islice(broken(seed=1), 200):
        with closing(socket.create_connection(("127.0.0.1", site.port))) as sock:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            answer = read_all(sock)
        assert re.match(rb"HTTP/1.1 [1-4]\d\d |HTTP/1.1 501 |$", answer), data
        assert not re.search(rb"Traceback|File \"", answer), data
    assert site.worker() == worker
    assert said(site, "a request failed") == known


def main(count, seed):
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        place = {"database_url": f"sqlite:///{folder}/precis.db"}
        if "--scale" in sys.argv:
            place = stack.enter_context(Scale()).create()
        door = stack.enter_context(Forger()) if "--oidc" in sys.argv else None
        place |= signing_in(door) if door else {"auth": "proxy", "admins": ("root",)}
        settings = config.Settings(**place, models=(MODEL,), analyze_limit="")
        app = create_app(settings)
        app.testing = True
        storage.migrate()
        app.extensions["analyzer"].begin()
        print(f"seed {seed}", flush=True)
        fuzz, began = Fuzz(app, seed, door), time.monotonic()
        try:
            fuzz.run(count)
        finally:
            seen = fuzz.seen.total()
            print(f"{seen} requests, {seen / (time.monotonic() - began):.0f} per second, {dict(fuzz.seen)}")
            app.extensions["analyzer"].drain(0)


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:] if word.isdigit()]
    main(numbers[0], numbers[1] if len(numbers) > 1 else time.time_ns() % 10**6)
