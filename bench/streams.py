"""Many analyses at once, one viewer each: CPU per token, added first-token time and latency, memory, pages.

python -m bench.streams                             1, 10, 100 and 300 analyses of 300 tokens, 50 a second
python -m bench.streams --streams 200 --tokens 3000 --servers chat        200 of them for a minute
"""

import argparse

from bench import rig

SERVERS = {
    "chat": lambda provider: rig.precis(provider, "chat"),
    "responses": lambda provider: rig.precis(provider, "responses"),
    "fastapi": rig.fastapi,
    "floor": rig.floor,
}


def run(provider, servers, counts, tokens=300, rate=50):
    """Measure each server, in a fresh process, with each number of streams; yields the figures."""
    for name in servers:
        with SERVERS[name](provider) as server:
            rig.warm(server, provider)
            for streams in counts:
                yield rig.measure(
                    server, provider, streams=streams, tokens=tokens, rate=rate, seconds=tokens / rate + 30
                )


def main():
    parser = argparse.ArgumentParser(description="Measure many analyses at once, one viewer each.")
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 10, 100, 300])
    parser.add_argument("--tokens", type=int, default=300)
    parser.add_argument("--rate", type=float, default=50, help="tokens per second and stream")
    parser.add_argument("--servers", nargs="+", choices=SERVERS, default=list(SERVERS))
    arguments = parser.parse_args()
    rig.heading()
    with rig.Provider() as provider:
        for figures in run(provider, arguments.servers, arguments.streams, arguments.tokens, arguments.rate):
            rig.show(figures)


if __name__ == "__main__":
    main()
