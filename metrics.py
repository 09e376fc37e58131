"""What is measured, in few numbers for Prometheus: none for each token, and no word of anybody's in one.

Calls to providers are named as OpenTelemetry's conventions for generative AI name them. A label's value comes
out of a small set: the models on offer, the endings, the classes of errors.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gevent
from prometheus_client import (
    CONTENT_TYPE_PLAIN_0_0_4,
    REGISTRY,
    Counter,
    Gauge,
    Histogram,
    Metric,
    disable_created_metrics,
    generate_latest,
)

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

# Half as many lines: when a series began is of use to nobody here.
disable_created_metrics()

MODEL = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model")
# The conventions' own bounds, and three more: an answer may take ten minutes.
CALL_SECONDS = [0.01 * 2**n for n in range(17)]
FAST_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

call_seconds = Histogram(
    "gen_ai_client_operation_duration_seconds",
    "A call to a provider, from asking to its end; error_type is empty where none went wrong.",
    (*MODEL, "error_type"),
    buckets=CALL_SECONDS,
)
first_text_seconds = Histogram(
    "gen_ai_client_operation_time_to_first_chunk_seconds",
    "From asking a provider to its first text.",
    MODEL,
    buckets=CALL_SECONDS,
)
tokens = Histogram(
    "gen_ai_client_token_usage",
    "Tokens of an analysis, estimated where the provider did not tell.",
    (*MODEL, "gen_ai_token_type"),
    buckets=[4**n for n in range(14)],
)
ended = Counter("precis_analyses_ended", "Analyses that ended, by how.", ["status"])
running = Gauge("precis_analyses_running", "Analyses that run in this process.")
viewers = Gauge("precis_viewers", "Streams and live pages that are being watched from this process.")
commit_seconds = Histogram(
    "precis_commit_seconds",
    "A tick's write transaction, waits for the database included.",
    buckets=FAST_SECONDS,
)
commit_failures = Counter("precis_commit_failures", "Ticks of which nothing could be saved.")
cancel_seconds = Histogram(
    "precis_cancel_seconds", "From hearing of a stop to the provider's closed socket.", buckets=FAST_SECONDS
)
takeovers = Counter("precis_lease_takeovers", "Analyses ended here because nobody ran them any more.")
limit_fallbacks = Counter(
    "precis_limit_fallbacks", "Starts that a process counted by itself because Redis did not answer."
)
event_failures = Counter("precis_event_failures", "Times that events could not be saved; they wait.")
events_lost = Counter("precis_events_lost", "Events that are in the log only.")
channel_up = Gauge("precis_channel_up", "1 while other processes are heard through Redis, or there are none.")


class Call:
    """One call to a provider, measured from entering to leaving; that it was stopped is no error."""

    def __init__(self, provider: str, model: str) -> None:
        self._labels = ("chat", provider, model)

    def __enter__(self) -> Call:
        self._began = time.monotonic()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        error = kind.__name__ if kind and issubclass(kind, Exception) else ""
        call_seconds.labels(*self._labels, error).observe(time.monotonic() - self._began)

    def has_text(self) -> None:
        """Note its first text."""
        first_text_seconds.labels(*self._labels).observe(time.monotonic() - self._began)


def spent(provider: str, model: str, input: int | None, output: int | None) -> None:
    """Note the tokens of an analysis, as far as they are known."""
    for kind, count in (("input", input), ("output", output)):
        if count is not None:
            tokens.labels("chat", provider, model, kind).observe(count)


# Telling


class Shared:
    """The numbers of all processes that share a folder, told apart by `pid`; others' are some seconds old.

    The client's own way for several processes sums up what is alive and what is dead, has no figures of the
    processes themselves, and wants a variable of the environment before anything is imported.
    """

    SECONDS = 5.0

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write_forever(self) -> None:
        """Leave this process's numbers for the others, again and again."""
        while True:
            # A full disk is told by the next answer, which needs to write too.
            with suppress(OSError):
                self.write()
            gevent.sleep(self.SECONDS)

    def write(self) -> None:
        """Leave this process's numbers for the others."""
        families = [
            (family.name, family.documentation, family.type, [sample[:3] for sample in family.samples])
            for family in REGISTRY.collect()
        ]
        file = self.folder / f"{os.getpid()}.json"
        part = file.with_suffix(".part")
        part.write_text(json.dumps(families))
        part.replace(file)

    def forget(self, pid: int) -> None:
        """Remove what a process has left that is dead."""
        (self.folder / f"{pid}.json").unlink(missing_ok=True)

    def collect(self) -> Iterable[Metric]:
        """Return the numbers of all, this process's as they are now."""
        self.write()
        merged: dict[str, Metric] = {}
        for file in sorted(self.folder.glob("*.json")):
            # It may have died a moment ago.
            with suppress(FileNotFoundError):
                for name, documentation, kind, samples in json.loads(file.read_text()):
                    family = merged.setdefault(name, Metric(name, documentation, kind))
                    for sample, labels, value in samples:
                        family.add_sample(sample, labels | {"pid": file.stem}, value)
        return merged.values()


def exposition(source: Any, waiting: int | None) -> bytes:
    """Return the numbers of a `source` in Prometheus' form, with those who wait where they are known."""
    families = list(source.collect())
    if waiting is not None:
        # Of the whole installation, and so of no process: what another one last saw would be wrong.
        family = Metric("precis_analyses_waiting", "Analyses that wait for their turn, anywhere.", "gauge")
        family.add_sample(family.name, {}, waiting)
        families.append(family)
    return generate_latest(SimpleNamespace(collect=lambda: families))
