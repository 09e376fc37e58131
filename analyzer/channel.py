"""The channel: how processes tell each other what they have just saved. Whatever it loses is in the database.

Messages are JSON values, sent to all processes or to one by its name; none is ever waited for. Where there
is no Redis, nobody hears anything: that is as it should be for a single process, and where several share a
database they look into it four times a second instead.
"""

from __future__ import annotations

import json
import logging
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import gevent
from gevent.event import Event

logger = logging.getLogger(__name__)

Hear = Callable[[list[Any]], None]


class Silence:
    """No channel. It `is_up` where there is nobody else to be heard."""

    def __init__(self, is_up: bool) -> None:
        self.is_up = is_up

    def start(self, topic: str, name: str, hear: Hear) -> None:
        """Have nobody to hear."""

    def stop(self) -> None:
        """End nothing."""

    def tell(self, message: list[Any], to: str = "") -> None:
        """Have nobody to tell."""


class Redis:
    """Redis' publish and subscribe, over one connection for each."""

    BEAT_SECONDS = 0.5
    # Longer without hearing its own beat, and a process goes by the database.
    PATIENCE_SECONDS = 1.5
    TIMEOUT_SECONDS = 1.0
    MOST_WAITING = 10_000

    def __init__(self, url: str) -> None:
        self.url = url
        self._outbox: dict[str, list[list[Any]]] = defaultdict(list)
        self._waiting = 0
        self._news = Event()
        self._heard = 0.0
        self._was_up = True

    def start(self, topic: str, name: str, hear: Hear) -> None:
        """Hear, in greenlets of its own, what all of a topic are told and what is told to `name`.

        It also hears `silence` when the server no longer answers.

        Two installations may share a server: the same ids mean other analyses there.
        """
        # Of the packages that only several processes need.
        from redis import RedisError

        self._failures = OSError, RedisError
        self.topic = f"precis:{topic}"
        self.name = name
        self._hear = hear
        forever = self._send_forever, self._listen_forever, self._beat_forever
        self._greenlets = [gevent.spawn(run) for run in forever]

    def stop(self) -> None:
        """Hear and tell no more."""
        self._flush_quietly()
        gevent.killall(self._greenlets)

    @property
    def is_up(self) -> bool:
        """Whether what is told is heard: its own beat was, a moment ago."""
        return time.monotonic() - self._heard < self.PATIENCE_SECONDS

    def tell(self, message: list[Any], to: str = "") -> None:
        """Tell one process by its name, or all; they hear it soon or never."""
        if self._waiting < self.MOST_WAITING:
            self._waiting += 1
            self._outbox[to].append(message)
            self._news.set()

    def _client(self) -> Any:
        # Of the packages that only several processes need.
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        return redis.Redis.from_url(
            self.url,
            protocol=2,
            socket_timeout=self.TIMEOUT_SECONDS,
            socket_connect_timeout=self.TIMEOUT_SECONDS,
            # By default it would try for a minute, and what it brings then is old.
            retry=Retry(NoBackoff(), 0),
        )

    def _send_forever(self) -> None:
        with self._client() as client:
            while True:
                self._news.wait()
                self._news.clear()
                try:
                    self._flush(client)
                except self._failures as error:
                    self._failed(error)

    def _flush(self, client: Any) -> None:
        outbox, self._outbox, self._waiting = self._outbox, defaultdict(list), 0
        pipeline = client.pipeline(transaction=False)
        for to, messages in outbox.items():
            # All that has gathered for one process is one message.
            pipeline.publish(f"{self.topic}:{to}", json.dumps(messages))
        pipeline.execute()

    def _flush_quietly(self) -> None:
        try:
            with self._client() as client:
                self._flush(client)
        except self._failures as error:
            self._failed(error)

    def _listen_forever(self) -> None:
        while True:
            try:
                with self._client() as client, client.pubsub(ignore_subscribe_messages=True) as heard:
                    heard.subscribe(f"{self.topic}:", f"{self.topic}:{self.name}")
                    until = time.monotonic() + self.PATIENCE_SECONDS
                    # Its own beat comes more often: in vain means that this connection is dead.
                    while self.is_up or time.monotonic() < until:
                        if message := heard.get_message(timeout=self.PATIENCE_SECONDS):
                            self._hear_all(message["data"])
                    raise TimeoutError
            except self._failures as error:
                self._failed(error)
            gevent.sleep(self.BEAT_SECONDS / 2)

    def _hear_all(self, data: bytes) -> None:
        try:
            messages = list(json.loads(data))
        except (TypeError, ValueError) as error:
            logger.warning("not understood", exc_info=error)
            return
        for message in messages:
            if message == ["beat"]:
                self._heard = time.monotonic()
                self._was_up = True
                continue
            try:
                self._hear(message)
            except Exception as error:
                # No fault of Redis': a newer version may say more than this one understands.
                logger.warning("not understood", exc_info=error)

    def _beat_forever(self) -> None:
        while True:
            self.tell(["beat"], self.name)
            gevent.sleep(self.BEAT_SECONDS)

    def _failed(self, error: Exception) -> None:
        self._heard = 0.0
        if self._was_up:
            self._was_up = False
            self._hear(["silence"])
            logger.warning("Redis does not answer: going by the database", exc_info=error)
