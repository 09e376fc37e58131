"""Every figure in one run, Precis and its peers in turn on the same cores, and the goals they are held to.

make bench                the whole, about ten minutes
python -m bench           the same, without installing the peers
"""

import os
import platform
from datetime import date
from statistics import median

from bench import length, rig, streams, viewers

ROUNDS = 3


def main():
    print(f"{date.today()}, {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"load average before: {os.getloadavg()[0]:.1f}; server on core {rig.SERVER_CORE},", end=" ")
    print(f"provider and load on core {rig.DRIVER_CORE}\n")
    with rig.Provider() as provider:
        rig.heading()
        hundred = _hundred(provider)
        others = list(_shown(streams.run(provider, ("floor", "fastapi", "responses", "chat"), (1, 10, 300))))
        sustained = list(_shown(streams.run(provider, ("chat",), (200,), tokens=3000)))
        watching = list(_shown(viewers.run(provider)))
        growing = list(_shown(length.run(provider)))
    print(f"load average after: {os.getloadavg()[0]:.1f}\n")
    _goals(hundred, others[-1], sustained[0], viewers.further(watching), length.per_token(growing))


def _hundred(provider):
    """Measure 100 streams several times in turn: machines are never quiet, so the median counts."""
    names = ("chat", "responses", "fastapi", "floor")
    found = {name: [] for name in names}
    for _ in range(ROUNDS):
        for name in names:
            found[name] += _shown(streams.run(provider, (name,), (100,)))
    return found


def _shown(figures):
    for each in figures:
        rig.show(each)
        yield each


def _goals(hundred, most, sustained, further, per_token):
    chat, fastapi, floor = hundred["chat"], hundred["fastapi"], hundred["floor"]

    def middle(name, runs=chat):
        return median(getattr(each, name) for each in runs)

    ratio = middle("cpu") / middle("cpu", fastapi)
    _goal("CPU per token at 100 streams, of the FastAPI peer's", ratio, 0.45)
    _goal("  of the floor's (the limit to approach)", middle("cpu") / middle("cpu", floor), 4)
    _goal("added first-token time at 100 streams, p50 ms", middle("first_p50"), 10)
    _goal("  p95 ms", middle("first_p95"), 30)
    _goal("memory per stream at 100 streams, kB", middle("memory"), 100)
    _goal("300 streams: added latency p99, ms", most.late_p99, 250)
    _goal("  tokens lost", most.lost, 0)
    _goal("  a plain page meanwhile, p95 ms", most.page_p95, 50)
    _goal("200 streams for 60 s: added latency p99, ms", sustained.late_p99, 250)
    _goal("  tokens lost", sustained.lost, 0)
    _goal("a further viewer, us per delivered token", further, 15)
    _goal("a token of 100,000, of one of 1,000", per_token[-1] / per_token[0], 1.1)


def _goal(what, found, most):
    print(f"{what:<52} {found:>8.2f}  goal <= {most:<6g} {'yes' if found <= most else 'NO'}")


if __name__ == "__main__":
    main()
