"""The analyzer: asks models about documents, and lets anybody watch. It knows nothing of HTTP."""

from __future__ import annotations

import logging
import os
import secrets
import socket
from collections.abc import Iterator, Mapping
from typing import Any

import gevent
from gevent.event import Event

import metrics
from analyzer.channel import Redis, Silence
from analyzer.costs import Costs
from analyzer.estimate import Estimate
from analyzer.live import Ended, Notice, Text, Viewer, Wait
from analyzer.prompt import Recipe, UnknownRecipe
from analyzer.runner import Limits, Runner
from analyzer.steps import Steps
from analyzer.token_log import LeaseLost, TokenLog
from models import Analysis, Budgets, Document, Piece, Status, User
from providers.base import Provider, Unconfigured
from storage import connected, database, identity

logger = logging.getLogger(__name__)

__all__ = ["Analyzer", "Ended", "Estimate", "Limits", "Notice", "Recipe", "Text", "Viewer", "Wait"]


class Analyzer:
    """Starts, cancels and observes analyses; runs up to `max_running` of them in this process.

    `providers` are by name, `models` are `provider:model` with the default first. With `max_running` 0 it
    leaves them to other processes, which it hears through `channel`.
    """

    LEASE_SECONDS = TokenLog.LEASE_SECONDS
    LOOK_SECONDS = 5.0

    def __init__(
        self,
        providers: Mapping[str, Provider],
        models: tuple[str, ...],
        recipes: Mapping[str, Recipe],
        *,
        max_running: int = 200,
        max_output_tokens: int = 4096,
        context_tokens: int = 0,
        limits: Limits | None = None,
        budgets: Budgets | None = None,
        channel: Redis | Silence | None = None,
    ) -> None:
        self.providers = providers
        self.models = models
        self.recipes = recipes
        self.max_running = max_running
        self.limits = limits or Limits()
        self.costs = Costs(
            providers, recipes.values(), budgets or Budgets(), max_output_tokens, context_tokens
        )
        self.worker = f"{socket.gethostname()[:30]}:{os.getpid()}:{secrets.token_hex(4)}"
        self.channel = channel or Silence(is_up=True)
        self.log = TokenLog(self.worker, self.channel, self._stop_runner)
        self._runners: dict[int, Runner] = {}
        self._reserved = 0
        self._room = Event()
        self._draining = self._has_ended = False
        self._in_charge = False

    def begin(self) -> list[int]:
        """Take over what dead workers left and run what waits.

        What they left running ends as interrupted; returns those ids. Nothing is ever run twice by
        itself, because a second run is a second bill.
        """
        interrupted: list[int] = []
        self.channel.start(identity(), self.worker, self._hear)
        self.log.start()
        for provider in self.providers.values():
            provider.warm()
        try:
            interrupted = self._take_over()
            self._run_waiting()
        except Exception:
            # While nothing can be saved people can still read; the dispatcher tries again.
            logger.exception("could not take over")
        self._dispatcher = gevent.spawn(self._dispatch_forever)
        return interrupted

    def start(
        self,
        document: Document,
        owner: User,
        recipe: str,
        model: str,
        question: str = "",
        request_key: str | None = None,
        continues: Analysis | None = None,
    ) -> tuple[Analysis, bool]:
        """Run an analysis, or queue it until there is room; returns it and whether it is new.

        One that continues another begins with the other's text. What would cost more than there is left of
        the budgets is refused as `Analysis.ask` does.
        """
        text = continues.read() if continues else ""
        most = self.costs.most(document, model, question, continues, text)
        worker = self.worker if self._may_run_at_once() else ""
        is_new = False
        # Kept while the database keeps us waiting: others who start meanwhile find it taken.
        self._reserved += bool(worker)
        try:
            analysis, is_new = Analysis.ask(
                document,
                owner,
                recipe,
                model,
                question,
                request_key,
                continues=continues,
                text=text,
                worker=worker,
                lease_seconds=self.LEASE_SECONDS,
                most=most,
                budgets=self.costs.budgets,
            )
        finally:
            self._reserved -= bool(worker)
            if worker and not is_new:
                # Somebody may have found no room because of it.
                self._room.set()
        if is_new:
            # A row that runs without a runner would be taken for abandoned: nothing may come between.
            if not worker:
                self.channel.tell(["queued"])
                if self._has_room():
                    # Made while the database kept us waiting: nobody else tells the dispatcher.
                    self._room.set()
            elif not self._has_ended:
                self._run(analysis, text)
            logger.info("asked", extra=_facts(analysis) | {"waits": not worker})
        return analysis, is_new

    def cancel(self, id: int) -> None:
        """Stop an analysis and keep its text; without effect on one that has ended."""
        logger.info("stop asked for", extra={"analysis": id})
        # First what costs money, then what is written: the database may keep us waiting.
        self._stop_runner(id)
        self.channel.tell(["stop", id])
        if Analysis.stop(id) is Status.WAITING:
            self.log.conclude(id, Status.STOPPED)
            metrics.ended.labels(Status.STOPPED).inc()
        # Its turn may have come while the database kept us waiting.
        self._stop_runner(id)
        self.channel.tell(["stop", id])

    def suspend(self, person: User) -> None:
        """Shut a person out, and stop all that is asked for: nobody is there to read it."""
        person.suspend()
        # What waits first: it would get the room of what runs.
        for id in Analysis.live_of(person):
            self.cancel(id)

    @property
    def state(self) -> str:
        """Whether it can be given work: `ready`, or else `draining` or `late` with its leases."""
        return "draining" if self._draining else "late" if self.log.is_late else "ready"

    def observe(self, id: int, after: int, viewer: Viewer) -> Iterator[Text | Notice | Ended]:
        """Yield an analysis' text from position `after` as it is saved, then its ending; see `TokenLog`."""
        return self.log.observe(id, after, viewer)

    def delete(self, analysis: Analysis) -> None:
        """Delete an analysis, ending its call and telling its viewers."""
        analysis.delete_one()
        self._let_go(analysis.id)

    def delete_document(self, document: Document) -> None:
        """Delete a document with its analyses, ending their calls and telling their viewers."""
        for id in document.delete_with_analyses():
            self._let_go(id)

    @property
    def is_running(self) -> bool:
        """Whether an analysis runs here, or is about to."""
        return bool(self._runners) or self._reserved > 0

    def retire(self) -> None:
        """Take no more work and send away who can come back; what runs goes on."""
        self._draining = True
        self.log.dismiss(everybody=False)

    def drain(self, grace_seconds: float) -> None:
        """End: take no more work, send the viewers away, interrupt what still runs after a grace."""
        self.retire()
        self._has_ended = True
        self._dispatcher.kill()
        self.log.dismiss()
        running = [runner.greenlet for runner in self._runners.values()]
        gevent.joinall(running, timeout=grace_seconds)
        for runner in list(self._runners.values()):
            runner.stop(Status.INTERRUPTED)
        gevent.joinall(running, timeout=2)
        self.log.stop()
        self.channel.stop()
        for provider in self.providers.values():
            provider.close()
        database.disconnect()

    def _let_go(self, id: int) -> None:
        logger.info("deleted", extra={"analysis": id})
        self._stop_runner(id)
        self.log.forget(id)
        self.channel.tell(["stop", id])

    def _hear(self, message: list[Any]) -> None:
        """Take what another process tells."""
        kind, *rest = message
        if kind == "silence":
            # From now on the database is looked into often, and not at the end of a long wait.
            self._room.set()
            self.log.hear(message)
        elif kind == "queued":
            if self._has_room():
                self._room.set()
        elif kind == "stop":
            self._stop_runner(rest[0])
            self.log.hear(["look", *rest])
        else:
            self.log.hear(message)

    def _stop_runner(self, id: int, status: Status = Status.STOPPED) -> None:
        if runner := self._runners.get(id):
            runner.stop(status)

    def _dispatch_forever(self) -> None:
        while True:
            # Not for ever: what could not be claimed while the database was locked is still there.
            self._room.wait(self.LOOK_SECONDS if self.channel.is_up else self.log.following.POLL_SECONDS)
            self._room.clear()
            try:
                if not self._in_charge:
                    self._take_over()
                self._recover()
                self._run_waiting()
            except Exception:
                # Whatever it was, those who wait need a dispatcher.
                logger.exception("could not look for what waits")

    def _take_over(self) -> list[int]:
        # Whoever else was running is dead, where this process holds the database alone.
        interrupted = self._interrupt_abandoned(is_alone=not database.is_shared)
        self._in_charge = True
        return interrupted

    def _recover(self) -> list[int]:
        """End what nobody runs any more: its runner died, hangs, or its worker lost its lease."""
        for id, runner in list(self._runners.items()):
            # One that has just finished is about to be forgotten.
            if not runner.is_alive and not runner.has_finished:
                logger.error("its runner hangs", extra={"analysis": id})
                runner.greenlet.kill(block=False)
                del self._runners[id]
        return self._interrupt_abandoned()

    def _interrupt_abandoned(self, is_alone: bool = False) -> list[int]:
        found = Analysis.abandoned(self.worker, self._is_run, is_alone)
        interrupted = Analysis.interrupt(found, self.worker, is_alone) if found else []
        metrics.takeovers.inc(len(interrupted))
        for id in interrupted:
            logger.warning("interrupted", extra={"analysis": id, "reference": Analysis.reference_of(id)})
            self.log.conclude(id, Status.INTERRUPTED)
            metrics.ended.labels(Status.INTERRUPTED).inc()
            self.channel.tell(["look", id])
        return interrupted

    def _is_run(self, id: int) -> bool:
        # What is being started has a row before it has a runner.
        return id in self._runners or self._reserved > 0

    def _run_waiting(self) -> None:
        with connected():
            # Looked at first, because a claim takes the database's one lock.
            while self._may_claim() and Analysis.waiting(1):
                self._reserved += 1
                try:
                    analysis = Analysis.claim_next(self.worker, self.LEASE_SECONDS)
                    # One that continues another has a text before it runs.
                    text = Piece.text_of(analysis.id) if analysis and analysis.joins_at else ""
                finally:
                    self._reserved -= 1
                if analysis is None:
                    return
                self._run(analysis, text)
                self.log.notify(analysis.id, None)
                self.channel.tell(["look", analysis.id])

    def _may_claim(self) -> bool:
        return self._has_room() and not self._draining

    def _has_room(self) -> bool:
        return len(self._runners) + self._reserved < self.max_running

    def _may_run_at_once(self) -> bool:
        # Room that was just made belongs to those who wait: the dispatcher is about to give it to them.
        return self._has_room() and not self._room.is_set() and not self._draining

    def _run(self, analysis: Analysis, text: str) -> None:
        self.log.open(analysis.id, text)
        name, _, model = analysis.model.partition(":")
        provider = self.providers.get(name) or Unconfigured()
        window = self.costs.window(analysis.model)
        runner = Runner(
            analysis.id,
            provider,
            model,
            lambda: self._steps(analysis),
            self.log,
            self.limits,
            window,
            lambda asked: self.costs.hold(analysis, asked),
        )
        self._runners[analysis.id] = runner
        metrics.running.set(len(self._runners))
        runner.start().link(lambda _: self._ended(runner))

    def _ended(self, runner: Runner) -> None:
        # Nothing waits while there is room; and what a dead runner left is looked after at once.
        if not self._has_room() or not runner.has_finished:
            self._room.set()
        if self._runners.get(runner.id) is runner:
            del self._runners[runner.id]
        metrics.running.set(len(self._runners))

    def _steps(self, analysis: Analysis) -> Steps:
        if analysis.recipe not in self.recipes:
            raise UnknownRecipe(analysis.recipe)
        with connected():
            document = Document.of(analysis)
            pages = document.read_pages() if document else []
        if document is None:
            raise LeaseLost(analysis.id)
        budget = self.costs.budget_of(analysis.model, analysis.question)
        return Steps(analysis, document, pages, self.recipes[analysis.recipe], self.log, budget)


def _facts(analysis: Analysis) -> dict[str, Any]:
    return {
        "analysis": analysis.id,
        "document": analysis.document.id,
        "recipe": analysis.recipe,
        "model": analysis.model,
        "joins_at": analysis.joins_at,
    }
