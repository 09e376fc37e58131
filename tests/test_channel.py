"""The channel: who hears whom through Redis, and what else comes that way."""

import gevent
import pytest
from gevent.event import Event

import storage
from analyzer.channel import Redis
from tests.fleet import wait_until


@pytest.mark.both_modes
def test_only_those_who_share_a_database_hear_each_other_through_redis(make_app, scale):
    scale.restore()
    make_app(redis_url=scale.redis.url)
    with scale.redis.client() as client:
        heard = client.pubsub_channels(f"precis:{storage.identity()}:*")
    assert bool(heard) is storage.database.is_shared


@pytest.mark.parametrize("data", ["{", "5", b"\xff", '["odd"]'])
def test_what_is_no_list_of_messages_stops_nothing(scale, data):
    scale.restore()
    heard, listens = [], Event()

    def hear(message):
        heard.append(message)
        if message == ["last"]:
            listens.set()
        elif message != ["silence"]:
            raise IndexError

    channel = Redis(scale.redis.url)
    channel.start(f"a topic {data}", "a process", hear)
    wait_until(lambda: channel.is_up)
    with scale.redis.client() as client, gevent.Timeout(30):
        client.publish(channel.topic + ":", data)
        channel.tell(["last"])
        assert listens.wait(30)
    assert channel.is_up
    assert ["silence"] not in heard
    channel.stop()
