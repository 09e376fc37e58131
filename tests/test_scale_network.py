"""A worker that the network cuts off: others end what it ran, its calls end, and it writes nothing more."""

import socket
from contextlib import suppress

import pytest

from bench.kill import Client
from tests.fleet import Fleet, Process, said, wait_until
from tests.network import Network
from tests.prose import answer

DOCUMENT = "Terms\n\nPay by March."
TEXT, LONG = answer(6), answer(30)


class Far(Process):
    """A process on the far side of a network; how it is it tells by a unix socket, which no cut concerns."""

    def launch(self):
        self.command = self.network.command(*self.command)
        self.socket = self.folder / "socket"
        return super().launch(PRECIS_BIND=f"unix:{self.socket}")

    def is_up(self):
        with suppress(OSError), socket.socket(socket.AF_UNIX) as asking:
            asking.connect(str(self.socket))
            asking.sendall(b"GET /up HTTP/1.0\r\nHost: localhost\r\n\r\n")
            return b" 200 " in asking.recv(100)


@pytest.fixture
def network():
    with Network() as network:
        yield network


@pytest.fixture
def fleet(tmp_path, provider, scale):
    with Fleet(tmp_path, provider, scale, is_hurried=True) as fleet:
        yield fleet


def start(fleet, network, *cuttable):
    """Start a web process, and on the far side a worker that reaches what is `cuttable` by the cable."""
    servers = {"PRECIS_DATABASE_URL": fleet.scale.postgresql.port, "PRECIS_REDIS_URL": fleet.scale.redis.port}
    urls = {}
    for name, port in servers.items():
        reach = network.reach if name in cuttable else network.keep
        urls[name] = fleet.settings[name].replace(f"127.0.0.1:{port}", reach(port))
    port = fleet.provider.url.rpartition(":")[2]
    worker = fleet.make("worker", Far, **urls, OPENAI_BASE_URL=f"http://{network.keep(int(port))}/v1")
    worker.network = network
    return fleet.launch(fleet.make("web"), worker)


@pytest.mark.fault("network cut")
@pytest.mark.parametrize("script", [{"rate": 30}, {"before_text": 60}], ids=["streaming", "thinking"])
@pytest.mark.parametrize("lost", [(), ("PRECIS_REDIS_URL",)], ids=["alone", "and Redis"])
def test_a_worker_without_its_database_loses_what_it_ran_and_writes_nothing_more(
    fleet, network, provider, script, lost
):
    """With Redis it could still tell viewers of text that is not saved."""
    provider.script(text=LONG, **script)
    web, worker = start(fleet, network, "PRECIS_DATABASE_URL", *lost)
    analysis = web.ask(web.bring(DOCUMENT))
    client = Client(analysis, web)
    provider.wait(open=1)
    if "rate" in script:
        client.wait(100)

    network.cut()

    shown = client.join()
    stored = web.stored(analysis)
    assert shown == "".join(stored.split())
    assert not client.lost(shown)
    assert fleet.statuses() == {"interrupted"}
    provider.wait(open=0, cancels=1)

    network.heal()

    wait_until(lambda: said(worker, "lost its lease"))
    assert web.stored(analysis) == stored
    assert fleet.rows("SELECT status, (SELECT count(*) FROM piece) FROM analysis") == [("interrupted", 0)]
    # It works on.
    provider.script(text="One two three.")
    assert Client(web.ask(web.bring(DOCUMENT)), web).join() == "Onetwothree."
    assert provider.calls == 2


@pytest.mark.fault("network cut")
def test_a_worker_without_redis_alone_goes_on_by_the_database(fleet, network, provider):
    provider.script(text=TEXT, rate=50)
    web, _ = start(fleet, network, "PRECIS_REDIS_URL")
    client = Client(web.ask(web.bring(DOCUMENT)), web)
    client.wait(100)

    network.cut()

    text = client.join()
    assert text == "".join(TEXT.split()) == "".join(web.stored(client.analysis).split())
    assert not client.lost(text)
    assert fleet.statuses() == {"complete"}
    assert provider.calls == 1
