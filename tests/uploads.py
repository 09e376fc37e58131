"""Files that people bring, made on the spot, and how they are sent."""

import os
import signal
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path

import docx
import gevent
import httpx2
from werkzeug.datastructures import FileStorage

from models import Document
from storage import connected
from tests.pdf_files import Pdf, block
from tests.person import post_large
from tests.processes import GONE, children


def upload(client, name, data, **fields):
    """Send a file, and other fields of the form; returns the answer."""
    return post_large(client, "/documents", file=FileStorage(BytesIO(data), name), **fields)


def send(precis, name, data):
    """Send a file to a server; returns the path that it leads to."""
    answer = httpx2.post(f"{precis.url}/documents", files={"file": (name, data)})
    assert answer.status_code == 303, answer.text
    return answer.headers["Location"]


def kept(answer):
    """Return the document that an answer leads to."""
    assert answer.status_code == 303, answer.text
    kind, id = answer.headers["Location"].split("/")[1:]
    assert kind == "documents"
    with connected():
        return Document.get_by_id(int(id))


def count_documents():
    with connected():
        return Document.select().count()


def pdf(*pages, title=None):
    """Return a PDF of pages of some lines each; a page of none is blank."""
    return Pdf(*(block(*page) for page in pages), title=title).data


def word(*paragraphs):
    """Return a Word document; of two strings the first is a style's name."""
    document = docx.Document()
    for paragraph in paragraphs:
        style, text = paragraph if isinstance(paragraph, tuple) else (None, paragraph)
        document.add_paragraph(text, style=style)
    file = BytesIO()
    document.save(file)
    return file.getvalue()


MAIL = b"""\
From: Ann Writer <ann@example.com>
To: Bob Reader <bob@example.com>
Subject: The budget
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=x

--x
Content-Type: text/plain; charset=utf-8

Please read the budget.

--x
Content-Type: application/pdf; name="plan.pdf"
Content-Disposition: attachment; filename="plan.pdf"

%PDF-
--x--
"""
PAGE = b"""<!doctype html><title>A web page</title><h1>Rules</h1><p>Pay by March.</p>
<table><tr><th>Item</th><th>Price</th></tr><tr><td>Pens|ink</td><td>5</td></tr></table>"""


@contextmanager
def held_up(pid):
    """Let the child of a process that reads a file stand still, wherever it is."""
    with gevent.Timeout(30, AssertionError("no file is being read")):
        while not (found := list(children_that_read(pid))):
            gevent.sleep(0.005)  # nothing announces that a process begins
    os.kill(found[0], signal.SIGSTOP)
    yield
    with suppress(ProcessLookupError):
        os.kill(found[0], signal.SIGCONT)


def children_that_read(pid):
    """Yield the pids of a process's children that read a file."""
    for child in children(pid):
        with suppress(*GONE):
            if b"extraction.child" in Path(f"/proc/{child}/cmdline").read_bytes():
                yield child
