"""Who asks: the one local person, or whom a proxy names."""

import pytest

from tests.person import as_person, bring


@pytest.fixture
def app(make_app):
    """Precis behind a proxy that signs people in."""
    return make_app(auth="proxy")


def test_each_person_has_their_own_documents(app):
    anna, ben = as_person(app, "anna"), as_person(app, "ben")
    document = bring(anna, "A text of Anna's.")
    assert anna.get(document).status_code == 200
    assert ben.get(document).status_code == 404
    assert "A text of Anna" not in ben.get("/").text


def test_the_header_counts_from_the_proxys_addresses_only(app):
    anna = as_person(app, "anna")
    document = bring(anna, "A text of Anna's.")
    for address, status in (("127.0.0.1", 200), ("::1", 200), ("", 200), ("192.0.2.1", 401)):
        assert anna.get(document, environ_base={"REMOTE_ADDR": address}).status_code == status, address


def test_nobody_gets_a_sentence_and_nothing_else(app):
    answer = app.test_client().get("/")
    assert answer.status_code == 401
    assert "Nobody has signed in" in answer.text
    assert "<textarea" not in answer.text
