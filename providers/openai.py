"""OpenAI, and every server that speaks its language: Responses at home, chat completions elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, ClassVar
from urllib.parse import urlsplit

from providers.base import Broken, Prompt, Reply, StopReason, Usage, tokens
from providers.streaming import HTTP_OPTIONS, StreamingProvider, StreamingReply, decode

DEFAULT_MODEL = "gpt-6.1-sol"


class OpenAI(StreamingProvider):
    """Models of OpenAI, or of the server at `base_url`.

    `api` is "responses", "chat", or "auto": responses at OpenAI's own address, chat anywhere else,
    since that is what every compatible server speaks.
    """

    name = "openai"
    home = "https://api.openai.com/v1"

    def __init__(
        self, api_key: str | None = None, base_url: str | None = None, api: str = "auto", **options: Any
    ) -> None:
        super().__init__(api_key, base_url, **options)
        self.own = f".{urlsplit(self._base_url).hostname}".endswith(".api.openai.com")
        if api == "auto":
            api = "responses" if self.own else "chat"
        self._reply: Callable[..., Reply] = {"responses": ResponsesReply, "chat": ChatReply}[api]

    def reply(self, prompt: Prompt, model: str) -> Reply:
        return self._reply(self, prompt, model)

    def _build(self) -> Any:
        import openai

        self.sdk_error = openai.OpenAIError
        client = openai.OpenAI(
            api_key=self._api_key,
            base_url=self._base_url,
            timeout=self._timeout,
            max_retries=0,
            http_client=openai.DefaultHttpxClient(**HTTP_OPTIONS),
        )
        # The SDK imports these when they are first touched.
        _ = client.responses, client.chat.completions
        return client


class _OpenAIReply(StreamingReply):
    request_id_header = "x-request-id"
    _provider: OpenAI
    _refused_text = False

    def _end(self, reason: StopReason) -> None:
        self.stop_reason = StopReason.REFUSAL if self._refused_text else reason
        self._ended = True


class ResponsesReply(_OpenAIReply):
    """A reply of the Responses API; nothing of it is stored at OpenAI."""

    def _ask(self) -> AbstractContextManager[Any]:
        document = {"type": "input_text", "text": self._prompt.document}
        request = {"type": "input_text", "text": self._prompt.request}
        return self._provider.client.responses.with_streaming_response.create(
            model=self._model,
            instructions=self._prompt.instructions,
            # As `input` the SDK would walk through it type by type, which costs more than the request.
            extra_body={"input": self._turns([document, request])},
            max_output_tokens=self._prompt.max_output_tokens,
            store=False,
            stream=True,
            stream_options={"include_obfuscation": False},
        )

    def _read(self, data: bytes) -> str:
        if data == b"[DONE]":
            return ""
        event = decode(data.decode())
        kind = event["type"]
        if kind == "response.output_text.delta":
            return event["delta"]
        if kind == "response.refusal.delta":
            self._refused_text = True
            return event["delta"]
        if kind.startswith("response.reasoning"):
            self.is_thinking = True
        elif kind == "response.output_item.added":
            self.is_thinking |= (event.get("item") or {}).get("type") == "reasoning"
        elif kind == "response.completed":
            self.usage = _usage(event["response"].get("usage"), "input_tokens", "output_tokens")
            self._end(StopReason.END)
        elif kind == "response.incomplete":
            self.usage = _usage(event["response"].get("usage"), "input_tokens", "output_tokens")
            self._cut_short(event["response"]["incomplete_details"]["reason"])
        elif kind == "response.failed":
            self._fail(event["response"].get("error") or {})
        elif kind == "error":
            raise self._failed(event)
        return ""

    def _cut_short(self, reason: str) -> None:
        if reason not in ("max_output_tokens", "content_filter"):
            raise Broken(f"incomplete: {reason}", request_id=self.request_id)
        self._end(StopReason.LENGTH if reason == "max_output_tokens" else StopReason.REFUSAL)

    def _fail(self, error: dict[str, Any]) -> None:
        if "policy" not in str(error.get("code")):
            raise self._failed(error)
        self._end(StopReason.REFUSAL)


class ChatReply(_OpenAIReply):
    """A reply of chat completions, as strict as OpenAI's and as loose as the servers that imitate it."""

    STOPS: ClassVar = {
        "stop": StopReason.END,
        "eos_token": StopReason.END,
        "tool_calls": StopReason.END,
        "length": StopReason.LENGTH,
        "content_filter": StopReason.REFUSAL,
    }

    def _ask(self) -> AbstractContextManager[Any]:
        # Older servers know only `max_tokens`, OpenAI's newer models only its successor.
        limit = "max_completion_tokens" if self._provider.own else "max_tokens"
        quiet = {"include_obfuscation": False} if self._provider.own else {}
        return self._provider.client.chat.completions.with_streaming_response.create(
            model=self._model,
            messages=[],
            # As `messages` the SDK would walk through them type by type.
            extra_body={
                "messages": [
                    {"role": "system", "content": self._prompt.instructions},
                    *self._turns(f"{self._prompt.document}\n\n{self._prompt.request}"),
                ]
            },
            stream=True,
            stream_options={"include_usage": True} | quiet,
            **{limit: self._prompt.max_output_tokens},
        )

    def _read(self, data: bytes) -> str:
        if data == b"[DONE]":
            return ""
        chunk = decode(data.decode())
        if chunk.get("error"):
            raise self._failed(chunk)
        if usage := chunk.get("usage"):
            self.usage = _usage(usage, "prompt_tokens", "completion_tokens")
        if not (choices := chunk.get("choices")):
            return ""
        delta = choices[0].get("delta") or {}
        text = delta.get("content") or ""
        # Servers differ in what they call it.
        self.is_thinking |= bool(delta.get("reasoning_content") or delta.get("reasoning"))
        if refusal := delta.get("refusal"):
            self._refused_text = True
            text += refusal
        if stop := choices[0].get("finish_reason"):
            if stop not in self.STOPS:
                raise Broken(f"finish_reason {stop}", request_id=self.request_id)
            self._end(self.STOPS[stop])
        return text


def _usage(usage: dict[str, Any] | None, input_name: str, output_name: str) -> Usage | None:
    if not usage:
        return None
    details = usage.get(f"{input_name}_details") or {}
    return Usage(
        input=tokens(usage.get(input_name)),
        output=tokens(usage.get(output_name)),
        cached=tokens(details.get("cached_tokens")),
        cache_written=tokens(details.get("cache_write_tokens")),
    )
