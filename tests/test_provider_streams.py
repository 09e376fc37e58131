"""What the providers on the wire promise: all of the text, its true end, and a close that closes."""

from __future__ import annotations

import gc
import json
import logging
import random
from contextlib import suppress
from itertools import product

import gevent
import pytest
from gevent.event import Event
from greenlet import greenlet

from providers import streaming
from providers.base import Broken, Busy, OutOfCredit, StopReason, Usage
from tests.scripted_provider import DEFAULT_TEXT, Script
from tests.ways import DOCUMENT, PATHS, PROMPT, Ways, fail, make, read, reading

UNKNOWN = b"""\
: a comment

id: 7
retry: 10

event: keepalive
data:

event: response.sparkle
data: {"type": "response.sparkle", "delta": "no", "text": "no", "content": "no"}

event: content_block_delta
data: {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "no"}}

"""
GARBAGE = [
    b'{"type": "nonsense", ',
    b"<html>Welcome to this hotspot</html>",
    b"[1]",
    b"null",
    b"7",
    b'{"type": "\xff"}',
    b'{"type": "\x00"}',
    b"[" * 100_000,
]
ODD = [
    ("openai-responses", b'{"delta": "no type"}'),
    ("openai-responses", b'{"type": "response.output_text.delta"}'),
    ("openai-responses", b'{"type": "response.output_text.delta", "delta": 5}'),
    ("openai-responses", b'{"type": "response.completed"}'),
    ("openai-responses", b'{"type": "response.incomplete", "response": {"incomplete_details": null}}'),
    ("openai-chat", b'{"choices": {"delta": "no list"}}'),
    ("openai-chat", b'{"choices": [5]}'),
    ("openai-chat", b'{"choices": [{"delta": {"content": 5}}]}'),
    ("anthropic", b'{"delta": "no type"}'),
    ("anthropic", b'{"type": "content_block_delta", "delta": null}'),
    ("anthropic", b'{"type": "content_block_delta", "delta": {"text": 5}}'),
    ("anthropic", b'{"type": "message_delta", "delta": {"stop_reason": "pause_turn"}}'),
]
STOPS = [
    ("openai-responses", "max_output_tokens", StopReason.LENGTH),
    ("openai-responses", "content_filter", StopReason.REFUSAL),
    ("openai-chat", "eos_token", StopReason.END),
    ("openai-chat", "tool_calls", StopReason.END),
    ("openai-chat", "length", StopReason.LENGTH),
    ("openai-chat", "content_filter", StopReason.REFUSAL),
    ("anthropic", "stop_sequence", StopReason.END),
    ("anthropic", "max_tokens", StopReason.LENGTH),
    ("anthropic", "model_context_window_exceeded", StopReason.LENGTH),
    ("anthropic", "refusal", StopReason.REFUSAL),
]
FAILED = [
    ({"code": "rate_limit_exceeded", "message": "No."}, Busy),
    ({"code": "server_error", "message": "No."}, Busy),
    ({"code": "insufficient_quota", "message": "No."}, OutOfCredit),
    (None, Busy),
]


def failed(error):
    event = {"type": "response.failed", "response": {"error": error}}
    return b"data: %s\n\n" % json.dumps(event).encode()


