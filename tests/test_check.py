"""`python app.py check`: each thing that can be wrong with a configuration, said before it serves."""

import os
import resource
import shutil
import sqlite3
import subprocess
import sys

import pytest

import app
import check
import config
from findings import OK, WARNING, WRONG
from tests.openid import Forger
from tests.precis import ROOT, free_port
from tests.test_config import SIGN_IN

WELL_KNOWN = "/.well-known/openid-configuration"


@pytest.fixture
def examine(tmp_path, monkeypatch):
    """Examine a configuration; returns the levels by their sentences."""
    folder = tmp_path / "kept"
    folder.mkdir()
    monkeypatch.setenv("PRECIS_DATABASE_URL", f"sqlite:///{folder / 'precis.db'}")

    def examine(**environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return {sentence: level for level, sentence in check.examine(app.make_analyzer)}

    examine.file = folder / "precis.db"
    return examine


def found(findings, part):
    """Return the level of the only sentence with a part."""
    (level,) = [level for sentence, level in findings.items() if part in sentence]
    return level


def wrong(findings):
    return [sentence for sentence, level in findings.items() if level == WRONG]


def run(tmp_path, *limits, **environment):
    """Run the command; returns its exit code and its lines."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PRECIS_")}
    done = subprocess.run(
        [sys.executable, ROOT / "app.py", "check"],
        env=environ | {"PRECIS_DATABASE_URL": f"sqlite:///{tmp_path / 'precis.db'}"} | environment,
        preexec_fn=lambda: [resource.setrlimit(*limit) for limit in limits],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()


def test_the_command_says_a_line_for_each_finding_and_ends_well_when_nothing_is_wrong(tmp_path):
    code, lines = run(tmp_path, (resource.RLIMIT_NOFILE, (332, 332)), PRECIS_PORT="8001")
    assert code == 0
    assert lines[0] == "ok       PRECIS_PORT is 8001"
    assert lines[1] == f"ok       PRECIS_DATABASE_URL is sqlite:///{tmp_path}/precis.db"
    assert (
        "warning  Each process can hold 60 connections, 45 of them viewers. "
        "Open files limit it: raise LimitNOFILE, or ulimit -n, to 20300." in lines
    )
    assert list(tmp_path.iterdir()) == [], "nothing is written"


def test_the_command_fails_when_anything_is_wrong(tmp_path):
    code, lines = run(tmp_path, PRECIS_HOSTS="*.example")
    assert code == 1
    assert sum(line.startswith("wrong    ") for line in lines) == 1


def test_of_a_secret_nothing_is_said_but_that_it_is_set(examine, provider):
    findings = examine(
        PRECIS_SECRET_KEY="hush-1",
        OPENAI_API_KEY="hush-2",
        OPENAI_BASE_URL=f"http://somebody:hush-3@127.0.0.1:{provider.url.rpartition(':')[2]}/v1?api_key=hush-4",
        ANTHROPIC_API_KEY="hush-5",
        ANTHROPIC_BASE_URL=provider.anthropic_url,
        PRECIS_REDIS_URL=f"redis://:hush@6@127.0.0.1:{free_port()}/0",
    )
    assert findings["PRECIS_SECRET_KEY is set"] == findings["OPENAI_API_KEY is set"] == OK
    assert found(findings, "PRECIS_REDIS_URL is redis://…127.0.0.1:") == OK
    assert not any("hush" in sentence or "@6" in sentence for sentence in findings)
    assert not any("hush" in str(request) for request in provider.requests)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("PRECIS_PROT", "1", "PRECIS_PROT is not a setting of Precis; did you mean PRECIS_PORT?"),
        ("PRECIS_PORT", "many", "PRECIS_PORT cannot be used: "),
        ("PRECIS_WORKERS", "2", "PRECIS_WORKERS means several processes, which cannot share a SQLite file: "),
        ("PRECIS_MODELS", "openai:x", "PRECIS_MODELS lists openai:x, but OPENAI_API_KEY is not set."),
    ],
)
def test_a_setting_that_cannot_be_is_wrong(examine, name, value, sentence):
    (said,) = wrong(examine(**{name: value}))
    assert said.startswith(sentence)


def test_all_settings_that_cannot_be_are_named_at_once(examine):
    said = wrong(examine(PRECIS_PROT="1", PRECIS_HOTS="x", PRECIS_PORT="many", PRECIS_MAX_RUNNING="0"))
    assert [sentence.split()[0] for sentence in said] == [
        "PRECIS_HOTS",
        "PRECIS_PROT",
        "PRECIS_PORT",
        "PRECIS_MAX_RUNNING",
    ]


@pytest.mark.parametrize(
    ("settings", "level"),
    [
        ({}, OK),
        ({"PRECIS_HOST": "::1"}, OK),
        ({"PRECIS_HOST": "localhost"}, OK),
        ({"PRECIS_HOST": "127.0.0.2", "PRECIS_TRUSTED_PROXIES": "1"}, WARNING),
    ],
)
def test_without_a_sign_in_only_this_machine_may_reach_it(examine, settings, level):
    findings = examine(**settings)
    assert found(findings, "It listens at ") == OK
    assert found(findings, "There is no sign-in: whoever on this machine gets there sees") == level
    (said,) = wrong(examine(PRECIS_HOST="0.0.0.0"))
    assert said.startswith("PRECIS_AUTH is none, and at 0.0.0.0:8000 others than this machine")


@pytest.mark.parametrize(
    ("believed", "level"), [("10.0.0.1", OK), ("10.0.0.0/8,::1", OK), ("10.0.0.1,0.0.0.0/0", WRONG)]
)
def test_where_a_proxy_signs_people_in_it_is_said_whom_one_believes(examine, believed, level):
    findings = examine(PRECIS_HOST="0.0.0.0", PRECIS_AUTH="proxy", PRECIS_PROXY_ADDRESSES=believed)
    assert found(findings, "It listens at 0.0.0.0:8000, which other machines reach, too") == OK
    assert found(findings, "Who asks is read from X-Forwarded-User, which is believed from 10.0.0.") == level


def test_an_openid_provider_is_asked_what_it_calls_itself(examine, monkeypatch):
    monkeypatch.setattr(
        config.Settings, "oidc_discovery", property(lambda it: f"{forger.issuer}{WELL_KNOWN}")
    )
    with Forger() as forger:
        sign_in = SIGN_IN | {"PRECIS_OIDC_ISSUER": forger.issuer}
        findings = examine(**sign_in)
        assert found(findings, f"{forger.issuer} says how to sign in.") == OK
        assert found(findings, "where there is one, set PRECIS_TRUSTED_PROXIES") == WARNING
        assert "PRECIS_ADMINS" not in str(findings)
        assert found(examine(**sign_in, PRECIS_ADMINS="boss"), "PRECIS_ADMINS goes by names") == WARNING
        (said,) = wrong(examine(**sign_in | {"PRECIS_OIDC_ISSUER": "https://id.example"}))
        assert said.startswith(f"https://id.example calls itself {forger.issuer}: ")
    (said,) = wrong(examine(**sign_in))
    assert said.startswith(f"{forger.issuer} does not say how to sign in (ConnectionError): ")


def test_of_what_a_unit_hands_it_no_more_is_said_than_is_known(examine):
    known = "It listens at 127.0.0.1:8000, which only this machine reaches, "
    assert examine()[f"{known}unless its unit names a port or holds a socket."] == OK


def test_a_worker_may_be_reached_because_it_shows_no_pages(shared):
    assert found(shared(PRECIS_HOST="0.0.0.0", PRECIS_ROLE="worker"), "It listens at 0.0.0.0:8000") == OK


def test_a_socket_needs_a_folder_that_is_there(examine, tmp_path):
    assert found(examine(PRECIS_BIND=f"unix:{tmp_path}/precis.sock"), "It listens at unix:") == OK
    assert wrong(examine(PRECIS_BIND=f"unix:{tmp_path}/none/precis.sock")) == [
        f"{tmp_path}/none cannot be written to, so that no socket can be made there: make it."
    ]


def test_a_host_is_a_name_and_behind_a_proxy_there_is_one(examine):
    (said,) = wrong(examine(PRECIS_HOSTS="precis.example,https://precis.example"))
    assert said.startswith("PRECIS_HOSTS names https://precis.example: ")
    alone = "PRECIS_HOSTS names this machine only: "
    assert found(examine(PRECIS_HOSTS="localhost,[::1]", PRECIS_TRUSTED_PROXIES="1"), alone) == WARNING
    assert not any(alone in sentence for sentence in examine(PRECIS_HOSTS="localhost,precis.example"))


def migrated(file):
    """Make a database as this version makes it."""
    config_url = f"sqlite:///{file}"
    app.storage.connect(config_url)
    app.storage.migrate()


def execute(file, statement, *values):
    with sqlite3.connect(file) as database:
        database.execute(statement, values)
    database.close()


def test_a_sound_file_is_up_to_date_or_older(examine):
    file = examine.file
    assert found(examine(), f"{file} is not there yet: the first start makes it.") == OK
    migrated(file)
    assert found(examine(), f"{file} is sound and up to date.") == OK
    execute(file, "DELETE FROM schema_migration WHERE id = (SELECT max(id) FROM schema_migration)")
    assert found(examine(), f"{file} is of an older version: the next start brings it up to date.") == OK


def test_a_file_of_a_newer_version_and_one_that_is_damaged_are_wrong(examine):
    file = examine.file
    migrated(file)
    execute(file, "INSERT INTO schema_migration (name, applied) VALUES ('9999_more', '2030-01-01')")
    (said,) = wrong(examine())
    assert "a newer version of Precis has written it (9999_more)" in said
    file.write_bytes(b"This is no database, but it is long enough to be taken for one." * 99)
    (said,) = wrong(examine())
    assert said.startswith(f"{file} cannot be used: it is damaged")


def test_a_file_that_others_may_read_is_told(examine):
    migrated(examine.file)
    examine.file.chmod(0o644)
    assert found(examine(), f"Others on this machine may read {examine.file}: ") == WARNING
    examine.file.chmod(0o600)
    assert not any("Others" in sentence for sentence in examine())


def test_a_folder_that_cannot_be_written_to_is_wrong(examine, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    (said,) = wrong(examine())
    assert said.startswith(f"{examine.file.parent} cannot be written to by this user")


def test_a_disk_that_will_soon_be_full_is_told(examine, monkeypatch):
    room = f"There are {shutil.disk_usage(examine.file.parent).free / 1e9:,.0f}"
    monkeypatch.setattr(check, "LITTLE_DISK", 10**18)
    (little,) = [level for sentence, level in examine().items() if " GB free for " in sentence]
    monkeypatch.setattr(check, "TOO_LITTLE_DISK", 10**18)
    assert (little, found(examine(), " GB free for ")) == (WARNING, WRONG), room


# Where several share


@pytest.fixture
def shared(examine, scale):
    """Examine a configuration on PostgreSQL and Redis."""
    place = scale.create()

    def shared(database_url=place["database_url"], redis_url=place["redis_url"], **environment):
        return examine(PRECIS_DATABASE_URL=database_url, PRECIS_REDIS_URL=redis_url, **environment)

    shared.url = place["database_url"]
    shared.database = shared.url.rpartition("/")[2]
    return shared


def test_what_is_fit_for_several_processes_is_told(shared):
    findings = shared()
    assert wrong(findings) == []
    where = f"PostgreSQL at 127.0.0.1/{shared.database}"
    for part in (
        f"{where} answers; its version is ",
        f"{where} is sound and up to date.",
        f"{where} has 97 connections, and this server takes up to 10;",
        f"The clock of {where} is 0.0 s ",
        "Redis answers; its version is ",
        "A message through Redis takes ",
    ):
        assert found(findings, part) == OK
    assert found(findings, "fsync = off") == WARNING, "as the tests' own server does"


def test_processes_that_want_more_connections_than_there_are_is_wrong(shared):
    (said,) = wrong(shared(PRECIS_WORKERS="50"))
    assert said.endswith("has 97 connections, and this server takes up to 500: raise its max_connections.")
    assert found(shared(), "PRECIS_WORKERS is 50, but there are ") == WARNING


@pytest.mark.parametrize("what", ["port", "database"])
def test_a_postgresql_that_does_not_let_us_in_is_wrong(shared, what):
    url = {
        "port": f"postgresql://precis:hush@127.0.0.1:{free_port()}/precis",
        "database": shared.url + "_none",
    }[what]
    (said,) = wrong(shared(database_url=url))
    assert " does not let us in (" in said
    assert {"port": "refused", "database": "does not exist"}[what] in said
    assert "hush" not in said


@pytest.mark.parametrize(
    ("option", "part"),
    [
        (
            "timezone=UTC%20-c%20default_transaction_read_only=on",
            "can only be read: name the server that is written to.",
        ),
        ("timezone=Asia/Tokyo", "goes by the time zone Asia/Tokyo although UTC is asked for: "),
    ],
)
def test_a_connection_that_is_not_as_it_was_asked_for_is_wrong(shared, option, part):
    (said,) = wrong(shared(database_url=f"{shared.url}?options=-c%20{option}"))
    assert part in said


@pytest.mark.parametrize(
    ("statement", "part", "level"),
    [
        ("DELETE FROM schema_migration WHERE name LIKE '0002%'", "is of an older version", OK),
        (
            "INSERT INTO schema_migration (name, applied) VALUES ('9_add', now())",
            "is of a newer ver",
            WARNING,
        ),
        (
            "INSERT INTO schema_migration (name, applied) VALUES ('9_contract', now())",
            "was changed by a newer version (9_contract): run that version.",
            WRONG,
        ),
        ("DROP TABLE schema_migration", "is empty so far.", OK),
    ],
)
def test_a_schema_is_older_newer_or_not_there(shared, scale, statement, part, level):
    scale.postgresql.execute(statement, database=shared.database)
    assert found(shared(), part) == level


def test_a_user_who_may_not_make_the_tables_and_a_wrong_encoding_are_wrong(shared, scale):
    postgresql = scale.postgresql
    postgresql.execute("DROP DATABASE IF EXISTS ascii")
    postgresql.execute("CREATE DATABASE ascii TEMPLATE template0 ENCODING 'SQL_ASCII'")
    postgresql.execute("DROP ROLE IF EXISTS guest")
    postgresql.execute("CREATE ROLE guest LOGIN")
    url = f"postgresql://guest@127.0.0.1:{postgresql.port}/ascii"
    encoding, rights = wrong(shared(database_url=url))
    assert encoding.endswith("has the encoding SQL_ASCII: make the database with ENCODING 'UTF8'.")
    assert rights.endswith("does not let this user make tables: GRANT CREATE ON SCHEMA public.")


def test_clocks_that_differ_are_told(shared, monkeypatch):
    monkeypatch.setattr(check, "CLOCK_SECONDS", 0)
    assert found(shared(), "The clock of ") == WARNING


def test_a_redis_that_does_not_let_us_in_is_wrong(shared):
    (said,) = wrong(shared(redis_url=f"redis://127.0.0.1:{free_port()}/0"))
    assert said.startswith("Redis does not let us in (")


def test_a_redis_that_carries_nothing_or_forgets_is_told(shared, scale, monkeypatch):
    with scale.redis.client() as client:
        client.config_set("maxmemory", "1gb")
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            forgets = found(
                shared(), "Redis may forget who has started how often (maxmemory-policy allkeys-lru)"
            )
        finally:
            client.config_set("maxmemory", "0")
            client.config_set("maxmemory-policy", "noeviction")
    assert forgets == WARNING
    with monkeypatch.context() as patch:
        patch.setattr(check, "SLOW_SECONDS", 0)
        assert found(shared(), "A message through Redis takes ") == WARNING
    monkeypatch.setattr("redis.Redis.publish", lambda *words: None)
    assert found(shared(), "Redis carries no message") == WRONG


# Who is asked


def test_a_provider_is_reached_without_a_key_or_a_question(examine, provider):
    findings = examine(OPENAI_API_KEY="k", OPENAI_BASE_URL=provider.openai_url)
    assert findings[f"{provider.openai_url} answers."] == OK
    assert (provider.connections, provider.calls) == (1, 0)
    assert provider.requests == type(provider.requests)()


def test_a_provider_that_cannot_be_reached_is_wrong(examine):
    address = f"http://127.0.0.1:{free_port()}/v1"
    (said,) = wrong(examine(OPENAI_BASE_URL=address))
    assert said.startswith(f"{address} cannot be reached (")
    assert "OPENAI_BASE_URL" in said


def test_documents_that_would_go_in_the_clear_are_told(examine, provider, monkeypatch):
    for name in ("no_proxy", "NO_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    findings = examine(OPENAI_BASE_URL="http://models.example/v1", HTTP_PROXY=provider.url)
    assert found(findings, "Documents go to models.example in the clear") == WARNING
    assert findings["http://models.example/v1 answers, to which no key is sent."] == OK


def test_a_model_is_known_or_not_and_without_any_it_is_said(examine, provider):
    assert found(examine(), "No language model is on offer") == WARNING
    findings = examine(
        OPENAI_API_KEY="k",
        OPENAI_BASE_URL=provider.openai_url,
        PRECIS_MODELS="openai:own,offline:extractive",
    )
    unknown = (
        "openai:own is on offer; how much it reads and what it costs is not known here. Set PRECIS_CONTEXT"
    )
    assert found(findings, unknown) == WARNING
    assert not any("No language model" in sentence for sentence in findings)


def test_a_window_that_is_set_is_known(examine, provider):
    findings = examine(
        OPENAI_API_KEY="k",
        OPENAI_BASE_URL=provider.openai_url,
        PRECIS_MODELS="openai:own",
        PRECIS_CONTEXT_TOKENS="4096",
    )
    assert findings["openai:own is on offer; what it costs is not known here."] == OK


def test_a_vendors_model_that_nobody_knows_may_be_misspelt():
    settings = config.Settings(
        openai_api_key="k", models=("openai:gpt-0-nonsense", f"openai:{app.openai.DEFAULT_MODEL}")
    )
    unknown, known = check.look_at_models(settings, app.make_analyzer(settings))
    assert unknown.level == WARNING
    assert "See whether it is spelt as the provider does." in unknown.sentence
    assert known.level == OK
    assert known.sentence.endswith(" tokens, and its price is known.")


def test_recipes_that_cannot_be_read_are_wrong(examine, tmp_path, monkeypatch):
    monkeypatch.setattr(config, "ROOT", tmp_path)
    assert len(wrong(examine())) == 1
