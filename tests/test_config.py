"""Each setting: its default, what it accepts, and the one sentence about a mistake."""

import re
from pathlib import Path

import pytest

import app
import config
from config import ConfigError, Settings

README = Path(__file__).resolve().parent.parent / "README.md"
DEFAULTS = {
    "PRECIS_HOST": "127.0.0.1",
    "PRECIS_PORT": 8000,
    "PRECIS_BIND": "",
    "PRECIS_HOSTS": ("localhost", "127.0.0.1", "[::1]"),
    "PRECIS_DATABASE_URL": f"sqlite:///{config.ROOT}/var/precis.db",
    "PRECIS_REDIS_URL": "",
    "PRECIS_SECRET_KEY": (),
    "PRECIS_MODELS": (),
    "OPENAI_API_KEY": "",
    "OPENAI_BASE_URL": "",
    "ANTHROPIC_API_KEY": "",
    "ANTHROPIC_BASE_URL": "",
    "PRECIS_OPENAI_API": "auto",
    "PRECIS_MAX_OUTPUT_TOKENS": 4096,
    "PRECIS_CONTEXT_TOKENS": 0,
    "PRECIS_KEEP_ORIGINALS": "yes",
    "PRECIS_ANALYZE_LIMIT": "5 per minute",
    "PRECIS_MAX_RUNNING": 200,
    "PRECIS_MAX_STREAMS": 500,
    "PRECIS_FIRST_TOKEN_SECONDS": 30,
    "PRECIS_GAP_SECONDS": 30,
    "PRECIS_TOTAL_SECONDS": 600,
    "PRECIS_GRACE_SECONDS": 5,
    "PRECIS_WORKERS": 1,
    "PRECIS_ROLE": "all",
    "PRECIS_AUTH": "none",
    "PRECIS_PROXY_USER_HEADER": "X-Forwarded-User",
    "PRECIS_PROXY_ADDRESSES": ("127.0.0.1", "::1"),
    "PRECIS_OIDC_ISSUER": "",
    "PRECIS_OIDC_CLIENT_ID": "",
    "PRECIS_OIDC_CLIENT_SECRET": "",
    "PRECIS_OIDC_ADMIN_GROUP": "",
    "PRECIS_ADMINS": (),
    "PRECIS_SESSION_HOURS": 12,
    "PRECIS_IDLE_MINUTES": 120,
    "PRECIS_TRUSTED_PROXIES": 0,
    "PRECIS_BUDGET_ANALYSIS": 0,
    "PRECIS_BUDGET_PERSON": 0,
    "PRECIS_BUDGET_DAY": 0,
    "PRECIS_PRICES": (),
    "PRECIS_RETENTION_DAYS": 0,
    "PRECIS_EVENT_DAYS": 365,
}
FIELDS = {config.name_of(field): field for field in Settings.model_fields}


def load(monkeypatch, **environment):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return config.load()


def test_every_setting_has_the_default_that_is_promised(monkeypatch):
    settings = load(monkeypatch)
    assert {name: getattr(settings, field) for name, field in FIELDS.items()} == DEFAULTS


@pytest.mark.parametrize("name", DEFAULTS)
def test_every_setting_is_explained_in_one_sentence(name):
    described = Settings.model_fields[FIELDS[name]].description
    assert re.fullmatch(r"[A-Z`].*\.", described)


@pytest.mark.parametrize("name", DEFAULTS)
def test_the_readme_documents_every_setting(name):
    row = next(line for line in README.read_text().splitlines() if line.startswith(f"| `{name}` |"))
    assert row.endswith(f" | {Settings.model_fields[FIELDS[name]].description} |")
    default = DEFAULTS[name]
    if isinstance(default, int):
        assert f"| `{default}` |" in row


