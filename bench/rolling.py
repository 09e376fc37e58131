"""Restart every process in turn while answers stream: does anybody lose a character, see an error, pay twice?

    python -m bench.rolling --streams 200

Web and worker processes on PostgreSQL and Redis stand behind nginx with deploy/nginx.conf. Viewers watch
through it and come back as hx-sse does: with Last-Event-ID, after the delay that they were told, spread by
30 %. Each process gets a SIGTERM, is waited for and started again, the web processes first; meanwhile people
go on bringing documents and asking about them.
"""

from gevent import monkey

monkey.patch_all()

import argparse  # noqa: E402
import random  # noqa: E402
import ssl  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from contextlib import ExitStack, closing, contextmanager  # noqa: E402
from http.client import HTTPException, HTTPSConnection  # noqa: E402
from pathlib import Path  # noqa: E402
from types import SimpleNamespace  # noqa: E402
from urllib.parse import urlencode  # noqa: E402

import gevent  # noqa: E402
import httpx2  # noqa: E402
from gevent.event import Event  # noqa: E402

from bench import rig  # noqa: E402
from tests.nginx import make_authority, shipped_nginx  # noqa: E402
from tests.page import Page, events, text_of  # noqa: E402
from tests.precis import Precis  # noqa: E402
from tests.prose import answer  # noqa: E402
from tests.scale import Scale, environment  # noqa: E402

DOCUMENT = "Terms\n\nPay by March."
SHORT = "openai:short"
# So long at most nginx passes over a process that has refused it: more than the two whole seconds of its
# configuration. Meanwhile no other one may refuse it, too.
FAIL_SECONDS = 3.0
FIRST_DELAY, LONGEST_DELAY, SPREAD = 0.5, 4.0, 0.3  # what the page tells hx-sse, and its own


class Provider(rig.Provider):
    """The scripted provider in a process of its own, to be used as one in this process is."""

    def script(self, *, model, **script):
        """Set what a model answers."""
        httpx2.post(self.control, json={"models": {model: script}}).raise_for_status()

    @property
    def calls(self):
        """How many calls it was asked for."""
        return httpx2.get(self.control).json()["calls"]

    @property
    def control(self):
        return self.openai_url.removesuffix("/v1") + "/control"


class Installation:
    """Web and worker processes behind one address."""

    def __init__(self, webs, workers, url, trust):
        self.webs = webs
        self.processes = webs + workers
        self.url = url
        self.trust = trust

    def connect(self):
        """Return a connection of its own; with hundreds of streams httpx2 would be what they wait for."""
        return HTTPSConnection(self.url.removeprefix("https://"), timeout=60, context=self.trust)

    def start(self):
        """Start all at once and wait until all answer."""
        for process in self.processes:
            process.process = process.launch()
        for process in self.processes:
            process.wait_until_up()


@contextmanager
def installation(provider, folder, scale, models, webs, workers, grace, **settings):
    """Serve Precis in so many processes of each kind behind nginx; yields an `Installation`."""
    settings = {
        "PRECIS_GRACE_SECONDS": str(grace),
        "PRECIS_MODELS": ",".join(models),
        "PRECIS_TRUSTED_PROXIES": "1",
    } | settings
    # nginx gives up its rights, but has to find the folder.
    folder.chmod(0o755)
    authority = make_authority(folder / "authority")
    with ExitStack() as stack:
        place = environment(scale.create())
        processes = []
        for number in range(webs + workers):
            (own := folder / f"process{number}").mkdir()
            role = "web" if number < webs else "worker"
            precis = Precis(own, provider, **place, **settings, PRECIS_ROLE=role)
            processes.append(stack.enter_context(precis))
        addresses = [web.url.removeprefix("http://") for web in processes[:webs]]
        url = stack.enter_context(shipped_nginx(folder / "nginx", authority, *addresses))
        trust = ssl.create_default_context(cafile=authority / "ca.pem")
        installed = Installation(processes[:webs], processes[webs:], url, trust)
        installed.start()
        yield installed


class Shown(Page):
    """A page that is looked at once it is done: after each event it would take longer than the stream."""

    text = ""


class Viewer:
    """One who watches an analysis as hx-sse does, and keeps count of what a person could notice."""

    def __init__(self, installed, analysis):
        self.installed = installed
        self.analysis = analysis
        self.page = Shown(analysis)
        self.connections = self.errors = 0
        # Seconds between two texts, and from a connection's end to the next one's first text.
        self.longest = self.longest_away = 0.0
        self.begun = Event()
        self._text_at = self._left_at = None
        self.greenlet = gevent.spawn(self._watch)

    def _watch(self):
        delay, attempt = FIRST_DELAY, 0
        while not self.page.done:
            stream = bytearray()
            try:
                self._connect(stream)
                attempt = 1
            except (OSError, HTTPException):
                self.errors += 1
                attempt += 1
            self._left_at = time.monotonic()
            self.page.read(bytes(stream))
            delay = next((event.retry / 1000 for event in events(stream) if event.retry), delay)
            if not self.page.done:
                pause = min(delay * 2 ** max(0, attempt - 1), LONGEST_DELAY)
                gevent.sleep(pause * random.uniform(1 - SPREAD, 1 + SPREAD))

    def _connect(self, stream):
        self.connections += 1
        with closing(self.installed.connect()) as connection:
            connection.request("GET", f"{self.analysis}/stream", headers=self.page.headers)
            response = connection.getresponse()
            if response.status != 200:
                raise HTTPException(response.status)
            while chunk := response.read1(65536):
                stream += chunk
                self.begun.set()
                if b"#tail" in chunk or b"#blocks" in chunk:
                    now = time.monotonic()
                    self.longest = max(self.longest, now - (self._text_at or now))
                    self.longest_away = max(self.longest_away, now - (self._left_at or now))
                    self._text_at, self._left_at = now, None

    def differs_by(self, stored):
        """Return in how many characters its page and the stored text differ."""
        shown, stored = text_of(self.page.html), "".join(stored.split())
        same = sum(one == other for one, other in zip(shown, stored, strict=False))
        return max(len(shown), len(stored)) - same


