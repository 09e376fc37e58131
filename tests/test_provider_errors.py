"""What a provider's failures mean, told by status, by code and by the network."""

from __future__ import annotations

import gzip
import socket
import ssl
import subprocess
from contextlib import ExitStack

import gevent
import httpx2
import pytest
from gevent.queue import Queue
from gevent.resolver.ares import Resolver
from gevent.server import DatagramServer, StreamServer

from providers import streaming
from providers.anthropic import Anthropic
from providers.base import (
    BadRequest,
    Broken,
    Busy,
    KeyRefused,
    OutOfCredit,
    TooLong,
    UnknownModel,
    Unreachable,
)
from providers.openai import OpenAI
from tests.scripted_provider import WIRES, Script
from tests.ways import DOCUMENT, PATHS, Ways, fail, make, read


def openai_error(code, type="invalid_request_error", message="No."):
    return {"error": {"code": code, "type": type, "message": message, "param": None}}


def anthropic_error(type, message="No.", **details):
    return {"type": "error", "error": {"type": type, "message": message, "details": details or None}}


OPENAI_ERRORS = [
    (400, None, BadRequest),
    (400, openai_error("context_length_exceeded"), TooLong),
    (400, openai_error(None, message="This model's maximum context length is 128000 tokens."), TooLong),
    (400, openai_error(None, "exceed_context_size_error"), TooLong),
    (400, openai_error("billing_hard_limit_reached"), OutOfCredit),
    (400, openai_error(None, message="You have hit your monthly spending limit."), OutOfCredit),
    (401, None, KeyRefused),
    (402, None, OutOfCredit),
    (403, openai_error("account_suspended"), KeyRefused),
    (403, openai_error("credit_balance_exhausted"), OutOfCredit),
    (404, None, UnknownModel),
    (400, openai_error("model_not_found"), UnknownModel),
    (413, "<html>too large</html>", TooLong),
    (422, None, BadRequest),
    (429, None, Busy),
    (429, openai_error("insufficient_quota", "insufficient_quota"), OutOfCredit),
    (429, openai_error("billing_not_active"), OutOfCredit),
    (429, openai_error(None, "usage_limit_reached"), OutOfCredit),
    (500, None, Busy),
    (502, "<html>bad gateway</html>", Busy),
    (503, "", Busy),
    (529, None, Busy),
]
ANTHROPIC_ERRORS = [
    (400, None, BadRequest),
    (
        400,
        anthropic_error("invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"),
        TooLong,
    ),
    (400, anthropic_error("invalid_request_error", "Your credit balance is too low"), OutOfCredit),
    (400, anthropic_error("invalid_request_error", "You have reached your API usage limits."), OutOfCredit),
    (400, anthropic_error("invalid_request_error", error_code="credit_balance_exhausted"), OutOfCredit),
    (400, anthropic_error("billing_error"), OutOfCredit),
    (403, anthropic_error("permission_error", error_code="enforced_spend_limit_reached"), OutOfCredit),
    (401, None, KeyRefused),
    (402, None, OutOfCredit),
    (403, None, KeyRefused),
    (404, None, UnknownModel),
    (413, None, TooLong),
    (429, None, OutOfCredit),
    (500, None, Busy),
    (502, "<html>bad gateway</html>", Busy),
    (504, None, Busy),
    (529, None, Busy),
]
ERRORS = [
    *(("openai-responses", *row) for row in OPENAI_ERRORS),
    *(("openai-chat", *row) for row in OPENAI_ERRORS),
    *(("anthropic", *row) for row in ANTHROPIC_ERRORS),
]

OPENAI_EVENTS = [
    (None, Busy),
    ({"code": "insufficient_quota", "message": "No."}, OutOfCredit),
    ({"code": "credit_balance_exhausted", "message": "No."}, OutOfCredit),
    ({"code": "model_not_found", "message": "No."}, UnknownModel),
    ({"code": "context_length_exceeded", "message": "No."}, TooLong),
    ({"code": "rate_limit_exceeded", "message": "No."}, Busy),
    ({"code": "invalid_prompt", "message": "No."}, BadRequest),
]
EVENTS = [
    *(("openai-responses", error, kind) for error, kind in OPENAI_EVENTS),
    *(("openai-chat", error and {"error": error}, kind) for error, kind in OPENAI_EVENTS),
    ("openai-chat", {"error": {"code": 429, "message": "No."}}, Busy),
    ("openai-chat", {"error": "out of memory"}, Busy),
    ("anthropic", None, Busy),
    ("anthropic", anthropic_error("rate_limit_error"), Busy),
    ("anthropic", anthropic_error("api_error"), Busy),
    ("anthropic", anthropic_error("not_found_error"), UnknownModel),
    ("anthropic", anthropic_error("billing_error"), OutOfCredit),
    ("anthropic", anthropic_error("permission_error", error_code="credit_balance_exhausted"), OutOfCredit),
    ("anthropic", anthropic_error("authentication_error"), KeyRefused),
    ("anthropic", anthropic_error("invalid_request_error", "prompt is too long: 9 > 8"), TooLong),
]


