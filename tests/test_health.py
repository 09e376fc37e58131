"""Whether a process lives, and whether it can serve."""

import pytest
from peewee import OperationalError

from storage import database


@pytest.mark.parametrize(("path", "word"), [("/up", "up\n"), ("/ready", "ready\n")])
def test_it_answers_in_plain_text(client, path, word):
    answer = client.get(path)
    assert (answer.status_code, answer.text) == (200, word)
    assert answer.headers["Content-Type"].startswith("text/plain")


@pytest.mark.fault("database gone")
def test_without_its_database_it_lives_and_is_not_ready(client, monkeypatch):
    def refuse(*args, **kwargs):
        raise OperationalError("unable to open database file")

    monkeypatch.setattr(database.obj, "connect", refuse)
    assert client.get("/up").status_code == 200
    assert client.get("/ready").status_code == 503


def test_neither_asks_a_provider(client, provider):
    client.get("/up")
    client.get("/ready")
    assert provider.connections == 0
