"""What every provider promises: a prompt goes in, a reply of text comes out.

    ProviderError
    ├── KeyRefused        401, 403: our key is missing, wrong or not allowed; never retried
    ├── OutOfCredit       a spending or usage limit, told by code; never retried
    ├── UnknownModel      404: the model is unknown or retired; never retried
    ├── TooLong           the prompt exceeds the model's window; never retried
    ├── BadRequest        any other 4xx; never retried
    ├── Busy              429, 5xx, or an error event before any text; may be retried, after `retry_after`
    ├── Unreachable       refused, DNS, TLS, connect time-out; may be retried
    └── Broken            the stream broke off, fell silent at the socket or turned to garbage

What is vendor-shaped stops in the adapter: the rest of Precis knows only these names.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is asked of a model.

    `instructions` is the system text, `document` the delimited document (one user turn, the same
    for each recipe, so that a provider can cache it), `request` the closing words of that turn.
    `title`, `paragraphs` (number = index + 1), `recipe` and `question` are the same in parts, for a
    provider that reads the document itself. `answer` is what has been answered already: the reply goes on
    exactly where it ends and repeats nothing of it; an empty or blank one has nothing to go on from.
    Of a longer document it is one `section`, in words, whose paragraphs have those `numbers`; or no document
    but the `findings` about its sections.
    """

    instructions: str
    document: str
    request: str
    title: str
    paragraphs: tuple[str, ...]
    recipe: str
    question: str = ""
    max_output_tokens: int = 4096
    answer: str = ""
    section: str = ""
    numbers: range | None = None
    findings: tuple[str, ...] = ()


# The last turn to a model whose answer broke off.
GO_ON = (
    "Your answer broke off before its end. Go on exactly where it stops, in the middle of a word, a list or "
    "a table if need be: what you write is put right behind its last character, so begin with a space or a "
    "new line where one is needed. Repeat nothing of it, keep its language and form, and write no preamble "
    "and no remark about the break."
)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call; `input` counts all input tokens, cached ones included."""

    input: int
    output: int
    cached: int = 0
    cache_written: int = 0


def tokens(count: object) -> int:
    """Return a vendor's count as a number of tokens; what cannot be one counts as none."""
    return count if isinstance(count, int) and 0 <= count < 2**31 else 0


def estimate_tokens(text: str) -> int:
    """Estimate a text's tokens where no provider has counted them.

    Four ASCII characters count as one, two accented, Cyrillic, Arabic, Indic or Thai ones as one, each
    Chinese, Japanese or Korean one as one: a little much for English, a little low for German and code, and
    about half of what a table of figures has. Milliseconds for 2 million characters.
    """
    encoded = text.encode("utf-8", "surrogatepass")
    # Each byte is a quarter of a token; the first of three or more is none in the alphabets of India and
    # its neighbours, and a half in the scripts of East Asia.
    none = len(encoded) - len(encoded.translate(None, b"\xe0\xe1"))
    half = len(encoded) - len(encoded.translate(None, bytes(range(0xE2, 0xF5))))
    return (len(encoded) - none + half + 3) // 4


class StopReason(StrEnum):
    """Why a provider ended its reply, told by its own terminal marker."""

    END = "end"
    LENGTH = "length"
    REFUSAL = "refusal"


class ProviderError(Exception):
    """A call that went wrong; `request_id` is the provider's own reference, `status` its HTTP status."""

    def __init__(
        self,
        message: str = "",
        *,
        request_id: str | None = None,
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.request_id = request_id
        self.status = status
        self.retry_after = retry_after


class KeyRefused(ProviderError):
    """The provider refused our key."""


class OutOfCredit(ProviderError):
    """A spending or usage limit of our account is reached."""


class UnknownModel(ProviderError):
    """The provider does not know the model (any more)."""


class TooLong(ProviderError):
    """The prompt is longer than the model's window."""


class BadRequest(ProviderError):
    """The provider refused the request for another reason."""


class Busy(ProviderError):
    """The provider is overloaded or limits our rate; `retry_after` is in seconds, if it said."""


class Unreachable(ProviderError):
    """No connection to the provider could be made."""


class Broken(ProviderError):
    """The reply broke off without its terminal marker."""


class Reply(ABC):
    """One call to a model. Nothing is sent before the first `next`; iterate it once, in a `with`.

    `is_thinking` is set once the model has begun to reason before its text: it works, and is paid for.
    Yields text as it comes, one string per network read. An empty string is a sign of life that
    carries no text (a ping, reasoning, a slice of work done). Raises a `ProviderError` and nothing
    else of its own. After the last item `stop_reason` is never None: a reply without the
    provider's terminal marker raises `Broken` instead of ending.
    """

    is_thinking = False
    usage: Usage | None = None
    stop_reason: StopReason | None = None
    request_id: str | None = None

    @abstractmethod
    def __iter__(self) -> Generator[str, None, None]: ...

    @abstractmethod
    def close(self) -> None:
        """End the call and close its socket, from any greenlet, at any time, any number of times."""

    def __enter__(self) -> Reply:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class Provider(ABC):
    """A maker of replies: one per process, shared by all greenlets, made after the fork."""

    name: str

    @abstractmethod
    def reply(self, prompt: Prompt, model: str) -> Reply:
        """Prepare one call of `model`; see `Reply`. Nothing is retried here."""

    @abstractmethod
    def price(self, usage: Usage, model: str) -> Decimal | None:
        """Return the price of a call in US dollars, or None when it is not known."""

    def window(self, model: str) -> int | None:
        """Return how many tokens `model` takes in, or None when that is not known. Never raises."""
        return None

    def warm(self) -> None:  # noqa: B027
        """Do what a first call would otherwise wait for: import, build the client. No network."""

    def close(self) -> None:  # noqa: B027
        """Let go of idle connections."""


class Unconfigured(Provider):
    """Stands in for a provider that was configured when an analysis was asked for, and is no more."""

    name = "unconfigured"

    def reply(self, prompt: Prompt, model: str) -> Reply:
        """Refuse, as a vendor does that does not know the model."""
        raise UnknownModel(model)

    def price(self, usage: Usage, model: str) -> Decimal | None:
        """Return None."""
        return None
