"""What the vendors' replies have in common: an HTTP call whose body is server-sent events.

StreamingProvider   one lazy client of a vendor's SDK, its time-outs and its prices
StreamingReply      asks, reads, drains, closes; a vendor's reply only says how to ask and how to read
"""

from __future__ import annotations

import json
import logging
import re
from abc import abstractmethod
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager, closing, suppress
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import gevent
import httpx2
from gevent.hub import get_hub
from greenlet import getcurrent, greenlet  # type: ignore[import-untyped]

from providers import base
from providers.base import GO_ON, Broken, Provider, ProviderError, Reply, Usage
from providers.refusals import STATUSES, kind_of, retry_after, words_of
from providers.sse import Splitter

if TYPE_CHECKING:
    from genai_prices.types import PriceCalculation

DRAIN_SECONDS = 1.0

# The size of one that is not the last, and no extension.
_CHUNK = re.compile(rb"([1-9a-fA-F][0-9a-fA-F]{0,6})\r\n")

decode = json.JSONDecoder().decode

# What the network, the TLS layer or a malformed event can raise below us; the SDK's own errors come on top.
FAILURES = (
    httpx2.HTTPError,
    httpx2.InvalidURL,
    httpx2.StreamError,
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    RecursionError,
)
NO_CONNECTION = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.ProxyError,
    httpx2.UnsupportedProtocol,
    httpx2.InvalidURL,
)


def _refuse_encoded(response: httpx2.Response) -> None:
    # Nothing is decompressed: a few bytes could become a hundred megabytes. Without its header the body of a
    # refusal is taken as it is, and the refusal is told by its status.
    coding = response.headers.pop("content-encoding", "identity").lower()
    if coding != "identity" and response.is_success:
        raise httpx2.DecodingError(coding)


# For the HTTP client of either SDK.
HTTP_OPTIONS: dict[str, Any] = {
    # A redirect would send the document to another host, or pay twice.
    "follow_redirects": False,
    "headers": {"Accept-Encoding": "identity"},
    "event_hooks": {"response": [_refuse_encoded]},
    # At each call's begin and end its pool asks the kernel of every idle connection whether it still stands.
    # A hundred, the SDKs' own number, costs more than to connect anew.
    "limits": httpx2.Limits(max_connections=1000, max_keepalive_connections=20),
}


def reads(response: httpx2.Response) -> Generator[bytes, None, None]:
    """Yield the body in the pieces in which the network brings it.

    `iter_bytes` gives one piece per HTTP chunk, which is one per token, and cannot tell whether the
    next one is here already or has to be waited for. So its parser runs in a greenlet of its own,
    as a coroutine that comes back whenever it wants bytes; all waiting is done by the caller.

    The parser costs more per chunk than all else together, so that whole chunks are kept from it while it
    stands between two of them. What is anything else, the last chunk above all, it gets as it came.
    """
    stream = response.extensions["network_stream"]
    read = stream.read
    pieces: list[bytes] = []
    failures: list[Exception] = []

    def parse() -> None:
        try:
            for piece in response.iter_bytes():
                pieces.append(piece)  # not `extend`: the list is emptied meanwhile
        except Exception as exc:  # the caller's, once it has what came before
            failures.append(exc)

    def ask(max_bytes: int, timeout: float | None = None) -> bytes:
        if getcurrent() is not parser:
            return read(max_bytes, timeout)
        return parser.parent.switch((max_bytes, timeout))

    def go_on(step: Callable[..., Any], *args: Any) -> Any:
        parser.parent = getcurrent()
        return step(*args)

    parser = greenlet(parse)
    stream.read = ask
    is_between_chunks = False
    try:
        wanted = go_on(parser.switch)
        while not parser.dead:
            if pieces:
                yield b"".join(pieces)
                pieces.clear()
            try:
                data = read(*wanted)
            except Exception as exc:
                wanted = go_on(parser.throw, exc)
                continue
            if is_between_chunks:
                whole, data = _whole_chunks(data)
                if whole:
                    pieces.append(whole)
                    if not data:
                        continue
            known = len(pieces)
            wanted = go_on(parser.switch, data)
            # Had these line ends been a chunk's own, or this one the end of a chunk's first line, the last
            # piece would end otherwise.
            is_new = len(pieces) > known
            is_between_chunks = is_new and data.endswith(b"\n\n\r\n") and pieces[-1].endswith(b"\n\n")
        if pieces:
            yield b"".join(pieces)
        if failures:
            raise failures[0]
    finally:
        if vars(stream).get("read") is ask:
            del stream.read
        if response.is_closed:
            # It gives the connection back, or has, and may wait for others who do: broken off in that, the
            # connection would belong to this reply for ever.
            parser.parent = get_hub()
        elif not parser.dead:
            go_on(parser.throw)


