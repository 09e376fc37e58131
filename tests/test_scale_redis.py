"""Redis goes away in every way: texts, starts and stops go by the database, and nothing is lost."""

import json

import httpx2
import pytest
from gevent.queue import Queue

from analyzer.channel import Redis
from bench.kill import Client
from tests.fleet import Fleet, said, wait_until
from tests.prose import answer
from tests.scripted_provider import ScriptedProvider

TEXT = answer(10)
FORM = {"recipe": "brief", "model": "openai:gpt-6-sol"}


@pytest.fixture(scope="module")
def pair(tmp_path_factory, scale):
    """A web process and a worker that outlive all these faults."""
    with ScriptedProvider() as provider, Fleet(tmp_path_factory.mktemp("fleet"), provider, scale) as fleet:
        fleet.web, fleet.worker = fleet.start("web", "worker", PRECIS_ANALYZE_LIMIT="1000 per minute")
        fleet.document = fleet.web.bring("Terms\n\nPay by March.")
        yield fleet


@pytest.fixture
def fleet(tmp_path, provider, scale):
    with Fleet(tmp_path, provider, scale) as fleet:
        yield fleet
        scale.restore()


def killed(redis):
    redis.kill()
    return redis.start


def hung(redis):
    redis.hang()
    return redis.resume


def closed(redis):
    """Ask for a password that nobody has."""
    with redis.client() as client:
        client.config_set("requirepass", "secret")
        client.client_kill_filter(_type="pubsub")
        client.client_kill_filter(_type="normal", skipme=True)

    def reopen():
        with redis.client() as client:
            client.execute_command("AUTH", "secret")
            client.config_set("requirepass", "")

    return reopen


@pytest.mark.fault("Redis gone")
@pytest.mark.parametrize("fault", [killed, hung, closed])
def test_without_redis_all_goes_by_the_database_and_with_it_again_by_redis(pair, scale, fault):
    web, worker, provider = pair.web, pair.worker, pair.provider
    provider.reset()
    provider.script(text=TEXT, rate=40)
    provider.script(marker="Think.", before_text=60)
    before = [said(process, "Redis does not answer") for process in (web, worker)]
    stopped, deleted = (web.ask(pair.document, recipe="question", question="Think.") for _ in range(2))
    streaming = Client(web.ask(pair.document), web)
    streaming.wait(50)
    provider.wait(calls=3)

    heal = fault(scale.redis)

    try:
        # What streams goes on, what is started begins, and what is silent can be stopped and deleted.
        streaming.wait(len(streaming.page.text) + 200)
        started = Client(web.ask(pair.document), web)
        started.wait(50)
        httpx2.post(f"{web.url}{stopped}/cancellation")
        httpx2.post(f"{web.url}{deleted}/deletion")
        provider.wait(timeout=4, cancels=2)
        assert [said(process, "Redis does not answer") for process in (web, worker)] == [
            n + 1 for n in before
        ]
    finally:
        heal()
    assert told_by_redis(pair, scale.redis) in TEXT
    for client in (streaming, started):
        text = client.join()
        assert text == "".join(TEXT.split()) == "".join(web.stored(client.analysis).split())
        assert not client.lost(text)
    assert provider.calls == 5


def told_by_redis(pair, redis):
    """Return some text of an analysis that one process tells another."""
    with redis.client() as client, client.pubsub(ignore_subscribe_messages=True) as heard:
        heard.psubscribe("precis:*")
        watching = Client(pair.web.ask(pair.document), pair.web)
        while True:
            message = heard.get_message(timeout=5) or {"data": "[]"}
            for told in json.loads(message["data"]):
                if told[0] == "text" and told[1] == int(watching.page.id):
                    watching.join()
                    return told[3]


@pytest.mark.fault("Redis gone")
def test_processes_that_start_without_redis_serve_and_each_counts_for_itself(fleet, provider, scale):
    provider.script(text=TEXT, rate=40)
    scale.redis.kill()
    web, other, _ = fleet.start("web", "web", "worker", PRECIS_ANALYZE_LIMIT="2 per minute")
    document = web.bring("Terms\n\nPay by March.")

    viewer = Client(web.ask(document), web)
    for process, room in ((web, 1), (other, 2)):
        starts = [httpx2.post(f"{process.url}{document}/analyses", data=FORM) for _ in range(room + 2)]
        assert [answer.status_code for answer in starts] == [303] * room + [429] * 2
        # Loudly, and once.
        assert said(process, "the limit is counted in each process by itself") == 1
    assert viewer.join() == "".join(TEXT.split())
    # Looked for four times a second, and not as seldom as where Redis would tell.
    assert len(set(viewer.page.shown)) > 8
    wait_until(lambda: fleet.statuses() == {"complete"})
    assert provider.calls == 4


@pytest.mark.fault("Redis gone")
def test_a_redis_that_is_full_still_tells_and_each_process_counts_for_itself(fleet, provider, scale):
    web, worker = fleet.start("web", "worker", PRECIS_ANALYZE_LIMIT="1 per minute")
    document = web.bring("Terms\n\nPay by March.")
    with scale.redis.client() as client:
        client.config_set("maxmemory", "1mb")
        try:
            analysis = Client(web.ask(document), web)
            assert httpx2.post(f"{web.url}{document}/analyses", data=FORM).status_code == 429
            assert analysis.join() == "".join(web.stored(analysis.analysis).split())
        finally:
            client.config_set("maxmemory", "0")
    assert said(web, "the limit is counted in each process by itself") == 1
    assert [said(process, "Redis does not answer") for process in (web, worker)] == [0, 0]


@pytest.mark.fault("Redis gone")
def test_a_process_hears_of_the_silence_and_then_what_it_is_told_again(scale):
    heard = Queue()
    channel = Redis(scale.redis.url)
    channel.start("a topic", "a process", heard.put)
    wait_until(lambda: channel.is_up)

    scale.redis.kill()

    assert heard.get(timeout=30) == ["silence"]
    assert not channel.is_up

    scale.redis.start()

    wait_until(lambda: channel.is_up)
    channel.tell(["queued"], "a process")
    assert heard.get(timeout=30) == ["queued"]
    channel.stop()
