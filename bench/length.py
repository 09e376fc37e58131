"""Long answers: the cost of a token against the answer's length, beside the cost of an analysis itself.

python -m bench.length
"""

from bench import rig

LENGTHS = (1_000, 10_000, 100_000)
STREAMS = 4
RATE = 2000


def run(provider):
    """Measure some analyses of each length, and first of one token; yields the figures."""
    with rig.precis(provider) as server:
        rig.warm(server, provider)
        yield rig.measure(server, provider, streams=100, tokens=1, ramp=2.0, pages=False)
        for tokens in LENGTHS:
            yield rig.measure(
                server,
                provider,
                streams=STREAMS,
                tokens=tokens,
                rate=RATE,
                ramp=0.2,
                pages=False,
                seconds=120,
            )


def per_token(figures):
    """Return the CPU microseconds of a token of each length, without what its analysis costs anyway."""
    nothing, *lengths = figures
    start = nothing.seconds / nothing.streams
    return [(each.seconds - start * each.streams) / each.delivered * 1e6 for each in lengths]


def main():
    rig.heading()
    figures = []
    with rig.Provider() as provider:
        for each in run(provider):
            rig.show(each)
            figures.append(each)
    print(f"an analysis of one token: {figures[0].seconds / figures[0].streams * 1000:.1f} ms")
    for tokens, cost in zip(LENGTHS, per_token(figures), strict=True):
        print(f"a token of {tokens:,}: {cost:.1f} us")


if __name__ == "__main__":
    main()
