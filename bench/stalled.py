"""Viewers that read nothing, beside one that reads: what do they cost, and how soon are they dropped?

    python -m bench.stalled --viewers 200 --seconds 600

Each has a receive buffer of 4 KB and opens its stream anew when it is dropped. Meanwhile one analysis is
written at 50 tokens a second, and one viewer reads it. A segment is as long as on an Ethernet: with those of
the loopback the kernel would take megabytes for each, and nothing would be left for the process to hold.
"""

from gevent import monkey

monkey.patch_all()

import argparse  # noqa: E402
import os  # noqa: E402
import socket  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from contextlib import ExitStack, contextmanager  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import NamedTuple  # noqa: E402

import gevent  # noqa: E402
import httpx2  # noqa: E402
from gevent.event import Event  # noqa: E402

from tests.page import Page  # noqa: E402
from tests.precis import ROOT, Precis  # noqa: E402
from tests.processes import count_sockets  # noqa: E402
from tests.prose import answer  # noqa: E402
from tests.scripted_provider import ScriptedProvider  # noqa: E402

RATE = 50
WORDS = 25  # of a paragraph
SEGMENT = 1448
DROPPED_WITHIN = 90.0
MOST_KB = 64

# Gevent's own would wait for all sockets one by one.
poll = monkey.get_original("select", "poll")


class Launched(Precis):
    """A server whose process runs some lines of Python before it serves."""

    def __init__(self, folder, provider, lines, **settings):
        super().__init__(folder, provider, **settings)
        self.provider = provider
        self.lines = lines

    @contextmanager
    def lent(self):
        """Lend it to a test: its provider is as new, and nothing runs any more when it comes back."""
        self.provider.reset()
        yield
        for (id,) in self.rows("SELECT id FROM analysis WHERE status = 'running'"):
            httpx2.post(f"{self.url}/analyses/{id}/cancellation")
        self.provider.wait(open=0)

    def launch(self, **settings):
        """Start a process without waiting for it."""
        environ = {key: value for key, value in os.environ.items() if not key.startswith("PRECIS_")}
        environ |= {"PYTHONPATH": str(ROOT)} | self.settings | settings
        with self.log.open("a") as log:
            return subprocess.Popen(
                [sys.executable, "-c", f"import app, resource, server\n{self.lines}\napp.main()"],
                env=environ,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,
            )


class Stalled:
    """A viewer that asks for a path and then takes nothing."""

    def __init__(self, port, path):
        self.began = time.monotonic()
        self.socket = self.connect(port)
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())

    @staticmethod
    def connect(port):
        """Return a socket that keeps little of what is not read."""
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT)
        sock.connect(("127.0.0.1", port))
        return sock


class Reader:
    """A viewer that reads, and notes the longest time without anything to read."""

    def __init__(self, precis, analysis):
        self.url = f"{precis.url}{analysis}/stream"
        self.page = Page(analysis)
        self.worst_gap = 0.0
        self.begun = Event()
        self.greenlet = gevent.spawn(self._read)

    def _read(self):
        received = bytearray()
        with httpx2.stream("GET", self.url, timeout=30) as answer:
            last = time.monotonic()
            for chunk in answer.iter_bytes():
                now = time.monotonic()
                self.worst_gap, last = max(self.worst_gap, now - last), now
                received += chunk
                self.begun.set()
        self.page.read(bytes(received))


class Figures(NamedTuple):
    """What it came to: seconds, and kB of the worker's memory."""

    viewers: int
    lifetimes: list[float]
    before: dict[str, int]
    most: dict[str, int]
    after: dict[str, int]
    worst_gap: float
    characters: int
    is_equal: bool
    complaints: list[str]

    def per_viewer(self, share):
        """Return what each added at most; it includes what the growing answer itself needs."""
        return (self.most[share] - self.before[share]) / self.viewers


def memory(pid):
    """Return a process' memory in kB: its proportional share, and all that it sees."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return {share: int(rollup.split(f"\n{share}:", 1)[1].split()[0]) for share in ("Pss", "Rss")}


def complaints(log):
    """Return the lines of a server's log, after its two words of greeting, that are more than news."""
    return [line for line in log.read_text().splitlines()[2:] if '"level": "INFO"' not in line]


