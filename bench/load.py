"""The load, a process of its own: opens streams, notes when each token came, asks for a page meanwhile.

    python -m bench.load 8000 --start /documents/1/analyses --streams 100 --page /documents/1
    python -m bench.load 8001 --watch /stream --streams 100 --page /

One loop on raw sockets that understands little: where a token stands and where an answer ends. Tokens that
count look like `17t1234567`, their number and the time at which the provider wrote them, in tenths of a
millisecond of the clock that all processes of a machine share. Prints its figures as JSON.
"""

import argparse
import heapq
import json
import re
import resource
import secrets
import select
import socket
import time
from itertools import count, cycle

TOKEN = re.compile(rb"(\d+)t(\d{7})")
LONGEST_TOKEN = 16
ADDRESS = re.compile(rb"\nHX-Push-Url: (\S+)", re.IGNORECASE)
CLOCK = 10_000_000
PAGE_EVERY = 0.1


class Connection:
    """One request on a connection of its own."""

    def __init__(self, load, request):
        self.load = load
        self.request = request
        self.asked_at = time.monotonic()
        self.socket = socket.socket()
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.socket.connect_ex(("127.0.0.1", load.port))
        load.connections[self.socket.fileno()] = self
        load.epoll.register(self.socket, select.EPOLLOUT)

    def ready(self, events):
        if events & select.EPOLLOUT:
            try:
                self.socket.send(self.request)
            except OSError:
                self.close()
                return
            self.load.epoll.modify(self.socket, select.EPOLLIN)
            return
        try:
            data = self.socket.recv(1 << 18)
        except OSError:
            data = b""
        if data:
            self.received(data)
        else:
            self.close()

    def close(self):
        del self.load.connections[self.socket.fileno()]
        self.socket.close()
        self.ended()


class Whole(Connection):
    """A request whose answer is read to its end."""

    answer = b""

    def received(self, data):
        self.answer += data


class Page(Whole):
    """A plain page, timed."""

    def ended(self):
        if self.answer.startswith(b"HTTP/1.1 200"):
            self.load.pages.append(time.monotonic() - self.asked_at)
        else:
            self.load.errors += 1


class Start(Whole):
    """The POST that starts an analysis; its viewers come when it is answered."""

    def ended(self):
        if address := ADDRESS.search(self.answer):
            self.load.starts.append(time.monotonic() - self.asked_at)
            for _ in range(self.load.viewers):
                self.load.watch(address[1].decode() + "/stream")
        else:
            self.load.errors += 1
            self.load.waiting -= self.load.viewers


class Viewer(Connection):
    """A stream, watched to its end."""

    newest = -1
    rest = b""
    is_done = False

    def received(self, data):
        now = time.monotonic_ns() // 100_000
        rest = self.rest + data
        # What is shown again, because a message replaces an open paragraph, is not news.
        for token in TOKEN.finditer(rest):
            number = int(token[1])
            if number > self.newest:
                late = (now - int(token[2])) % CLOCK
                (self.load.first if self.newest < 0 else self.load.latencies).append(late / 10_000)
                self.newest = number
        self.rest = rest[-LONGEST_TOKEN:]
        self.load.bytes += len(data)
        if rest.endswith(b"\r\n0\r\n\r\n"):
            self.is_done = True
            self.close()

    def ended(self):
        self.load.waiting -= 1
        self.load.tokens += self.newest + 1
        self.load.unfinished += not self.is_done


class Load:
    """All connections of one run, and what they measured, in seconds."""

    def __init__(self, arguments):
        self.port = arguments.port
        self.start = cycle(arguments.start) if arguments.start else None
        self.address = arguments.watch
        self.page = arguments.page
        self.viewers = arguments.viewers
        self.streams = arguments.streams
        self.ramp = arguments.ramp
        self.seconds = arguments.seconds
        self.waiting = self.streams * self.viewers
        self.epoll = select.epoll()
        self.connections = {}
        self.starts, self.pages, self.first, self.latencies = [], [], [], []
        self.tokens = self.bytes = self.errors = self.unfinished = 0

    def ask(self, kind, method, path, body=b""):
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nConnection: close\r\n"
        if kind is not Page:
            head += "HX-Request: true\r\n"
        if body:
            head += f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n"
        kind(self, head.encode() + b"\r\n" + body)

    def watch(self, path):
        self.ask(Viewer, "GET", path)

    def open_stream(self):
        if self.start:
            # With a key, as the page's form has one: looking for it is part of what a start costs. And no
            # question twice, which would be shown the analysis that the first one started.
            form = "recipe=question&question={0}&model=openai:bench&request_key={0}"
            self.ask(Start, "POST", next(self.start), form.format(secrets.token_hex(16)).encode())
        else:
            for _ in range(self.viewers):
                self.watch(self.address)

    def run(self):
        began = time.monotonic()
        order = count()
        agenda = [
            (began + self.ramp * i / self.streams, next(order), self.open_stream) for i in range(self.streams)
        ]
        if self.page:
            agenda.append((began, next(order), None))
        heapq.heapify(agenda)
        while self.waiting and time.monotonic() < began + self.seconds:
            while agenda and agenda[0][0] <= time.monotonic():
                due, _, act = heapq.heappop(agenda)
                if act:
                    act()
                else:
                    # Asked when it is due, whether or not the one before was answered: people do not queue.
                    self.ask(Page, "GET", self.page)
                    heapq.heappush(agenda, (due + PAGE_EVERY, next(order), None))
            patience = max(0, agenda[0][0] - time.monotonic()) if agenda else 1
            for descriptor, events in self.epoll.poll(patience):
                if connection := self.connections.get(descriptor):
                    connection.ready(events)
        self.unfinished += self.waiting
        for connection in self.connections.values():
            if isinstance(connection, Viewer):
                self.tokens += connection.newest + 1
            elif isinstance(connection, Page):
                self.pages.append(time.monotonic() - connection.asked_at)
        used = time.process_time()
        seconds = time.monotonic() - began
        return {
            "seconds": seconds,
            "tokens": self.tokens,
            "bytes": self.bytes,
            "errors": self.errors,
            "unfinished": self.unfinished,
            "first": sorted(self.first),
            "latencies": sorted(self.latencies),
            "pages": sorted(self.pages),
            "starts": sorted(self.starts),
            "busy": used / seconds,
        }


def main():
    parser = argparse.ArgumentParser(description="Open streams on a server of this machine and time them.")
    parser.add_argument("port", type=int)
    parser.add_argument(
        "--start", nargs="+", help="POST here in turn, once per stream, then watch what it made"
    )
    parser.add_argument("--watch", help="or watch this address")
    parser.add_argument("--streams", type=int, default=1)
    parser.add_argument("--viewers", type=int, default=1, help="of each stream")
    parser.add_argument("--ramp", type=float, default=2.0, help="seconds over which the starts are spread")
    parser.add_argument("--page", default="", help="a plain page, asked every 100 ms meanwhile")
    parser.add_argument("--seconds", type=float, default=60.0, help="at most")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    print(json.dumps(Load(parser.parse_args()).run()))


if __name__ == "__main__":
    main()
