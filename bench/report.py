"""What came out, to be read: the README's tables and docs/cost.svg, made of the figures that are kept.

python -m bench.report                              make them anew, and print the goals
"""

import argparse
import os
import re
from pathlib import Path
from statistics import median_low

from bench import plot, results, rig

README = Path(__file__).resolve().parent / "README.md"
PLOT = rig.ROOT / "docs/cost.svg"

IN_TIME = 250  # milliseconds: most that a token may be late, p99
OURS, FASTAPI, NODE, FLOOR = "Precis, chat", "FastAPI + AsyncOpenAI", "Node + openai", "floor: byte proxy"
FIGURES = ("cpu", "first_p50", "first_p95", "late_p50", "late_p95", "late_p99", "page_p50", "page_p95")
FIGURES += ("start_p50", "start_p95", "postgresql", "redis", "memory", "lost")
UNMEASURED = "–"


def parser(description):
    """Return the parser of a command that measures."""
    parser = argparse.ArgumentParser(description=description.partition("\n")[0])
    parser.add_argument(
        "--keep", action="store_true", help="keep the figures, and write tables and plot anew"
    )
    return parser


def run(parser, measure, columns):
    """Do what a command line says: `measure` is told of each option by its name, and yields the figures."""
    arguments = vars(parser.parse_args())
    keep = arguments.pop("keep")
    with rig.Provider() as provider:
        tell(measure(provider, **arguments), columns, keep)


def tell(figures, columns, keep):
    """Print figures line by line as they come, and keep them if that is asked."""
    load = os.getloadavg()[0]
    print(" ".join(f"{title:>{re.search('[0-9]+', form)[0]}}" for title, form in columns.values()))
    rows = []
    for row in figures:
        print(" ".join(form.format(getattr(row, name)) for name, (_, form) in columns.items()), flush=True)
        rows.append(row)
    if keep:
        results.keep(rows, load)
        make()


def make():
    """Write the README's tables and the plot."""
    kept = results.read()
    README.write_text(filled(README.read_text(), kept))
    PLOT.write_text(plot.draw(series(kept), IN_TIME))


def filled(text, kept):
    """Return the README's text with its tables made anew."""
    for name, table in TABLES.items():
        begin, end = f"<!-- {name} -->\n", "<!-- end -->"
        before, after = text.split(begin)
        text = f"{before}{begin}\n{table(kept)}\n\n{end}{after.partition(end)[2]}"
    return text


def series(kept):
    """Return the plot's lines: for each server (streams, CPU microseconds per token, whether in time)."""
    lines = {}
    several = [row for row in rows(kept, results.SCALE) if row["server"] in SEVERAL]
    for row in rows(kept, results.STREAMS) + several:
        is_in_time = not row["lost"] and row["late_p99"] <= IN_TIME
        lines.setdefault(row["server"], []).append((row["streams"], row["cpu"], is_in_time))
    return lines


def rows(kept, command):
    """Return the rows of a command, none if it was not run."""
    return kept[command]["rows"] if command in kept else []


def medians(kept, command):
    """Return a row for each server and number of streams: the median of its rounds."""
    rounds = {}
    for row in rows(kept, command):
        rounds.setdefault((row["streams"], row["server"]), []).append(row)
    # Of two the lower one, so that what is shown was measured.
    return {
        key: {figure: median_low(_known(each.get(figure) for each in found)) for figure in FIGURES}
        for key, found in sorted(rounds.items())
    }


def _known(values):
    return [value for value in values if value is not None] or [None]


# Tables


def table(kept, command, head, lines):
    """Return a table in Markdown below a line that says where it is from."""
    if command not in kept:
        return f"`python -m {command}`: not measured yet."
    run = kept[command]
    source = f"`python -m {command}`  \n{run['date']}, {run['machine']}, load average before {run['load']}"
    return f"{source}\n\n{markdown([head, *lines])}"


def markdown(lines):
    """Return lines of cells, the first one their titles, as a table."""
    head, *body = lines
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *body])


