"""What every provider promises (`TestContract`), what it is asked, and what it costs."""

from __future__ import annotations

import inspect
import itertools
import json
from dataclasses import replace
from decimal import Decimal
from typing import get_args

import anthropic.types
import gevent
import openai.types
import pytest

from providers import anthropic as our_anthropic
from providers import openai as our_openai
from providers.anthropic import Anthropic
from providers.base import GO_ON, Broken, StopReason, Unconfigured, Usage, estimate_tokens
from providers.offline import Offline
from providers.openai import OpenAI
from tests.extracts import CONTRACT, GERMAN
from tests.ways import DOCUMENT, PATHS, PROMPT, Ways, make, read


class TestContract(Ways):
    @pytest.fixture(params=[*PATHS, "offline"])
    def way(self, request):
        return request.param

    def test_a_reply_is_text_with_usage_and_a_stop_reason(self, provider):
        with provider.reply(PROMPT, "m") as reply:
            texts = list(reply)
        assert "".join(texts)
        assert all(type(text) is str for text in texts)
        assert reply.stop_reason is StopReason.END
        assert reply.usage
        assert reply.usage.input > 0
        assert reply.usage.output > 0

    def test_nothing_is_known_or_sent_before_it_is_read(self, provider, scripted):
        reply = provider.reply(PROMPT, "m")
        assert (reply.usage, reply.stop_reason, reply.request_id) == (None, None, None)
        with reply:
            pass
        assert scripted.calls == 0

    def test_a_reply_that_was_closed_first_sends_nothing(self, provider, scripted):
        reply = provider.reply(PROMPT, "m")
        reply.close()
        reply.close()
        with pytest.raises(Broken):
            list(reply)
        assert scripted.calls == 0

    def test_a_reply_closed_between_two_reads_ends(self, provider, scripted):
        scripted.script(rate=100)
        with provider.reply(PROMPT, "m") as reply:
            texts = iter(reply)
            next(texts)
            gevent.spawn(reply.close).join()
            with pytest.raises(Broken):
                list(texts)

    def test_an_exception_of_the_reader_passes_untouched(self, provider, scripted):
        class Stop(BaseException):
            pass

        def stop_at_once():
            with provider.reply(PROMPT, "m") as reply:
                for _ in reply:
                    raise Stop

        scripted.script(rate=100)
        with pytest.raises(Stop):
            stop_at_once()

    def test_replies_run_side_by_side(self, provider):
        first, second = provider.reply(PROMPT, "m"), provider.reply(PROMPT, "m")
        pairs = list(itertools.zip_longest(first, second, fillvalue=""))
        assert "".join(a for a, _ in pairs) == "".join(b for _, b in pairs) != ""

    def test_a_price_is_a_decimal_or_unknown(self, provider):
        price = provider.price(Usage(1000, 1000), "no-such-model")
        assert price is None or (provider.name == "offline" and price == Decimal(0))

    def test_a_blank_answer_is_none(self, provider):
        assert read(provider, prompt=replace(PROMPT, answer=" \n"))[0] == read(provider)[0]

    def test_warm_and_close_may_come_at_any_time(self, way, scripted):
        provider = make(way, scripted.url)
        provider.warm()
        provider.warm()
        assert read(provider)[0]
        provider.close()
        provider.close()
        assert read(provider)[0]
        provider.close()


