"""A real server: `python app.py` in a process of its own, to be stopped and killed in every way."""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import gevent
import httpx2
import psycopg

from tests.fork_server import dying_with_us
from tests.processes import children

ROOT = Path(__file__).resolve().parent.parent


class Precis:
    """One server with a database of its own; `start` it, and `start` it again after its end."""

    command = (sys.executable, ROOT / "app.py")
    # Starts, where there is one, what nothing but Python has to start.
    fork_server = None

    def __init__(self, folder, provider=None, **settings):
        self.folder = Path(folder)
        self.database = self.folder / "precis.db"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = self.folder / "server.log"
        self.settings = {
            "PRECIS_DATABASE_URL": f"sqlite:///{self.database}",
            "PRECIS_PORT": str(self.port),
            "PRECIS_ANALYZE_LIMIT": "",
        }
        if provider:
            self.settings |= {
                "OPENAI_API_KEY": "test-key",
                "OPENAI_BASE_URL": provider.openai_url,
                "PRECIS_OPENAI_API": "responses",
                "PRECIS_MODELS": "openai:gpt-6-sol",
            }
        self.settings |= settings
        self.process = None

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.process:
            self.kill()

    def start(self, **settings):
        """Start it and wait until it answers."""
        self.process = self.launch(**settings)
        return self.wait_until_up()

    def wait_until_up(self):
        with gevent.Timeout(60, AssertionError(f"the server does not answer: {self.log}")):
            while not self.is_up():
                if self.process.poll() is not None:
                    raise AssertionError(f"the server did not start: {self.log.read_text()}")
                gevent.sleep(0.02)  # nothing announces that a port listens
        return self

    def launch(self, **settings):
        """Start a process without waiting for it."""
        environ = {key: value for key, value in os.environ.items() if not key.startswith("PRECIS_")}
        environ |= self.settings | settings
        with self.log.open("a") as log:
            if self.fork_server and self.fork_server.suits(self.command, environ):
                return self.fork_server.start(self.command[1], environ, self.log, self.folder)
            return subprocess.Popen(
                self.command,
                env=environ,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,
                preexec_fn=dying_with_us(signal.SIGTERM),
            )

    def is_up(self):
        try:
            return httpx2.get(f"{self.url}/up").status_code == 200
        except httpx2.TransportError:
            return False

    def worker(self):
        """Return the worker's pid."""
        return children(self.process.pid)[0]

    def kill_worker(self):
        """Kill the worker and wait until its successor answers."""
        dead = self.worker()
        os.kill(dead, signal.SIGKILL)
        while not (self.is_up() and self.worker() != dead):
            gevent.sleep(0.02)

    def kill(self):
        """Kill everything at once, as a power cut would, and wait until it is dead."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process = None

    def stop(self):
        """Ask it to end, as a service manager does; returns its exit code."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait()
        self.process = None
        return code

    # What a person does, without a browser

    def bring(self, text):
        """Bring a document; returns its path."""
        answer = httpx2.post(f"{self.url}/documents", data={"text": text})
        assert answer.status_code == 303, answer.text
        return answer.headers["Location"]

    def ask(self, document, **fields):
        """Start an analysis; returns its path."""
        model = self.settings.get("PRECIS_MODELS", "offline:extractive").split(",")[0]
        form = {"recipe": "brief", "model": model} | fields
        answer = httpx2.post(f"{self.url}{document}/analyses", data=form)
        assert answer.status_code == 303, answer.text
        return answer.headers["Location"].removesuffix("/live")

    def stored(self, analysis):
        """Return the text that is stored of an analysis' path."""
        return httpx2.get(f"{self.url}{analysis}.md").text

    def rows(self, query, *values):
        """Read the database directly."""
        url = self.settings["PRECIS_DATABASE_URL"]
        if url.startswith("postgresql:"):
            with psycopg.connect(url) as database:
                return database.execute(query.replace("?", "%s"), values).fetchall()
        with sqlite3.connect(f"file:{self.database}?mode=ro", uri=True) as database:
            return database.execute(query, values).fetchall()


class Pair(Precis):
    """A web process, and `beside` it a worker process on the same database, of which it hears by Redis."""

    def __init__(self, folder, provider=None, **settings):
        super().__init__(folder, provider, PRECIS_ROLE="web", **settings)
        self.beside = Precis(folder)

    def start(self, **settings):
        """Start both and wait until both answer."""
        own = {"PRECIS_ROLE": "worker", "PRECIS_PORT": str(self.beside.port)}
        self.beside.settings = self.settings | own
        self.beside.process = self.beside.launch(**settings)
        super().start(**settings)
        self.beside.wait_until_up()
        return self

    def kill(self):
        """Kill both."""
        super().kill()
        self.beside.kill()

    def stop(self):
        """Ask both to end; returns the first exit code that is none of success."""
        return super().stop() or self.beside.stop()


def free_port():
    """Return a port that only a server of ours can listen on, as long as this process lives."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        port = holder.getsockname()[1]
        # Never closed: bound without listening, it keeps the kernel from handing the port to anybody else,
        # and does not hinder a server, which sets SO_REUSEADDR too.
        holder.detach()
    return port
