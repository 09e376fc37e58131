"""A proxy between browser and server, on loopback, that cuts, refuses and answers as a test orders."""

import random
import re
import struct
from contextlib import suppress

import gevent
from gevent import socket
from gevent.pool import Pool
from gevent.server import StreamServer

PAGE = b"<html><head><title>%d</title></head><body><h1>Proxy says %d</h1></body></html>"


class Proxy:
    """Forwards one request per connection to a local port; set `faults` to have some of them fail.

    `faults` maps a pattern of the request line to a status to answer, or to None for a connection that is
    reset unanswered. `heads` are the requests as they came, `failed` the request lines that had a fault.
    """

    def __init__(self, port):
        self.target = ("127.0.0.1", port)
        self.faults = {}
        self.heads = []
        self.failed = []
        self.cuts = 0
        self._connections = Pool()
        self._server = StreamServer(("127.0.0.1", 0), self._serve, spawn=self._connections)

    def __enter__(self):
        self._server.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        return self

    def __exit__(self, *exc):
        self._server.stop(timeout=0)
        self._connections.kill()

    def cut(self):
        """Reset every connection that is open."""
        self.cuts += len(self._connections)
        self._connections.kill()

    def cut_often(self, shortest=0.2, longest=1.2, seed=1):
        """Go on cutting, from a greenlet that is returned."""
        chance = random.Random(seed)

        def forever():
            while True:
                gevent.sleep(chance.uniform(shortest, longest))  # the fault itself, not a wait
                self.cut()

        return gevent.spawn(forever)

    def _serve(self, client, _address):
        server = None
        try:
            head = b""
            while b"\r\n\r\n" not in head:
                if not (more := client.recv(65536)):
                    return None
                head += more
            self.heads.append(head.decode("latin-1"))
            line = head.split(b"\r\n", 1)[0].decode()
            for pattern, status in self.faults.items():
                if re.search(pattern, line):
                    self.failed.append(line)
                    return self._fail(client, status)
            # One request per connection, so that none slips past a fault on an old one.
            head = re.sub(rb"\r\nConnection: [^\r]*", b"", head, flags=re.IGNORECASE)
            head = head.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
            server = socket.create_connection(self.target)
            server.sendall(head)
            back = gevent.spawn(self._pipe, client, server)
            try:
                self._pipe(server, client)
            finally:
                back.kill()
        except OSError:
            _reset(client)
        except gevent.GreenletExit:
            _reset(client)
            raise
        finally:
            client.close()
            if server:
                server.close()

    def _fail(self, client, status):
        if status is None:
            return _reset(client)
        body = PAGE % (status, status)
        head = f"HTTP/1.1 {status} Proxy\r\nContent-Type: text/html\r\nContent-Length: {len(body)}\r\n"
        return client.sendall(f"{head}Connection: close\r\n\r\n".encode() + body)

    @staticmethod
    def _pipe(source, sink):
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


def _reset(sock):
    """Close with a reset, as a machine does that knows nothing of the connection."""
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