def _whole_chunks(data: bytes) -> tuple[bytes, bytes]:
    """Return what the plain chunks hold that are whole, up to the last one, and the bytes after them."""
    chunks, start = [], 0
    while line := _CHUNK.match(data, start):
        end = line.end() + int(line[1], 16)
        if data[end : end + 2] != b"\r\n":
            break
        chunks.append(data[line.end() : end])
        start = end + 2
    return b"".join(chunks), data[start:]


class StreamingProvider(Provider):
    """A provider behind an SDK's client, which is built once, at `warm` or at first use.

    `base_url` None means the vendor itself. Elsewhere a key is optional and no price is listed. `prices` by
    model, of a million tokens in and out in US dollars, come before what is listed.
    """

    home: str
    sdk_error: type[Exception] = ProviderError

    def __init__(
        self,
        api_key: str | None = None,
        base_url: str | None = None,
        *,
        connect_seconds: float = 5.0,
        read_seconds: float = 60.0,
        prices: Mapping[str, tuple[Decimal, Decimal]] | None = None,
    ) -> None:
        # Never None: without a key or an address the SDKs would go and look in the environment.
        self._api_key = api_key or "none"
        self._base_url = base_url or self.home
        self._at_home = urlsplit(self._base_url).hostname == urlsplit(self.home).hostname
        self._timeout = httpx2.Timeout(read_seconds, connect=connect_seconds)
        self._prices = prices or {}
        self._client: Any = None

    @property
    def client(self) -> Any:
        """Return the SDK's client, built at the first call."""
        if self._client is None:
            self._client = self._build()
            # At DEBUG the SDKs log whole requests, which means the document.
            for name in (self.name, "httpx2", "httpcore2"):
                logging.getLogger(name).setLevel(logging.WARNING)
        return self._client

    @abstractmethod
    def _build(self) -> Any:
        """Import the SDK, set `sdk_error` and return a client that never retries."""

    def warm(self) -> None:
        _ = self.client
        self.window("")

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def price(self, usage: Usage, model: str) -> Decimal | None:
        if stated := self._prices.get(model):
            return (usage.input * stated[0] + usage.output * stated[1]) / 1_000_000
        listed = self._listed(model, usage)
        return listed.total_price if listed else None

    def window(self, model: str) -> int | None:
        listed = self._listed(model, Usage(0, 0))
        return listed.model.context_window if listed else None

    def _listed(self, model: str, usage: Usage) -> PriceCalculation | None:
        """Return what the vendor's price list says of a call, or None elsewhere or of an unknown model."""
        if not self._at_home:
            return None
        from genai_prices import Usage as Tokens
        from genai_prices import calc_price

        tokens = Tokens(
            input_tokens=usage.input,
            output_tokens=usage.output,
            cache_read_tokens=usage.cached,
            cache_write_tokens=usage.cache_written,
        )
        try:
            return calc_price(tokens, model, provider_id=self.name)
        except (LookupError, ValueError):
            return None


class _Closed(BaseException):
    """Thrown into the greenlet that waits for the provider while another one closes its reply."""