class TestText(Ways):
    @pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
    @pytest.mark.parametrize("slice", [1, 7, 0])
    def test_any_text_arrives_as_it_was_said(self, provider, scripted, slice, line_end):
        text = 'Zażółć 👩‍👩‍👧 \u2028\u2029\x85 "quoted" \\ \r\n\r\n data: x\n\nevent: done\n \x00 \x1b[31m 終'
        scripted.script(pieces=list(text), slice=slice, line_end=line_end)
        assert read(provider)[0] == text

    def test_half_a_surrogate_pair_is_passed_on(self, provider, scripted):
        scripted.script(pieces=["a\ud83d", "\ude00b"])
        assert read(provider)[0] == "a\ud83d\ude00b"

    @pytest.mark.fault("garbage")
    def test_a_text_of_a_megabyte_in_one_event(self, provider, scripted):
        scripted.script(pieces=["x" * 1_000_000])
        assert len(read(provider)[0]) == 1_000_000

    @pytest.mark.fault("garbage")
    def test_a_text_of_ten_thousand_chunks_of_one_character(self, provider, scripted):
        scripted.script(pieces=list("tenets " * 1_500))
        assert read(provider)[0] == "tenets " * 1_500

    def test_half_a_character_is_passed_on_alone(self, provider, scripted):
        scripted.script(pieces=["a", "\ud83d", "b"])
        assert read(provider)[0] == "a\ud83db"

    @pytest.mark.fault("garbage")
    def test_events_that_nobody_knows_are_passed_over(self, way, provider, scripted):
        body = Script().body(PATHS[way])
        scripted.script(raw=body.replace(b"\n\n", b"\n\n" + UNKNOWN))
        text, reply = read(provider)
        assert (text, reply.stop_reason, reply.usage) == (DEFAULT_TEXT, StopReason.END, Usage(100, 14))

    def test_a_reader_that_comes_late_gets_all_that_is_there_at_once(self, provider, scripted):
        scripted.script(pieces=["word "] * 100, fault="silence")
        with provider.reply(PROMPT, "m") as reply:
            texts = iter(reply)
            seen = next(texts)
            while len(seen) < 500:
                seen += next(texts)
                assert seen.endswith("word ")
            assert seen == "word " * 100

    def test_a_slow_reader_falls_behind_by_reads_not_by_tokens(self, provider, scripted):
        scripted.script(pieces=["word "] * 1000)
        with provider.reply(PROMPT, "m") as reply:
            texts = [text for text in reply if text]
        assert "".join(texts) == "word " * 1000
        assert len(texts) < 40

    def test_pings_and_reasoning_are_signs_of_life(self, provider, scripted):
        scripted.script(pings=3, reasoning=3, rate=100)
        with provider.reply(PROMPT, "m") as reply:
            texts = list(reply)
        assert texts.index("") < next(i for i, text in enumerate(texts) if text)
        assert "".join(texts) == DEFAULT_TEXT

    def test_the_document_stays_out_of_the_logs(self, provider, caplog):
        with caplog.at_level(logging.DEBUG):
            read(provider)
        assert DOCUMENT not in caplog.text


