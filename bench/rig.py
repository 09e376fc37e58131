"""What stands around a measured server: the provider, the load, the pinning, and readings of CPU and memory.

The server has one core to itself, everything that drives it the other. CPU is what the processes of the
server used, user and system, without what the plain pages cost that are asked meanwhile.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace

import httpx2

from tests.precis import Precis, free_port
from tests.processes import children

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / "var/peers"
NODE = shutil.which("node") if (PEERS / "node_modules").exists() else None
SERVER_CORE, DRIVER_CORE = min(os.sched_getaffinity(0)), max(os.sched_getaffinity(0))

WORDS = "the user shall pay what is due by the first of March and nobody may copy any part of this text "
PARAGRAPH_TOKENS = 60
STAMP = "t0000000"
STAMP_EVERY = 5


def answer(tokens):
    """Return an answer of that many tokens: paragraphs with bold words and citations, each fifth a stamp."""
    words = [f" {word}" for word in WORDS.split()]
    pieces = []
    for number in range(tokens):
        word = words[number % len(words)]
        if number % STAMP_EVERY == 0 or number == tokens - 1:
            word = f" {number}{STAMP}"
        elif number % PARAGRAPH_TOKENS == 7:
            word = f" **{word.strip()}**"
        elif number % PARAGRAPH_TOKENS == PARAGRAPH_TOKENS - 1:
            word = " [¶2].\n\n"
        pieces.append(word if number % PARAGRAPH_TOKENS else word.lstrip())
    return pieces


@contextmanager
def pinned(*cores):
    """Start processes on some cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Provider:
    """The scripted provider in a process of its own."""

    def __enter__(self):
        with pinned(DRIVER_CORE):
            self.process = subprocess.Popen(
                [sys.executable, ROOT / "tests/scripted_provider.py"], stdout=subprocess.PIPE
            )
        self.openai_url = json.loads(self.process.stdout.readline())["openai_url"]
        return self

    def __exit__(self, *exc):
        self.process.kill()
        self.process.wait()

    def script(self, tokens, rate, before=0):
        """Say so many tokens, so many a second, 200 ms after the headers, and some `before` them at once."""
        pieces = ["".join(answer(before)), *answer(tokens)] if before else answer(tokens)
        script = {"pieces": pieces, "rate": rate, "before_text": 0.2, "stamped": True}
        address = self.openai_url.removesuffix("/v1") + "/control"
        httpx2.post(address, json={"default": script}).raise_for_status()


class Server:
    """A server under load, whatever it is."""

    watch = "/stream"
    page = "/"

    def __init__(self, name, process, port):
        self.name = name
        self.process = process
        self.port = port

    @property
    def flags(self):
        """How the load opens a stream here."""
        return ["--watch", self.watch]

    def pids(self):
        """Return its processes."""
        return processes(self.process.pid)

    def cpu(self):
        """Return the CPU seconds of all its processes so far."""
        return cpu(self.pids())

    def memory(self):
        """Return its proportional share of the machine's memory in bytes."""
        total = 0
        for pid in self.pids():
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            total += int(rollup.split("\nPss:", 1)[1].split()[0]) * 1024
        return total

    def wait_until_up(self, path):
        """Wait until it answers."""
        while True:
            try:
                if httpx2.get(f"http://127.0.0.1:{self.port}{path}").status_code == 200:
                    return
            except httpx2.TransportError:
                pass
            if self.process.poll() is not None:
                raise SystemExit(f"{self.name} did not start")
            time.sleep(0.05)

    def page_seconds(self, path=None, pages=40):
        """Return the CPU seconds of one page, without a path of the plain one."""
        return self.seconds_of(lambda _: self.ask("GET", path or self.page), pages)

    def seconds_of(self, act, times):
        """Return the CPU seconds that it takes to serve `act`, which is told a number from 0 on."""
        before = self.cpu()
        for number in range(times):
            act(number)
        return (self.cpu() - before) / times

    def ask(self, method, path):
        """Ask on a connection of its own; anything but an answer in order raises."""
        address = f"http://127.0.0.1:{self.port}{path}"
        answer = httpx2.request(method, address, headers={"Connection": "close"})
        if answer.is_error:
            answer.raise_for_status()


class PrecisServer(Server):
    """Precis itself, with some documents to ask about and another one to look at."""

    DOCUMENTS = 20

    def __init__(self, precis, name, boot_seconds):
        super().__init__(name, precis.process, precis.port)
        self.boot_seconds = boot_seconds
        self.database = precis.database
        text = "Terms of use\n\nThe user shall pay.\n\nNobody may copy this."
        self.page, *self.asked = [precis.bring(text) for _ in range(1 + self.DOCUMENTS)]

    @property
    def flags(self):
        return ["--start", *(f"{document}/analyses" for document in self.asked)]


def processes(pid):
    """Return a process and all its descendants."""
    return [pid, *(each for child in children(pid) for each in processes(child))]


def cpu(pids):
    """Return the CPU seconds of processes so far."""
    # The clock of another process, as POSIX names it: finer than the hundredths in /proc.
    return sum(time.clock_gettime((~pid << 3) | 2) for pid in pids)


SETTINGS = {"PRECIS_MAX_RUNNING": "400", "PRECIS_MODELS": "openai:bench", "PRECIS_OPENAI_API": "chat"}


