"""A server that fails on demand, each time with a document's text at hand, and what its log tells of that."""

import json
import secrets
import socket
import sys
from contextlib import closing

import gevent
import httpx2
import pytest

from tests.precis import ROOT, Precis

# In every word that a person, a browser or a provider brings.
CANARY = "Zilpzalp"

# A server that fails on demand, each time with a document's text at hand.
PROGRAM = f"""
import sys

sys.path[0] = {str(ROOT)!r}

import app

import logging
import os
import threading
import warnings

import gevent
from views.helpers.routes import find_document

ours, theirs = logging.getLogger("analyzer.faults"), logging.getLogger("theirs")
make = app.create_app


class Dying:
    def __init__(self, text):
        self.text = text

    def __del__(self):
        raise ValueError(self.text)


def chain(text):
    try:
        int(text)
    except ValueError as error:
        raise RuntimeError(text) from error


def recur(text):
    recur(text)


def fail_at_once(text):
    raise RuntimeError(text)
    yield text


def fail_later(text):
    yield text
    raise RuntimeError(text)


def log_what_cannot_be_told(text):
    ring = [text]
    ring.append(ring)
    ours.error("a ring", extra={{"ring": ring}})
    ours.error("an exception", extra={{"error": ValueError(text)}})
    ours.error("an argument: %s %d", text, text)


def log_as_others_do(text):
    theirs.debug(text)
    theirs.info(text)
    theirs.warning("cannot read %s", text)
    theirs.error(f"cannot read: {{text}}")
    theirs.error(ValueError(text))
    logging.getLogger("peewee").debug(text)


FAULTS = {{
    "value": int,
    "chain": chain,
    "recursion": recur,
    "disk": lambda text: os.open("/nowhere", os.O_RDONLY),
    "at once": lambda text: (fail_at_once(text), 200),
    "later": lambda text: (fail_later(text), 200),
    "greenlet": lambda text: gevent.spawn(int, text).join() or "",
    "callback": lambda text: str(gevent.get_hub().loop.run_callback(int, text)),
    "thread": lambda text: threading.Thread(target=int, args=(text,)).start() or "",
    "finalizer": lambda text: str(Dying(text)),
    "warning": lambda text: warnings.warn(text) or "",
    "untold": lambda text: log_what_cannot_be_told(text) or "",
    "others": lambda text: log_as_others_do(text) or "",
    "spawned": lambda text: gevent.spawn(ours.info, "spawned").join() or "",
}}


def create_app(settings):
    if "unbootable" in settings.hosts:
        raise ValueError("{CANARY}")
    application = make(settings)

    @application.get("/documents/<id:id>/faults/<kind>")
    def fault(id, kind):
        return FAULTS[kind](find_document(id).read())

    return application


app.create_app = create_app
app.main()
"""


class Faulty(Precis):
    """A server whose program is `PROGRAM`."""

    def __init__(self, *args, **settings):
        super().__init__(*args, **settings)
        program = self.folder / "app.py"
        program.write_text(PROGRAM)
        self.command = (sys.executable, program)

    def ask_for(self, path, method="GET", headers=None, **fields):
        """Send a request with an id of its own; returns the answer and the id."""
        id = secrets.token_hex(8)
        headers = {"X-Request-ID": id} | (headers or {})
        return httpx2.request(method, self.url + path, headers=headers, **fields), id

    def lines(self, **wanted):
        """Return what the log says by now; but for the first two, every line is JSON."""
        _, _, *lines = self.log.read_text().rpartition("\n")[0].splitlines()
        found = [json.loads(line, parse_constant=pytest.fail) for line in lines]
        return [line for line in found if wanted.items() <= line.items()]

    def told(self, after=0, **wanted):
        """Wait until the log tells of something, beyond what is known already."""
        with gevent.Timeout(30, AssertionError(f"the log never told of {wanted}")):
            while not (found := self.lines(**wanted)[after:]):
                gevent.sleep(0.01)  # nothing announces a line
        return found

    def answered(self, id):
        """Wait for the one line of a request."""
        (line,) = self.told(request=id, event="answered")
        return line

    def send(self, data):
        """Send bytes over a connection of their own; returns all that comes back until it is closed."""
        said = b""
        with closing(socket.create_connection(("127.0.0.1", self.port))) as sock:
            sock.sendall(data)
            while more := sock.recv(65536):
                said += more
        return said