class TestEnd(Ways):
    @pytest.mark.parametrize(
        ("said", "meant"),
        [("end", "END"), ("length", "LENGTH"), ("refusal", "REFUSAL"), ("filter", "REFUSAL")],
    )
    def test_the_stop_reason_is_the_providers(self, provider, scripted, said, meant):
        scripted.script(stop=said)
        text, reply = read(provider)
        assert text == DEFAULT_TEXT
        assert reply.stop_reason is StopReason[meant]

    @pytest.mark.parametrize(("way", "said", "meant"), STOPS)
    def test_each_word_of_a_vendor_for_a_stop_reason_is_understood(self, provider, scripted, said, meant):
        scripted.script(stop=said)
        assert read(provider)[1].stop_reason is meant

    @pytest.mark.parametrize(("error", "kind"), FAILED)
    def test_a_response_that_failed_is_told_by_its_code(self, made, scripted, error, kind):
        scripted.script(raw=failed(error))
        assert type(fail(made["openai-responses"])[1]) is kind

    def test_a_response_that_failed_by_policy_is_declined(self, made, scripted):
        scripted.script(raw=failed({"code": "content_policy_violation", "message": "No."}))
        assert read(made["openai-responses"])[1].stop_reason is StopReason.REFUSAL

    def test_a_reply_without_any_text_ends_too(self, provider, scripted):
        scripted.script(text="")
        text, reply = read(provider)
        assert (text, reply.stop_reason) == ("", StopReason.END)

    def test_a_stop_reason_nobody_knows_is_no_success(self, provider, scripted):
        scripted.script(stop="abort")
        text, error, _ = fail(provider)
        assert text == DEFAULT_TEXT
        assert type(error) is Broken

    def test_usage_is_told_with_its_cached_part(self, provider, scripted):
        scripted.script(usage={"input": 100, "output": 20, "cached": 60, "cache_written": 30})
        _, reply = read(provider)
        assert reply.usage == Usage(input=100, output=20, cached=60, cache_written=30)
        assert reply.request_id == "req_1"

    def test_usage_may_be_missing(self, provider, scripted):
        scripted.script(usage=None)
        text, reply = read(provider)
        assert (text, reply.usage, reply.stop_reason) == (DEFAULT_TEXT, None, StopReason.END)

    @pytest.mark.parametrize("fault", ["end", "fin", "rst"])
    @pytest.mark.parametrize("at", [0, 3, None])
    def test_a_stream_without_its_marker_is_broken(self, provider, scripted, fault, at):
        scripted.script(fault=fault, at=at)
        text, error, reply = fail(provider)
        assert type(error) is Broken
        assert error.request_id == "req_1"
        assert reply.stop_reason is None
        assert DEFAULT_TEXT.startswith(text)
        assert fault == "rst" or text == "".join(Script().tokens[:at])

    @pytest.mark.parametrize("fault", ["fin", "rst"])
    def test_a_connection_lost_before_the_headers_is_broken(self, provider, scripted, fault):
        scripted.script(fault=fault, at=-1)
        assert type(fail(provider)[1]) is Broken
        assert scripted.calls == 1

    @pytest.mark.fault("garbage")
    @pytest.mark.parametrize(
        ("way", "data"), [*product(PATHS, GARBAGE), *ODD], ids=lambda value: str(value)[:60]
    )
    def test_garbage_ends_it_and_keeps_the_text(self, provider, scripted, data):
        scripted.script(fault="garbage", at=3, error=data)
        text, error, _ = fail(provider)
        assert type(error) is Broken
        assert text == "".join(Script().tokens[:3])

    def test_chat_is_read_from_servers_that_are_loose_about_it(self, made, scripted):
        chunks = [
            {"choices": [], "prompt_filter_results": []},
            {"choices": None},
            {"choices": [{"delta": None}]},
            {"choices": [{"delta": {"role": "assistant", "content": None, "reasoning_content": "hm"}}]},
            {"object": "extra", "choices": [{"delta": {"content": "Hi"}, "finish_reason": ""}], "usage": {}},
            {"choices": [{"delta": {"content": "!"}, "finish_reason": "stop"}]},
        ]
        scripted.script(raw=b"".join(b"data:%s\n\n" % json.dumps(chunk).encode() for chunk in chunks))
        text, reply = read(made["openai-chat"])
        assert (text, reply.stop_reason, reply.usage) == ("Hi!", StopReason.END, None)

    def test_a_body_that_does_not_end_is_left_after_a_moment(self, provider, scripted, monkeypatch):
        monkeypatch.setattr(streaming, "DRAIN_SECONDS", 0.05)
        scripted.script(fault="hold")
        text, reply = read(provider)
        assert (text, reply.stop_reason) == (DEFAULT_TEXT, StopReason.END)
        scripted.wait(cancels=1)


