"""Much history: what a start, a token and a page cost against the number of analyses kept already.

python -m bench.history                             10, 1,000, 100,000 and 1,000,000 analyses

All are one person's, ten of each document of 6,000 characters, with answers of 300 tokens; and the first
document has 60 more. A start is the median of twelve rounds, in each of which every server has its
turn. All is CPU but `boot`, the time from launch to the first answer, with a file that was just written and
so is in memory.
"""

import sqlite3
import time
from contextlib import ExitStack, closing
from functools import partial
from random import Random
from statistics import median
from types import SimpleNamespace

import storage
from bench import report, rig
from models import Analysis, User

COUNTS = (10, 1_000, 100_000, 1_000_000)
ROUNDS = 12
STREAMS, TOKENS = 20, 300
CROWD = 60
DELETIONS = 20
QUERIES = 1000
COLUMNS = {
    "analyses": ("analyses", "{:>9}"),
    "megabytes": ("MB", "{:>7.0f}"),
    "boot": ("boot s", "{:>7.2f}"),
    "start": ("start ms", "{:>9.1f}"),
    "token": ("us/token", "{:>9.1f}"),
    "front": ("front ms", "{:>9.1f}"),
    "document": ("document ms", "{:>12.1f}"),
    "find": ("find us", "{:>8.0f}"),
    "look": ("look us", "{:>8.0f}"),
    "deletion": ("deletion ms", "{:>12.1f}"),
}

NUMBERS = "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :count)"
TIME = "strftime('%Y-%m-%d %H:%M:%f', '2020-01-01', n || ' minutes')"
DOCUMENTS = f"""{NUMBERS} INSERT INTO document
    (owner_id, title, text, characters, words, paragraphs, created_at)
    SELECT :owner, 'Terms of use, version ' || n, :text, length(:text), 1100, 20, {TIME} FROM numbers"""
ANALYSES = f"""{NUMBERS} INSERT INTO analysis
    (owner_id, document_id, recipe, question, model, request_key, status, text, words, stop_requested, worker,
     created_at, started_at, first_text_at, ended_at, stop_reason, error, provider_request_id,
     input_tokens, output_tokens)
    SELECT :owner, iif(n <= {CROWD}, 1, 1 + (n - 1 - {CROWD}) / 10), 'brief', '', 'openai:bench',
        hex(randomblob(12)), 'complete', :text, 300, 0, 'host:1:0', {TIME}, {TIME}, {TIME}, {TIME}, 'end', '',
        'req_' || hex(randomblob(12)), 1500, 300 FROM numbers"""


def run(provider, counts=COUNTS):
    """Measure Precis with each number of analyses in its database; yields the figures."""
    with ExitStack() as stack:
        servers = [
            stack.enter_context(rig.precis(provider, prepare=partial(fill, analyses=analyses)))
            for analyses in counts
        ]
        for server in servers:
            rig.warm(server, provider)
        # A machine's speed changes within minutes by more than what is looked for here.
        starts = [[rig.start_seconds(server, provider) for server in servers] for _ in range(ROUNDS)]
        for analyses, server, *each in zip(counts, servers, *starts, strict=True):
            yield figures(provider, server, analyses, median(each))


def figures(provider, server, analyses, start):
    """Measure what one server does with so many analyses, but for the seconds of a start."""
    found = rig.measure(server, provider, streams=STREAMS, tokens=TOKENS, pages=False)
    oldest = Random(1).sample(range(CROWD // 2, CROWD + analyses), DELETIONS)
    storage.connect(f"sqlite:///{server.database}")
    return SimpleNamespace(
        analyses=analyses,
        megabytes=server.database.stat().st_size / 1e6,
        boot=server.boot_seconds,
        start=start * 1e3,
        token=(found.seconds - start * STREAMS) / found.delivered * 1e6,
        front=server.page_seconds("/") * 1e3,
        document=server.page_seconds("/documents/1") * 1e3,
        find=find_seconds(analyses) * 1e6,
        look=look_seconds() * 1e6,
        deletion=1e3
        * server.seconds_of(lambda n: server.ask("POST", f"/analyses/{oldest[n]}/deletion"), DELETIONS),
    )


def fill(file, analyses):
    """Make a database with so many analyses, and those of the crowded document."""
    storage.connect(f"sqlite:///{file}")
    storage.migrate()
    with storage.connected():
        owner = User.local().id
    sentence = "The user shall pay what is due by the first of March, and nobody may copy it. "
    page = "\n\n".join([sentence * 4] * 20)
    answer = "".join(rig.answer(TOKENS))
    with closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA synchronous = OFF")
        database.execute(DOCUMENTS, {"owner": owner, "text": page, "count": max(1, analyses // 10)})
        database.execute(ANALYSES, {"owner": owner, "text": answer, "count": analyses + CROWD})
        database.commit()
        # No server would ever have let the log grow as large as all that.
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def find_seconds(analyses):
    """Return the CPU seconds of finding one analysis among them all."""
    ids = Random(1).choices(range(1, CROWD + analyses), k=QUERIES)
    with storage.connected():
        owner = User.local()
        before = time.process_time()
        for id in ids:
            Analysis.find(owner, id)
        return (time.process_time() - before) / QUERIES


def look_seconds():
    """Return the CPU seconds of the dispatcher's look for what nobody runs and what waits."""
    before = time.process_time()
    with storage.connected():
        for _ in range(QUERIES):
            Analysis.abandoned("bench", ())
            Analysis.waiting(1)
    return (time.process_time() - before) / QUERIES


def main():
    parser = report.parser(__doc__)
    parser.add_argument("--analyses", dest="counts", type=int, nargs="+", default=COUNTS)
    report.run(parser, run, COLUMNS)


if __name__ == "__main__":
    main()
