"""The vendors' wire formats: what surrounds a scripted text in each API's stream."""

from __future__ import annotations

import json
from itertools import count
from typing import Any


class Wire:
    """How one API says it; `opening`, then pieces, then `closing`."""

    ping = b": ping\n\n"
    reasoning = b""
    request_id = "x-request-id"

    def __init__(self, script: Any, model: str) -> None:
        self.script = script
        self.model = model
        self.sequence = count()
        self.usage = None
        if script.usage is not None:
            self.usage = {
                "input": 0,
                "output": len(script.tokens),
                "cached": 0,
                "cache_written": 0,
            } | script.usage
        self.text = "".join(script.tokens)

    def after(self) -> bytes:
        return b""

    def stop(self, **words: str) -> str:
        return words.get(self.script.stop, self.script.stop)

    @staticmethod
    def refusal(status: int) -> dict[str, Any]:
        kind, code = {
            400: ("invalid_request_error", None),
            401: ("invalid_request_error", "invalid_api_key"),
            404: ("invalid_request_error", "model_not_found"),
            429: ("requests", "rate_limit_exceeded"),
        }.get(status, ("server_error", None))
        return {"error": {"message": f"Scripted {status}.", "type": kind, "param": None, "code": code}}


class Chat(Wire):
    def __init__(self, script: Any, model: str) -> None:
        super().__init__(script, model)
        self.reasoning = self._chunk({"content": None, "reasoning_content": "hm"})

    def opening(self) -> bytes:
        return self._chunk({"role": "assistant", "content": "", "refusal": None})

    def piece(self, token: str) -> bytes:
        return self._chunk({"refusal" if self.script.stop == "refusal" else "content": token})

    def closing(self) -> bytes:
        return self._chunk({}, self.stop(end="stop", refusal="stop", filter="content_filter"))

    def after(self) -> bytes:
        usage = b""
        if self.usage:
            usage = self._data(
                choices=[],
                usage={
                    "prompt_tokens": self.usage["input"],
                    "completion_tokens": self.usage["output"],
                    "total_tokens": self.usage["input"] + self.usage["output"],
                    "prompt_tokens_details": {
                        "cached_tokens": self.usage["cached"],
                        "cache_write_tokens": self.usage["cache_written"],
                        "audio_tokens": 0,
                    },
                    "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
                },
            )
        return usage + b"data: [DONE]\n\n"

    def error(self, error: Any) -> bytes:
        return b"data: " + dumps(error or self.refusal(500)) + b"\n\n"

    def _chunk(self, delta: dict[str, Any], stop: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": stop}
        return self._data(choices=[choice], usage=None)

    def _data(self, **fields: Any) -> bytes:
        head = {
            "id": "chatcmpl-scripted",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": self.model,
        }
        head |= {"service_tier": "default", "system_fingerprint": "fp_scripted"}
        return b"data: " + dumps(head | fields) + b"\n\n"


class Responses(Wire):
    def __init__(self, script: Any, model: str) -> None:
        super().__init__(script, model)
        self.kind = "refusal" if script.stop == "refusal" else "output_text"
        if script.reasoning:
            self.reasoning = self._event(
                "response.reasoning_summary_text.delta", item_id="rs_1", summary_index=0, delta="hm"
            )

    def opening(self) -> bytes:
        item = {"id": "msg_1", "type": "message", "status": "in_progress", "role": "assistant", "content": []}
        return b"".join(
            (
                self._event("response.created", response=self._response("in_progress")),
                self._event("response.in_progress", response=self._response("in_progress")),
                self._event("response.output_item.added", output_index=0, item=item),
                self._event("response.content_part.added", **self.place, part=self._part("")),
            )
        )

    def piece(self, token: str) -> bytes:
        return self._event(f"response.{self.kind}.delta", **self.place, delta=token, logprobs=[])

    def closing(self) -> bytes:
        part = self._part(self.text)
        item = {
            "id": "msg_1",
            "type": "message",
            "status": "completed",
            "role": "assistant",
            "content": [part],
        }
        reason = self.stop(end="", refusal="", length="max_output_tokens", filter="content_filter")
        status = "incomplete" if reason else "completed"
        usage = self.usage and {
            "input_tokens": self.usage["input"],
            "input_tokens_details": {
                "cached_tokens": self.usage["cached"],
                "cache_write_tokens": self.usage["cache_written"],
            },
            "output_tokens": self.usage["output"],
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": self.usage["input"] + self.usage["output"],
        }
        details = {"reason": reason} if reason else None
        final = self._response(status) | {"output": [item], "usage": usage, "incomplete_details": details}
        said = {"refusal": self.text} if self.kind == "refusal" else {"text": self.text, "logprobs": []}
        return b"".join(
            (
                self._event(f"response.{self.kind}.done", **self.place, **said),
                self._event("response.content_part.done", **self.place, part=part),
                self._event("response.output_item.done", output_index=0, item=item),
                self._event(f"response.{status}", response=final),
            )
        )

    def error(self, error: Any) -> bytes:
        return self._event(
            "error", **(error or {"code": "server_error", "message": "Scripted.", "param": None})
        )

    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}  # noqa: RUF012

    def _part(self, text: str) -> dict[str, Any]:
        if self.kind == "refusal":
            return {"type": "refusal", "refusal": text}
        return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}

    def _response(self, status: str) -> dict[str, Any]:
        head = {"id": "resp_scripted", "object": "response", "created_at": 1, "status": status, "error": None}
        return head | {"model": self.model, "output": [], "store": False, "usage": None}

    def _event(self, kind: str, **fields: Any) -> bytes:
        data = dumps({"type": kind, "sequence_number": next(self.sequence)} | fields)
        return b"event: %s\ndata: %s\n\n" % (kind.encode(), data)


