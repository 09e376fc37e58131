"""Long answers: what a token costs against the answer's length, beside what an analysis costs anyway.

python -m bench.length                              answers of 1,000, 10,000 and 100,000 tokens
"""

from bench import report, rig

LENGTHS = (1_000, 10_000, 100_000)
STREAMS = 4
RATE = 2000
LEAST_TOKENS = 40_000
COLUMNS = {"tokens": rig.COLUMNS["tokens"], "token": ("us/token", "{:>8.1f}")} | {
    name: rig.COLUMNS[name] for name in ("late_p50", "late_p99", "memory", "busy", "lost")
}


def run(provider, lengths=LENGTHS):
    """Measure some analyses of each length; yields the figures.

    `token` is the CPU microseconds of a token, without what an analysis of a single one costs.
    """
    # The runner cuts off a provider that writes far more than was asked for.
    with rig.precis(provider, PRECIS_MAX_OUTPUT_TOKENS=str(max(lengths))) as server:
        rig.warm(server, provider)
        start = rig.start_seconds(server, provider)
        for tokens in lengths:
            rounds = [
                rig.measure(
                    server,
                    provider,
                    streams=STREAMS,
                    tokens=tokens,
                    rate=RATE,
                    ramp=0.2,
                    seconds=tokens / RATE + 90,
                    pages=False,
                )
                # Four short answers alone tell little.
                for _ in range(max(1, LEAST_TOKENS // (tokens * STREAMS)))
            ]
            found = rounds[-1]
            found.lost = sum(each.lost for each in rounds)
            seconds = sum(each.seconds - start * STREAMS for each in rounds)
            found.token = seconds / max(sum(each.delivered for each in rounds), 1) * 1e6
            yield found


def main():
    parser = report.parser(__doc__)
    parser.add_argument("--tokens", dest="lengths", type=int, nargs="+", default=LENGTHS)
    report.run(parser, run, COLUMNS)


if __name__ == "__main__":
    main()
