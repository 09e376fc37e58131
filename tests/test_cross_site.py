"""Another site's page cannot make a person's browser act here."""

import pytest

# Sec-Fetch-Site, Origin, and whether a request that would change something is let in.
TABLE = [
    ("same-origin", "http://localhost", True),
    ("same-origin", None, True),
    ("none", None, True),
    ("same-site", "http://other.localhost", False),
    ("cross-site", "http://evil.example", False),
    ("cross-site", None, False),
    ("cross-site", "http://localhost", False),
    ("", None, False),
    ("Same-Origin, cross-site", None, False),
    (None, "http://localhost", True),
    (None, "https://localhost", True),
    (None, "http://localhost:81", False),
    (None, "http://evil.example", False),
    (None, "http://localhost.evil.example", False),
    (None, "http://evil.example/localhost", False),
    (None, "http://localhost@evil.example", False),
    (None, "http://[", False),
    (None, "null", False),
    (None, "", False),
    (None, None, True),
]


def unsafe_routes(app):
    """Return every (method, path) that may change something, with the ids of things that are not there."""
    return [
        (method, rule.rule.replace("<id:id>", "99"))
        for rule in app.url_map.iter_rules()
        for method in sorted(rule.methods - {"GET", "HEAD", "OPTIONS"})
    ]


@pytest.mark.parametrize(("site", "origin", "is_let_in"), TABLE)
def test_what_changes_something_is_let_in_from_here_only(app, client, site, origin, is_let_in):
    routes = unsafe_routes(app)
    assert len(routes) >= 5
    headers = {"Sec-Fetch-Site": site, "Origin": origin}
    for method, path in routes:
        answer = client.open(
            path, method=method, headers={name: value for name, value in headers.items() if value is not None}
        )
        assert (answer.status_code != 403) is is_let_in, (method, path)
        assert answer.status_code in (404, 422) if is_let_in else "another site" in answer.text
        assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_other_methods_are_refused_before_they_are_looked_at(client, document, method):
    assert client.open(document, method=method, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert client.open(document, method=method).status_code == 405


def test_reading_is_open_to_links_from_anywhere(client, document):
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://evil.example"}):
        assert client.get("/", headers=headers).status_code == 200
        assert client.get(document, headers=headers).status_code == 200


def test_htmx_gets_the_refusal_as_a_fragment(client, document):
    headers = {"HX-Request": "true", "Sec-Fetch-Site": "cross-site"}
    answer = client.post(f"{document}/analyses", headers=headers)
    assert answer.status_code == 403
    assert answer.text == "This request came from another site. Open the page here and try again."


def test_no_route_that_reads_changes_anything(app, client, document, provider):
    for rule in app.url_map.iter_rules():
        if "GET" in rule.methods and rule.endpoint != "static":
            client.get(rule.rule.replace("<id:id>", "1")).get_data()
    assert client.get(document).status_code == 200
    assert provider.calls == 0
