"""Whether a process can be given work: not while it ends, nor while it cannot renew its leases."""

import gevent

from models import Analysis
from storage import StorageError
from tests.person import ask, settle
from tests.test_server import wait_until


def ready(client):
    answer = client.get("/ready")
    return answer.status_code, answer.text


def test_one_that_ends_says_so_while_what_runs_gets_its_grace(app, client, analyzer, document, provider):
    provider.script(text="One two three", rate=10)
    ask(client, document)
    provider.wait(calls=1)
    ending = gevent.spawn(analyzer.drain, 5)
    gevent.sleep(0)
    assert ready(client) == (503, "draining\n")
    assert client.get("/up").status_code == 200
    ending.get()


def test_one_that_cannot_renew_its_leases_is_not_ready_until_it_can(
    client, analyzer, document, provider, monkeypatch
):
    def refuse(*args):
        raise StorageError("gone")

    monkeypatch.setattr(analyzer.log, "RENEW_SECONDS", 0.01)
    monkeypatch.setattr(analyzer.log, "LEASE_SECONDS", 0.3)
    provider.script(text="One two three", rate=100)
    with monkeypatch.context() as patch:
        patch.setattr(Analysis, "commit", refuse)
        assert ready(client) == (200, "ready\n")
        # The database answers all the while.
        wait_until(lambda: ready(client) == (503, "late\n"))
    ask(client, document)
    settle(analyzer)
    wait_until(lambda: ready(client) == (200, "ready\n"))
