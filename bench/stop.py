"""Press Stop while answers stream, and in the very moment they end: does it end the call, and once?

    python -m bench.stop --stops 200 --races 1000

Answers come at 50 tokens a second, by both vendors' protocols in turn, and each is watched. The Stops are
pressed one by one at random moments while other answers stream, and timed until the provider has seen its
socket close. In a race Stop is pressed twice about when the last token comes: next time a little earlier if
the answer was complete, a little later if it was stopped. Triggers in the database note what is written after
a Stop and after an ending.
"""

from gevent import monkey

monkey.patch_all()

import argparse  # noqa: E402
import random  # noqa: E402
import sqlite3  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from collections import Counter  # noqa: E402
from contextlib import closing, contextmanager  # noqa: E402
from itertools import cycle  # noqa: E402

import gevent  # noqa: E402
import httpx2  # noqa: E402
from gevent.event import Event  # noqa: E402
from gevent.pool import Pool  # noqa: E402

from bench import rig  # noqa: E402
from tests.page import Page  # noqa: E402
from tests.precis import Precis  # noqa: E402
from tests.prose import answer  # noqa: E402

MODELS = ("openai:gpt-6-sol", "anthropic:claude-sonnet-5-5")
RATE = 50
LONG = answer(120)  # a minute
SHORT = "Pay by March."
SPREAD = 0.01  # seconds between a race's Stops and the moment they aim at, as a standard deviation
STEP = 0.002  # seconds by which the outcome of a race moves that moment
GOAL = 1000  # milliseconds until the socket is closed, p99

AUDIT = """
    CREATE TABLE audit (id INTEGER PRIMARY KEY, analysis INTEGER, event TEXT);
    CREATE TRIGGER audit_text AFTER INSERT ON piece BEGIN
        INSERT INTO audit (analysis, event) VALUES (new.analysis_id, 'text');
    END;
    CREATE TRIGGER audit_stop AFTER UPDATE OF stop_requested ON analysis
        WHEN new.stop_requested > old.stop_requested BEGIN
        INSERT INTO audit (analysis, event) VALUES (new.id, 'stop');
    END;
    -- An ending's text counts if it is more than the pieces, which are still there.
    CREATE TRIGGER audit_end AFTER UPDATE OF text ON analysis WHEN old.status = 'running' BEGIN
        INSERT INTO audit (analysis, event) SELECT new.id, 'text' WHERE length(new.text) > (
            SELECT coalesce(sum(length(text)), 0) FROM piece WHERE analysis_id = new.id
        );
    END;
    CREATE TRIGGER audit_change AFTER UPDATE ON analysis WHEN old.status NOT IN ('waiting', 'running') BEGIN
        INSERT INTO audit (analysis, event) VALUES (new.id, 'change');
    END;
"""
# How many commits of its text came after each analysis' first Stop, where any did.
LATE = """
    SELECT count(*) FROM audit JOIN (
        SELECT analysis, min(id) AS stop FROM audit WHERE event = 'stop' GROUP BY analysis
    ) USING (analysis) WHERE event = 'text' AND id > stop GROUP BY analysis
"""


class Site:
    """A server whose database notes what is written, its provider, and the people's connections."""

    def __init__(self, precis, people, provider):
        self.precis = precis
        self.people = people
        self.provider = provider
        self.document = precis.bring("Terms\n\nPay by March.")
        self.models = cycle(MODELS)
        self.faults = Counter()

    def say(self, text):
        """Let the provider answer so."""
        script = {"text": text, "rate": RATE}
        self.provider.post("/control", json={"default": script}).raise_for_status()

    def ask(self):
        """Start an analysis that somebody watches."""
        form = {"recipe": "brief", "model": next(self.models)}
        asked = self.people.post(f"{self.document}/analyses", data=form)
        return Watching(self, asked.headers["Location"].removesuffix("/live"))

    def wait_closed(self, sockets):
        """Wait until the provider has seen that many sockets close; returns when."""
        self.provider.get(f"/control/wait?cancels={sockets}").raise_for_status()
        return time.monotonic()

    def count(self, condition, table="analysis"):
        return self.precis.rows(f"SELECT count(*) FROM {table} WHERE {condition}")[0][0]

    def look_back(self):
        """Add the faults that show when all is over."""
        calls = self.provider.get("/control/wait?open=0").raise_for_status().json()["calls"]
        self.faults.update(
            {
                # An early Stop may come before the call; without a call there is no usage.
                "calls too many": max(0, calls - self.count("output_tokens IS NOT NULL")),
                "more than one commit of text after the Stop": sum(n > 1 for (n,) in self.precis.rows(LATE)),
                "changes after the end": self.count("event = 'change'", "audit"),
                "pieces left": self.count("true", "piece"),
                "neither usage nor an estimate": self.count(
                    "words > 0 AND (output_tokens IS NULL OR output_tokens < words AND NOT usage_is_estimate)"
                ),
            }
        )