class Messages(Wire):
    ping = b'event: ping\ndata: {"type":"ping"}\n\n'
    request_id = "request-id"

    def __init__(self, script: Any, model: str) -> None:
        super().__init__(script, model)
        self.block = 1 if script.reasoning else 0
        delta = {"type": "thinking_delta", "thinking": "hm"}
        self.reasoning = self._event("content_block_delta", index=0, delta=delta)

    def opening(self) -> bytes:
        message = {
            "id": "msg_scripted",
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": [],
        }
        message |= {"stop_reason": None, "stop_sequence": None}
        if self.usage:
            message["usage"] = {
                "input_tokens": self.usage["input"] - self.usage["cached"] - self.usage["cache_written"],
                "cache_creation_input_tokens": self.usage["cache_written"],
                "cache_read_input_tokens": self.usage["cached"],
                "output_tokens": 1,
                "service_tier": "standard",
            }
        start = self._event("message_start", message=message)
        if self.script.reasoning:
            block = {"type": "thinking", "thinking": "", "signature": ""}
            return start + self._event("content_block_start", index=0, content_block=block) + self.ping
        return start + self._begin() + self.ping

    def piece(self, token: str) -> bytes:
        begin = b""
        if self.block and not next(self.sequence):
            begin = self._event("content_block_stop", index=0) + self._begin()
        delta = {"type": "text_delta", "text": token}
        return begin + self._event("content_block_delta", index=self.block, delta=delta)

    def closing(self) -> bytes:
        stop = self.stop(end="end_turn", length="max_tokens", filter="refusal")
        usage = {"usage": {"output_tokens": self.usage["output"]}} if self.usage else {}
        delta = {"stop_reason": stop, "stop_sequence": None}
        return b"".join(
            (
                self._event("content_block_stop", index=self.block),
                self._event("message_delta", delta=delta, **usage),
                self._event("message_stop"),
            )
        )

    def error(self, error: Any) -> bytes:
        return b"event: error\ndata: %s\n\n" % dumps(error or self.refusal(529))

    @staticmethod
    def refusal(status: int) -> dict[str, Any]:
        kinds = {400: "invalid_request", 401: "authentication", 402: "billing", 403: "permission"}
        kinds |= {404: "not_found", 429: "rate_limit", 529: "overloaded"}
        kind = f"{kinds.get(status, 'api')}_error"
        return {
            "type": "error",
            "error": {"type": kind, "message": f"Scripted {status}."},
            "request_id": "req_body",
        }

    def _begin(self) -> bytes:
        return self._event(
            "content_block_start", index=self.block, content_block={"type": "text", "text": ""}
        )

    def _event(self, kind: str, **fields: Any) -> bytes:
        return b"event: %s\ndata: %s\n\n" % (kind.encode(), dumps({"type": kind} | fields))


WIRES: dict[str, type[Any]] = {
    "/v1/chat/completions": Chat,
    "/v1/responses": Responses,
    "/v1/messages": Messages,
}


def dumps(value: Any) -> bytes:
    # Raw UTF-8 like the vendors; lone surrogates must stay escaped.
    try:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()
