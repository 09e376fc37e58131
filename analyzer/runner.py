"""The runner: a greenlet that drives one provider's reply into the token log and says how it ended."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import gevent

from analyzer.prompt import UnknownRecipe
from analyzer.token_log import LeaseLost, TokenLog
from models import Status
from providers.base import Broken, Prompt, Provider, ProviderError, Reply, StopReason
from storage import StorageError

logger = logging.getLogger(__name__)

BY_STOP_REASON = {
    StopReason.END: Status.COMPLETE,
    StopReason.LENGTH: Status.CUT,
    StopReason.REFUSAL: Status.DECLINED,
}


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a reply may take, in seconds: to its first text, between signs of life, in all."""

    first_token: float = 30.0
    gap: float = 30.0
    total: float = 600.0


class _Interrupt(BaseException):
    """Thrown into the runner while it waits for its provider.

    Not an Exception: no provider's client may take it for a fault of the network.
    """

    def __init__(self, status: Status) -> None:
        self.status = status


class Runner:
    """Runs one claimed analysis to its ending. Its provider is called once; nothing is asked twice."""

    def __init__(
        self,
        id: int,
        provider: Provider,
        model: str,
        prompt: Callable[[], Prompt],
        token_log: TokenLog,
        limits: Limits,
    ) -> None:
        self.id = id
        self.provider = provider
        self.model = model
        self.prompt = prompt
        self.log = token_log
        self.limits = limits
        self._began = False
        self._waits = False
        self._interrupt: _Interrupt | None = None

    def start(self) -> gevent.Greenlet:
        """Begin to run, in a greenlet of its own."""
        self.greenlet = gevent.spawn(self.run)
        return self.greenlet

    def stop(self, status: Status = Status.STOPPED) -> None:
        """End the reply now, as `status`, keeping its text; from any greenlet, any number of times."""
        if self._interrupt is None:
            self._interrupt = _Interrupt(status)
            gevent.get_hub().loop.run_callback(self._throw)

    def _throw(self) -> None:
        # In the hub: the runner is thrown at only where it waits for its provider, never while it saves.
        if self._waits:
            self.greenlet.throw(self._interrupt)

    def run(self) -> None:
        """Drive the reply to its ending and save it."""
        reply: Reply | None = None
        status, error, request_id = Status.FAILED, "", None
        try:
            reply = self.provider.reply(self.prompt(), self.model)
            with reply, closing(self._texts(reply)) as texts:
                for text in texts:
                    self.log.append(self.id, text)
                    self._began = True
            if reply.stop_reason is None:
                raise Broken("no stop reason")
            status = BY_STOP_REASON[reply.stop_reason]
            if status is Status.COMPLETE and not self._began:
                status, error = Status.FAILED, "empty"
        except _Interrupt as interrupt:
            status = interrupt.status
        except LeaseLost:
            logger.warning("analysis %s: its lease is gone", self.id)
            return
        except (ProviderError, StorageError, UnknownRecipe) as failure:
            status, error = self._failed(), type(failure).__name__
            request_id = getattr(failure, "request_id", None)
            logger.warning("analysis %s: %s %s", self.id, error, request_id or "")
        except gevent.Timeout:
            status, error = self._failed(), "Silent"
            logger.warning("analysis %s: the provider fell silent", self.id)
        except Exception:
            status, error = self._failed(), "Internal"
            logger.exception("analysis %s: a fault of our own", self.id)
        self._end(status, error, reply, request_id)

    def _failed(self) -> Status:
        return Status.INCOMPLETE if self._began else Status.FAILED

    def _texts(self, reply: Reply) -> Generator[str, None, None]:
        """Yield the reply's text, each wait for it bounded and open to `stop`."""
        started = heard = time.monotonic()
        # Closed here and now: left to the collector it would be closed in whatever greenlet collects.
        with closing(iter(reply)) as texts:
            while True:
                patience = self.limits.gap if self._began else self.limits.first_token
                deadline = min(heard + patience, started + self.limits.total)
                text = self._wait_for(texts, deadline - time.monotonic())
                if text is None:
                    return
                if text:
                    yield text
                else:
                    gevent.sleep(0)
                if text or self._began:
                    heard = time.monotonic()

    def _wait_for(self, texts: Iterator[str], seconds: float) -> str | None:
        if self._interrupt:
            raise self._interrupt
        timeout = gevent.Timeout(seconds)
        if seconds <= 0:
            # A timer would never fire on a reply whose next text is always there already.
            raise timeout
        self._waits = True
        try:
            with timeout:
                return next(texts, None)
        finally:
            self._waits = False

    def _end(self, status: Status, error: str, reply: Reply | None, request_id: str | None) -> None:
        usage = reply.usage if reply else None
        fields: dict[str, Any] = {
            "status": status,
            "error": error,
            "stop_reason": (reply.stop_reason if reply else None) or "",
            "provider_request_id": request_id or (reply.request_id if reply else None) or "",
        }
        if usage:
            fields |= {
                "input_tokens": usage.input,
                "output_tokens": usage.output,
                "cached_tokens": usage.cached,
                "price": self.provider.price(usage, self.model),
            }
        while True:
            try:
                return self.log.end(self.id, **fields)
            except LeaseLost:
                return None
            except StorageError:
                # What was shown is saved; how it ended is not yet. The lease holds while we try again.
                gevent.sleep(1)
            except Exception:
                # Something in these fields cannot be stored: an ending without them is better than none.
                logger.exception("analysis %s: its details cannot be saved", self.id)
                fields = {"status": status, "error": "Internal"}
                gevent.sleep(1)
