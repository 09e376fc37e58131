"""The floor: hands the provider's bytes on as they come, on uvloop, and understands none of them."""

import asyncio
import json
import os
from urllib.parse import urlsplit

import uvloop

PROVIDER = urlsplit(os.environ["OPENAI_BASE_URL"])
BODY = json.dumps(
    {
        "model": "gpt-6-sol",
        "stream": True,
        "messages": [{"role": "user", "content": os.environ["BENCH_PROMPT"]}],
    }
).encode()
CALL = b"POST %s/chat/completions HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n%s" % (
    PROVIDER.path.encode(),
    PROVIDER.netloc.encode(),
    len(BODY),
    BODY,
)
PAGE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"


class Upstream(asyncio.Protocol):
    def __init__(self, viewer):
        self.viewer = viewer

    def connection_made(self, transport):
        self.transport = transport
        transport.write(CALL)

    def data_received(self, data):
        self.viewer.write(data)
        if data.endswith(b"\r\n0\r\n\r\n"):
            self.viewer.close()
            self.transport.close()


class Viewer(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        if data.startswith(b"GET /stream "):
            loop = asyncio.get_running_loop()
            self.call = loop.create_task(
                loop.create_connection(lambda: Upstream(self.transport), PROVIDER.hostname, PROVIDER.port)
            )
        else:
            self.transport.write(PAGE)
            self.transport.close()


async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Viewer, "127.0.0.1", int(os.environ["PORT"]), backlog=2048)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
