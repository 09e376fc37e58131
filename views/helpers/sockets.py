"""A viewer's leaving, seen on its socket at once and not at the next write."""

from __future__ import annotations

import fcntl
import struct
import termios
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import gevent

from analyzer import Viewer

Part = TypeVar("Part", str, bytes)

# A client that takes little holds no more than this of what is being written to it.
PIECE = 4_096


def watched(environ: Mapping[str, Any], viewer: Viewer, parts: Iterator[Part]) -> Iterator[Part]:
    """Yield the parts of a response, and make the viewer leave when its client hangs up meanwhile.

    One that closes only its own half has hung up too: nothing tells the two apart. One that has sent
    its next request ahead is heard no more, and noticed at a write.
    """
    client = environ.get("gunicorn.socket")
    if client is None:
        yield from parts
        return
    descriptor = client.fileno()
    readable = gevent.get_hub().loop.io(descriptor, 1)

    def look() -> None:
        readable.stop()
        # Readable without a byte to read: the end of the stream, or a reset.
        if not _bytes_to_read(descriptor):
            viewer.leave()

    readable.start(look)
    try:
        for part in parts:
            for start in range(0, len(part), PIECE):
                yield part[start : start + PIECE]
    finally:
        readable.stop()
        readable.close()


def _bytes_to_read(descriptor: int) -> int:
    count = fcntl.ioctl(descriptor, termios.FIONREAD, struct.pack("i", 0))
    return int(struct.unpack("i", count)[0])