class TestErrors(Ways):
    @pytest.mark.parametrize(("way", "status", "error", "kind"), ERRORS)
    def test_a_refusal_is_told_by_status_and_code_and_not_repeated(
        self, provider, scripted, status, error, kind
    ):
        scripted.script(status=status, error=error)
        text, failure, _ = fail(provider)
        assert type(failure) is kind
        assert (text, failure.status, failure.request_id) == ("", status, "req_1")
        assert scripted.calls == 1

    @pytest.mark.parametrize(("way", "error", "kind"), EVENTS)
    def test_an_error_event_before_any_text_is_told_by_its_code(self, provider, scripted, error, kind):
        scripted.script(fault="error_event", at=0, error=error)
        failure = fail(provider)[1]
        assert type(failure) is kind
        assert failure.request_id == "req_1"
        assert scripted.calls == 1

    def test_an_error_event_in_place_of_a_reply_is_busy(self, way, provider, scripted):
        path = PATHS[way]
        scripted.script(raw=WIRES[path](Script(), "m").error(None))
        text, failure, _ = fail(provider)
        assert (text, type(failure), scripted.calls) == ("", Busy, 1)

    def test_an_error_event_after_text_breaks_the_reply(self, provider, scripted):
        scripted.script(fault="error_event", at=3)
        text, failure, _ = fail(provider)
        assert type(failure) is Broken
        assert text == "".join(Script().tokens[:3])

    @pytest.mark.parametrize("value", ["7", "Wed, 21 Oct 2099 07:28:00 GMT"])
    def test_busy_says_when_to_come_back(self, provider, scripted, value):
        scripted.script(status=429, headers={"Retry-After": value})
        failure = fail(provider)[1]
        assert type(failure) is Busy
        assert failure.retry_after == 7 if value == "7" else failure.retry_after > 1e6

    def test_money_is_told_by_its_code_whatever_else_is_said(self, provider, scripted):
        error = anthropic_error("rate_limit_error", error_code="enforced_spend_limit_reached")
        scripted.script(status=429, headers={"Retry-After": "7"}, error=error)
        assert type(fail(provider)[1]) is OutOfCredit
        assert scripted.calls == 1

    @pytest.mark.parametrize(
        "value", ["soon", "²", "-1", "nan", "1e9", "", "Sun, 06 Nov 99999999999 08:49:37 GMT"]
    )
    def test_an_unreadable_retry_after_is_none(self, provider, scripted, value):
        scripted.script(status=503, headers={"Retry-After": value})
        assert fail(provider)[1].retry_after is None

    def test_what_the_provider_quotes_is_not_passed_on(self, provider, scripted):
        scripted.script(status=400, error={"error": {"message": f"bad input: {DOCUMENT}", "type": "x"}})
        assert DOCUMENT not in str(fail(provider)[1])

    def test_a_wrong_key_and_an_unknown_model(self, provider, scripted):
        scripted.key, scripted.known_models = "key", ["m"]
        assert read(provider)[0]
        assert type(fail(provider, "old")[1]) is UnknownModel
        scripted.key = "another"
        assert type(fail(provider)[1]) is KeyRefused

    def test_a_closed_port_and_failing_tls_are_unreachable(self, way, scripted):
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            port = closed.getsockname()[1]
            for url in (
                f"http://127.0.0.1:{port}",
                scripted.url.replace("http:", "https:"),
                "ftp://127.0.0.1",
            ):
                provider = make(way, url)
                assert type(fail(provider)[1]) is Unreachable
                provider.close()
        assert scripted.calls == 0

    def test_a_name_that_nobody_knows_is_unreachable(self, way, names_asked_for):
        for host in ("provider.invalid", "two..dots", "x" * 64):
            provider = make(way, f"http://{host}")
            assert type(fail(provider)[1]) is Unreachable
            provider.close()
        assert any(b"provider" in question for question in names_asked_for)

    def test_a_certificate_that_nobody_vouches_for_is_unreachable(self, way, vain_server):
        port, failures = vain_server
        provider = make(way, f"https://127.0.0.1:{port}")
        assert type(fail(provider)[1]) is Unreachable
        provider.close()
        assert failures.get(timeout=30).reason == "TLSV1_ALERT_UNKNOWN_CA"

    def test_a_connection_that_is_not_accepted_in_time_is_unreachable(self, way):
        with ExitStack() as stack:
            full = stack.enter_context(socket.socket())
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            # The one place in the queue is taken, so that the next one's call for attention is dropped.
            stack.enter_context(socket.create_connection(full.getsockname()))
            kind = Anthropic if way == "anthropic" else OpenAI
            provider = kind("key", f"http://127.0.0.1:{full.getsockname()[1]}", connect_seconds=0.05)
            failure = fail(provider)[1]
            provider.close()
        assert (type(failure), str(failure)) == (Unreachable, "ConnectTimeout")

    def test_silence_at_the_socket_is_broken(self, way, scripted):
        scripted.script(fault="silence", at=2)
        kind = Anthropic if way == "anthropic" else OpenAI
        provider = kind("key", scripted.url if kind is Anthropic else scripted.openai_url, read_seconds=0.05)
        assert type(fail(provider)[1]) is Broken
        provider.close()

    @pytest.mark.parametrize("coding", ["gzip", "deflate", "identity, gzip", "GZIP", "unheard-of"])
    def test_a_compressed_reply_is_refused_and_not_unpacked(self, way, provider, scripted, coding):
        body = Script().body(PATHS[way])
        scripted.script(raw=gzip.compress(body), headers={"Content-Encoding": coding})
        text, failure, _ = fail(provider)
        assert (text, type(failure), str(failure)) == ("", Broken, "DecodingError")
        assert scripted.requests[0]["headers"]["accept-encoding"] == "identity"
        scripted.script(raw=body, headers={"Content-Encoding": "Identity"})
        assert read(provider)[0] == Script().text

    def test_a_compressed_refusal_is_told_by_its_status_alone(self, provider, scripted):
        error = gzip.compress(b'{"error": {"code": "credit_balance_exhausted"}}')
        scripted.script(status=503, raw=error, headers={"Content-Encoding": "gzip", "Retry-After": "7"})
        failure = fail(provider)[1]
        assert (type(failure), failure.status, failure.retry_after) == (Busy, 503, 7)

    def test_an_answer_that_is_no_stream_is_broken(self, provider, scripted):
        scripted.script(status=203, error="<html>Welcome to this hotspot</html>")
        assert type(fail(provider)[1]) is Broken


