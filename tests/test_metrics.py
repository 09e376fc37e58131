"""What is measured, as Prometheus reads it."""

import os
import re
import signal
from collections import defaultdict
from datetime import timedelta

import gevent
import httpx2
import pytest
from gevent.event import Event
from limits.storage import storage_from_string
from limits.strategies import MovingWindowRateLimiter
from prometheus_client.parser import text_string_to_metric_families

from analyzer.channel import Redis
from analyzer.runner import Runner
from models import Analysis, Status, now
from storage import StorageError, saving
from tests.person import ask, finished, row, settle, stream
from tests.precis import ROOT, Precis, free_port
from tests.processes import is_alive
from tests.scale import environment
from tests.test_server import wait_until
from views.helpers.limits import OPTIONS, Counter

CALLS = "gen_ai_client_operation_duration_seconds_count"
FIRST_TEXTS = "gen_ai_client_operation_time_to_first_chunk_seconds_count"
TOKENS = "gen_ai_client_token_usage_sum"
OPENAI = {"gen_ai_provider_name": "openai", "gen_ai_request_model": "gpt-6-sol"}


class Numbers:
    """What one answer of /metrics says."""

    def __init__(self, text):
        self.samples = defaultdict(list)
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                self.samples[sample.name].append(sample)

    def __call__(self, name, **labels):
        """Return the sum of a name's samples with these labels."""
        found = self.samples[name]
        return sum(sample.value for sample in found if labels.items() <= sample.labels.items())

    def values(self, label):
        """Return all that a label says anywhere."""
        samples = (sample for samples in self.samples.values() for sample in samples)
        return {sample.labels[label] for sample in samples if label in sample.labels}


@pytest.fixture
def numbers(client):
    """Ask for the numbers; each test compares with those before it, which other tests have counted up."""

    def ask_for(**headers):
        answer = client.get("/metrics", headers=headers)
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        return Numbers(answer.text)

    return ask_for


@pytest.fixture
def difference(numbers):
    """Return by how much a number grew since the test began."""
    before = numbers()
    return lambda name, **labels: numbers()(name, **labels) - before(name, **labels)


def test_an_answer_is_counted_with_its_call_its_first_text_and_its_tokens(
    client, analyzer, document, provider, difference
):
    provider.script(text="One two three", usage={"input": 120, "output": 30})
    finished(client, document)
    settle(analyzer)
    assert difference("precis_analyses_ended_total", status="complete") == 1
    assert difference("precis_analyses_ended_total") == 1
    assert difference(CALLS, **OPENAI, gen_ai_operation_name="chat", error_type="") == 1
    assert difference(FIRST_TEXTS, **OPENAI) == 1
    assert difference(TOKENS, **OPENAI, gen_ai_token_type="input") == 120
    assert difference(TOKENS, **OPENAI, gen_ai_token_type="output") == 30
    assert difference("precis_commit_seconds_count") >= 2


def test_each_call_is_counted_by_what_went_wrong_with_it(
    client, analyzer, document, provider, difference, monkeypatch
):
    monkeypatch.setattr(Runner, "PAUSES", (0.01, 0.01))
    provider.script(text="One", status=529, times=1)
    finished(client, document)
    settle(analyzer)
    assert difference(CALLS, **OPENAI, error_type="Busy") == 1
    assert difference(CALLS, **OPENAI, error_type="") == 1
    assert difference(FIRST_TEXTS, **OPENAI) == 1
    provider.script(status=401)
    finished(client, document)
    settle(analyzer)
    assert difference(CALLS, **OPENAI, error_type="KeyRefused") == 1
    assert difference("precis_analyses_ended_total", status="failed") == 1


def test_a_stop_is_timed_and_no_error(client, analyzer, document, provider, difference):
    provider.script(text="One two three", fault="silence", at=1)
    analysis = ask(client, document)
    provider.wait(calls=1)
    client.post(f"{analysis}/cancellation")
    settle(analyzer)
    assert difference("precis_cancel_seconds_count") == 1
    assert difference("precis_cancel_seconds_sum") < 1
    assert difference("precis_analyses_ended_total", status="stopped") == 1
    assert difference(CALLS, **OPENAI, error_type="") == 1
    assert difference(CALLS) == 1