class People:
    """Those who bring documents and ask about them, one after the other, until they have had enough."""

    def __init__(self, installed):
        self.installed = installed
        self.failed = []
        self.brought = 0
        self.analyses = []
        self._enough = Event()

    def go_on(self, pause):
        """Bring and ask again after each pause, in a greenlet of their own."""
        self.greenlet = gevent.spawn(self._go_on, pause)

    def stop(self):
        """Have enough, and wait for the last answer."""
        self._enough.set()
        self.greenlet.join()

    def bring(self):
        """Bring a document; returns its path, or None."""
        document = self._post("/documents", text=DOCUMENT)
        self.brought += document is not None
        return document

    def ask(self, document, model):
        """Start an analysis; returns its path, or None."""
        if analysis := self._post(f"{document}/analyses", recipe="brief", model=model):
            self.analyses.append(analysis.removesuffix("/live"))
            return self.analyses[-1]
        return None

    def _go_on(self, pause):
        while not self._enough.wait(pause):
            if document := self.bring():
                self.ask(document, SHORT)

    def _post(self, path, **fields):
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        with closing(self.installed.connect()) as connection:
            try:
                connection.request("POST", path, urlencode(fields), form)
                response = connection.getresponse()
            except (OSError, HTTPException) as error:
                self.failed.append(error)
                return None
            if response.status != 303:
                self.failed.append(response.status)
                return None
            return response.headers["Location"]


def restart(process):
    """Restart a process as a service manager does; returns the seconds to its end, and to its being back."""
    began = time.monotonic()
    assert process.stop() == 0
    ended = time.monotonic()
    process.start()
    return ended - began, time.monotonic() - ended


def roll(installed, provider, kinds, streams, spread, pause):
    """Start the streams, restart every process while they last, and count; `kinds` are their models."""
    people, viewers = People(installed), []
    document = people.bring()
    for number in range(streams):
        viewers.append(Viewer(installed, people.ask(document, kinds[number % len(kinds)])))
        gevent.sleep(spread / streams)  # people do not come all at once
    for viewer in viewers:
        viewer.begun.wait()
    people.go_on(pause)
    restarts = []
    for process in installed.processes:
        if restarts and process in installed.webs:
            gevent.sleep(FAIL_SECONDS)
        restarts.append((process.settings["PRECIS_ROLE"], *restart(process)))
    people.stop()
    viewers += [Viewer(installed, analysis) for analysis in people.analyses[streams:]]
    gevent.joinall([viewer.greenlet for viewer in viewers], timeout=180)
    database = installed.webs[0]
    statuses = [status for (status,) in database.rows("SELECT status FROM analysis")]
    ((documents,),) = database.rows("SELECT count(*) FROM document")
    return SimpleNamespace(
        restarts=restarts,
        streams=streams,
        asked=len(people.analyses) - streams,
        reconnections=sum(viewer.connections - 1 for viewer in viewers),
        longest=max(viewer.longest for viewer in viewers),
        longest_away=max(viewer.longest_away for viewer in viewers),
        wrong={
            "characters lost or repeated": sum(
                viewer.differs_by(database.stored(viewer.analysis)) for viewer in viewers
            ),
            "viewers without an end": sum(not viewer.page.done for viewer in viewers),
            "errors that a viewer saw": sum(viewer.errors for viewer in viewers),
            "analyses not complete": sum(status != "complete" for status in statuses),
            "analyses lost or doubled": abs(len(statuses) - len(viewers)),
            "documents lost or doubled": abs(documents - people.brought),
            "calls beyond one each": provider.calls - len(statuses),
            "forms that failed": len(people.failed),
        },
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--webs", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    kinds = {
        f"openai:rate{rate}": (rate, seconds) for rate, seconds in ((20, 60), (30, 45), (40, 30), (50, 20))
    }
    with Provider() as provider, Scale() as scale, tempfile.TemporaryDirectory() as folder:
        for model, (rate, seconds) in kinds.items():
            text = answer(rate * seconds // 25)
            provider.script(model=model.partition(":")[2], text=text, rate=rate, before_text=0.3)
        provider.script(model=SHORT.partition(":")[2], text=answer(2), rate=50, before_text=0.3)
        with installation(
            provider,
            Path(folder),
            scale,
            [*kinds, SHORT],
            arguments.webs,
            arguments.workers,
            grace=120,
        ) as installed:
            found = roll(installed, provider, list(kinds), arguments.streams, spread=8.0, pause=0.25)
    for role, ended, back in found.restarts:
        print(f"{role:8} ended after {ended:5.1f} s, back after {back:4.1f} s more")
    print(f"{found.streams} streams and {found.asked} short ones asked for meanwhile")
    print(
        f"{found.reconnections} reconnections, each resumed within {found.longest_away:.1f} s; "
        f"longest pause in a text {found.longest:.1f} s"
    )
    for name, count in found.wrong.items():
        print(f"{count:6} {name}")
    raise SystemExit(any(found.wrong.values()))


if __name__ == "__main__":
    main()
