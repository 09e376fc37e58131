"""Many viewers of one analysis: what a token costs, and what a further viewer does.

python -m bench.viewers                             1, 10 and 100 viewers
"""

from bench import report, rig

COUNTS = (1, 10, 100)
TOKENS = 600
COLUMNS = {name: rig.COLUMNS[name] for name in ("viewers", "cpu")} | {
    "further": ("further us/token", "{:>16.1f}"),
    **{name: rig.COLUMNS[name] for name in ("first_p95", "late_p50", "late_p99", "bytes", "busy", "lost")},
}


def run(provider, counts=COUNTS, tokens=TOKENS):
    """Measure one analysis with each number of viewers; yields the figures.

    `further` is what each viewer after the first cost, in CPU microseconds per token delivered to it.
    """
    with rig.precis(provider) as server:
        rig.warm(server, provider)
        one = None
        for viewers in counts:
            found = rig.measure(server, provider, streams=1, tokens=tokens, viewers=viewers, pages=False)
            one = one or found
            more = found.delivered - one.delivered
            found.further = (found.seconds - one.seconds) / more * 1e6 if more else float("nan")
            yield found


def main():
    parser = report.parser(__doc__)
    parser.add_argument("--viewers", dest="counts", type=int, nargs="+", default=COUNTS)
    parser.add_argument("--tokens", type=int, default=TOKENS)
    report.run(parser, run, COLUMNS)


if __name__ == "__main__":
    main()
