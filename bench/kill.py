"""Kill the server again and again while answers stream: was anything shown to anybody that is not saved?

    python -m bench.kill --kills 10 --live 10

Each round starts analyses at 50 tokens a second, each watched by a client that keeps what every event has
shown, kills the worker or the whole process group with SIGKILL at a random moment, lets the server come back
and the clients resume, and then compares what was shown with what is stored.
"""

from gevent import monkey

monkey.patch_all()

import argparse  # noqa: E402
import random  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from typing import NamedTuple  # noqa: E402

import gevent  # noqa: E402
import httpx2  # noqa: E402

from tests.page import Page  # noqa: E402
from tests.precis import Precis  # noqa: E402
from tests.prose import answer  # noqa: E402
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
    """A viewer that connects as long as there is no `done`, as hx-sse does."""

    def __init__(self, precis, analysis):
        self.url = f"{precis.url}{analysis}/stream"
        self.analysis = analysis
        self.page = Page(analysis)
        self.begun = gevent.event.Event()
        self.greenlet = gevent.spawn(self._watch)

    def _watch(self):
        while not self.page.done:
            stream = bytearray()
            try:
                with httpx2.stream("GET", self.url, headers=self.page.headers, timeout=30) as answer:
                    if answer.status_code == 200:
                        for chunk in answer.iter_bytes():
                            stream += chunk
                            self.begun.set()
            except httpx2.TransportError:
                pass
            self.page.read(bytes(stream))
            gevent.sleep(0.1)  # the client's pause before it connects again

    def lost(self, stored):
        """Return how many characters it saw that are not at their place in the stored text."""
        return sum(len(text) - len(_common(text, stored)) for text in self.page.shown)


def _common(one, other):
    length = min(len(one), len(other))
    while one[:length] != other[:length]:
        length -= 1
    return one[:length]


def kill_once(precis, kind, live, moment):
    """Start `live` analyses, kill at `moment` seconds, let everybody come back and compare."""
    document = precis.bring("Terms\n\nPay by March.")
    clients = [Client(precis, precis.ask(document)) for _ in range(live)]
    for client in clients:
        client.begun.wait()
    gevent.sleep(moment)  # the moment of the kill is the experiment
    began = time.monotonic()
    if kind == "worker":
        precis.kill_worker()
    else:
        precis.kill()
        precis.start()
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


def rounds(kills, live, seed=1):
    """Yield a `Round` per kill, the worker and everything in turn."""
    chance = random.Random(seed)
    with (
        ScriptedProvider() as provider,
        tempfile.TemporaryDirectory() as folder,
        Precis(folder, provider) as precis,
    ):
        provider.script(text=answer(30), rate=RATE)
        precis.start()
        for number in range(kills):
            yield kill_once(precis, ("worker", "all")[number % 2], live, chance.uniform(0.2, 3))
        (pieces,) = precis.rows("SELECT count(*) FROM piece")[0]
        assert pieces == 0, f"{pieces} pieces of ended analyses were left"
        assert provider.calls == kills * live, "something was asked twice"


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--live", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    print(
        f"{'killed':8}{'after s':>8}{'back s':>8}{'live':>6}{'ended':>7}{'shown':>8}{'lost':>6}{'unequal':>9}"
    )
    done = []
    for one in rounds(arguments.kills, arguments.live, arguments.seed):
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
