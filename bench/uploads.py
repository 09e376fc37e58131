"""Streams while hostile and huge files are brought, beside the same streams alone.

    python -m bench.uploads --streams 100 --rounds 4      five minutes

One person after the other uploads what `HOSTILE` makes, one file at once after the last was answered, to the
server that streams; its readers run on its core, as niced as they always are. Each round measures the quiet
server and the one that reads. CPU is the server's own: a reader's is not in it. Memory is what the server's
processes hold most at a time, readers left out.
"""

import argparse
import http.client
import itertools
import secrets
import tempfile
import threading
import time
from pathlib import Path
from statistics import median
from types import MappingProxyType

from bench import rig
from tests import office_files, pdf_files

HOSTILE = {
    "flate bomb.pdf": lambda: pdf_files.flate_bomb(1000),
    "operator bomb.pdf": pdf_files.operator_bomb,
    "form bomb.pdf": pdf_files.form_bomb,
    "object loop.pdf": pdf_files.object_loop,
    "huge outline.pdf": lambda: pdf_files.outline_bomb(100_000),
    "page bomb.pdf": lambda: pdf_files.page_bomb(6),
    "1,000 pages.pdf": lambda: pdf_files.book(1000),
    "deep.docx": lambda: office_files.word("<w:p><w:sdt>" * 3000 + "</w:sdt></w:p>" * 3000),
    "million paragraphs.docx": lambda: office_files.word("<w:p/>" * 1_000_000),
    "text node.docx": lambda: office_files.word(office_files.paragraph("a" * 60_000_000)),
    "tables.html": lambda: b"<!doctype html>" + b"<table><tr><td>" * 500_000,
    "attributes.html": lambda: b"<!doctype html><p " + b"a='b' " * 1_500_000 + b">Hello",
    "parts.eml": lambda: office_files.mail(
        "From: a@example.com", *["Content-Type: text/plain\n\nHello"] * 100_000
    ).encode(),
    "rows.csv": lambda: b"a,b\n" + b'"x\ny",1\n' * 1_000_000,
}
MOST = 10 * 1024 * 1024
TOKENS = 1500  # half a minute


class Uploader:
    """Brings the files one by one, again and again, as long as the block lasts."""

    def __init__(self, port, files):
        self.port = port
        self.files = files
        self.brought = []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._bring)

    def __enter__(self):
        with rig.pinned(rig.DRIVER_CORE):
            self.thread.start()
        return self

    def __exit__(self, *exc):
        self.over.set()
        self.thread.join()

    def _bring(self):
        while not self.over.is_set():
            name, data = next(self.files)
            began = time.monotonic()
            status, page = self._send(*posted(name, data))
            # What takes longer has a page of its own, which can be left while it is being read.
            while b"/cancellation" in page and not self.over.wait(0.2):
                status, page = self._send("GET", self.place)
            self.brought.append((name, status, time.monotonic() - began))

    def _send(self, method, path, body=None, headers=MappingProxyType({})):
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        try:
            connection.request(method, path, body, dict(headers))
            answer = connection.getresponse()
            page = answer.read()
        finally:
            connection.close()
        if answer.status == 303:
            self.place = answer.getheader("Location")
            return self._send("GET", self.place)
        return answer.status, page


def posted(name, data):
    """Return the request that uploads a file."""
    mark = secrets.token_hex(8)
    head = f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
    body = head.encode() + data + f"\r\n--{mark}--\r\n".encode()
    return "POST", "/documents", body, {"Content-Type": f"multipart/form-data; boundary={mark}"}


def run(provider, streams, rounds, files):
    """Yield the figures of the quiet server and of the one that reads, in turn."""
    # Where one round ends the next goes on.
    files = itertools.cycle(files.items())
    with rig.precis(provider) as server:
        rig.warm(server, provider)
        alone = server.pids()
        # The readers come and go beneath the server: they are not it.
        server.pids = lambda: alone
        for _ in range(rounds):
            yield "quiet", rig.measure(server, provider, streams=streams, tokens=TOKENS, pages=False), []
            with Uploader(server.port, files) as uploader:
                row = rig.measure(server, provider, streams=streams, tokens=TOKENS, pages=False)
            yield "reading", row, uploader.brought


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--streams", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=4)
    arguments = parser.parse_args()
    files = {name: make() for name, make in HOSTILE.items()}
    for name, data in files.items():
        assert len(data) <= MOST, f"{name} has {len(data):,} bytes"
    before = set(Path(tempfile.gettempdir()).iterdir())
    costs, brought = {"quiet": [], "reading": []}, []
    print("server   us/token late p99      max  kB/stream  lost  files")
    with rig.Provider() as provider:
        for kind, row, answers in run(provider, arguments.streams, arguments.rounds, files):
            costs[kind].append(row.cpu)
            brought += answers
            print(
                f"{kind:<8} {row.cpu:>8.1f} {row.late_p99:>8.1f} {row.late_max:>8.1f}"
                f" {row.memory:>10.0f} {row.lost:>5} {len(answers):>6}",
                flush=True,
            )
    print(f"\nCPU per token, reading / quiet: {median(costs['reading']) / median(costs['quiet']):.2f}")
    for name in files:
        found = [(status, seconds) for each, status, seconds in brought if each == name]
        statuses = sorted({status for status, _ in found})
        longest = max((seconds for _, seconds in found), default=float("nan"))
        print(f"{name:<26} {len(found):>4} times, {statuses}, {longest:.1f} s at most")
    left = set(Path(tempfile.gettempdir()).iterdir()) - before
    print("left in the folder of temporary files:", sorted(path.name for path in left) or "nothing")


if __name__ == "__main__":
    main()
