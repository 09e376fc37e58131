"""What proxies add to a token's way: no proxy, nginx with its defaults, deploy/nginx.conf, two in a row.

    python -m bench.proxies --analyses 10 --tokens 300

All ways watch the same analyses at the same time, each with curl, so that what differs between them is the
way. `gap` is the time between two reads that bring text. Each fifth token carries the time at which the
provider wrote it: `late` is from there to the viewer's read, `added` is by how much later the same token came
than without a proxy.
"""

from gevent import monkey

monkey.patch_all()

import argparse  # noqa: E402
import re  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from contextlib import ExitStack  # noqa: E402
from itertools import pairwise  # noqa: E402
from pathlib import Path  # noqa: E402

import gevent  # noqa: E402
from gevent.subprocess import PIPE, Popen  # noqa: E402

from bench import rig  # noqa: E402
from tests.nginx import default_nginx, make_authority, shipped_nginx  # noqa: E402
from tests.precis import Precis  # noqa: E402

RATE = 50
STAMP = re.compile(rb"[^0-9]([0-9]+)t([0-9]{7})")
# Stamps are tenths of milliseconds, and begin anew when their seven digits are used up.
TURN = 10_000_000
SHARES = (0.5, 0.95, 0.99)


def watch(url, flags):
    """Read a stream to its end; returns when text came, and when and how late each stamped token did."""
    curl = Popen(["curl", "--silent", "--no-buffer", "--max-time", "120", *flags, url], stdout=PIPE)
    reads, tokens, rest = [], {}, b""
    while part := curl.stdout.read1(65536):
        now = time.monotonic()
        if b"#tail" in part:
            reads.append(now)
        rest += part
        for number, stamp in STAMP.findall(rest):
            tokens.setdefault(int(number), (now, (now * 10_000 - int(stamp)) % TURN / 10_000))
        rest = rest[-20:]
    curl.wait()
    return reads, tokens


def ways(stack, folder, precis):
    """Put up each way; returns its address and curl's flags by its name."""
    authority = make_authority(folder / "authority")
    trusted = ["--cacert", str(authority / "ca.pem")]
    address = precis.url.removeprefix("http://")
    defaults = stack.enter_context(default_nginx(folder / "default", precis.url))
    ours = stack.enter_context(shipped_nginx(folder / "ours", authority, address))
    behind = stack.enter_context(default_nginx(folder / "behind", ours))
    before = shipped_nginx(folder / "before", authority, defaults.removeprefix("http://"))
    return {
        "no proxy": (precis.url, []),
        "nginx, defaults": (defaults, []),
        "ours, HTTP/2": (ours, [*trusted, "--http2"]),
        "ours, HTTP/1.1": (ours, [*trusted, "--http1.1"]),
        "defaults > ours": (behind, []),
        "ours > defaults": (stack.enter_context(before), [*trusted, "--http2"]),
    }


def measure(analyses, tokens):
    """Watch analyses by all ways; yields each way's name, and what came of it as three lists of seconds."""
    with rig.Provider() as provider, ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        # nginx gives up its rights, but has to find the folder.
        folder.chmod(0o755)
        precis = stack.enter_context(Precis(folder, provider)).start()
        all_ways = ways(stack, folder, precis)
        provider.script(tokens, RATE)
        found = {name: ([], [], []) for name in all_ways}
        for number in range(analyses):
            analysis = precis.ask(precis.bring(f"Terms {number}"))
            # Who comes first is served first.
            turned = list(all_ways)[number % len(all_ways) :] + list(all_ways)[: number % len(all_ways)]
            watching = {}
            for name in turned:
                url, flags = all_ways[name]
                watching[name] = gevent.spawn(watch, f"{url}{analysis}/stream", flags)
            gevent.joinall(watching.values(), raise_error=True)
            _, direct = watching["no proxy"].value
            for name, (gaps, late, added) in found.items():
                reads, came = watching[name].value
                if came.keys() != direct.keys():
                    raise SystemExit(
                        f"{name}: {len(came)} stamped tokens came, and {len(direct)} without a proxy"
                    )
                gaps += [after - before for before, after in pairwise(reads)]
                late += [lateness for _, lateness in came.values()]
                added += [came[token][0] - at for token, (at, _) in direct.items()]
    yield from found.items()


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--analyses", type=int, default=10)
    parser.add_argument("--tokens", type=int, default=300)
    arguments = parser.parse_args()
    percentiles = "p50 / p95 / p99 ms"
    print(f"| way | gap {percentiles} | late {percentiles} | added {percentiles} |\n|---|---|---|---|")
    for name, columns in measure(arguments.analyses, arguments.tokens):
        told = (" / ".join(f"{rig.at(sorted(column), share):.1f}" for share in SHARES) for column in columns)
        print(f"| {name} | {' | '.join(told)} |", flush=True)


if __name__ == "__main__":
    main()
