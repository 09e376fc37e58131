"""A provider's stream, cut at each byte: what came is kept, and nothing is whole before its marker."""

from __future__ import annotations

import gevent
import pytest

from providers.base import Broken, ProviderError, StopReason, Usage
from tests.ways import MARKERS, PROMPT, Ways

# As the vendors send them, but for the fields that nobody reads. Half of the text is escaped.
TEXTS = {"Hé 👋".encode(): "Hé 👋", rb"\ud83c\udffd 2": "🏽 2"}
RECORDED = {
    "openai-responses": r"""event: response.created
data: {"type":"response.created","response":{"status":"in_progress","usage":null}}

event: response.reasoning_summary_text.delta
data: {"type":"response.reasoning_summary_text.delta","delta":"hm"}

: ping

event: response.output_text.delta
data: {"type":"response.output_text.delta","delta":"Hé 👋"}

data: {"type":"response.output_text.delta","delta":"\ud83c\udffd 2"}

data: {"type":"response.output_text.done","text":"Hé 👋\ud83c\udffd 2"}

event: response.completed
data: {"type":"response.completed","response":{"usage":{"input_tokens":9,"output_tokens":2}}}

""",
    "openai-chat": r""": OPENROUTER PROCESSING

data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null}

data: {"choices":[{"index":0,"delta":{"content":null,"reasoning_content":"hm"}}]}

data: {"choices":[{"index":0,"delta":{"content":"Hé 👋"},"finish_reason":null}]}

data: {"choices":[{"index":0,"delta":{"content":"\ud83c\udffd 2"}}]}

data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}

data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2}}

data: [DONE]

""",
    "anthropic": r"""event: message_start
data: {"type":"message_start","message":{"usage":{"input_tokens":9,"output_tokens":1}}}

event: ping
data: {"type":"ping"}

data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}

data: {"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Hé 👋"}}

data: {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"\ud83c\udffd 2"}}

data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":2}}

event: message_stop
data: {"type":"message_stop"}

""",
}


def end_of(words, body):
    """Return where the first event that holds `words` is over."""
    return body.index(b"\n\n", body.index(words)) + 2


class TestCuts(Ways):
    @pytest.mark.parametrize("fault", ["end", "fin", "rst"])
    def test_a_stream_cut_at_any_byte_keeps_its_text_and_is_never_taken_for_whole(
        self, way, provider, scripted, fault
    ):
        body = RECORDED[way].encode()
        whole, counted = end_of(MARKERS[way], body), end_of(b'_tokens":2', body)
        for cut in range(len(body) + 1):
            scripted.script(raw=body, at_byte=cut, fault=fault)
            texts, error = [], None
            with gevent.Timeout(30), provider.reply(PROMPT, "m") as reply:
                try:
                    texts.extend(reply)
                except ProviderError as exc:
                    error = exc
            said = "".join(text for words, text in TEXTS.items() if end_of(words, body) <= cut)
            assert (cut, "".join(texts)) == (cut, said)
            assert (cut, type(error)) == (cut, Broken if cut < whole else type(None))
            assert (cut, reply.stop_reason) == (cut, None if cut < whole else StopReason.END)
            assert cut < whole or reply.usage == (Usage(9, 2) if cut >= counted else None)
        assert scripted.calls == len(body) + 1