def number(value):
    """Return a figure as it is shown, with two or three of its digits."""
    if value is None or isinstance(value, str):
        return value or UNMEASURED
    return f"{value:,.0f}" if isinstance(value, int) or value >= 100 else f"{value:.3g}"


def pair(row, *names):
    """Return some figures of a row as they are shown."""
    return " / ".join(number(row.get(name)) for name in names)


def costs(kept):
    """Return CPU per token by server and number of streams."""
    lines = series(kept)
    counts = sorted({streams for line in lines.values() for streams, _, _ in line})
    body = []
    for server, line in lines.items():
        cells = {streams: f"{cpu:.0f}" if in_time else f"*{cpu:.0f}*" for streams, cpu, in_time in line}
        most = max((streams for streams, _, in_time in line if in_time), default=0)
        body.append([server, *(cells.get(streams, UNMEASURED) for streams in counts), str(most)])
    head = ["us/token at", *(str(streams) for streams in counts), "most in time"]
    return table(kept, results.STREAMS, head, body)


def times(command):
    """Return a function that makes the table of a command with all times, the median of its rounds."""

    def make(kept):
        body = [
            [
                number(streams),
                server,
                number(row["cpu"]),
                pair(row, "first_p50", "first_p95"),
                pair(row, "late_p50", "late_p99"),
                pair(row, "page_p50", "page_p95"),
                pair(row, "start_p50", "start_p95"),
                number(row["memory"]),
                number(row["lost"]),
            ]
            for (streams, server), row in medians(kept, command).items()
        ]
        head = ["streams", "server", "us/token"]
        head += [f"{what} ms" for what in ("first p50 / p95", "late p50 / p99", "page p50 / p95")]
        return table(kept, command, [*head, "start p50 / p95 ms", "kB/stream", "lost"], body)

    return make


def plain(command, **titles):
    """Return a function that makes a table of a command's rows, with the figures of these titles."""

    def make(kept):
        body = [[number(row.get(name)) for name in titles] for row in rows(kept, command)]
        return table(kept, command, list(titles.values()), body)

    return make


def goals(kept):
    """Return what is aimed at, what was found, and whether that is met."""
    body = [
        [what, number(found), f"{most:g}", verdict(found, most)] for what, found, most in found_goals(kept)
    ]
    return markdown([["goal", "measured", "at most", "met"], *body])


def verdict(found, most):
    """Say whether a goal is met."""
    return UNMEASURED if found is None else "yes" if found <= most else "no"


def found_goals(kept):
    """Yield what is aimed at, what was found or None, and the most that it may be."""

    found = medians(kept, results.ROUNDS)

    def of(streams, figure, server=OURS):
        return found.get((streams, server), {}).get(figure)

    def ratio(one, other):
        return one / other if one and other else None

    def column(command, figure):
        return [row[figure] for row in rows(kept, command)] or [None]

    minute = medians(kept, results.MINUTE).get((200, OURS), {})
    lengths = column(results.LENGTH, "token")
    starts = column(results.HISTORY, "start")
    cpu = of(100, "cpu")
    yield "CPU of a token at 100 streams, of FastAPI's", ratio(cpu, of(100, "cpu", FASTAPI)), 0.45
    yield "the same, of Node's with the openai client", ratio(cpu, of(100, "cpu", NODE)), 1.1
    yield "the same, of the byte proxy's (to approach)", ratio(cpu, of(100, "cpu", FLOOR)), 4
    yield "added first-token time at 100 streams, p50 ms", of(100, "first_p50"), 10
    yield "the same, p95 ms", of(100, "first_p95"), 30
    yield "memory of a stream at 100, kB", of(100, "memory"), 100
    yield "300 streams: late p99, ms", of(300, "late_p99"), IN_TIME
    yield "300 streams: tokens lost", of(300, "lost"), 0
    yield "a plain page beside them, p95 ms", of(300, "page_p95"), 50
    yield "200 streams for a minute: late p99, ms", minute.get("late_p99"), IN_TIME
    yield "the same: tokens lost", minute.get("lost"), 0
    yield "a further viewer, us per token delivered to it", column(results.VIEWERS, "further")[-1], 15
    yield "a hundred viewers of one analysis, of one viewer", ratio(*_hundred_and_one(kept)), 3
    yield "a token of 100,000, of one of 1,000", ratio(lengths[-1], lengths[0]), 1.1
    yield "the same: tokens lost", column(results.LENGTH, "lost")[-1], 0
    several = medians(kept, results.SHARED)
    one, shared, apart = (several.get((100, name), {}) for name in SCALED)
    yield (
        "CPU of a token with PostgreSQL and Redis, of SQLite's",
        ratio(shared.get("cpu"), one.get("cpu")),
        1.3,
    )
    late = [row.get("late_p95") for row in (one, apart)]
    yield "added by another process on the way, p95 ms", late[1] - late[0] if all(late) else None, 100
    yield "a start with a million analyses kept, of one with ten", ratio(starts[-1], starts[0]), 1.1
    onto = column(results.BROWSER, "renderer")
    yield "a page that shows 20,000 tokens and gets 100 a second, % of a core", onto[-1], 12
    yield "how far its layout shifts (CLS)", column(results.BROWSER, "shift")[-1], 0.02