@contextmanager
def precis(provider, api="chat", prepare=None, **settings):
    """Serve Precis; `api` is the protocol it speaks to the provider, `prepare` first gets its database."""
    settings = SETTINGS | {"PRECIS_OPENAI_API": api} | settings
    with tempfile.TemporaryDirectory() as folder, Precis(folder, provider, **settings) as running:
        if prepare:
            prepare(running.database)
        began = time.monotonic()
        with pinned(SERVER_CORE):
            running.start()
        yield PrecisServer(running, f"Precis, {api}", time.monotonic() - began)


@contextmanager
def peer(provider, script, name):
    """Serve one of the peers, which stand on packages of their own."""
    runs = NODE if script.endswith(".cjs") else PEERS / "bin/python"
    port = free_port()
    environ = os.environ | {
        "PORT": str(port),
        "OPENAI_BASE_URL": provider.openai_url,
        "OPENAI_API_KEY": "test-key",
        "BENCH_PROMPT": "Terms of use. The user shall pay. Nobody may copy this.",
        "NODE_ENV": "production",
        "NODE_PATH": str(PEERS / "node_modules"),
    }
    with pinned(SERVER_CORE):
        process = subprocess.Popen(
            [runs, ROOT / "bench/peers" / script], env=environ, stderr=subprocess.DEVNULL
        )
    try:
        server = Server(name, process, port)
        server.wait_until_up("/")
        yield server
    finally:
        process.kill()
        process.wait()


def warm(server, provider):
    """Let a server do everything once, so that no figure holds what only a first time costs."""
    provider.script(tokens=20, rate=50)
    load(server, streams=30, viewers=1, ramp=0.3)


def start_seconds(server, provider, streams=100):
    """Return the CPU seconds of an analysis whose answer is one token."""
    return measure(server, provider, streams=streams, tokens=1, seconds=300, pages=False).seconds / streams


def load(server, **flags):
    """Put load on a server; returns what `bench.load` printed."""
    words = [f"--{name}={value}" for name, value in flags.items()]
    with pinned(DRIVER_CORE):
        run = subprocess.run(
            [sys.executable, "-m", "bench.load", str(server.port), *server.flags, *words],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    return json.loads(run.stdout)


def measure(server, provider, *, streams, tokens=300, rate=50, viewers=1, ramp=2.0, seconds=60.0, pages=True):
    """Run one load; returns its figures: times in milliseconds, CPU in microseconds, memory in kB."""
    provider.script(tokens, rate)
    page_seconds = server.page_seconds() if pages else 0
    alive = server.pids()
    idle, used = server.memory(), server.cpu()
    helpers = provider.process.pid
    with watched(server) as most:
        helped = cpu([helpers])
        found = load(
            server,
            streams=streams,
            viewers=viewers,
            ramp=ramp,
            seconds=seconds,
            page=server.page if pages else "",
        )
        helped = cpu([helpers]) - helped
    if set(alive) - set(server.pids()):
        raise SystemExit(f"{server.name}: a process of it ended under this load")
    used = server.cpu() - used
    delivered = found["tokens"]
    return SimpleNamespace(
        server=server.name,
        streams=streams,
        viewers=viewers,
        tokens=tokens,
        delivered=delivered,
        lost=streams * viewers * tokens - delivered,
        unfinished=found["unfinished"] + found["errors"],
        cpu=(used - page_seconds * len(found["pages"])) / max(delivered, 1) * 1e6,
        seconds=used,
        busy=used / found["seconds"],
        helpers_busy=found["busy"] + helped / found["seconds"],
        first_p50=at(found["first"], 0.5),
        first_p95=at(found["first"], 0.95),
        late_p50=at(found["latencies"], 0.5),
        late_p95=at(found["latencies"], 0.95),
        late_p99=at(found["latencies"], 0.99),
        late_max=at(found["latencies"], 1),
        page_p50=at(found["pages"], 0.5),
        page_p95=at(found["pages"], 0.95),
        start_p50=at(found["starts"], 0.5),
        start_p95=at(found["starts"], 0.95),
        memory=max(0, most.memory - idle) / (streams * viewers) / 1000,
        bytes=found["bytes"] / max(delivered, 1),
    )


@contextmanager
def watched(server):
    """Note the most memory a server has while the block lasts."""
    most = SimpleNamespace(memory=0)
    over = threading.Event()

    def watch():
        # If a process ends meanwhile, it is `measure` that says so.
        with suppress(OSError):
            while not over.wait(0.5):
                most.memory = max(most.memory, server.memory())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield most
    finally:
        over.set()
        thread.join()


def at(values, share):
    """Return a percentile of sorted seconds, in milliseconds."""
    return values[min(len(values) - 1, int(len(values) * share))] * 1000 if values else float("nan")


COLUMNS = {
    "server": ("server", "{:<24}"),
    "streams": ("streams", "{:>7}"),
    "viewers": ("viewers", "{:>7}"),
    "tokens": ("tokens", "{:>7}"),
    "cpu": ("us/token", "{:>8.1f}"),
    "first_p50": ("first p50", "{:>9.1f}"),
    "first_p95": ("p95 ms", "{:>7.1f}"),
    "late_p50": ("late p50", "{:>8.1f}"),
    "late_p99": ("p99 ms", "{:>7.1f}"),
    "page_p50": ("page p50", "{:>8.1f}"),
    "page_p95": ("p95 ms", "{:>7.1f}"),
    "start_p50": ("start p50", "{:>9.1f}"),
    "start_p95": ("p95 ms", "{:>7.1f}"),
    "memory": ("kB/stream", "{:>9.0f}"),
    "busy": ("core", "{:>5.0%}"),
    "helpers_busy": ("load", "{:>5.0%}"),
    "bytes": ("B/token", "{:>7.0f}"),
    "lost": ("lost", "{:>6}"),
}