class TestClose(Ways):
    WAITS = {  # noqa: RUF012
        "before the headers": {"before_headers": 60},
        "before the text": {"before_text": 60},
        "in the middle": {"fault": "silence", "at": 3},
        "while it streams": {"rate": 1},
    }

    @pytest.mark.parametrize("wait", WAITS)
    def test_close_from_another_greenlet_closes_the_providers_socket(self, provider, scripted, wait):
        scripted.script(**self.WAITS[wait])
        reply = provider.reply(PROMPT, "m")
        reader = reading(reply)
        scripted.wait(calls=1)
        reply.close()
        scripted.wait(cancels=1, open=0, timeout=4)
        text, error = reader.get(timeout=4)
        assert type(error) is Broken
        assert DEFAULT_TEXT.startswith(text)

    @pytest.mark.parametrize("wait", WAITS)
    @pytest.mark.parametrize("thrown", [gevent.Timeout, gevent.GreenletExit, KeyboardInterrupt])
    def test_an_exception_thrown_into_the_reader_passes_untouched(self, provider, scripted, wait, thrown):
        scripted.script(**self.WAITS[wait])
        with provider.reply(PROMPT, "m") as reply:
            reader = reading(reply)
            scripted.wait(calls=1)
            exc = thrown()
            reader.kill(exc, block=False)
            assert reader.get(timeout=4)[1] is exc
        scripted.wait(cancels=1, open=0, timeout=4)

    def test_a_timeout_around_one_read_passes_untouched(self, provider, scripted):
        scripted.script(fault="silence", at=0)
        with provider.reply(PROMPT, "m") as reply:
            texts = iter(reply)
            next(texts)
            with pytest.raises(gevent.Timeout), gevent.Timeout(0.02):
                next(texts)
        scripted.wait(cancels=1)

    def test_a_dropped_reply_leaves_nothing_open(self, provider, scripted):
        scripted.script(rate=1)
        gc.disable()
        try:
            for _ in provider.reply(PROMPT, "m"):
                break
            scripted.wait(cancels=1, open=0, timeout=4)
        finally:
            gc.enable()

    def test_a_reply_is_paid_once(self, provider, scripted):
        with provider.reply(PROMPT, "m") as reply:
            assert list(reply)
            with pytest.raises(Broken):
                list(reply)
        assert scripted.calls == 1

    def test_a_reply_closed_between_two_reads_closes_the_providers_socket(self, provider, scripted):
        scripted.script(rate=1)
        reply = provider.reply(PROMPT, "m")
        texts = iter(reply)
        next(texts)
        reply.close()
        scripted.wait(cancels=1, open=0, timeout=4)
        with pytest.raises(Broken):
            next(texts)

    def test_a_closed_reply_leaves_no_greenlet_behind(self, provider, scripted):
        def alive():
            # By their types: to ask a lazy proxy what it is an instance of imports what it stands for.
            return sum(issubclass(type(each), greenlet) and bool(each) for each in gc.get_objects())

        scripted.script(rate=1)
        before = alive()
        for _ in range(5):
            with provider.reply(PROMPT, "m") as reply:
                next(iter(reply))
        scripted.wait(cancels=5, open=0)
        assert alive() < before + 5

    @pytest.mark.parametrize("before_end", [0, 0.02])
    def test_replies_in_sequence_share_one_connection(self, way, scripted, before_end):
        provider = make(way, scripted.url)
        for pieces in (["a"], ["b"] * 50, ["c"] * 500):
            scripted.script(pieces=pieces, before_end=before_end)
            text, reply = read(provider)
            assert text == "".join(pieces)
            assert reply.usage == Usage(100, len(pieces))
            assert "read" not in vars(reply._response.extensions["network_stream"])
        provider.close()
        assert (scripted.calls, scripted.connections) == (3, 1)

    def test_random_closes_leave_no_connection_checked_out(self, provider, scripted):
        chance = random.Random(7)
        scripted.script(rate=100, before_headers=0.003, pieces=["word "] * 20, fault="silence")

        def one():
            words, enough = chance.randrange(12), Event()

            def run():
                seen = ""
                for text in reply:
                    seen += text
                    if len(seen) >= 5 * words:
                        enough.set()

            with provider.reply(PROMPT, "m") as reply, suppress(Broken):
                reader = gevent.spawn(run)
                if words:
                    enough.wait()
                else:
                    scripted.wait(calls=chance.randrange(20))
                chance.choice([reply.close, lambda: reader.kill(block=False)])()
                reader.get()

        gevent.joinall([gevent.spawn(one) for _ in range(40)], raise_error=True)
        scripted.wait(open=0)
        assert 20 < scripted.calls == scripted.cancels
        pool = provider.client._client._transport._pool
        assert not pool._requests
        assert all(connection.is_idle() for connection in pool.connections)
        scripted.script()
        assert read(provider)[0] == DEFAULT_TEXT
