"""Streams while one client attacks the server, attack after attack, beside the same streams alone.

    python -m bench.denial --streams 100 --seconds 20      six minutes

An attack is what `ATTACKS` names, by eight connections that begin anew whenever the server ends one, as fast
as the load's core allows. CPU is all that the server used for each token that was delivered, what the attack
and the pages cost included; memory is the most that it held above what it had before.
"""

import argparse
import socket
import threading
from contextlib import suppress

from bench import rig

CONNECTIONS = 8
FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"
PARTS = b"Content-Type: multipart/form-data; boundary=x\r\n"
POST = b"POST /documents HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n"
CHUNK = b"10000\r\n" + bytes(0x10000) + b"\r\n"


def sized(kind, body):
    """Return a request whose length is told."""
    return POST + kind + b"Content-Length: %d\r\n\r\n" % len(body) + body


# What is sent first, and what is sent over and over then.
ATTACKS = {
    "quiet": None,
    "slow heads": (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ", b""),
    "slow bodies": (POST + FORM + b"Content-Length: 9\r\n\r\ntext=", b""),
    "endless form": (CHUNKED + FORM + b"\r\n", CHUNK),
    "endless unread": (CHUNKED + b"\r\n", CHUNK),
    "chunks of one": (CHUNKED + FORM + b"\r\n", b"1\r\na\r\n" * 10_000),
    "1,001 parts": (sized(PARTS, b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n' * 1001), b""),
    "part heads": (sized(PARTS, b"--x\r\n" + b"X: a\r\n" * 1_000_000 + b"\r\n\r\n--x--"), b""),
    "fields": (sized(FORM, b"a=b&" * 1_000_000), b""),
    "per cents": (sized(FORM, b"text=" + b"%" * 4_000_000), b""),
    "header flood": (b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"X: " + b"a" * 1000 + b"\r\n"),
    "searches": (
        b"GET /search?q=" + b"a%20" * 900 + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"",
    ),
}


class Attack:
    """Goes on as long as the block lasts."""

    def __init__(self, port, first, more):
        self.port = port
        self.first = first
        self.more = more
        self.count = 0
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self._repeat) for _ in range(CONNECTIONS)]

    def __enter__(self):
        with rig.pinned(rig.DRIVER_CORE):
            for thread in self.threads:
                thread.start()
        return self

    def __exit__(self, *exc):
        self.over.set()
        for thread in self.threads:
            thread.join()

    def _repeat(self):
        while not self.over.is_set():
            with suppress(OSError):
                self._once()
            self.count += 1

    def _once(self):
        with socket.create_connection(("127.0.0.1", self.port), timeout=1) as sock:
            sock.sendall(self.first)
            while self.more and not self.over.is_set():
                sock.sendall(self.more)
            while not self.over.is_set():
                with suppress(TimeoutError):
                    if not sock.recv(65536):
                        return


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--streams", type=int, default=100)
    parser.add_argument("--seconds", type=int, default=20)
    arguments = parser.parse_args()
    print("attack           us/token  of quiet  late p99       max  page p95 ms  kB/stream  lost  times")
    quiet = 0
    with rig.Provider() as provider, rig.precis(provider) as server:
        rig.warm(server, provider)
        # Those of the attack are not told from those of the load.
        server.page_seconds = lambda: 0
        for name, attack in ATTACKS.items():
            what = {"streams": arguments.streams, "tokens": arguments.seconds * 50}
            if attack:
                with Attack(server.port, *attack) as attack:
                    row = rig.measure(server, provider, **what)
            else:
                row = rig.measure(server, provider, **what)
                quiet = row.cpu
            times = attack.count if attack else 0
            print(
                f"{name:<16} {row.cpu:>8.1f} {row.cpu / quiet:>9.2f}",
                f"{row.late_p99:>9.1f} {row.late_max:>9.1f}",
                f"{row.page_p95:>12.1f} {row.memory:>10.0f} {row.lost:>5} {times:>6}",
                flush=True,
            )


if __name__ == "__main__":
    main()
