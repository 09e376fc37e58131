"""Many analyses at once, one viewer each: CPU per token, added first-token time and latency, memory, pages.

python -m bench.streams                             1 to 300 analyses of 300 tokens, 50 a second; and peers
python -m bench.streams --streams 200 --tokens 3000 --servers chat        200 of them for a minute
"""

from functools import partial

from bench import report, rig

COUNTS = (1, 3, 10, 30, 100, 200, 300)
SERVERS = {
    "chat": partial(rig.precis, api="chat"),
    "responses": partial(rig.precis, api="responses"),
    "node": partial(rig.peer, script="node_openai.cjs", name=report.NODE),
    "flask": partial(rig.peer, script="flask_gevent.py", name="Flask + gevent"),
    "fastapi": partial(rig.peer, script="fastapi_sse.py", name=report.FASTAPI),
    "ai-sdk": partial(rig.peer, script="node_ai_sdk.cjs", name="Node + AI SDK"),
    "floor": partial(rig.peer, script="byte_proxy.py", name=report.FLOOR),
}
ON_NODE = {"node", "ai-sdk"}
# With the protocol that the peers speak, too.
DEFAULT = [name for name in SERVERS if name != "responses"]


def run(provider, servers, counts, tokens=300, rate=50, rounds=1):
    """Measure each server with each number of streams, fresh in each round; yields the figures."""
    for name in list(servers) * rounds:
        with SERVERS[name](provider) as server:
            rig.warm(server, provider)
            for streams in counts:
                yield rig.measure(
                    server, provider, streams=streams, tokens=tokens, rate=rate, seconds=tokens / rate + 30
                )


def main():
    parser = report.parser(__doc__)
    parser.add_argument("--streams", type=int, nargs="+", default=COUNTS)
    parser.add_argument("--tokens", type=int, default=300)
    parser.add_argument("--rate", type=float, default=50, help="tokens per second and stream")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--servers", nargs="+", choices=SERVERS, default=DEFAULT)
    arguments = parser.parse_args()
    servers = [name for name in arguments.servers if rig.NODE or name not in ON_NODE]
    if len(servers) < len(arguments.servers):
        print("The peers on Node are left out: that needs node and `make var/peers/node_modules`.")
    with rig.Provider() as provider:
        figures = run(
            provider, servers, arguments.streams, arguments.tokens, arguments.rate, arguments.rounds
        )
        report.tell(figures, rig.COLUMNS, arguments.keep)


if __name__ == "__main__":
    main()
