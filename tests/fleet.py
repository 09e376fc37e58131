"""Several processes of Precis on one PostgreSQL and one Redis, each to be stopped and killed by itself."""

import sys
from contextlib import ExitStack
from pathlib import Path

import gevent

from tests.precis import ROOT, Precis
from tests.scale import environment


class Process(Precis):
    """One of them; if it `is_hurried`, it gives up in seconds what it else would in a quarter of a minute."""

    def __init__(self, folder, provider, is_hurried=False, **settings):
        super().__init__(folder, provider, **settings)
        if is_hurried:
            self.command = (sys.executable, ROOT / "tests" / "hurried.py")


class Fleet:
    """The processes of one database that no other test has, on the servers of a `Scale`."""

    def __init__(self, folder, provider, scale, is_hurried=False):
        self.folder = Path(folder)
        self.provider = provider
        self.is_hurried = is_hurried
        self.scale = scale
        self.settings = environment(scale.create())
        self.database = self.settings["PRECIS_DATABASE_URL"].rpartition("/")[2]
        self.all = []

    def __enter__(self):
        self._stack = ExitStack()
        return self

    def __exit__(self, *exc):
        self._stack.close()

    def start(self, *roles, **settings):
        """Start processes with these roles, all at once; returns them when they answer."""
        return self.launch(*(self.make(role, **settings) for role in roles))

    def launch(self, *processes):
        """Start processes that were made, all at once; returns them when they answer."""
        for process in processes:
            process.process = process.launch()
        for process in processes:
            process.wait_until_up()
        return processes[0] if len(processes) == 1 else processes

    def make(self, role, kind=Process, **settings):
        """Return a process that is not started yet."""
        folder = self.folder / f"{role}-{len(self.all)}"
        folder.mkdir()
        settings = self.settings | {"PRECIS_ROLE": role} | settings
        process = self._stack.enter_context(kind(folder, self.provider, self.is_hurried, **settings))
        self.all.append(process)
        return process

    def rows(self, query, *values):
        """Read the database directly."""
        return self.scale.postgresql.execute(query, *values, database=self.database)

    def statuses(self):
        """Return the statuses that there are."""
        return {status for (status,) in self.rows("SELECT DISTINCT status FROM analysis")}


def said(process, event):
    """Return how often a process has said something in its log."""
    return process.log.read_text().count(f'"event": "{event}')


def wait_until(is_so, seconds=20):
    """Wait for what nothing announces."""
    with gevent.Timeout(seconds, AssertionError("it never came to that")):
        while not is_so():
            gevent.sleep(0.02)
