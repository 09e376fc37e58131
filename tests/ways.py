"""The ways to a model: the three protocols on the wire, each with a provider of its own."""

from __future__ import annotations

import gevent
import pytest

from providers.anthropic import Anthropic
from providers.base import Prompt, ProviderError
from providers.offline import Offline
from providers.openai import OpenAI
from tests.scripted_provider import ScriptedProvider

DOCUMENT = "The tenant pays the rent. The landlord repairs the roof within ten days."
PROMPT = Prompt("Be brief.", DOCUMENT, "Sum it up.", "Lease", (DOCUMENT,), "brief")

PATHS = {
    "openai-responses": "/v1/responses",
    "openai-chat": "/v1/chat/completions",
    "anthropic": "/v1/messages",
}
MARKERS = {
    "openai-responses": b"event: response.completed",
    "openai-chat": b'"finish_reason":"stop"',
    "anthropic": b"event: message_stop",
}


class Ways:
    """The fixtures of a test class: its tests that ask for `provider` run once for each way."""

    @pytest.fixture(params=PATHS)
    def way(self, request):
        return request.param

    @pytest.fixture(scope="class")
    @classmethod
    def server(cls):
        with ScriptedProvider() as server:
            yield server

    @pytest.fixture(scope="class")
    @classmethod
    def made(cls, server):
        providers = {way: make(way, server.url) for way in [*PATHS, "offline"]}
        yield providers
        for provider in providers.values():
            provider.close()

    @pytest.fixture
    def scripted(self, server):
        server.reset()
        server.key = server.known_models = None
        yield server
        server.wait(open=0)

    @pytest.fixture
    def provider(self, way, made, scripted):
        return made[way]


def make(way: str, url: str):
    if way == "offline":
        return Offline()
    if way == "anthropic":
        return Anthropic("key", url)
    return OpenAI("key", f"{url}/v1", way.removeprefix("openai-"))


def read(provider, model="m", prompt=PROMPT):
    with provider.reply(prompt, model) as reply:
        return "".join(reply), reply


def fail(provider, model="m"):
    """Read a reply that must fail; return its text, its error and itself."""
    texts = []
    with provider.reply(PROMPT, model) as reply, pytest.raises(ProviderError) as caught:
        texts.extend(reply)
    return "".join(texts), caught.value, reply


def reading(reply):
    """Read in another greenlet; its value is the text and the error, if any."""

    def run():
        texts = []
        try:
            texts.extend(reply)
        except BaseException as exc:
            return "".join(texts), exc
        return "".join(texts), None

    return gevent.spawn(run)
