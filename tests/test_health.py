"""Whether a process lives, whether it can serve, and whether a stream comes through."""

import re
import time
from contextlib import ExitStack

import httpx2
import pytest
from peewee import OperationalError

from storage import database
from tests.page import events
from tests.person import ask, bring, stream
from tests.test_server import wait_until
from views import health


@pytest.mark.parametrize(("path", "word"), [("/up", "up\n"), ("/ready", "ready\n")])
def test_it_answers_in_plain_text(client, path, word):
    answer = client.get(path)
    assert (answer.status_code, answer.text) == (200, word)
    assert answer.headers["Content-Type"].startswith("text/plain")


@pytest.mark.fault("database gone")
def test_without_its_database_it_lives_and_is_not_ready(client, monkeypatch):
    def refuse(*args, **kwargs):
        raise OperationalError("unable to open database file")

    monkeypatch.setattr(database.obj, "connect", refuse)
    assert client.get("/up").status_code == 200
    assert client.get("/ready").status_code == 503


def test_neither_asks_a_provider(client, provider):
    client.get("/up")
    client.get("/ready")
    assert provider.connections == 0


@pytest.fixture
def quick(monkeypatch):
    """Ticks and silences of a hundredth of their length."""
    monkeypatch.setattr(health, "TICK_SECONDS", health.TICK_SECONDS / 100)
    monkeypatch.setattr(health, "SILENCE_SECONDS", health.SILENCE_SECONDS / 100)
    monkeypatch.setattr(health, "MOST_SECONDS", health.MOST_SECONDS / 100)


@pytest.mark.parametrize(
    ("query", "silences"),
    [("", 0), ("?seconds=1", 7), ("?seconds=-1", 0), ("?seconds=many", 0), ("?seconds=2", 8)],
)
def test_its_stream_ticks_and_falls_silent_as_often_as_it_is_asked_to_but_not_for_ever(
    client, quick, query, silences
):
    began = time.time()
    *ticks, done = events(client.get(f"/up/stream{query}").data)
    assert done.name == "done"
    assert len(ticks) == health.TICKS + silences + 1
    assert all(re.fullmatch(r"[0-9]+\.[0-9]{3}", tick.data) for tick in ticks)
    sent = [float(tick.data) for tick in ticks]
    assert sent == sorted(sent)
    assert began - 1 < sent[0] <= sent[-1] < time.time() + 1


def test_its_stream_looks_like_a_real_one(client, document):
    asked = client.post(f"{document}/analyses", data={"recipe": "brief", "model": "offline:extractive"})
    real = asked.headers["Location"].replace("/live", "/stream")
    with client.get("/up/stream") as ours, client.get(real) as theirs:
        assert ours.status_code == theirs.status_code == 200
        named = [
            {name: value for name, value in answer.headers if name != "X-Request-ID"}
            for answer in (ours, theirs)
        ]
        assert named[0] == named[1]


def test_so_many_of_its_streams_at_a_time_take_no_place_of_those_who_watch(make_app):
    client = make_app(max_streams=1).test_client()
    with client.get("/up/stream?seconds=100"):
        analysis = ask(client, bring(client, "One."))
        with stream(client, analysis) as watched, ExitStack() as taken:
            assert watched.status_code == 200
            for _ in range(health.MOST_AT_ONCE - 1):
                assert taken.enter_context(client.get("/up/stream?seconds=100")).status_code == 200
            refused = client.get("/up/stream")
            assert refused.status_code == 503
            assert int(refused.headers["Retry-After"]) > 0
        with client.get("/up/stream") as again:
            assert again.status_code == 200


def test_who_leaves_its_stream_in_a_silence_is_noticed_at_once(precis):
    precis.start()
    with ExitStack() as taken:

        def take():
            return taken.enter_context(httpx2.stream("GET", f"{precis.url}/up/stream?seconds=100"))

        *_, last = [take() for _ in range(health.MOST_AT_ONCE)]
        parts = last.iter_raw()
        told = 0
        while told <= health.TICKS:
            told += next(parts).count(b"data: ")

        def is_free():
            with httpx2.stream("GET", f"{precis.url}/up/stream") as answer:
                return answer.status_code == 200

        assert not is_free()
    wait_until(is_free, timeout=5)
