"""Following: what nobody told, because it was not known who follows or because it was lost, comes at once."""

from contextlib import ExitStack

import gevent
import pytest

import storage
from analyzer import Notice, Text, Viewer, Wait
from analyzer.channel import Redis
from analyzer.token_log import TokenLog
from models import Analysis, Document, User
from tests.fleet import wait_until

pytestmark = pytest.mark.parametrize("mode", ["scale"], indirect=True)


@pytest.fixture
def log(tables, place):
    """Make the log of a process that hears the others, and never looks for what it was not told."""
    with ExitStack() as stack:

        def make(name):
            channel = Redis(place["redis_url"])
            log = TokenLog(name, channel, lambda *_: None)
            log.following.LOOK_SECONDS = (float("inf"), float("inf"))
            log.following.WATCH_SECONDS = float("inf")
            channel.start(storage.identity(), name, log.hear)
            stack.callback(channel.stop)
            # It would look as soon as it hears.
            wait_until(lambda: channel.is_up)
            log.start()
            stack.callback(log.stop)
            return log

        yield make


@pytest.fixture
def waiting(tables):
    """An analysis that nobody runs yet."""
    with storage.connected():
        owner = User.local()
        document = Document.add(owner, "Title", "One.\n\nTwo.", 2, 2)
        return Analysis.ask(document, owner, "brief", "offline:extractive")[0].id


def follow(web, worker, id):
    """Watch, from one process, what another begins to run only now; returns the news."""
    news = web.observe(id, 0, Viewer(patience=1000))
    assert [next(news), next(news)] == [Text(0, ""), Notice(Wait.TURN)]
    with storage.connected():
        Analysis.claim_next(worker.worker, 60)
    worker.open(id)
    worker.channel.tell(["look", id])
    # It asks again to be told: when it first did, there was nobody to hear it.
    wait_until(lambda: worker._live[id].watchers)
    assert next(news) == Notice(None)
    return news


def test_who_follows_what_begins_to_run_only_now_is_told_its_text(log, waiting):
    web, worker = log("web"), log("worker")
    news = follow(web, worker, waiting)

    worker.append(waiting, "one ")

    with gevent.Timeout(30):
        assert next(news) == Text(4, "one ")


def test_a_text_that_was_lost_is_read_when_the_next_one_is_told(log, waiting):
    web, worker = log("web"), log("worker")
    news = follow(web, worker, waiting)

    worker.channel.MOST_WAITING = 0
    worker.append(waiting, "one ")
    del worker.channel.MOST_WAITING
    worker.append(waiting, "two")

    with gevent.Timeout(30):
        assert next(news) == Text(7, "one two")