def run(viewers, seconds, stall_seconds=None, watch="stream"):
    """Let viewers stall beside one that reads; `stall_seconds` is the deadline if not the server's own."""
    lines = f"server.STALL_SECONDS = {stall_seconds}" if stall_seconds else ""
    # One that was dropped and kept its place would keep the next one out.
    settings = {"PRECIS_MAX_STREAMS": str(viewers + 1)}
    settings |= {"PRECIS_TOTAL_SECONDS": str(seconds + 600), "PRECIS_MAX_OUTPUT_TOKENS": "100000"}
    with (
        ScriptedProvider() as provider,
        tempfile.TemporaryDirectory() as folder,
        Launched(folder, provider, lines, **settings) as precis,
    ):
        provider.script(text=answer(RATE * (seconds + 60) // WORDS, WORDS), rate=RATE)
        precis.start()
        analysis = precis.ask(precis.bring("Terms\n\nPay by March."))
        reader = Reader(precis, analysis)
        reader.begun.wait()
        provider.wait(calls=1)
        pid = precis.worker()
        sockets, before = count_sockets(pid), memory(pid)
        lifetimes, most = stall(precis.port, f"{analysis}/{watch}", pid, viewers, seconds)
        while count_sockets(pid) > sockets:
            gevent.sleep(0.1)  # nothing announces that another process closes a socket
        after = memory(pid)
        assert httpx2.post(f"{precis.url}{analysis}/cancellation").status_code == 303
        reader.greenlet.join()
        stored = "".join(precis.stored(analysis).split())
        return Figures(
            viewers=viewers,
            lifetimes=lifetimes,
            before=before,
            most=most,
            after=after,
            worst_gap=reader.worst_gap,
            characters=len(stored),
            is_equal=reader.page.done and reader.page.text == stored,
            complaints=complaints(precis.log),
        )


def stall(port, path, pid, viewers, seconds):
    """Keep viewers stalled; returns how long each lived that was dropped, and the worker's most memory."""
    open_ones, dropped = {}, poll()
    lifetimes, most = [], memory(pid)
    end = time.monotonic() + seconds
    with ExitStack() as sockets:
        while (now := time.monotonic()) < end:
            while len(open_ones) < viewers:
                viewer = Stalled(port, path)
                sockets.callback(viewer.socket.close)
                open_ones[viewer.socket.fileno()] = viewer
                dropped.register(viewer.socket, 0)
            most = max(most, memory(pid), key=lambda found: found["Pss"])
            gevent.sleep(0.25)  # what is reported is as fine as this
            for descriptor, _ in dropped.poll(0):
                viewer = open_ones.pop(descriptor)
                lifetimes.append(now - viewer.began)
                dropped.unregister(descriptor)
                viewer.socket.close()
    return lifetimes, most


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--viewers", type=int, default=200)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--watch", choices=("stream", "live"), default="stream")
    arguments = parser.parse_args()
    found = run(arguments.viewers, arguments.seconds, watch=arguments.watch)
    lifetimes = found.lifetimes or [float("nan")]
    print(f"{found.viewers} stalled, {len(found.lifetimes)} dropped", end=" ")
    print(f"after {min(lifetimes):.1f} to {max(lifetimes):.1f} s")
    for share in ("Pss", "Rss"):
        before, most, after = found.before[share], found.most[share], found.after[share]
        print(f"{share}: before {before} kB, most {most} kB, after {after} kB;", end=" ")
        print(f"{found.per_viewer(share):.1f} kB for each stalled viewer")
    print(f"the one that read: worst gap {found.worst_gap:.2f} s in {found.characters} characters,", end=" ")
    print("equal to what is stored" if found.is_equal else "NOT what is stored")
    print(f"{len(found.complaints)} complaints in the log", *found.complaints[:5], sep="\n")
    within = max(lifetimes) <= DROPPED_WITHIN and found.per_viewer("Pss") <= MOST_KB
    raise SystemExit(not (within and found.is_equal) or bool(found.complaints))


if __name__ == "__main__":
    main()
