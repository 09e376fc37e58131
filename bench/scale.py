"""Several processes on PostgreSQL and Redis beside one on SQLite: CPU per token, and the time that adds.

python -m bench.scale                               100, 200 and 300 analyses of 300 tokens, 50 a second
python -m bench.scale --streams 100 --servers sqlite one apart --rounds 3

`web + worker` runs every analysis in one process and shows it from another: each token crosses Redis. These
have one core, as the others measure; `2 processes` and `4 processes` may use both, beside the load.
"""

import os
import tempfile
from contextlib import ExitStack, contextmanager
from functools import partial

from bench import report, rig
from tests.precis import Precis
from tests.scale import Scale, environment

COUNTS = (100, 200, 300)
CORES = os.sched_getaffinity(0)
COLUMNS = {name: rig.COLUMNS[name] for name in ("server", "streams", "cpu")} | {
    "postgresql": ("PostgreSQL", "{:>10.1f}"),
    "redis": ("Redis", "{:>6.1f}"),
    **{name: rig.COLUMNS[name] for name in ("first_p50", "first_p95", "late_p50")},
    "late_p95": ("p95", "{:>6.1f}"),
    **{
        name: rig.COLUMNS[name] for name in ("late_p99", "page_p95", "memory", "busy", "helpers_busy", "lost")
    },
}


class Scaled(rig.PrecisServer):
    """A server with other processes, which count as it, and databases, which are counted apart."""

    def __init__(self, precis, name, others, beside):
        self.others = [other.process.pid for other in others]
        self.beside = {server.name.lower(): server.process.pid for server in beside}
        super().__init__(precis, name, None)

    def pids(self):
        return [*super().pids(), *(pid for other in self.others for pid in rig.processes(other))]

    def measure(self, provider, streams):
        """Run one load; see `rig.measure`. PostgreSQL's and Redis' CPU is per token, too."""
        before = {name: rig.cpu(rig.processes(pid)) for name, pid in self.beside.items()}
        row = rig.measure(self, provider, streams=streams, seconds=60)
        for name in ("postgresql", "redis"):
            used = rig.cpu(rig.processes(self.beside[name])) - before[name] if name in before else 0
            setattr(row, name, used / max(row.delivered, 1) * 1e6)
        return row


@contextmanager
def on_sqlite(provider, scale, cores, name):
    with started(provider, cores) as precis:
        yield Scaled(precis, name, (), ())


@contextmanager
def on_postgresql(provider, scale, cores, name, workers=1, roles=("all",)):
    place = environment(scale.create()) | {"PRECIS_WORKERS": str(workers)}
    with ExitStack() as stack:
        first, *others = (
            stack.enter_context(started(provider, cores, **place, PRECIS_ROLE=role)) for role in roles
        )
        yield Scaled(first, name, others, (scale.postgresql, scale.redis))


@contextmanager
def started(provider, cores, **settings):
    with (
        tempfile.TemporaryDirectory() as folder,
        Precis(folder, provider, **rig.SETTINGS, **settings) as precis,
    ):
        with rig.pinned(*cores):
            precis.start()
        yield precis


ONE = {rig.SERVER_CORE}
SERVERS = {
    "sqlite": partial(on_sqlite, cores=ONE, name="SQLite, 1 process"),
    "one": partial(on_postgresql, cores=ONE, name="PostgreSQL, 1 process"),
    "apart": partial(on_postgresql, cores=ONE, name="PostgreSQL, web + worker", roles=("web", "worker")),
    "sqlite-both": partial(on_sqlite, cores=CORES, name="SQLite, 1 process, both cores"),
    "two": partial(on_postgresql, cores=CORES, name="PostgreSQL, 2 processes", workers=2),
    "four": partial(on_postgresql, cores=CORES, name="PostgreSQL, 4 processes", workers=4),
}


@contextmanager
def shared():
    """Serve PostgreSQL and Redis, on the core of those who drive."""
    with ExitStack() as stack:
        with rig.pinned(rig.DRIVER_CORE):
            scale = stack.enter_context(Scale())
            # As it is in earnest: the tests do without.
            scale.postgresql.stop()
            scale.postgresql.start("-c", "fsync=on", "-c", "full_page_writes=on", "-c", "autovacuum=on")
        yield scale


@contextmanager
def served(provider, name):
    """Serve one of `SERVERS`."""
    with shared() as scale, SERVERS[name](provider, scale) as server:
        yield server


def run(provider, servers=SERVERS, counts=COUNTS, rounds=1):
    """Measure each with each number of streams, fresh in each round; yields the figures."""
    for name in list(servers) * rounds:
        with served(provider, name) as server:
            rig.warm(server, provider)
            for streams in counts:
                yield server.measure(provider, streams)


def main():
    parser = report.parser(__doc__)
    parser.add_argument("--streams", dest="counts", type=int, nargs="+", default=COUNTS)
    parser.add_argument("--servers", nargs="+", choices=SERVERS, default=list(SERVERS))
    parser.add_argument("--rounds", type=int, default=1)
    report.run(parser, run, COLUMNS)


if __name__ == "__main__":
    main()