def test_it_tells_how_many_run_wait_and_watch_at_this_moment(make_app, provider):
    app = make_app(max_running=1)
    client = app.test_client()
    document = client.post("/documents", data={"text": "Text."}).headers["Location"]

    def at_this_moment():
        told = Numbers(client.get("/metrics").text)
        names = ("precis_analyses_running", "precis_analyses_waiting", "precis_viewers")
        return tuple(told(name) for name in names)

    provider.script(text="One two", fault="silence", at=1)
    first, second = ask(client, document), ask(client, document, recipe="risks")
    with stream(client, first):
        assert at_this_moment() == (1, 1, 1)
    assert at_this_moment() == (1, 1, 0)
    before = Numbers(client.get("/metrics").text)
    for analysis in (second, first):
        client.post(f"{analysis}/cancellation")
    settle(app.extensions["analyzer"])
    assert at_this_moment() == (0, 0, 0)
    stopped = {"name": "precis_analyses_ended_total", "status": "stopped"}
    assert Numbers(client.get("/metrics").text)(**stopped) - before(**stopped) == 2


def test_what_cannot_be_saved_is_counted(client, analyzer, document, provider, difference, monkeypatch):
    failed = Event()

    def refuse(*args):
        failed.set()
        raise StorageError("disk I/O error")

    provider.script(text="One two three", rate=50)
    with monkeypatch.context() as patch:
        patch.setattr(Analysis, "commit", refuse)
        ask(client, document)
        assert failed.wait(30)
    settle(analyzer)
    assert difference("precis_commit_failures_total") >= 1


def test_who_ends_what_nobody_runs_any_more_counts_it(make_app, provider, document):
    client = make_app().test_client()
    document = client.post("/documents", data={"text": "Text."}).headers["Location"]
    provider.script(text="One two", fault="silence", at=1)
    analysis = ask(client, document)
    before = Numbers(client.get("/metrics").text)

    @saving
    def disown():
        Analysis.update(worker="dead", lease_until=now() - timedelta(hours=1)).execute()

    disown()
    client = make_app().test_client()
    after = Numbers(client.get("/metrics").text)
    assert row(analysis).status == "interrupted"
    for name, labels in [
        ("precis_lease_takeovers_total", {}),
        ("precis_analyses_ended_total", {"status": "interrupted"}),
    ]:
        assert after(name, **labels) - before(name, **labels) == 1


def test_it_tells_whether_the_channel_is_up(analyzer, numbers, monkeypatch):
    def told():
        analyzer.log.following.looks.set()
        gevent.sleep(0)
        return numbers()("precis_channel_up")

    assert told() == 1
    # One that has heard nothing yet.
    monkeypatch.setattr(analyzer.log.following, "channel", Redis(f"redis://127.0.0.1:{free_port()}/0"))
    assert told() == 0


def test_starts_that_a_process_counts_by_itself_are_counted(make_app):
    app = make_app()
    away = storage_from_string(f"redis://127.0.0.1:{free_port()}/0", **OPTIONS)
    app.extensions["starts"] = Counter(MovingWindowRateLimiter(away))
    app.config["ANALYZE_LIMIT"] = "9 per minute"
    client = app.test_client()
    document = client.post("/documents", data={"text": "Text."}).headers["Location"]
    before = Numbers(client.get("/metrics").text)
    for recipe in ("brief", "risks"):
        ask(client, document, recipe=recipe, model="offline:extractive")
    after = Numbers(client.get("/metrics").text)
    assert after("precis_limit_fallbacks_total") - before("precis_limit_fallbacks_total") == 2


def test_the_process_tells_its_own_figures(numbers):
    told = numbers()
    assert told("process_resident_memory_bytes") > 1e7
    assert told("process_open_fds") < told("process_max_fds")
    assert told("process_cpu_seconds_total") > 0


def test_no_word_of_a_person_or_a_model_is_in_it(client, analyzer, provider):
    secret = "Zyzzogeton"
    provider.script(text=f"{secret} {secret}")
    document = client.post("/documents", data={"title": secret, "text": secret}).headers["Location"]
    finished(client, document, recipe="question", question=secret)
    settle(analyzer)
    assert secret not in client.get("/metrics").text