@pytest.fixture
def names_asked_for():
    """What a resolver was asked that asks nobody but this machine, and finds no name."""
    questions = []

    def deny(message, address):
        questions.append(question := message[12 : message.index(0, 12) + 5])
        server.sendto(message[:2] + b"\x81\x83\0\1" + bytes(6) + question, address)

    server = DatagramServer("127.0.0.1:0", deny)
    server.start()
    hub = gevent.get_hub()
    usual = hub.resolver
    hub.resolver = Resolver(hub, use_environ=False, servers=["127.0.0.1"], udp_port=server.server_port)
    yield questions
    hub.resolver.close()
    hub.resolver = usual
    server.stop()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A certificate that vouches for itself, with its key."""
    file = tmp_path_factory.mktemp("tls") / "own.pem"
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", file]
    name = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-out", f"{file}.crt"]
    subprocess.run(["openssl", "req", "-x509", *key, *name], check=True, capture_output=True)
    return f"{file}.crt", file


@pytest.fixture
def vain_server(certificate):
    """A server with that certificate: its port, and what its callers said of it."""
    failures = Queue()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)

    def meet(sock, _address):
        try:
            context.wrap_socket(sock, server_side=True)
        except ssl.SSLError as failure:
            failures.put(failure)

    server = StreamServer(("127.0.0.1", 0), meet)
    server.start()
    yield server.server_port, failures
    server.stop()


def test_every_failure_of_the_network_library_is_one_we_name():
    kinds = [kind for kind in vars(httpx2).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    named = [kind for kind in kinds if not issubclass(kind, (Warning, httpx2.CookieConflict))]
    assert len(named) > 15
    assert all(issubclass(kind, streaming.FAILURES) for kind in named)
