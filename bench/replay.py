"""Cut viewers off at random places, again and again: does each end with exactly the saved answer?

    python -m bench.replay --schedules 10000

A schedule is text that is written and viewers that are cut off somewhere in what was on its way to them and
come again, in any order. Each is run twice: with pages that connect over HTTP with their Last-Event-ID, and
with observers of the token log, whose items tell the positions that are counted here.
"""

from gevent import monkey

monkey.patch_all()

import argparse  # noqa: E402
import hashlib  # noqa: E402
import random  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from collections import Counter  # noqa: E402
from contextlib import contextmanager  # noqa: E402

from hypothesis import HealthCheck, Phase, given, seed, settings  # noqa: E402

import storage  # noqa: E402
from app import create_app  # noqa: E402
from config import Settings  # noqa: E402
from tests.person import bring  # noqa: E402
from tests.test_replay import SCHEDULE, gaps_and_repeats, observe, text_of, watch  # noqa: E402
from views.helpers import rendering  # noqa: E402


def run(schedules, number):
    """Run so many schedules, generated from a seed; returns what was counted."""
    counts = Counter()

    @seed(number)
    @settings(
        max_examples=schedules,
        derandomize=False,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(schedule=SCHEDULE)
    def replay(schedule):
        pages, answer = watch(analyzer, client, document, schedule)
        readings, stored = observe(analyzer, client, document, schedule)
        counts["schedules"] += 1
        counts["cuts"] += sum(not isinstance(step, str) for step in schedule)
        counts["viewers"] += len(pages) + len(readings)
        counts["unended"] += sum(not page.done for page in pages)
        counts["mismatches"] += sum(sha256(page.html) != sha256(answer) for page in pages)
        for items in readings:
            gaps, repeats = gaps_and_repeats(items)
            counts["gaps"] += gaps
            counts["repeats"] += repeats
            counts["mismatches"] += sha256(text_of(items)) != sha256(stored)

    with quick() as (analyzer, client, document):
        replay()
    return counts


@contextmanager
def quick():
    """Serve without a network, with a log that commits at once and a rendering that never rests."""
    with tempfile.TemporaryDirectory() as folder:
        app = create_app(Settings(database_url=f"sqlite:///{folder}/precis.db"))
        storage.migrate()
        analyzer = app.extensions["analyzer"]
        analyzer.log.TICK_SECONDS = 0
        rendering.BYTES_PER_SECOND = 1e12
        analyzer.begin()
        client = app.test_client()
        try:
            yield analyzer, client, bring(client, "Terms\n\nPay by March.")
        finally:
            analyzer.drain(0)


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--schedules", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    arguments = parser.parse_args()
    began = time.monotonic()
    counts = run(arguments.schedules, arguments.seed)
    print(
        f"{counts['schedules']} schedules (seed {arguments.seed}), {counts['viewers']} viewers cut off "
        f"{2 * counts['cuts']} times, in {time.monotonic() - began:.0f} s: {counts['gaps']} gaps, "
        f"{counts['repeats']} repeats, {counts['mismatches']} SHA-256 mismatches, "
        f"{counts['unended']} viewers without an ending"
    )
    wrong = counts["gaps"] + counts["repeats"] + counts["mismatches"] + counts["unended"]
    raise SystemExit(bool(wrong or counts["schedules"] < arguments.schedules))


if __name__ == "__main__":
    main()
