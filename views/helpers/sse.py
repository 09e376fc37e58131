"""Server-sent events as the WHATWG standard defines them."""

from __future__ import annotations

HEADERS = {
    "Content-Type": "text/event-stream",
    # no-transform keeps proxies from compressing, and so from buffering.
    "Cache-Control": "no-store, no-transform",
    "X-Accel-Buffering": "no",
}
# The first byte, sent at once, so that proxies and browsers see that the stream is open.
OPEN = b": open\n\n"


def message(data: str, *, id: int | None = None, event: str = "", retry: int | None = None) -> bytes:
    """Encode one event; `retry` is in milliseconds."""
    head = f"id: {id}\n" if id is not None else ""
    if event:
        head += f"event: {event}\n"
    if retry is not None:
        head += f"retry: {retry}\n"
    # str.splitlines would also cut at U+2028 and others that the standard leaves alone.
    lines = data.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\ndata: ")
    return f"{head}data: {lines}\n\n".encode()


# To hx-sse the one orderly end: after anything else it connects again.
DONE = message("", event="done")