class Watching:
    """An analysis, and somebody who watches it to its end."""

    def __init__(self, site, path):
        self.site = site
        self.path = path
        self.page = Page(path)
        self.begun = Event()
        self.viewer = gevent.spawn(self._watch)

    def _watch(self):
        stream = bytearray()
        with self.site.people.stream("GET", f"{self.path}/stream", headers=self.page.headers) as answer:
            for chunk in answer.iter_raw():
                stream += chunk
                if b"<p>" in chunk:
                    self.begun.set()
        self.page.read(bytes(stream))

    def stop(self):
        """Press Stop."""
        answer = self.site.people.post(f"{self.path}/cancellation")
        led = answer.status_code == 303 and answer.headers["Location"] == self.path
        self.site.faults["Stops not answered 303"] += not led

    def end(self, said, *statuses):
        """Wait for its end and look whether it is one of these, and of what the provider said; returns it."""
        self.viewer.get(timeout=30)
        query = "SELECT status, text FROM analysis WHERE id = ?"
        ((status, text),) = self.site.precis.rows(query, self.page.id)
        is_shown = self.page.done and self.page.text == "".join(text.split())
        is_said = text == said if status == "complete" else said.startswith(text)
        self.site.faults["viewers without the stored text"] += not (is_shown and is_said)
        self.site.faults["unclear endings"] += status not in statuses
        return status


@contextmanager
def site():
    """Serve Precis, and the provider in a process of its own."""
    with rig.Provider() as provider, tempfile.TemporaryDirectory() as folder:
        address = provider.openai_url.removesuffix("/v1")
        settings = {
            "PRECIS_MODELS": ",".join(MODELS),
            "ANTHROPIC_API_KEY": "test-key",
            "ANTHROPIC_BASE_URL": address,
        }
        with (
            Precis(folder, provider, **settings) as precis,
            httpx2.Client(base_url=precis.url, limits=httpx2.Limits(), timeout=30) as people,
            httpx2.Client(base_url=address, timeout=30) as control,
        ):
            precis.start()
            with closing(sqlite3.connect(precis.database)) as database:
                database.executescript(AUDIT)
            yield Site(precis, people, control)


def press(site, stops, live, chance):
    """Stop one after the other while others stream; returns the seconds until each socket was closed."""
    seconds = []
    site.say(LONG)
    while len(seconds) < stops:
        running = [site.ask() for _ in range(min(live, stops - len(seconds)))]
        for one in running:
            one.begun.wait(timeout=30)
        for one in running:
            gevent.sleep(chance.uniform(0, 2 / RATE))  # the moment is the experiment
            closed = gevent.spawn(site.wait_closed, len(seconds) + 1)
            pressed = time.monotonic()
            one.stop()
            seconds.append(closed.get() - pressed)
        for one in running:
            one.end(LONG, "stopped")
    return sorted(seconds)


def race(site, races, lanes, chance):
    """Press Stop twice about when the last token comes; returns how many endings there were of each kind."""
    endings = Counter()
    moment = len(SHORT.split()) / RATE + 0.1

    def once():
        nonlocal moment
        one = site.ask()
        stops = [gevent.spawn_later(max(0, moment + chance.gauss(0, SPREAD)), one.stop) for _ in range(2)]
        gevent.joinall(stops, raise_error=True)
        ending = one.end(SHORT, "complete", "stopped")
        endings[ending] += 1
        moment += STEP if ending == "stopped" else -STEP

    site.say(SHORT)
    lane = Pool(lanes)
    gevent.joinall([lane.spawn(once) for _ in range(races)], raise_error=True)
    return endings


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--stops", type=int, default=200)
    parser.add_argument("--races", type=int, default=1000)
    parser.add_argument("--live", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    with site() as place:
        seconds = press(place, arguments.stops, arguments.live, chance)
        p50, p99, most = (rig.at(seconds, share) for share in (0.5, 0.99, 1))
        print(
            f"{len(seconds)} Stops: the socket closed after {p50:.0f} ms (p50), {p99:.0f} ms (p99), "
            f"{most:.0f} ms (max)",
            flush=True,
        )
        endings = race(place, arguments.races, arguments.live, chance)
        print(f"{arguments.races} races: {endings['complete']} complete, {endings['stopped']} stopped")
        place.look_back()
    print(", ".join(f"{number} {fault}" for fault, number in place.faults.items()))
    raise SystemExit(p99 > GOAL or any(place.faults.values()) or len(endings) < 2)


if __name__ == "__main__":
    main()
