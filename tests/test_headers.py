"""What every answer says about itself to the browser."""

import pytest

from models import Document
from storage import StorageError
from tests.person import Writer, as_person, bring, post_analysis
from tests.routes import pages, routes

POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self'",
    "connect-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}
OTHERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def assert_guarded(answer):
    sent = answer.headers
    (policy,) = sent.getlist("Content-Security-Policy")
    assert dict(part.strip().split(" ", 1) for part in policy.split(";")) == POLICY
    assert {name: sent.getlist(name) for name in OTHERS} == {name: [value] for name, value in OTHERS.items()}
    assert {"HX-Request", "HX-Request-Type"} <= set(answer.vary)
    assert not {"Access-Control-Allow-Origin", "Server", "X-Powered-By"} & set(sent.keys())


@pytest.fixture
def paths(app, analyzer, document):
    """Every address there is to read, of things that are there."""
    Writer(analyzer, document).write("One.").end()
    return pages(app)


@pytest.fixture
def signed_in(make_app):
    """An administrator's browser, of whom there are a document and an analysis."""
    app = make_app(auth="proxy", admins=("root",))
    client = as_person(app, "root")
    Writer(app.extensions["analyzer"], bring(client, "Terms"), owner="root").write("One.").end()
    return client


def test_every_answer_is_guarded(client, paths):
    assert len(paths) >= 20
    for path in [*paths, "/nowhere", "/documents", "/documents/0"]:
        with client.get(path) as answer:
            assert answer.status_code in (200, 303, 404, 405), path
            assert_guarded(answer)
            assert "Set-Cookie" not in answer.headers


def test_every_answer_to_one_who_signed_in_is_guarded(signed_in):
    found = set()
    for path in pages(signed_in.application):
        with signed_in.get(path) as answer:
            found.add(answer.status_code)
            assert_guarded(answer)
    assert {200, 404} <= found


def test_every_refusal_is_guarded(make_app, monkeypatch):
    client = make_app(analyze_limit="1 per minute").test_client()
    document = bring(client, "Terms")
    post_analysis(client, document).close()
    answers = {
        303: client.post("/documents", data={"text": "Text."}),
        400: client.get(document, headers={"Host": "away.example"}),
        403: client.post(f"{document}/analyses", headers={"Sec-Fetch-Site": "cross-site"}),
        404: client.get("/documents/99"),
        405: client.delete(document),
        413: client.post("/documents", environ_overrides={"CONTENT_LENGTH": str(17 << 20)}),
        422: client.post("/documents"),
        429: post_analysis(client, document),
    }
    monkeypatch.setattr(Document, "recent", lambda *_: fail(RuntimeError))
    answers[500] = client.get("/")
    monkeypatch.setattr(Document, "recent", lambda *_: fail(StorageError))
    answers[503] = client.get("/")
    answers[401] = make_app(auth="proxy").test_client().get("/")
    for status, answer in answers.items():
        assert answer.status_code == status
        assert_guarded(answer)


def fail(error):
    raise error("no database")


def test_one_who_signed_in_leaves_nothing_in_the_browsers_cache(signed_in):
    for path in pages(signed_in.application):
        with signed_in.get(path) as answer:
            kept = answer.headers["Cache-Control"]
        assert ("max-age=31536000" if path.startswith("/static") else "no-store") in kept, path
    assert signed_in.post("/documents", data={"text": "Text."}).headers["Cache-Control"] == "no-store"
    nobody = signed_in.application.test_client()
    assert nobody.get("/documents/1").headers["Cache-Control"] == "no-store"


def test_no_cache_between_keeps_what_a_person_wrote(client, paths):
    for path in paths:
        with client.get(path) as answer:
            kept = answer.headers["Cache-Control"]
        if path.startswith("/static"):
            assert "max-age=31536000" in kept
        elif path.endswith(("1/stream", "/live")):
            assert kept == "no-store, no-transform"
        else:
            assert "no-store" in kept or kept == "private, no-cache"
    for path in ("/", "/documents/1", "/analyses/1"):
        assert client.get(path).headers["Cache-Control"] == "private, no-cache"


def test_encrypted_once_is_encrypted_always(make_app):
    told = {"X-Forwarded-Proto": "https"}
    for hops in (0, 1):
        client = make_app(trusted_proxies=hops).test_client()
        for path in ("/", "/nowhere", "/static/precis.css"):
            with client.get(path, base_url="https://localhost") as answer:
                assert answer.headers.getlist("Strict-Transport-Security") == ["max-age=31536000"]
            with client.get(path) as answer:
                assert "Strict-Transport-Security" not in answer.headers
            with client.get(path, headers=told) as answer:
                assert ("Strict-Transport-Security" in answer.headers) == bool(hops)


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:8000", "[::1]:8000", "LOCALHOST"])
def test_it_answers_to_its_own_names(client, host):
    assert client.get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:8000", "["]
)
def test_any_other_name_is_refused_by_every_route(app, client, document, host):
    asked = routes(app)
    assert {("GET", "/static/precis.css"), ("GET", "/analyses/1/stream"), ("GET", "/up")} <= set(asked)
    for method, path in [*asked, ("GET", "/nowhere")]:
        answer = client.open(path, method=method, headers={"Host": host})
        assert answer.status_code == 400, (method, path)
        assert "Terms of use" not in answer.text
        assert "evil" not in answer.text
    assert client.get(document).status_code == 200


def test_a_name_that_a_client_says_it_was_sent_to_counts_behind_a_trusted_proxy_only(make_app):
    for hops in (0, 1):
        client = make_app(trusted_proxies=hops).test_client()
        for path in ("/", "/up", "/static/precis.css"):
            for host, forwarded in (("localhost", "evil.example"), ("evil.example", "localhost")):
                with client.get(path, headers={"Host": host, "X-Forwarded-Host": forwarded}) as answer:
                    believed = forwarded if hops else host
                    assert (answer.status_code == 200) == (believed == "localhost")
                    assert "evil" not in answer.text


def test_the_names_are_a_setting(make_app):
    client = make_app(hosts=("precis.example",)).test_client()
    assert client.get("/", headers={"Host": "precis.example"}).status_code == 200
    assert client.get("/", headers={"Host": "localhost"}).status_code == 400


def test_a_page_links_to_nothing_elsewhere(client, paths):
    for path in paths:
        with client.get(path) as answer:
            if answer.mimetype == "text/html":
                assert "http://" not in answer.text.replace("http-equiv", "")
                assert "https://" not in answer.text