@pytest.mark.parametrize(
    ("name", "value", "meant"),
    [
        ("PRECIS_PORT", "0", 0),
        ("PRECIS_PORT", "65535", 65535),
        ("PRECIS_HOSTS", " precis.example , 10.0.0.1,", ("precis.example", "10.0.0.1")),
        ("PRECIS_MODELS", "openai:a:b, offline:extractive", ("openai:a:b", "offline:extractive")),
        ("PRECIS_MODELS", " , ", ()),
        ("PRECIS_ANALYZE_LIMIT", "", ""),
        ("PRECIS_ANALYZE_LIMIT", " ", ""),
        ("PRECIS_ANALYZE_LIMIT", "100/hour; 5 per 10 seconds", "100/hour; 5 per 10 seconds"),
        ("PRECIS_GAP_SECONDS", "0.5", 0.5),
        ("PRECIS_GRACE_SECONDS", "0", 0),
        ("PRECIS_OPENAI_API", "chat", "chat"),
        ("PRECIS_SECRET_KEY", "a b#c, d", ("a b#c", "d")),
    ],
)
def test_a_setting_is_read_from_its_variable(monkeypatch, name, value, meant):
    assert getattr(load(monkeypatch, **{name: value}), FIELDS[name]) == meant


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PRECIS_PORT", "http"),
        ("PRECIS_PORT", "65536"),
        ("PRECIS_PORT", "-1"),
        ("PRECIS_PORT", ""),
        ("PRECIS_HOSTS", " , "),
        ("PRECIS_DATABASE_URL", "postgresql://localhost"),
        ("PRECIS_DATABASE_URL", "postgresql://precis:Sec/ret@localhost/precis"),
        ("PRECIS_DATABASE_URL", "mysql://localhost/precis"),
        ("PRECIS_DATABASE_URL", "precis.db"),
        ("PRECIS_DATABASE_URL", "sqlite:///"),
        ("PRECIS_DATABASE_URL", "sqlite:///:memory:"),
        ("PRECIS_REDIS_URL", "localhost:6379"),
        ("PRECIS_WORKERS", "0"),
        ("PRECIS_ROLE", "runner"),
        ("PRECIS_OPENAI_API", "grpc"),
        ("PRECIS_MAX_OUTPUT_TOKENS", "0"),
        ("PRECIS_MAX_RUNNING", "0"),
        ("PRECIS_MAX_RUNNING", "many"),
        ("PRECIS_ANALYZE_LIMIT", "five a minute"),
        ("PRECIS_FIRST_TOKEN_SECONDS", "0"),
        ("PRECIS_GAP_SECONDS", "nan"),
        ("PRECIS_TOTAL_SECONDS", "-1"),
        ("PRECIS_TRUSTED_PROXIES", "-1"),
        ("PRECIS_AUTH", "ldap"),
        ("PRECIS_PROXY_USER_HEADER", ""),
        ("PRECIS_PROXY_USER_HEADER", "X_Forwarded_User"),
        ("PRECIS_PROXY_ADDRESSES", "proxy.example"),
        ("PRECIS_PROXY_ADDRESSES", "10.0.0.1/8"),
        ("PRECIS_OIDC_ISSUER", "id.example"),
        ("PRECIS_OIDC_ISSUER", "http://id.example"),
        ("PRECIS_OIDC_ISSUER", "https://"),
        ("PRECIS_OIDC_ISSUER", "https://id.example/" + "a" * 200),
        ("PRECIS_SESSION_HOURS", "0"),
        ("PRECIS_IDLE_MINUTES", "-1"),
        ("PRECIS_RETENTION_DAYS", "-1"),
        ("PRECIS_RETENTION_DAYS", "36501"),
        ("PRECIS_EVENT_DAYS", "0"),
    ],
)
def test_a_wrong_value_is_one_sentence_that_begins_with_the_name(monkeypatch, name, value):
    with pytest.raises(ConfigError) as caught:
        load(monkeypatch, **{name: value})
    sentence = str(caught.value)
    assert re.fullmatch(rf"{name} (cannot be used: |must |names )[^\n]*[^.\n]\.", sentence)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("PRECIS_PROT", "PRECIS_PORT"),
        ("PRECIS_MODEL", "PRECIS_MODELS"),
        ("PRECIS_OPENAI_API_KEY", "PRECIS_OPENAI_API"),
        ("PRECIS_PORTS", "PRECIS_PORT"),
        ("PRECIS_", None),
    ],
)
def test_an_unknown_name_is_refused_and_the_nearest_named(monkeypatch, name, nearest):
    with pytest.raises(ConfigError) as caught:
        load(monkeypatch, **{name: "x"})
    assert re.fullmatch(
        rf"{name} is not a setting of Precis; did you mean {nearest or 'PRECIS_.*'}\?", str(caught.value)
    )


@pytest.mark.parametrize(
    "name", ["HOST", "PORT", "BIND", "MODELS", "HOSTS", "DATABASE_URL", "SECRET_KEY", "host"]
)
def test_a_variable_of_another_program_is_left_alone(monkeypatch, name):
    settings = load(monkeypatch, **{name: "1"})
    assert getattr(settings, name.lower()) == DEFAULTS[f"PRECIS_{name.upper()}"]


@pytest.mark.parametrize(
    ("changes", "address"),
    [
        ({}, "127.0.0.1:8000"),
        ({"PRECIS_HOST": "::1", "PRECIS_PORT": "80"}, "[::1]:80"),
        ({"PRECIS_BIND": "unix:/run/precis.sock", "PRECIS_PORT": "80"}, "unix:/run/precis.sock"),
    ],
)
def test_where_the_server_listens(monkeypatch, changes, address):
    assert load(monkeypatch, **changes).address == address


def test_a_database_is_a_file_relative_or_absolute(monkeypatch):
    assert load(monkeypatch, PRECIS_DATABASE_URL="sqlite:///var/a.db").database_file == Path("var/a.db")
    assert load(monkeypatch, PRECIS_DATABASE_URL="sqlite:////srv/a.db").database_file == Path("/srv/a.db")


SEVERAL = [("PRECIS_WORKERS", "2"), ("PRECIS_ROLE", "web"), ("PRECIS_ROLE", "worker")]


