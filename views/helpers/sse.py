"""Server-sent events as the WHATWG standard defines them."""

from __future__ import annotations

import re

HEADERS = {
    "Content-Type": "text/event-stream",
    # no-transform keeps proxies from compressing, and so from buffering.
    "Cache-Control": "no-store, no-transform",
    "X-Accel-Buffering": "no",
}
# The first byte, sent at once, so that proxies and browsers see that the stream is open.
OPEN = b": open\n\n"
# str.splitlines would also cut at U+2028 and others that the standard leaves alone.
_LINE_END = re.compile(r"\r\n|\r|\n")


def message(data: str, *, id: int | None = None, event: str = "", retry: int | None = None) -> bytes:
    """Encode one event; `retry` is in milliseconds."""
    head = f"id: {id}\n" if id is not None else ""
    if event:
        head += f"event: {event}\n"
    if retry is not None:
        head += f"retry: {retry}\n"
    lines = "\ndata: ".join(_LINE_END.split(data)) if "\n" in data or "\r" in data else data
    return f"{head}data: {lines}\n\n".encode()


# To hx-sse the one orderly end: after anything else it connects again.
DONE = message("", event="done")
