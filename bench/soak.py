"""An hour at 100 streams: does memory stay flat, and is nothing lost?

python -m bench.soak                                one process on SQLite, an hour
python -m bench.soak --server apart --minutes 60    a web and a worker process on PostgreSQL and Redis

Wave after wave of 100 analyses of a minute each; after each, with nothing running, what the processes hold.
"""

import argparse
import sys
from contextlib import suppress
from pathlib import Path
from statistics import mean

from bench import rig, scale

RATE = 5  # tokens a second and stream: slow enough to leave the machine to others for an hour


def run(provider, server, minutes, streams):
    """Yield after each wave: minute, tokens, us/token, late p99, MB resident, open files."""
    rig.warm(server, provider)
    for minute in range(1, minutes + 1):
        row = rig.measure(
            server, provider, streams=streams, tokens=60 * RATE, rate=RATE, seconds=120, pages=False
        )
        row.minute, row.resident, row.files = minute, resident(server.pids()), files(server.pids())
        yield row


def resident(pids):
    """Return the resident bytes of processes."""
    lines = (Path(f"/proc/{pid}/status").read_text() for pid in pids)
    return sum(int(line.split("VmRSS:")[1].split()[0]) * 1024 for line in lines)


def files(pids):
    """Return how many files processes hold open."""
    count = 0
    for pid in pids:
        with suppress(FileNotFoundError):
            count += len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return count


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--server", choices=scale.SERVERS, default="sqlite")
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--streams", type=int, default=100)
    arguments = parser.parse_args()
    print("minute    tokens us/token late p99       MB    files     lost")
    rows = []
    with rig.Provider() as provider, scale.served(provider, arguments.server) as server:
        for row in run(provider, server, arguments.minutes, arguments.streams):
            rows.append(row)
            print(
                f"{row.minute:>6} {row.delivered:>9} {row.cpu:>8.1f} {row.late_p99:>8.1f}"
                f" {row.resident / 1e6:>8.1f} {row.files:>8} {row.lost:>8}",
                flush=True,
            )
    fifth = max(1, len(rows) // 5)
    # The first fifth fills caches and pools.
    early = mean(row.resident for row in rows[fifth : 2 * fifth] or rows)
    late = mean(row.resident for row in rows[-fifth:])
    lost = sum(row.lost + row.unfinished for row in rows)
    print(f"memory in the last fifth, of the second: {late / early:.3f}; lost or unfinished: {lost}")
    sys.exit(late > 1.1 * early or lost > 0)


if __name__ == "__main__":
    main()
