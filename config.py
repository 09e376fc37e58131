"""Every setting: its name, its default, one sentence. Only this module reads the environment."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from decimal import Decimal
from importlib.util import find_spec
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from limits import parse_many
from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

ROOT = Path(__file__).resolve().parent
PREFIX = "PRECIS_"

Words = Annotated[tuple[str, ...], NoDecode]

# The providers that ask for money, a model of theirs, and what it takes for reading and writing.
_PRICE = re.compile(r"(openai|anthropic):([^\s=]+)=(\d{1,9}(?:\.\d{1,6})?)/(\d{1,9}(?:\.\d{1,6})?)")


class ConfigError(Exception):
    """A setting that cannot be used; the message is one sentence that says what to change."""


class Settings(BaseSettings):
    """The settings of one process, read from the environment by `load`."""

    # Without the prefix a field's bare name would be read too: PORT or DATABASE_URL, meant for others.
    model_config = SettingsConfigDict(frozen=True, extra="forbid", populate_by_name=True, env_prefix=PREFIX)

    host: str = Field("127.0.0.1", alias="PRECIS_HOST", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, alias="PRECIS_PORT", description="Port to listen on.")
    bind: str = Field(
        "", alias="PRECIS_BIND", description="`unix:/path` or `address:port` instead of host and port."
    )
    hosts: Words = Field(
        ("localhost", "127.0.0.1", "[::1]"),
        alias="PRECIS_HOSTS",
        description="Host names the server answers to, comma-separated; any other is refused.",
    )
    database_url: str = Field(
        f"sqlite:///{ROOT / 'var' / 'precis.db'}",
        alias="PRECIS_DATABASE_URL",
        description="Where everything is kept: `sqlite:///relative/path`, `sqlite:////absolute/path`, or "
        "`postgresql://user:password@host/name` for several processes.",
    )
    redis_url: str = Field(
        "",
        alias="PRECIS_REDIS_URL",
        description="`redis://host:port/0`, through which several processes hear of each other.",
    )
    secret_key: Words = Field(
        (),
        alias="PRECIS_SECRET_KEY",
        description="With `oidc`: keys of at least 32 characters that sign its cookie, comma-separated: the "
        "first signs, all are believed.",
    )
    models: Words = Field(
        (),
        alias="PRECIS_MODELS",
        description="Models on offer, `provider:model`, comma-separated, the first is the default; "
        "empty: a current general model of each provider with a key or base URL, then `offline`.",
    )
    openai_api_key: str = Field("", alias="OPENAI_API_KEY", description="Key for OpenAI.")
    openai_base_url: str = Field(
        "", alias="OPENAI_BASE_URL", description="Another server that speaks OpenAI's protocol."
    )
    anthropic_api_key: str = Field("", alias="ANTHROPIC_API_KEY", description="Key for Anthropic.")
    anthropic_base_url: str = Field(
        "", alias="ANTHROPIC_BASE_URL", description="Another server that speaks Anthropic's protocol."
    )
    openai_api: Literal["auto", "responses", "chat"] = Field(
        "auto",
        alias="PRECIS_OPENAI_API",
        description="Protocol towards OpenAI: `responses`, `chat`, or `auto` (chat for another base URL).",
    )
    max_output_tokens: int = Field(
        4096, ge=1, alias="PRECIS_MAX_OUTPUT_TOKENS", description="Longest answer asked for, in tokens."
    )
    context_tokens: int = Field(
        0,
        ge=0,
        alias="PRECIS_CONTEXT_TOKENS",
        description="What a model reads at once, in tokens, where it is less than is known of it or nothing "
        "is; a longer document is read in sections. 0: as known.",
    )
    keep_originals: Literal["yes", "no"] = Field(
        "yes",
        alias="PRECIS_KEEP_ORIGINALS",
        description="Whether the file that a document came as is kept with it, to be downloaded.",
    )
    analyze_limit: str = Field(
        "5 per minute",
        alias="PRECIS_ANALYZE_LIMIT",
        description="How often one person may start an analysis; empty: no limit.",
    )
    max_running: int = Field(
        200, ge=1, alias="PRECIS_MAX_RUNNING", description="Analyses one process runs at a time; more wait."
    )
    max_streams: int = Field(
        500,
        ge=1,
        alias="PRECIS_MAX_STREAMS",
        description="Pages one person may have watching at a time; more show what is saved and a link.",
    )
    first_token_seconds: float = Field(
        30, gt=0, alias="PRECIS_FIRST_TOKEN_SECONDS", description="Longest wait for an answer's first text."
    )
    gap_seconds: float = Field(
        30, gt=0, alias="PRECIS_GAP_SECONDS", description="Longest silence inside an answer."
    )
    total_seconds: float = Field(
        600,
        gt=0,
        alias="PRECIS_TOTAL_SECONDS",
        description="Longest time for a whole answer, or for what is said of one section.",
    )
    grace_seconds: float = Field(
        5, ge=0, alias="PRECIS_GRACE_SECONDS", description="Time running analyses get to finish at a stop."
    )
    workers: int = Field(
        1, ge=1, alias="PRECIS_WORKERS", description="Processes of this server; with SQLite there is one."
    )
    role: Literal["all", "web", "worker"] = Field(
        "all",
        alias="PRECIS_ROLE",
        description="What a process does: `web` serves pages, `worker` runs analyses, `all` does both.",
    )
    auth: Literal["none", "proxy", "oidc"] = Field(
        "none",
        alias="PRECIS_AUTH",
        description="How people sign in: `none`, one local person; `proxy`, a proxy says who asks; `oidc`, "
        "an OpenID provider.",
    )
    proxy_user_header: str = Field(
        "X-Forwarded-User",
        alias="PRECIS_PROXY_USER_HEADER",
        description="With `proxy`: the header in which the proxy says who asks.",
    )
    proxy_addresses: Words = Field(
        ("127.0.0.1", "::1"),
        alias="PRECIS_PROXY_ADDRESSES",
        description="With `proxy`: the addresses or networks from which that header is believed, "
        "comma-separated; a unix socket always is.",
    )
    oidc_issuer: str = Field(
        "",
        alias="PRECIS_OIDC_ISSUER",
        description="With `oidc`: the provider's address, without /.well-known.",
    )
    oidc_client_id: str = Field(
        "",
        alias="PRECIS_OIDC_CLIENT_ID",
        description="With `oidc`: the name that the provider knows Precis by.",
    )
    oidc_client_secret: str = Field(
        "", alias="PRECIS_OIDC_CLIENT_SECRET", description="With `oidc`: the secret that belongs to it."
    )
    oidc_admin_group: str = Field(
        "",
        alias="PRECIS_OIDC_ADMIN_GROUP",
        description="With `oidc`: whoever has this group in the claim `groups` is an administrator.",
    )
    admins: Words = Field(
        (), alias="PRECIS_ADMINS", description="Names of the people who are administrators, comma-separated."
    )
    session_hours: float = Field(
        12, gt=0, alias="PRECIS_SESSION_HOURS", description="With `oidc`: how long a sign-in lasts at most."
    )
    idle_minutes: float = Field(
        120,
        gt=0,
        alias="PRECIS_IDLE_MINUTES",
        description="With `oidc`: how long it lasts without a request.",
    )
    trusted_proxies: int = Field(
        0, ge=0, alias="PRECIS_TRUSTED_PROXIES", description="Proxies in front whose headers are believed."
    )
    budget_analysis: Decimal = Field(
        Decimal(0),
        ge=0,
        alias="PRECIS_BUDGET_ANALYSIS",
        description="What one analysis may cost at most, in US dollars; 0: no limit.",
    )
    budget_person: Decimal = Field(
        Decimal(0),
        ge=0,
        alias="PRECIS_BUDGET_PERSON",
        description="What one person may spend in a day (UTC), in US dollars; 0: no limit.",
    )
    budget_day: Decimal = Field(
        Decimal(0),
        ge=0,
        alias="PRECIS_BUDGET_DAY",
        description="What all may spend in a day (UTC), in US dollars; 0: no limit.",
    )
    prices: Words = Field(
        (),
        alias="PRECIS_PRICES",
        description="Prices of models that have none in the built-in list or another one there, "
        "comma-separated: `provider:model=in/out`, in US dollars per million tokens.",
    )
    retention_days: int = Field(
        0,
        ge=0,
        # A calendar ends somewhere.
        le=36_500,
        alias="PRECIS_RETENTION_DAYS",
        description="After how many days without a new analysis a document is deleted, with its analyses; "
        "0: never.",
    )
    event_days: int = Field(
        365,
        ge=1,
        le=36_500,
        alias="PRECIS_EVENT_DAYS",
        description="For how many days it is kept who did what.",
    )

    @field_validator("secret_key", "hosts", "models", "proxy_addresses", "admins", "prices", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(word for word in (part.strip() for part in value.split(",")) if word)
        return value

    @field_validator("hosts")
    @classmethod
    def _some_host(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        # Flask takes an empty list for "trust nobody" and None for "trust anybody".
        if not value:
            raise ValueError("names no host: list at least one")
        return value

    @field_validator("analyze_limit")
    @classmethod
    def _a_limit(cls, value: str) -> str:
        if value.strip():
            parse_many(value)
        return value.strip()

    @field_validator("database_url")
    @classmethod
    def _a_database(cls, value: str) -> str:
        if value.startswith("postgresql://"):
            try:
                urlsplit(value).port  # noqa: B018
            except ValueError:
                raise ValueError(
                    "must have a number for its port: write / ? # @ in a password as %2F %3F %23 %40"
                ) from None
            if not urlsplit(value).path.strip("/"):
                raise ValueError("must name a database: postgresql://user:password@host/name")
        elif value.removeprefix("sqlite:///") in (value, "", ":memory:"):
            raise ValueError("must begin with sqlite:/// and name a file, or with postgresql://")
        return value

    @field_validator("redis_url")
    @classmethod
    def _a_channel(cls, value: str) -> str:
        if value and not value.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("must begin with redis://, rediss:// or unix://")
        return value

    @field_validator("proxy_user_header")
    @classmethod
    def _a_header(cls, value: str) -> str:
        # With an underscore in its name a server drops it: a client's could not be told from the proxy's.
        if not re.fullmatch(r"[A-Za-z0-9-]+", value):
            raise ValueError("must be the name of a header, of letters, digits and hyphens")
        return value

    @field_validator("proxy_addresses")
    @classmethod
    def _some_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for word in value:
            ip_network(word)
        return value

    @field_validator("oidc_issuer")
    @classmethod
    def _an_issuer(cls, value: str) -> str:
        scheme, host = urlsplit(value).scheme, urlsplit(value).hostname or ""
        if value and not (host and (scheme == "https" or (scheme == "http" and is_loopback(host)))):
            raise ValueError("must begin with https://, or on this machine with http://")
        if len(value) > 200:
            raise ValueError("must have at most 200 characters")
        return value

    @field_validator("budget_analysis", "budget_person", "budget_day", mode="before")
    @classmethod
    def _an_amount(cls, value: object) -> object:
        if not re.fullmatch(r"\d{1,9}(\.\d{1,6})?", str(value).strip()):
            raise ValueError("must be an amount of US dollars such as 2.50, or 0 for no limit")
        return value

    @field_validator("prices")
    @classmethod
    def _some_prices(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for entry in value:
            if not _PRICE.fullmatch(entry):
                raise ValueError(
                    f"must be provider:model=in/out, in US dollars per million tokens, such as "
                    f"openai:llama3.3=0.50/1.50, and not {entry}"
                )
        return value

    @field_validator("context_tokens")
    @classmethod
    def _room_for_sections(cls, value: int) -> int:
        if 0 < value < 4_000:
            raise ValueError("must be 0, or at least 4000: in less there is no room for a section")
        return value

    @model_validator(mode="after")
    def _fit_for_several(self) -> Settings:
        several = "PRECIS_WORKERS" if self.workers > 1 else "PRECIS_ROLE" if self.role != "all" else ""
        if several and self.database_file:
            raise ValueError(
                f"{several} means several processes, which cannot share a SQLite file: "
                "set PRECIS_DATABASE_URL to postgresql://…"
            )
        if several and not self.redis_url:
            raise ValueError(
                f"{several} means several processes, which hear of each other through Redis: "
                "set PRECIS_REDIS_URL to redis://…"
            )
        return self

    @model_validator(mode="after")
    def _fit_to_sign_in(self) -> Settings:
        if self.auth == "none" and self.role != "worker" and not self.is_local:
            raise ValueError(
                f"PRECIS_AUTH is none, and at {self.address} others than this machine would see everything: "
                "set it to proxy or oidc, or let PRECIS_HOST be 127.0.0.1"
            )
        if self.auth == "oidc":
            if not all(find_spec(package) for package in ("authlib", "requests")):
                raise ValueError(
                    "PRECIS_AUTH is oidc, which needs more packages: pip install --require-hashes -r "
                    "requirements-oidc.txt"
                )
            for field in ("oidc_issuer", "oidc_client_id", "oidc_client_secret", "secret_key"):
                if not getattr(self, field):
                    raise ValueError(f"PRECIS_AUTH is oidc, which needs {name_of(field)}")
            if any(len(key) < 32 for key in self.secret_key):
                raise ValueError(
                    "PRECIS_SECRET_KEY must have at least 32 characters in each key: "
                    "openssl rand -hex 32 makes one"
                )
        return self

    @property
    def address(self) -> str:
        """Where the server listens, in gunicorn's words."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.bind or f"{host}:{self.port}"

    @property
    def stated_prices(self) -> dict[str, dict[str, tuple[Decimal, Decimal]]]:
        """The prices by provider and model: of a million tokens in and out, in US dollars."""
        stated: dict[str, dict[str, tuple[Decimal, Decimal]]] = {}
        for entry in self.prices:
            if found := _PRICE.fullmatch(entry):
                provider, model, *price = found.groups()
                stated.setdefault(provider, {})[model] = Decimal(price[0]), Decimal(price[1])
        return stated

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches it; a unix socket is opened by whom its folder lets in."""
        host = self.bind.rpartition(":")[0].strip("[]") if self.bind else self.host
        return self.bind.startswith("unix:") or is_loopback(host)

    @property
    def oidc_discovery(self) -> str:
        """Where the OpenID provider says how to sign in with it."""
        return f"{self.oidc_issuer.rstrip('/')}/.well-known/openid-configuration"

    @property
    def database_file(self) -> Path | None:
        """The SQLite file, if it is one; a relative one counts from the working directory."""
        path = self.database_url.removeprefix("sqlite:///")
        return Path(path) if path != self.database_url else None


def is_loopback(host: str) -> bool:
    """Whether a host's name or address is this machine's own."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def name_of(field: str) -> str:
    """Return the environment variable of a setting."""
    return Settings.model_fields[field].alias or field


def load() -> Settings:
    """Read the settings from the environment; a wrong or unknown one raises `ConfigError`."""
    if found := mistakes():
        raise ConfigError(found[0])
    return Settings()


def mistakes() -> list[str]:
    """Return a sentence about each setting in the environment that is unknown or wrong."""
    known = {name_of(field) for field in Settings.model_fields}
    found = []
    for name in sorted(os.environ):
        # pydantic-settings ignores what it does not know, so a typing error would go unseen.
        if name.startswith(PREFIX) and name not in known:
            near = difflib.get_close_matches(name, known, 1, 0)
            found.append(f"{name} is not a setting of Precis; did you mean {near[0]}?")
    try:
        Settings()
    except ValidationError as error:
        for each in error.errors():
            # A rule about several settings names them itself.
            name = f"{each['loc'][0]} " if each["loc"] else ""
            found.append(f"{name}{_reason(each)}.")
    return found


def _reason(error: Mapping[str, Any]) -> str:
    text = str(error["ctx"]["error"]) if error["type"] == "value_error" else str(error["msg"])
    text = text.strip().rstrip(".")
    return (
        text
        if text.startswith(("must", "names", PREFIX))
        else f"cannot be used: {text[:1].lower()}{text[1:]}"
    )