class TestRequest(Ways):
    def test_what_is_sent(self, way, provider, scripted):
        read(provider)
        [request] = scripted.requests
        body = request["body"]
        assert request["path"] == PATHS[way]
        assert body["stream"] is True
        assert body["model"] == "m"
        if way == "openai-responses":
            assert (body["instructions"], body["store"], body["max_output_tokens"]) == (
                "Be brief.",
                False,
                4096,
            )
            assert body["stream_options"] == {"include_obfuscation": False}
            assert [part["text"] for part in body["input"][0]["content"]] == [DOCUMENT, "Sum it up."]
        elif way == "openai-chat":
            assert (body["max_tokens"], body["stream_options"]) == (4096, {"include_usage": True})
            assert [m["content"] for m in body["messages"]] == ["Be brief.", f"{DOCUMENT}\n\nSum it up."]
        else:
            assert (body["system"], body["max_tokens"]) == ("Be brief.", 4096)
            document, words = body["messages"][0]["content"]
            assert document == {"type": "text", "text": DOCUMENT, "cache_control": {"type": "ephemeral"}}
            assert words == {"type": "text", "text": "Sum it up."}

    def test_an_answer_is_gone_on_with_behind_the_same_words(self, way, provider, scripted):
        for answer in ("", " \n", "The tenant pays the r"):
            read(provider, prompt=replace(PROMPT, answer=answer))
        plain, blank, further = (request["body"] for request in scripted.requests)
        assert blank == plain
        name = "input" if way == "openai-responses" else "messages"
        before, turns = plain.pop(name), further.pop(name)
        assert further == plain
        # Providers cache by bytes, so the order of keys counts as well.
        assert json.dumps(turns[:-2]) == json.dumps(before)
        assert turns[-2:] == [
            {"role": "assistant", "content": "The tenant pays the r"},
            {"role": "user", "content": GO_ON},
        ]

    def test_nothing_compressed_is_asked_for(self, provider, scripted):
        read(provider)
        assert scripted.requests[0]["headers"]["accept-encoding"] == "identity"

    def test_a_server_without_keys_needs_none(self, way, scripted, monkeypatch):
        monkeypatch.setenv("OPENAI_API_KEY", "secret")
        monkeypatch.setenv("ANTHROPIC_API_KEY", "secret")
        monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "secret")
        provider = Anthropic(None, scripted.url) if way == "anthropic" else OpenAI(None, scripted.openai_url)
        assert read(provider)[0]
        provider.close()
        headers = scripted.requests[0]["headers"]
        assert "secret" not in str(headers)

    def test_the_environment_does_not_redirect_a_call(self, monkeypatch):
        monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
        monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:9")
        for provider in (OpenAI("key"), Anthropic("key")):
            assert str(provider.client.base_url).rstrip("/") == provider.home
            provider.close()

    def test_responses_at_home_and_chat_elsewhere(self):
        def kind(*arguments):
            return type(OpenAI("key", *arguments).reply(PROMPT, "m")).__name__

        assert kind() == kind("https://eu.api.openai.com/v1") == kind("http://127.0.0.1/v1", "responses")
        assert kind() == "ResponsesReply"
        assert kind("http://127.0.0.1/v1") == kind("https://api.openai.com.evil/v1") == kind(None, "chat")
        assert kind(None, "chat") == "ChatReply"

    def test_chat_at_home_uses_the_newer_name_of_the_limit(self, monkeypatch):
        sent = {}
        provider = OpenAI("key", api="chat")
        completions = provider.client.chat.completions
        monkeypatch.setattr(
            completions.with_streaming_response, "create", lambda **fields: sent.update(fields)
        )
        provider.reply(PROMPT, "m")._ask()
        provider.close()
        assert sent["max_completion_tokens"] == 4096
        assert "max_tokens" not in sent


class TestPrice:
    def test_the_default_models_are_listed_and_priced(self):
        assert our_openai.DEFAULT_MODEL in get_args(openai.types.shared.ChatModel)
        assert our_anthropic.DEFAULT_MODEL in get_args(get_args(anthropic.types.Model)[0])
        million = Usage(input=1_000_000, output=100_000, cached=500_000)
        for provider, model in (
            (OpenAI("key"), our_openai.DEFAULT_MODEL),
            (Anthropic("key"), our_anthropic.DEFAULT_MODEL),
        ):
            price = provider.price(million, model)
            assert isinstance(price, Decimal)
            assert price > 0
            assert price < provider.price(Usage(input=1_000_000, output=100_000), model)

    def test_an_unknown_model_or_another_address_has_no_price(self):
        usage = Usage(1000, 1000)
        assert OpenAI("key").price(usage, "no-such-model") is None
        assert Anthropic("key").price(usage, "no-such-model") is None
        assert OpenAI("key", "http://127.0.0.1/v1").price(usage, our_openai.DEFAULT_MODEL) is None
        assert Anthropic("key", "http://127.0.0.1").price(usage, our_anthropic.DEFAULT_MODEL) is None


class TestWindow:
    def test_the_default_models_have_one(self):
        for provider, model in (
            (OpenAI("key"), our_openai.DEFAULT_MODEL),
            (Anthropic("key"), our_anthropic.DEFAULT_MODEL),
        ):
            assert provider.window(model) >= 100_000

    @pytest.mark.parametrize("model", ["no-such-model", "", "\0", "é" * 10_000, "text-davinci-002"])
    def test_an_unknown_model_has_none(self, model):
        assert OpenAI("key").window(model) is None
        assert Anthropic("key").window(model) is None

    def test_another_address_and_no_model_have_none(self):
        assert OpenAI("key", "http://127.0.0.1/v1").window(our_openai.DEFAULT_MODEL) is None
        assert Anthropic("key", "http://127.0.0.1").window(our_anthropic.DEFAULT_MODEL) is None
        assert Offline().window("extractive") is Unconfigured().window("m") is None


class TestEstimate:
    @pytest.mark.parametrize(
        ("text", "characters"),
        [
            (CONTRACT, 4.3),
            (GERMAN, 3.5),
            (inspect.getsource(our_openai), 3.2),
            ("本合同自签署之日起生效。甲方应在三十日内付款！", 1),
            ("이 계약은 서명한 날부터 효력이 발생한다.", 1.3),
            ("यह अनुबंध हस्ताक्षर की तारीख से प्रभावी होता है।", 2.2),
            ("Настоящий договор вступает в силу с момента подписания.", 2.2),
        ],
        ids=["English", "German", "code", "Chinese", "Korean", "Hindi", "Russian"],
    )
    def test_it_is_near_the_usual_characters_per_token(self, text, characters):
        usual = len(text) / characters
        assert 0.75 * usual < estimate_tokens(text) < 1.35 * usual

    def test_it_takes_any_text_and_goes_up_with_it(self):
        assert [estimate_tokens(text) for text in ("", "a", "word", "words", "\ud800", "😀")] == [
            0,
            1,
            1,
            2,
            1,
            2,
        ]
        assert estimate_tokens("word" * 500_000) == 500_000