class StreamingReply(Reply):
    """A reply read from server-sent events.

    A vendor's reply asks in `_ask` and understands one event's data in `_read`, which returns its
    text, sets `usage` and `stop_reason`, and sets `_ended` once the terminal marker was there.
    """

    request_id_header: str
    _asked = False
    _begun = False
    _ended = False
    _closed = False
    _failure: ProviderError | None = None
    _response: httpx2.Response | None = None
    _reader: Any = None

    def __init__(self, provider: StreamingProvider, prompt: base.Prompt, model: str) -> None:
        self._provider = provider
        self._prompt = prompt
        self._model = model
        self._splitter = Splitter()

    @abstractmethod
    def _ask(self) -> AbstractContextManager[Any]:
        """Return the SDK's context manager that sends the request and holds the raw response."""

    @abstractmethod
    def _read(self, data: bytes) -> str:
        """Return the text of one event."""

    def _turns(self, content: Any) -> list[dict[str, Any]]:
        """Return the turns of the conversation, which begins with the user's `content`."""
        turns = [{"role": "user", "content": content}]
        # Anthropic refuses a turn of nothing but white space.
        if self._prompt.answer.strip():
            turns += [
                {"role": "assistant", "content": self._prompt.answer},
                {"role": "user", "content": GO_ON},
            ]
        return turns

    def __iter__(self) -> Generator[str, None, None]:
        if self._closed or self._asked:
            raise Broken("the reply is closed or was read before")
        self._asked = True
        self._reader = getcurrent()
        try:
            with self._ask() as answer, closing(reads(answer.http_response)) as chunks:
                self._response = answer.http_response
                self.request_id = answer.headers.get(self.request_id_header)
                for chunk in chunks:
                    text = self._take(chunk)
                    self._reader = None
                    yield text
                    if self._ended or self._failure:
                        break
                    if self._closed:
                        raise Broken("closed", request_id=self.request_id)
                    self._reader = getcurrent()
                if self._ended and (text := self._drain(chunks)):
                    yield text
        except _Closed:
            if not self._ended:
                raise Broken("closed", request_id=self.request_id) from None
        except (self._provider.sdk_error, *FAILURES) as exc:
            raise self._error(exc) from None
        finally:
            self._reader = None
        if not self._ended:
            raise self._failure or Broken("no terminal marker", request_id=self.request_id)

    def close(self) -> None:
        self._closed = True
        if self._reader is None:
            if self._response is not None:
                self._response.close()
        else:
            # It may wait for DNS, TLS or headers, where there is no response to close yet.
            get_hub().loop.run_callback(self._interrupt)

    def _interrupt(self) -> None:
        if self._reader is not None:
            self._reader.throw(_Closed)

    def _take(self, chunk: bytes) -> str:
        # The text of a chunk that ends in an error is kept: the error waits until it was yielded.
        texts = []
        try:
            for _, data in self._splitter.feed(chunk):
                if data and (text := self._read(data)):
                    if not isinstance(text, str):
                        raise TypeError("a delta that is no text")
                    self._begun = True
                    texts.append(text)
        except ProviderError as failure:
            self._failure = failure
        except FAILURES as exc:
            self._failure = self._error(exc)
        return "".join(texts)

    def _drain(self, chunks: Iterator[bytes]) -> str:
        # A body that is not read to its end costs the connection, and usage may come after the marker.
        self._reader = getcurrent()
        text = ""
        with gevent.Timeout(DRAIN_SECONDS, False), suppress(*FAILURES):
            for chunk in chunks:
                text += self._take(chunk)
        self._reader = None
        return text

    def _error(self, exc: Exception) -> ProviderError:
        if isinstance(exc, ProviderError):
            return exc
        if (status := getattr(exc, "status_code", None)) is not None:
            return self._refused(status, exc)
        cause = exc.__cause__ or exc
        # A host name that cannot be one fails in its codec, before any resolver is asked.
        is_no_host = isinstance(cause, UnicodeError) and "idna" in str(cause)
        kind = base.Unreachable if is_no_host or isinstance(cause, NO_CONNECTION) else Broken
        return kind(type(cause).__name__, request_id=self.request_id)

    def _refused(self, status: int, exc: Any) -> ProviderError:
        words, message = words_of(exc.body)
        self.request_id = exc.response.headers.get(self.request_id_header)
        return kind_of(status, words, message)(
            f"{status} {words}".strip(),
            request_id=self.request_id,
            status=status,
            retry_after=retry_after(exc.response.headers),
        )

    def _failed(self, error: object) -> ProviderError:
        """Return what an error event means: one of the errors before the stream, or a broken stream."""
        words, message = words_of(error)
        if self._begun:
            return Broken(words, request_id=self.request_id)
        status = next((STATUSES[word] for word in words.split() if word in STATUSES), 500)
        return kind_of(status, words, message)(words, request_id=self.request_id)
