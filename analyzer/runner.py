"""The runner: a greenlet that drives a provider's replies into the token log and says how that ended."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any

import gevent

import metrics
from analyzer.bill import Bill, tokens_in
from analyzer.live import Wait
from analyzer.prompt import UnknownRecipe
from analyzer.steps import Step
from analyzer.token_log import LeaseLost, TokenLog
from hub import let_others_run
from models import Analysis, Expense, Status
from providers.base import (
    Broken,
    Busy,
    KeyRefused,
    OutOfCredit,
    Prompt,
    Provider,
    ProviderError,
    Reply,
    StopReason,
    TooLong,
    Unreachable,
    estimate_tokens,
)
from storage import StorageError, StorageFull, saving

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


class Silent(Exception):
    """The provider said nothing for as long as it may."""


class OutOfTime(Exception):
    """The reply took longer in all than it may."""


class Empty(Exception):
    """The provider ended its reply in order and had said nothing."""


# What can be known to go wrong; anything else is a fault of our own.
KNOWN = (ProviderError, StorageError, UnknownRecipe, Silent, OutOfTime, Empty)
# What somebody who runs Precis has to mend.
GRAVE = (KeyRefused, OutOfCredit, StorageError)
WAITS = {Busy: Wait.BUSY, Unreachable: Wait.UNREACHABLE, Silent: Wait.SILENT}


class _Interrupt(BaseException):
    """Thrown into the runner while it waits for its provider.

    Not an Exception: no provider's client may take it for a fault of the network.
    """

    def __init__(self, status: Status) -> None:
        self.status = status
        self.asked_at = time.monotonic()


class Runner:
    """Runs one claimed analysis to its ending, one step after the other: each is one call.

    A call is made again, at most twice, only while no text of it has come, and only where the provider said
    that it was busy, could not be reached or stayed silent: what has begun to answer is never asked twice.
    What stayed silent may have to be paid for: it is asked again only if `may_ask_again` says so.
    """

    RETRIES = 2
    PAUSES = (1.0, 4.0)  # seconds before the first retry and the second, and up to a quarter more
    LONGEST_RETRY_AFTER = 20.0
    STILL_WAITING_SECONDS = 8.0
    # Longer than any one step may take that is not a wait for the provider.
    STEP_SECONDS = 30.0
    # More than any model writes in one token: a server that ignores the limit is cut off here.
    CHARACTERS_PER_TOKEN = 32
    SAVE_AGAIN_SECONDS = 1.0
    EXPENSE_TRIES = 3
    pause = staticmethod(gevent.sleep)

    def __init__(
        self,
        id: int,
        provider: Provider,
        model: str,
        steps: Callable[[], Iterable[Step]],
        token_log: TokenLog,
        limits: Limits,
        window: int | None,
        may_ask_again: Callable[[Prompt], bool],
    ) -> None:
        self.id = id
        self.provider = provider
        self.model = model
        self.steps = steps
        self.log = token_log
        self.limits = limits
        self.window = window
        self.may_ask_again = may_ask_again
        self._bill = Bill(provider, model)
        self._calls = 0  # in all, and of this step
        self._tries = 0
        self._characters = 0  # of this step
        self._has_text = False
        self._heading = ""  # that is still to be written
        self._begins_at = 0  # where this step's text begins in the answer
        self._asked: Prompt | None = None
        self._reply: Reply | None = None
        self._due = time.monotonic() + self.STEP_SECONDS
        self._waits = False
        self._interrupt: _Interrupt | None = None
        self.has_finished = False

    def start(self) -> gevent.Greenlet:
        """Begin to run, in a greenlet of its own."""
        self.greenlet = gevent.spawn(self.run)
        return self.greenlet

    @property
    def is_alive(self) -> bool:
        """Whether it runs and was heard of when it should have been."""
        return not self.greenlet.ready() and time.monotonic() < self._due

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
        self._run()
        self.has_finished = True

    def _run(self) -> None:
        began = self._started = time.monotonic()
        logger.info("started", extra={"analysis": self.id})
        still_waiting = gevent.get_hub().loop.timer(self.STILL_WAITING_SECONDS)
        still_waiting.start(self._say_still_waiting)
        failure: Exception | None = None
        try:
            status = self._take_steps()
        except _Interrupt as interrupt:
            status = interrupt.status
            metrics.cancel_seconds.observe(time.monotonic() - interrupt.asked_at)
        except LeaseLost:
            self._lose()
            return
        except Exception as error:
            has_text = self._has_text or (self._characters and not isinstance(error, Empty))
            status, failure = Status.INCOMPLETE if has_text else Status.FAILED, error
        finally:
            still_waiting.close()
        self._end(status, failure, began)

    # Asking

    def _take_steps(self) -> Status:
        status = Status.COMPLETE
        for step in self.steps():
            status = self._take(step)
            if status is Status.DECLINED:
                # What was put together without one section would seem to be about the whole.
                return status
            step.stop_reason = StopReason.LENGTH if status is Status.CUT else StopReason.END
        return status

    def _take(self, step: Step) -> Status:
        """Make one step's call and add it to the bill; returns what its terminal marker means."""
        self._started = time.monotonic()
        self._asked, self._reply = step.prompt, None
        self._tries = self._characters = 0
        self._refuse_too_long(step.prompt)
        if self._interrupt:
            # No heading for what is never asked.
            raise self._interrupt
        self._begin_part(step)
        status = self._ask_until_answered(step.prompt)
        self._settle()
        self._has_text = self._has_text or self._characters > 0
        return status

    def _begin_part(self, step: Step) -> None:
        """Write the step's heading, or keep it for the first text: alone it would seem to be an answer."""
        self._heading = step.heading
        text = self.log.text(self.id)
        self._begins_at = len(text) + len(step.heading) - len(step.prompt.answer)
        if text and self._heading:
            self.log.append(self.id, self._heading)
            self._heading = ""

    def _settle(self, failure: Exception | None = None) -> None:
        """Put what was asked last on the bill."""
        if self._asked:
            self._bill.add(self._asked, self._reply, self._written(self._asked), failure)
        self._asked = None

    def _written(self, asked: Prompt) -> int:
        try:
            return estimate_tokens(self.log.text(self.id)[self._begins_at + len(asked.answer) :])
        except LeaseLost:
            # Deleted, with its text.
            return estimate_tokens("M" * self._characters)

    def _ask_until_answered(self, prompt: Prompt) -> Status:
        while True:
            if self._interrupt:
                raise self._interrupt
            self._calls += 1
            self._tries += 1
            try:
                with metrics.Call(self.provider.name, self.model) as call:
                    return self._answer(prompt, call)
            except (Busy, Unreachable, Silent) as failure:
                pause = self._pause_after(failure)
                if isinstance(failure, Silent):
                    if not self.may_ask_again(prompt):
                        raise
                    self._bill.add(prompt, self._reply, 0, failure)
                facts = {"analysis": self.id, "pause": round(pause, 1)}
                logger.warning("trying again", extra=facts | self._outcome(failure))
                # What is not on the bill was refused, and has cost nothing.
                self._reply = None
                self.log.notify(self.id, WAITS[type(failure)], pause)
                self._wait(partial(self.pause, pause), pause + self.STEP_SECONDS)
                self.log.notify(self.id, None)

    def _refuse_too_long(self, prompt: Prompt) -> None:
        """Spare a call whose prompt cannot fit, by a generous estimate; in doubt the provider decides."""
        if self.window and tokens_in(prompt) * 0.75 > self.window:
            raise TooLong

    def _pause_after(self, failure: Busy | Unreachable | Silent) -> float:
        """Return how many seconds to wait before the provider is asked again, or raise the failure."""
        tries = 1 if isinstance(failure, Silent) else self.RETRIES
        has_begun = self._characters or (self._reply and self._reply.is_thinking)
        if has_begun or self._tries > tries:
            raise failure
        asked_for = getattr(failure, "retry_after", None)
        if asked_for is not None and asked_for > self.LONGEST_RETRY_AFTER:
            raise failure
        pause = self.PAUSES[self._tries - 1] if asked_for is None else max(asked_for, 0.1)
        # Apart, so that those who were refused together do not come together, and never too early.
        pause *= random.uniform(1, 1.25)  # noqa: S311
        if time.monotonic() + pause > self._started + self.limits.total:
            raise failure
        return pause

    def _answer(self, prompt: Prompt, call: metrics.Call) -> Status:
        """Save one reply as it comes; returns what its terminal marker means."""
        self._reply = reply = self.provider.reply(prompt, self.model)
        most = self.CHARACTERS_PER_TOKEN * prompt.max_output_tokens
        with reply, closing(self._texts(reply)) as texts:
            for text in texts:
                if not self._characters:
                    call.has_text()
                self.log.append(self.id, self._heading + text)
                self._heading = ""
                self._characters += len(text)
                if self._characters > most:
                    return Status.CUT
        if reply.stop_reason is None:
            raise Broken("no stop reason")
        status = BY_STOP_REASON[reply.stop_reason]
        # One that continues an answer may find nothing to add to it; a refusal may be without words.
        if status is not Status.DECLINED and not self.log.text(self.id)[self._begins_at :].strip():
            raise Empty
        return status

    def _texts(self, reply: Reply) -> Generator[str, None, None]:
        """Yield the reply's text, each wait for it bounded and open to `stop`."""
        asked = heard = time.monotonic()
        # Closed here and now: left to the collector it would be closed in whatever greenlet collects.
        with closing(iter(reply)) as texts:
            read = partial(next, texts, None)
            while True:
                has_begun = self._characters or reply.is_thinking
                until = heard + self.limits.gap if has_begun else asked + self.limits.first_token
                until = min(until, self._started + self.limits.total)
                text = self._wait(read, until - time.monotonic())
                if text is None:
                    return
                if text:
                    yield text
                else:
                    let_others_run()
                heard = time.monotonic()

    def _wait(self, step: Callable[[], str | None], seconds: float) -> str | None:
        """Take a step that waits for the provider: so long at most, and `stop` cuts in."""
        if self._interrupt:
            raise self._interrupt
        if seconds <= 0:
            # A timer would never fire on a reply whose next text is always there already.
            raise self._silence()
        self._due = time.monotonic() + seconds + self.STEP_SECONDS
        self._waits = True
        # Not our exception: the vendors' clients take any Exception for a fault of the network.
        timeout = gevent.Timeout(seconds)
        try:
            with timeout:
                return step()
        except gevent.Timeout as fired:
            if fired is not timeout:
                raise
            raise self._silence() from None
        finally:
            self._waits = False
            self._due = time.monotonic() + self.STEP_SECONDS

    def _silence(self) -> Exception:
        return OutOfTime() if time.monotonic() >= self._started + self.limits.total else Silent()

    def _say_still_waiting(self) -> None:
        # In a pause before a retry there is no reply, and the pause has its own words.
        if self._reply and not self._characters and self._calls == 1:
            self.log.notify(self.id, Wait.TEXT)

    # Ending

    def _end(self, status: Status, failure: Exception | None, began: float) -> None:
        if failure and not isinstance(failure, KNOWN):
            logger.error("a fault of our own", exc_info=failure, extra={"analysis": self.id})
        try:
            self._settle(failure)
            fields = {"status": status, **self._outcome(failure), **self._bill.fields}
            fields = self._save_ending(fields)
        except LeaseLost:
            self._lose()
            return
        metrics.ended.labels(status).inc()
        usage = fields.get("input_tokens"), fields.get("output_tokens")
        metrics.spent(self.provider.name, self.model, *usage)
        level = logging.ERROR if isinstance(failure, GRAVE) else logging.WARNING if failure else logging.INFO
        seconds = round(time.monotonic() - began, 3)
        extra = {"analysis": self.id, "reference": Analysis.reference_of(self.id), "calls": self._calls}
        logger.log(level, "ended", extra=extra | {"seconds": seconds} | fields)

    def _lose(self) -> None:
        """Save nothing but what it has cost: somebody else has ended or deleted it."""
        logger.warning("lost its lease", extra={"analysis": self.id})
        self._settle()
        for tries_left in reversed(range(self.EXPENSE_TRIES)):
            self._due = time.monotonic() + self.STEP_SECONDS
            try:
                self._save_expense()
                return
            except StorageError as error:
                if not tries_left:
                    # It counts as it was reserved.
                    logger.error("its cost cannot be saved", exc_info=error, extra={"analysis": self.id})
            gevent.sleep(self.SAVE_AGAIN_SECONDS)

    @saving
    def _save_expense(self) -> None:
        Expense.settle(self.id, **self._bill.expense)

    def _save_ending(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Save how it ended, however long that takes; returns what could be saved of it."""
        is_whole = True
        while True:
            self._due = time.monotonic() + self.STEP_SECONDS
            try:
                self.log.end(self.id, **fields, expense=self._bill.expense if is_whole else {})
                return fields
            except LeaseLost:
                raise
            except StorageError as error:
                # What was shown is saved; how it ended is not yet. The lease holds while we try again.
                self.log.notify(self.id, Wait.FULL if isinstance(error, StorageFull) else Wait.STORAGE)
            except Exception:
                # Something in these fields cannot be stored: an ending without them is better than none.
                logger.exception("its details cannot be saved", extra={"analysis": self.id})
                fields, is_whole = {"status": fields["status"], "error": fields["error"]}, False
            gevent.sleep(self.SAVE_AGAIN_SECONDS)

    def _outcome(self, failure: Exception | None) -> dict[str, Any]:
        """Return how it went wrong, if it did, and what the provider said of it."""
        name = type(failure).__name__ if isinstance(failure, KNOWN) else "Internal"
        reply = self._reply
        request_id = getattr(failure, "request_id", None) or (reply.request_id if reply else None)
        return {
            "error": name if failure else "",
            "stop_reason": (reply.stop_reason if reply else None) or "",
            "provider_request_id": (request_id or "")[:200],
        }
