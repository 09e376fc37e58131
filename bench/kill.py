"""Kill the server again and again while answers stream: was anything shown to anybody that is not saved?

    python -m bench.kill --kills 10 --live 10            on SQLite: the worker and everything in turn
    python -m bench.kill --kills 10 --live 10 --scale    on PostgreSQL and Redis: a worker and the web in turn

Each round starts analyses at 50 tokens a second, each watched by a client that keeps what every event has
shown, kills with SIGKILL at a random moment, lets what was killed come back and the clients resume, and then
compares what was shown with what is stored.
"""

from gevent import monkey

monkey.patch_all()

import argparse  # noqa: E402
import random  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from contextlib import contextmanager, suppress  # noqa: E402
from itertools import cycle, islice  # noqa: E402
from typing import NamedTuple  # noqa: E402

import gevent  # noqa: E402
import httpx2  # noqa: E402

from tests.fleet import Fleet  # noqa: E402
from tests.page import Page  # noqa: E402
from tests.precis import Precis  # noqa: E402
from tests.prose import answer  # noqa: E402
from tests.scale import Scale  # noqa: E402
from tests.scripted_provider import ScriptedProvider  # noqa: E402

RATE = 50
ENDINGS = {"complete", "interrupted"}


class Round(NamedTuple):
    """What one kill came to; `lost` are characters that some viewer saw and the stored text lacks."""

    killed: str
    after: float
    back: float
    live: int
    ended: int
    shown: int
    lost: int
    unequal: int


class Client:
    """A viewer that connects as long as there is no `done`, as hx-sse does, to each of the servers in turn.

    `resumed` are the positions that it has told when it came again.
    """

    def __init__(self, analysis, *servers):
        self.urls = [f"{server.url}{analysis}/stream" for server in servers]
        self.analysis = analysis
        self.page = Page(analysis)
        self.resumed = []
        self._news = gevent.event.Event()
        self.greenlet = gevent.spawn(self._watch)

    def wait(self, characters=1, seconds=60):
        """Wait until so many can be seen."""
        seen = f"{self.analysis}: not so many characters can be seen"
        with gevent.Timeout(seconds, TimeoutError(seen)):
            while len(self.page.text) < characters:
                self._news.wait()
                self._news.clear()

    def join(self, seconds=60):
        """Wait for the end; returns the text then."""
        self.greenlet.get(timeout=seconds)
        return self.page.text

    def _watch(self):
        for url in cycle(self.urls):
            with suppress(httpx2.TransportError):
                self._connect(url)
            if self.page.done:
                return
            gevent.sleep(0.1)  # the client's pause before it connects again

    def _connect(self, url):
        if self.page.last_event_id:
            self.resumed.append(int(self.page.last_event_id))
        rest = b""
        with httpx2.stream("GET", url, headers=self.page.headers, timeout=30) as answer:
            if answer.status_code == 200:
                for chunk in answer.iter_bytes():
                    whole, end, rest = (rest + chunk).rpartition(b"\n\n")
                    self.page.read(whole + end)
                    self._news.set()

    def lost(self, stored):
        """Return how many characters it saw that are not at their place in the stored text."""
        return sum(len(text) - len(_common(text, stored)) for text in self.page.shown)


def _common(one, other):
    length = min(len(one), len(other))
    while one[:length] != other[:length]:
        length -= 1
    return one[:length]


def kill_once(precis, kind, kill, live, moment):
    """Start `live` analyses, kill at `moment` seconds, let everybody come back and compare."""
    document = precis.bring("Terms\n\nPay by March.")
    clients = [Client(precis.ask(document), precis) for _ in range(live)]
    for client in clients:
        client.wait()
    gevent.sleep(moment)  # the moment of the kill is the experiment
    began = time.monotonic()
    kill()
    back = time.monotonic() - began
    gevent.joinall([client.greenlet for client in clients], timeout=60, raise_error=True)
    statuses = dict(precis.rows("SELECT id, status FROM analysis"))
    stored = {client: "".join(precis.stored(client.analysis).split()) for client in clients}
    return Round(
        killed=kind,
        after=moment,
        back=back,
        live=live,
        ended=sum(statuses[int(client.page.id)] in ENDINGS for client in clients),
        shown=sum(len(client.page.text) for client in clients),
        lost=sum(client.lost(stored[client]) for client in clients),
        unequal=sum(client.page.text != stored[client] or not client.page.done for client in clients),
    )


def rounds(kills, live, seed=1, is_scaled=False):
    """Yield a `Round` per kill, of each kind in turn."""
    chance = random.Random(seed)
    with (
        ScriptedProvider() as provider,
        tempfile.TemporaryDirectory() as folder,
        (scaled if is_scaled else single)(folder, provider) as (precis, ways),
    ):
        provider.script(text=answer(30), rate=RATE)
        for kind in islice(cycle(ways), kills):
            yield kill_once(precis, kind, ways[kind], live, chance.uniform(0.2, 3))
        (pieces,) = precis.rows("SELECT count(*) FROM piece")[0]
        assert pieces == 0, f"{pieces} pieces of ended analyses were left"
        assert provider.calls == kills * live, "something was asked twice"


@contextmanager
def single(folder, provider):
    """A server on SQLite, and the ways to kill it."""
    with Precis(folder, provider) as precis:
        precis.start()
        yield precis, {"worker": precis.kill_worker, "all": again(precis)}


@contextmanager
def scaled(folder, provider):
    """A web process beside two workers on PostgreSQL and Redis, and the ways to kill one of them."""
    with Scale() as scale, Fleet(folder, provider, scale) as fleet:
        web, worker, _ = fleet.start("web", "worker", "worker")
        yield web, {"worker": again(worker), "web": again(web)}


def again(process):
    """Return what kills all of a process and starts it again."""

    def kill():
        process.kill()
        process.start()

    return kill


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--live", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scale", action="store_true", help="on PostgreSQL and Redis")
    arguments = parser.parse_args()
    print(
        f"{'killed':8}{'after s':>8}{'back s':>8}{'live':>6}{'ended':>7}{'shown':>8}{'lost':>6}{'unequal':>9}"
    )
    done = []
    for one in rounds(arguments.kills, arguments.live, arguments.seed, arguments.scale):
        done.append(one)
        print(
            f"{one.killed:8}{one.after:8.2f}{one.back:8.2f}{one.live:6}{one.ended:7}"
            f"{one.shown:8}{one.lost:6}{one.unequal:9}",
            flush=True,
        )
    lost, unequal = sum(one.lost for one in done), sum(one.unequal for one in done)
    analyses = sum(one.live for one in done)
    unended = analyses - sum(one.ended for one in done)
    print(
        f"{len(done)} kills, {analyses} analyses: {lost} characters shown but not saved, "
        f"{unequal} viewers that did not end with the stored text, {unended} analyses without an ending"
    )
    raise SystemExit(bool(lost or unequal or unended))


if __name__ == "__main__":
    main()