@pytest.mark.parametrize(("name", "value"), SEVERAL)
def test_several_processes_are_refused_a_file_and_asked_for_redis(monkeypatch, name, value):
    with pytest.raises(
        ConfigError, match=rf"^{name} means several processes, which cannot share a SQLite file"
    ):
        load(monkeypatch, **{name: value})
    with pytest.raises(ConfigError, match=rf"^{name} means several .* set PRECIS_REDIS_URL to redis://…\.$"):
        load(monkeypatch, PRECIS_DATABASE_URL="postgresql://db/precis")
    settings = load(monkeypatch, PRECIS_REDIS_URL="redis://cache/0")
    assert settings.database_file is None


def offered(**settings):
    made = Settings(**settings)
    return app.offered_models(made, app.configured_providers(made))


def test_without_a_key_the_offline_analyst_is_the_default():
    assert offered() == ("offline:extractive",)


@pytest.mark.parametrize("how", ["api_key", "base_url"])
def test_a_key_or_an_address_puts_a_providers_model_first(how):
    value = {"api_key": "k", "base_url": "http://127.0.0.1:1/v1"}[how]
    names = [
        model.partition(":")[0] for model in offered(**{f"openai_{how}": value, f"anthropic_{how}": value})
    ]
    assert names == ["openai", "anthropic", "offline"]
    assert [model.partition(":")[0] for model in offered(**{f"anthropic_{how}": value})] == [
        "anthropic",
        "offline",
    ]


def test_a_list_of_models_is_kept_as_it_is_and_may_hold_colons():
    models = ("openai:ft:mine:1", "offline:extractive")
    assert offered(openai_api_key="k", models=models) == models


@pytest.mark.parametrize(
    ("entry", "variable"), [("openai:gpt", "OPENAI_API_KEY"), ("anthropic:claude", "ANTHROPIC_API_KEY")]
)
def test_a_model_without_its_key_names_the_variable(entry, variable):
    with pytest.raises(ConfigError, match=f"PRECIS_MODELS lists {entry}, but {variable} is not set."):
        offered(models=("offline:extractive", entry))


@pytest.mark.parametrize("entry", ["gpt", "openai", "openai:", ":gpt", "google:gemini", "OpenAI:gpt"])
def test_an_entry_that_is_no_model_is_named(entry):
    with pytest.raises(
        ConfigError, match=r"^PRECIS_MODELS: .* is not provider:model with a provider out of openai"
    ):
        offered(openai_api_key="k", models=(entry,))


def test_a_model_twice_is_offered_once():
    assert offered(models=("offline:extractive", "offline:extractive")) == ("offline:extractive",)


@pytest.mark.parametrize(
    "where",
    [
        {"PRECIS_HOST": "0.0.0.0"},
        {"PRECIS_HOST": "::"},
        {"PRECIS_HOST": "precis.example"},
        {"PRECIS_BIND": ":80"},
        {"PRECIS_BIND": "10.0.0.1:80", "PRECIS_TRUSTED_PROXIES": "1"},
    ],
)
def test_without_sign_in_nobody_else_is_let_in(monkeypatch, where):
    with pytest.raises(ConfigError, match=r"PRECIS_AUTH is none, and at .* others than this machine"):
        load(monkeypatch, **where)


@pytest.mark.parametrize(
    "where",
    [
        {"PRECIS_HOST": "localhost"},
        {"PRECIS_HOST": "::1"},
        {"PRECIS_HOST": "127.0.0.2"},
        {"PRECIS_BIND": "unix:/run/precis.sock"},
        {"PRECIS_HOST": "0.0.0.0", "PRECIS_AUTH": "proxy"},
    ],
)
def test_it_listens_where_only_this_machine_is_or_people_sign_in(monkeypatch, where):
    assert load(monkeypatch, **where)


SIGN_IN = {
    "PRECIS_AUTH": "oidc",
    "PRECIS_OIDC_ISSUER": "https://id.example",
    "PRECIS_OIDC_CLIENT_ID": "precis",
    "PRECIS_OIDC_CLIENT_SECRET": "secret",
    "PRECIS_SECRET_KEY": f"{'a' * 32},{'b' * 32}",
}


@pytest.mark.parametrize("name", list(SIGN_IN)[1:])
def test_sign_in_needs_all_that_belongs_to_it(monkeypatch, name):
    assert load(monkeypatch, **SIGN_IN)
    monkeypatch.delenv(name)
    with pytest.raises(ConfigError, match=f"PRECIS_AUTH is oidc, which needs {name}"):
        config.load()


@pytest.mark.parametrize("keys", ["a" * 31, f"{'a' * 32},b"])
def test_a_key_that_can_be_guessed_signs_nobody_in(monkeypatch, keys):
    with pytest.raises(ConfigError, match="PRECIS_SECRET_KEY must have at least 32 characters"):
        load(monkeypatch, **SIGN_IN | {"PRECIS_SECRET_KEY": keys})


def test_without_its_packages_sign_in_says_what_to_install(monkeypatch):
    monkeypatch.setattr(config, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"install --require-hashes -r requirements-oidc\.txt"):
        load(monkeypatch, **SIGN_IN)