def _hundred_and_one(kept):
    """Return what an analysis costs with a hundred viewers, and with one, in equal measures."""
    costs = {row["viewers"]: row["cpu"] * row["viewers"] for row in rows(kept, results.VIEWERS)}
    return costs.get(100), costs.get(1)


SEVERAL = ("PostgreSQL, 1 process", "PostgreSQL, 2 processes", "PostgreSQL, 4 processes")
SCALED = ("SQLite, 1 process", "PostgreSQL, 1 process", "PostgreSQL, web + worker")


TABLES = {
    "goals": goals,
    "streams": costs,
    "times": times(results.ROUNDS),
    "minute": times(results.MINUTE),
    "viewers": plain(
        results.VIEWERS,
        viewers="viewers",
        cpu="us/token delivered",
        further="a further viewer's",
        late_p50="late p50 ms",
        late_p99="p99 ms",
    ),
    "length": plain(results.LENGTH, tokens="tokens", token="us/token", late_p99="late p99 ms", lost="lost"),
    "shared": lambda kept: table(
        kept,
        results.SHARED,
        ["server", "us/token", "PostgreSQL's", "Redis'", "first p50 / p95 ms", "late p50 / p95 / p99 ms"],
        [
            [
                server,
                number(row["cpu"]),
                number(row["postgresql"]),
                number(row["redis"]),
                pair(row, "first_p50", "first_p95"),
                pair(row, "late_p50", "late_p95", "late_p99"),
            ]
            for (_, server), row in medians(kept, results.SHARED).items()
        ],
    ),
    "scale": plain(
        results.SCALE,
        server="server",
        streams="streams",
        cpu="us/token",
        postgresql="PostgreSQL's",
        redis="Redis'",
        first_p95="first p95 ms",
        late_p50="late p50 ms",
        late_p95="p95",
        late_p99="p99",
        page_p95="page p95 ms",
        busy="cores",
        lost="lost",
    ),
    "browser": plain(
        results.BROWSER,
        shown="tokens shown",
        rate="more a second",
        renderer="the page, % of a core",
        browser="with the drawing",
        shift="CLS",
    ),
    "history": plain(
        results.HISTORY,
        analyses="analyses",
        megabytes="MB",
        boot="boot s",
        start="a start ms",
        token="a token us",
        front="front page ms",
        document="document's page ms",
        find="find us",
        look="look us",
        deletion="deletion ms",
    ),
}


def main():
    make()
    for what, found, most in found_goals(results.read()):
        print(f"{what:<56} {number(found):>8}  at most {most:<5g} {verdict(found, most)}")


if __name__ == "__main__":
    main()
