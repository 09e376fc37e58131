"""Two versions on one PostgreSQL: a schema that only grew suits the older one too, any other is refused."""

import os
import shutil
import signal
import sys
from contextlib import closing

import psycopg
import pytest

from storage.postgresql import MIGRATION_LOCK
from tests.page import Page
from tests.precis import ROOT, Precis, free_port
from tests.prose import answer
from tests.scale import environment
from tests.test_server import DOCUMENT, connect, read_until, refusal, wait_until

ADDS = """
from peewee import CharField


def up(migrator, db):
    migrator.migrate(migrator.add_column("document", "language", CharField(null=True)))
"""
TAKES_AWAY = """
def up(migrator, db):
    migrator.migrate(migrator.drop_index("document", "document_created_at"))
"""


@pytest.fixture
def place(scale):
    """Where everything is kept: a database in which there is not even a table."""
    place = scale.create()
    name = place["database_url"].rpartition("/")[2]
    scale.postgresql.execute(f"DROP DATABASE {name}")
    scale.postgresql.execute(f"CREATE DATABASE {name}")
    return environment(place)


@pytest.fixture
def start(tmp_path, provider, place):
    """Start servers on the place, each of the version in a folder; they are killed in the end."""
    servers = []

    def launch(version=ROOT, wait=True):
        (folder := tmp_path / f"server{len(servers)}").mkdir()
        servers.append(server := Precis(folder, provider, **place))
        server.command = (sys.executable, version / "app.py")
        server.process = server.launch()
        return server.wait_until_up() if wait else server

    yield launch
    for server in servers:
        if server.process:
            server.kill()


@pytest.fixture
def newer(tmp_path):
    """Make a version with one more migration; returns its folder."""

    def make(name, migration):
        version = tmp_path / name
        hidden = shutil.ignore_patterns(".*", "var", "tests", "bench", "docs", "__pycache__")
        shutil.copytree(ROOT, version, ignore=hidden)
        (version / "migrations" / f"{name}.py").write_text(migration)
        return version

    return make


def migrated(server):
    return [name for (name,) in server.rows("SELECT name FROM schema_migration ORDER BY id")]


def is_complete(server, analysis):
    query = "SELECT status = 'complete' FROM analysis WHERE id = ?"
    return server.rows(query, analysis.rpartition("/")[2]) == [(True,)]


def known():
    return sorted(file.stem for file in (ROOT / "migrations").glob("[0-9]*.py"))


def test_two_processes_that_start_at_once_migrate_once(start, place):
    with psycopg.connect(place["PRECIS_DATABASE_URL"], autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (MIGRATION_LOCK,))
        servers = [start(wait=False), start(wait=False)]
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        wait_until(lambda: connection.execute(waiting).fetchone() == (2,), timeout=60)
        tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
        assert connection.execute(tables).fetchone() == (0,)

    for server in servers:
        server.wait_until_up()
        assert migrated(server) == known()
        assert len(server.log.read_text().splitlines()) == 2, "where it is and what it offers, nothing else"
        server.bring(DOCUMENT)


@pytest.mark.fault("shut down")
def test_an_older_process_goes_on_beside_a_schema_that_only_grew(start, newer, provider):
    provider.script(text=answer(4), rate=30)
    old = start()
    document = old.bring(DOCUMENT)
    analysis = old.ask(document)
    page = Page(analysis)
    with closing(connect(old, f"{analysis}/stream", version="1.0")) as viewer:
        head = read_until(viewer, b"says")
        new = start(newer("9999_language", ADDS))
        assert migrated(new) == [*known(), "9999_language"]
        assert new.rows("SELECT language FROM document") == [(None,)]
        page.read((head + read_until(viewer, b"never")).partition(b"\r\n\r\n")[2])
    assert page.done
    assert page.text == "".join(answer(4).split())

    provider.script(text="All is well.")
    old.kill_worker()
    old.stop()
    old.start()
    for one, other in ((old, new), (new, old)):
        asked = one.ask(one.bring(DOCUMENT))
        wait_until(lambda asked=asked, other=other: is_complete(other, asked))
        assert other.stored(asked) == "All is well."
    assert migrated(old) == migrated(new)


@pytest.mark.fault("shut down")
def test_an_older_process_refuses_a_schema_from_which_something_was_taken(start, newer, place):
    old = start()
    new = start(newer("9999_contract_index", TAKES_AWAY))
    assert migrated(new)[-1] == "9999_contract_index"
    name = place["PRECIS_DATABASE_URL"].rpartition("/")[2]
    why = "a newer version of Precis has changed it (9999_contract_index); run that version."
    sentence = f"precis: 127.0.0.1/{name} cannot be used: {why}"

    words, code = refusal(Precis(old.folder, **place), PRECIS_PORT=str(free_port()))
    assert (words.splitlines()[-1], code) == (sentence, 1)

    # A worker that an older server starts has the older version's code.
    before = old.log.read_text()
    os.kill(old.worker(), signal.SIGKILL)
    assert old.process.wait() not in (0, None)
    assert sentence in old.log.read_text().removeprefix(before).splitlines()
    assert "Traceback" not in old.log.read_text()
    new.bring(DOCUMENT)
