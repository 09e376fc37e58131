"""The scripted provider, asked by hand: what it says, what it counts, and that it runs alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import gevent
import pytest
from gevent import socket

from tests import scripted_provider
from tests.scripted_provider import WIRES, Script, ScriptedProvider


@pytest.fixture
def provider():
    with ScriptedProvider() as provider:
        yield provider


def ask(provider, path="/v1/messages", model="m", **body):
    data = json.dumps({"model": model} | body).encode()
    with urlopen(
        Request(f"{provider.url}{path}", data, {"Authorization": "Bearer key"}), timeout=10
    ) as answer:
        return answer.read()


@pytest.mark.parametrize("path", WIRES)
def test_it_says_the_script_in_each_format(provider, path):
    provider.script(text="Hello there", usage={"input": 5})
    said = ask(provider, path)
    assert said == Script(text="Hello there", usage={"input": 5}).body(path, "m")
    assert b"Hello" in said
    provider.wait(calls=1, finished=1, open=0)


def test_a_body_can_be_given_as_it_is_and_cut(provider):
    provider.script(raw=b"data: \xff\n\n")
    assert ask(provider) == b"data: \xff\n\n"
    provider.script(raw=b"data: \xff\n\n", at_byte=7, fault="end")
    assert ask(provider) == b"data: \xff"


def test_a_marker_comes_before_the_model_and_that_before_the_default(provider):
    provider.script(text="default")
    provider.script(model="slow", text="by-model")
    provider.script(marker="paragraph seven", text="by-marker")
    assert b"default" in ask(provider)
    assert b"by-model" in ask(provider, model="slow")
    assert b"by-marker" in ask(provider, model="slow", messages=[{"content": "see paragraph seven"}])
    assert provider.calls_by_model == {"m": 1, "slow": 2}


def test_a_fault_goes_away_after_its_times(provider):
    provider.script(status=529, times=2)
    for _ in range(2):
        with pytest.raises(HTTPError) as caught:
            ask(provider)
        caught.value.close()
    assert b"message_stop" in ask(provider)


@pytest.mark.parametrize("script", [{"rate": 1}, {"before_headers": 60}, {"fault": "silence", "at": 2}])
def test_a_client_that_leaves_is_noticed_at_once(provider, script):
    provider.script(**script)
    with socket.create_connection(("127.0.0.1", int(provider.url.rsplit(":", 1)[1]))) as client:
        client.sendall(b'POST /v1/messages HTTP/1.1\r\nContent-Length: 13\r\n\r\n{"model":"m"}')
        provider.wait(open=1)
    provider.wait(cancels=1, open=0)


def test_it_keeps_the_pace(provider, monkeypatch):
    monkeypatch.setattr(scripted_provider, "TICK_SECONDS", 0.001)
    plan = Script(pieces=["a"] * 5, rate=100, before_headers=0.5, before_text=1).plan("/v1/messages", "m")
    assert plan[0] == pytest.approx([0.5, 1.5, 1.51, 1.52, 1.53, 1.54, 1.54, 1.54])
    provider.script(pieces=["a"] * 5, rate=100)
    with gevent.Timeout(30):
        assert ask(provider).count(b"text_delta") == 5


def test_it_runs_as_its_own_process_with_the_same_control():
    command = [sys.executable, Path(scripted_provider.__file__), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            provider = type("Addresses", (), json.loads(process.stdout.readline()))
            orders = {
                "models": {"m": {"text": "from afar", "rate": 200}},
                "key": "key",
                "known_models": ["m"],
            }
            with urlopen(
                Request(f"{provider.url}/control", json.dumps(orders).encode()), timeout=10
            ) as answer:
                assert json.load(answer)["calls"] == 0
            asking = gevent.spawn(ask, provider)
            with urlopen(f"{provider.url}/control/wait?calls=1&open=0&timeout=10", timeout=15) as answer:
                state = json.load(answer)
            assert b"afar" in asking.get(timeout=30)
            assert (state["calls"], state["cancels"], state["connections"]) == (1, 0, 1)
            assert state["requests"][0]["body"] == {"model": "m"}
            assert state["requests"][0]["headers"]["authorization"] == "Bearer key"
            with pytest.raises(HTTPError, match="404") as caught:
                ask(provider, model="old")
            caught.value.close()
            with pytest.raises(HTTPError, match="408") as caught:
                urlopen(f"{provider.url}/control/wait?calls=9&timeout=0.05", timeout=10)
            caught.value.close()
        finally:
            process.kill()
