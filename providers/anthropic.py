"""Anthropic, and every server that speaks its messages."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, ClassVar

from providers.base import Broken, Busy, OutOfCredit, Prompt, ProviderError, Reply, StopReason, Usage, tokens
from providers.streaming import HTTP_OPTIONS, StreamingProvider, StreamingReply, decode

DEFAULT_MODEL = "claude-sonnet-5-5"


class Anthropic(StreamingProvider):
    """Models of Anthropic, or of the server at `base_url`."""

    name = "anthropic"
    home = "https://api.anthropic.com"

    def reply(self, prompt: Prompt, model: str) -> Reply:
        return MessagesReply(self, prompt, model)

    def _build(self) -> Any:
        import anthropic

        self.sdk_error = anthropic.AnthropicError
        client = anthropic.Anthropic(
            api_key=self._api_key,
            base_url=self._base_url,
            timeout=self._timeout,
            max_retries=0,
            http_client=anthropic.DefaultHttpxClient(**HTTP_OPTIONS),
        )
        # The SDK imports this when it is first touched.
        _ = client.messages
        return client


class MessagesReply(StreamingReply):
    """A reply of the Messages API, whose document block is cached for the next recipe."""

    request_id_header = "request-id"
    STOPS: ClassVar = {
        "end_turn": StopReason.END,
        "stop_sequence": StopReason.END,
        "max_tokens": StopReason.LENGTH,
        "model_context_window_exceeded": StopReason.LENGTH,
        "refusal": StopReason.REFUSAL,
    }

    def __init__(self, provider: Anthropic, prompt: Prompt, model: str) -> None:
        super().__init__(provider, prompt, model)
        self._tokens: dict[str, int] = {}
        self._stop: StopReason | None = None

    def _ask(self) -> AbstractContextManager[Any]:
        document = {
            "type": "text",
            "text": self._prompt.document,
            "cache_control": {"type": "ephemeral"},
        }
        request = {"type": "text", "text": self._prompt.request}
        return self._provider.client.messages.with_streaming_response.create(
            model=self._model,
            system=self._prompt.instructions,
            messages=[],
            # As `messages` the SDK would walk through them type by type.
            extra_body={"messages": self._turns([document, request])},
            max_tokens=self._prompt.max_output_tokens,
            stream=True,
        )

    def _read(self, data: bytes) -> str:
        event = decode(data.decode())
        kind = event["type"]
        if kind == "content_block_delta":
            return event["delta"].get("text") or ""
        if kind == "content_block_start":
            self.is_thinking |= "thinking" in event["content_block"]
            return event["content_block"].get("text") or ""
        if kind == "message_start":
            self._count(event["message"].get("usage"))
        elif kind == "message_delta":
            self._count(event.get("usage"))
            if stop := event["delta"].get("stop_reason"):
                if stop not in self.STOPS:
                    raise Broken(f"stop_reason {stop}", request_id=self.request_id)
                self._stop = self.STOPS[stop]
        elif kind == "message_stop":
            self.stop_reason = self._stop
            self._ended = self._stop is not None
        elif kind == "error":
            raise self._failed(event)
        return ""

    def _count(self, usage: dict[str, int | None] | None) -> None:
        # Later figures are totals that replace the earlier ones; what they leave out stays.
        self._tokens |= {name: tokens(count) for name, count in (usage or {}).items() if count is not None}
        if not self._tokens:
            return
        cached = self._tokens.get("cache_read_input_tokens", 0)
        written = self._tokens.get("cache_creation_input_tokens", 0)
        self.usage = Usage(
            input=self._tokens.get("input_tokens", 0) + cached + written,
            output=self._tokens.get("output_tokens", 0),
            cached=cached,
            cache_written=written,
        )

    def _refused(self, status: int, exc: Any) -> ProviderError:
        error = super()._refused(status, exc)
        # A rate limit says when it ends; a spending limit of the organization does not.
        if isinstance(error, Busy) and status == 429 and "retry-after" not in exc.response.headers:
            return OutOfCredit(str(error), request_id=error.request_id, status=status)
        return error
