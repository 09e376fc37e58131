"""What every answer says about itself to the browser."""

import pytest

from tests.person import Writer


@pytest.fixture
def paths(app, analyzer, document):
    """Every address there is to read, of things that are there."""
    Writer(analyzer, document).write("One.").end()
    rules = [rule for rule in app.url_map.iter_rules() if "GET" in rule.methods]
    return [rule.rule.replace("<id:id>", "1").replace("<path:filename>", "precis.css") for rule in rules]


def test_every_answer_is_guarded(client, paths):
    assert len(paths) >= 10
    for path in [*paths, "/nowhere", "/documents", "/documents/0"]:
        with client.get(path) as answer:
            assert answer.status_code in (200, 404, 405), path
            policy = dict(
                part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";")
            )
            assert policy == {
                "default-src": "'none'",
                "script-src": "'self'",
                "style-src": "'self'",
                "img-src": "'self'",
                "connect-src": "'self'",
                "form-action": "'self'",
                "base-uri": "'none'",
                "frame-ancestors": "'none'",
            }
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Referrer-Policy"] == "same-origin"
            assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
            assert "Set-Cookie" not in answer.headers
            assert {"HX-Request", "HX-Request-Type"} <= set(answer.vary)


def test_answers_to_forms_are_guarded_too(client, document):
    for answer in (
        client.post("/documents"),
        client.post("/documents", data={"text": "Text."}),
        client.post(f"{document}/analyses", data={"recipe": "poem"}),
        client.post(f"{document}/analyses", headers={"Sec-Fetch-Site": "cross-site"}),
    ):
        assert "Content-Security-Policy" in answer.headers
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_no_cache_keeps_what_a_person_wrote(client, paths):
    for path in paths:
        with client.get(path) as answer:
            kept = answer.headers["Cache-Control"]
        if path.startswith("/static"):
            assert "max-age=31536000" in kept
        elif path.endswith(("/stream", "/live")):
            assert kept == "no-store, no-transform"
        else:
            assert kept == "private, no-cache"


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:8000", "[::1]:8000", "LOCALHOST"])
def test_it_answers_to_its_own_names(client, host):
    assert client.get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:8000", "["]
)
@pytest.mark.parametrize("path", ["/", "/documents/1", "/up", "/nowhere", "/static/precis.css"])
def test_any_other_name_is_refused(client, document, host, path):
    answer = client.get(path, headers={"Host": host})
    assert answer.status_code == 400
    assert "Terms of use" not in answer.text
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
