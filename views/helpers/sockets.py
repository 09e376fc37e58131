"""A viewer's leaving, seen on its socket at once and not at the next write."""

from __future__ import annotations

import fcntl
import struct
import termios
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import gevent

from analyzer import Viewer


@contextmanager
def watched(environ: Mapping[str, Any], viewer: Viewer) -> Iterator[None]:
    """Make the viewer leave when its client hangs up, for as long as the block lasts."""
    client = environ.get("gunicorn.socket")
    if client is None:
        yield
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
        yield
    finally:
        readable.stop()
        readable.close()


def _bytes_to_read(descriptor: int) -> int:
    count = fcntl.ioctl(descriptor, termios.FIONREAD, struct.pack("i", 0))
    return int(struct.unpack("i", count)[0])
