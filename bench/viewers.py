"""Many viewers of one analysis: what a further one costs.

python -m bench.viewers
"""

from bench import rig

COUNTS = (1, 10, 100)
TOKENS = 600


def run(provider):
    """Measure one analysis with each number of viewers; yields the figures."""
    with rig.precis(provider) as server:
        rig.warm(server, provider)
        for viewers in COUNTS:
            yield rig.measure(server, provider, streams=1, tokens=TOKENS, viewers=viewers, pages=False)


def further(figures):
    """Return what each viewer after the first cost, in CPU microseconds per token delivered to it."""
    one, *_, most = figures
    return (most.seconds - one.seconds) / (most.delivered - one.delivered) * 1e6


def main():
    rig.heading()
    figures = []
    with rig.Provider() as provider:
        for each in run(provider):
            rig.show(each)
            figures.append(each)
    print(f"a further viewer: {further(figures):.1f} us per delivered token")


if __name__ == "__main__":
    main()