def test_a_label_says_only_what_is_known_before(client, document, numbers):
    for model in ("nobody:nothing", "openai:other", secret := "x" * 100):
        client.post(f"{document}/analyses", data={"recipe": "brief", "model": model})
    assert secret not in numbers().values("gen_ai_request_model")
    assert {"other", "nothing"}.isdisjoint(numbers().values("gen_ai_request_model"))
    assert numbers().values("status") <= {str(status) for status in Status}


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "Via", "X-Real-IP"])
def test_what_a_proxy_passes_on_is_not_answered(client, header):
    answer = client.get("/metrics", headers={header: "192.0.2.1"})
    assert answer.status_code == 404
    assert "precis_" not in answer.text


def test_without_its_database_all_but_those_who_wait_is_told(client, numbers, monkeypatch):
    assert "precis_analyses_waiting" in numbers().samples

    def refuse(*args):
        raise StorageError("gone")

    monkeypatch.setattr(Analysis, "count_waiting", refuse)
    assert "precis_analyses_waiting" not in numbers().samples
    assert "precis_viewers" in numbers().samples


def test_a_database_that_hangs_does_not_hold_it_up(client, numbers, monkeypatch):
    monkeypatch.setattr("views.metrics.PATIENCE_SECONDS", 0.01)
    monkeypatch.setattr(Analysis, "count_waiting", Event().wait)
    assert "precis_viewers" in numbers().samples


def test_a_process_without_pages_tells_its_numbers(make_app):
    client = make_app(role="worker").test_client()
    assert client.get("/").status_code == 404
    assert "precis_analyses_running" in client.get("/metrics").text


def test_any_of_several_workers_tells_the_numbers_of_all_that_live(scale, tmp_path, provider):
    place = environment(scale.create())
    with Precis(tmp_path, provider, **place, PRECIS_WORKERS="2", TMPDIR=str(tmp_path)) as precis:
        precis.start()

        def numbers():
            return Numbers(httpx2.get(f"{precis.url}/metrics").text)

        def both_tell():
            return len(numbers().values("pid")) == 2

        (folder,) = tmp_path.glob("precis-*")
        # Before anybody has asked.
        wait_until(lambda: len(list(folder.glob("*.json"))) == 2)
        assert both_tell()
        pids = numbers().values("pid")
        assert all(is_alive(int(pid)) for pid in pids)
        assert all(numbers()("process_resident_memory_bytes", pid=pid) > 1e7 for pid in pids)
        dead = min(pids)
        os.kill(int(dead), signal.SIGKILL)
        wait_until(lambda: numbers().values("pid") - {dead} != pids - {dead} and both_tell())
        assert dead not in numbers().values("pid")
        assert precis.stop() == 0
        assert not folder.exists()


def test_the_guide_explains_each_number_and_names_no_other(client):
    guide = (ROOT / "docs" / "operations.md").read_text()
    # Its types, because what has labels has no value before its first call.
    ours = set(re.findall(r"^# TYPE ((?:precis|gen_ai)_\w+)", client.get("/metrics").text, re.MULTILINE))
    table = guide.partition("### Numbers")[2].partition("### Alerts")[0]
    assert {name for name in re.findall(r"^\| `(\w+)[`{]", table, re.MULTILINE) if "_…" not in name} == ours
    alerts = guide.partition("### Alerts")[2].partition("## Logs")[0]
    named = set(re.findall(r"\b(?:precis|gen_ai_client)_\w+", alerts))
    assert {re.sub(r"_(bucket|count|sum)$", "", name) for name in named} <= ours


def test_each_alert_leads_to_what_is_to_be_done():
    guide, runbook = ((ROOT / "docs" / name).read_text() for name in ("operations.md", "runbook.md"))
    headings = {line[3:].lower().replace(" ", "-") for line in runbook.splitlines() if line.startswith("## ")}
    led_to = set(re.findall(r"runbook\.md#([\w-]+)", guide)) | set(re.findall(r"\]\(#([\w-]+)\)", runbook))
    assert len(led_to) > 5
    assert led_to <= headings
