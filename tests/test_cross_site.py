"""Another site's page cannot make a person's browser act here."""

import pytest

from models import Reading, User
from storage import connected, database
from tests.person import HTMX, PARTIAL, Writer, as_person, bring
from tests.routes import pages, routes

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


@pytest.mark.parametrize(("site", "origin", "is_let_in"), TABLE)
def test_what_changes_something_is_let_in_from_here_only(app, client, site, origin, is_let_in):
    # Of things that are not there.
    unsafe = [(method, path) for method, path in routes(app, id=99) if method != "GET"]
    assert len(unsafe) >= 10
    headers = {"Sec-Fetch-Site": site, "Origin": origin}
    for method, path in unsafe:
        answer = client.open(
            path, method=method, headers={name: value for name, value in headers.items() if value is not None}
        )
        assert (answer.status_code != 403) is is_let_in, (method, path)
        assert answer.status_code in (303, 404, 422) if is_let_in else "another site" in answer.text
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


# What search notes down for itself, what may be looked up, and when somebody was last here.
NOTED = ("document_words", "analysis_words", "unsearched", "event", "sqlite_", "migratehistory", "session")


def kept():
    """Return all that is kept, by table."""
    with connected():
        names = [name for name in database.get_tables() if not name.startswith(NOTED)]
        rows = {name: database.execute_sql(f'SELECT * FROM "{name}"').fetchall() for name in names}
        seen_at = [column.name for column in database.get_columns("user")].index("seen_at")
    rows["user"] = [row[:seen_at] + row[seen_at + 1 :] for row in rows["user"]]
    return rows


@pytest.mark.parametrize("auth", ["none", "proxy"])
def test_no_route_that_reads_changes_anything(make_app, provider, auth):
    app = make_app(auth=auth, admins=("root",))
    client = as_person(app, "root")
    owner = "root" if auth == "proxy" else User.LOCAL
    Writer(app.extensions["analyzer"], bring(client, "Terms", title="Terms"), owner=owner).write("One.").end()
    with connected():
        Reading.begin(User.named(owner), "long.pdf", "", 1, 300)
    before = kept()
    assert all(before[name] for name in ("user", "document", "analysis", "reading"))
    # The ticks last for seconds, and know of no database.
    for path in set(pages(app)) - {"/up/stream"}:
        for headers in ({}, HTMX, PARTIAL):
            with client.get(path, headers=headers) as answer:
                answer.get_data()
    assert kept() == before
    assert provider.calls == 0
