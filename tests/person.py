"""What a person does, through the test client; and an answer that the test itself writes."""

import sqlite3
from contextlib import closing, contextmanager
from itertools import count

import gevent
import psycopg
from werkzeug.test import encode_multipart

from models import Analysis, Document, Status, User
from storage import connected, database

HTMX = {"HX-Request": "true"}
PARTIAL = HTMX | {"HX-Request-Type": "partial"}

_keys = count()


def as_person(app, name):
    """Return the browser of a person whom a proxy on this machine has signed in; see `PRECIS_AUTH`."""
    client = app.test_client()
    client.environ_base["HTTP_X_FORWARDED_USER"] = name
    return client


def bring(client, text, **fields):
    """Bring a document; returns its path."""
    answer = post_large(client, "/documents", text=text, **fields)
    assert answer.status_code == 303, answer.text
    return answer.headers["Location"]


def post_large(client, path, headers=None, **fields):
    """Post a multipart form of many bytes, which the test client would otherwise keep in a file."""
    boundary, data = encode_multipart(fields)
    kind = f"multipart/form-data; boundary={boundary}"
    return client.post(path, data=data, content_type=kind, headers=headers)


def post_analysis(client, document, headers=None, **fields):
    """Press Analyze; returns the answer."""
    data = {"recipe": "brief", "model": "openai:gpt-6-sol", **fields}
    return client.post(f"{document}/analyses", data=data, headers=headers)


def ask(client, document, **fields):
    """Start an analysis; returns its path."""
    answer = post_analysis(client, document, **fields)
    assert answer.status_code == 303, answer.text
    return answer.headers["Location"].removesuffix("/live")


def stream(client, analysis, **headers):
    """Watch an analysis, from `Last_Event_ID` if that is given."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.get(f"{analysis}/stream", headers=named)


def finished(client, document, **fields):
    """Start an analysis and read it to the end; returns its path."""
    analysis = ask(client, document, **fields)
    stream(client, analysis).get_data()
    return analysis


def saved(client, analysis):
    """Load the saved partial, as the page does when the stream is done."""
    return client.get(analysis, headers=PARTIAL)


def settle(analyzer):
    """Wait until nothing runs any more: viewers hear of an ending a moment before its runner does."""
    while runners := list(analyzer._runners.values()):
        gevent.joinall([runner.greenlet for runner in runners])
        gevent.sleep(0)


def row(analysis):
    """Return the row of an analysis' path, or None."""
    with connected():
        return Analysis.get_or_none(Analysis.id == int(analysis.rsplit("/", 1)[-1]))


@contextmanager
def held():
    """Keep everybody from writing, as another process does that writes itself; yields what to wait for.

    That is called with how many are to wait by then.
    """
    if database.is_shared:
        with psycopg.connect(database.conninfo) as other:
            # One table only: who holds nothing else can be in no deadlock.
            other.execute("LOCK analysis IN EXCLUSIVE MODE")

            def are_waiting(least=1):
                while other.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone() < (least,):
                    gevent.sleep(0.001)  # the server announces it to nobody

            yield are_waiting
    else:
        with closing(sqlite3.connect(database.file, timeout=0, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield lambda least=1: gevent.sleep(0.005 * least)  # nothing announces it


class Writer:
    """An analysis whose provider is the test: it runs in the analyzer's name, and `write` is its reply."""

    is_alive = True

    def __init__(self, analyzer, document, owner=User.LOCAL):
        self.analyzer = analyzer
        self.log = analyzer.log
        self.greenlet = gevent.spawn(lambda: None)
        # What runs without a runner would be taken for abandoned, and the database may let others look.
        analyzer._reserved += 1
        try:
            self.id = self._ask(document, owner)
            self.log.open(self.id)
            analyzer._runners[self.id] = self
        finally:
            analyzer._reserved -= 1
        self.path = f"/analyses/{self.id}"

    def _ask(self, document, owner):
        with connected():
            owner = User.named(owner)
            document = Document.find(owner, int(document.rsplit("/", 1)[-1]))
            asked, _ = Analysis.ask(
                document,
                owner,
                "brief",
                "openai:gpt-6-sol",
                "",
                f"writer-{next(_keys)}",
                worker=self.analyzer.worker,
                lease_seconds=60,
            )
        return asked.id

    def stop(self, status=None):
        """Do nothing: the test decides when it ends."""

    def write(self, *texts):
        for text in texts:
            self.log.append(self.id, text)
        return self

    def end(self, status=Status.COMPLETE):
        self.log.end(self.id, status=status)
        self.analyzer._runners.pop(self.id, None)
        return self
