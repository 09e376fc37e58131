"""Whether a configuration can work: its settings and all that they lead to, before anything is served.

Nothing is written anywhere, and no provider is asked for anything that costs.
"""

from __future__ import annotations

import ipaddress
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2

import config
import server
from analyzer import Analyzer
from analyzer.prompt import RecipeError
from config import ConfigError, Settings
from findings import Finding, ok, warning, wrong
from providers.base import Usage
from storage.errors import NEEDS_MORE, DatabaseRefused
from storage.schema import MIGRATIONS, unknown
from storage.sqlite import examine as examine_file
from storage.sqlite import opened

PATIENCE_SECONDS = 5.0
CLOCK_SECONDS = 2.0
SLOW_SECONDS = 0.1
LITTLE_DISK, TOO_LITTLE_DISK = 2_000_000_000, 100_000_000
FEW_CONNECTIONS = 1_000
PRIVATE = 0o077
SECRETS = {"secret_key", "openai_api_key", "anthropic_api_key", "oidc_client_secret"}
# Everything up to the last @, because a password may hold one.
PASSWORD = re.compile(r"(?<=://)\S*@|(?<=[?&])\S*")
ANYBODY = "There is no sign-in: whoever on this machine gets there sees, starts and deletes everything"


MakeAnalyzer = Callable[[Settings], Analyzer]


def examine(make_analyzer: MakeAnalyzer) -> Iterator[Finding]:
    """Yield what is found, in the order of what needs what."""
    if mistakes := config.mistakes():
        yield from (wrong(mistake) for mistake in mistakes)
        return
    settings = config.load()
    yield from tell_settings(settings)
    yield from look_at_address(settings)
    yield from look_at_sign_in(settings)
    yield from look_at_hosts(settings)
    yield from look_at_machine(settings)
    yield from (
        look_at_file(settings.database_file) if settings.database_file else look_at_postgresql(settings)
    )
    if settings.redis_url:
        yield from look_at_redis(settings.redis_url)
    try:
        analyzer = make_analyzer(settings)
    except (ConfigError, RecipeError) as error:
        yield wrong(str(error))
        return
    for name, provider in analyzer.providers.items():
        if home := getattr(provider, "home", None):
            yield from look_at_provider(settings, name, home)
    yield from look_at_models(settings, analyzer)


def tell_settings(settings: Settings) -> Iterator[Finding]:
    """Name what is set, in the settings' own order, and of a secret only that it is."""
    for field in type(settings).model_fields:
        if field in settings.model_fields_set:
            value = getattr(settings, field)
            text = ",".join(value) if isinstance(value, tuple) else str(value)
            shown = "set" if text and field in SECRETS else _without_password(text) or "empty"
            yield ok(f"{config.name_of(field)} is {shown}")


# Who reaches it


def look_at_address(settings: Settings) -> Iterator[Finding]:
    """See whether only those reach it who may."""
    address = settings.address
    folder = Path(address.removeprefix("unix:")).parent
    if address.startswith("unix:") and not os.access(folder, os.W_OK | os.X_OK):
        yield wrong(f"{folder} cannot be written to, so that no socket can be made there: make it.")
    elif settings.is_local:
        # What systemd starts it with is not told to a command.
        yield ok(
            f"It listens at {address}, which only this machine reaches, unless its unit names a port or "
            "holds a socket."
        )
    elif settings.role == "worker":
        yield ok(f"It listens at {address}, where a worker shows no pages.")
    else:
        yield ok(f"It listens at {address}, which other machines reach, too: who comes there has to sign in.")


def look_at_sign_in(settings: Settings) -> Iterator[Finding]:
    """See whether it is known who asks, and from whom."""
    if settings.role == "worker":
        return
    if settings.auth == "oidc":
        yield from _look_at_openid(settings)
        if settings.admins:
            yield warning(
                "PRECIS_ADMINS goes by names, and who comes first from the provider with one of them has it "
                "for good. Where people choose theirs, name a group instead, in PRECIS_OIDC_ADMIN_GROUP."
            )
    elif settings.auth == "proxy":
        believed = ", ".join((*settings.proxy_addresses, "a unix socket"))
        sentence = f"Who asks is read from {settings.proxy_user_header}, which is believed from {believed}"
        if any(ipaddress.ip_network(address).prefixlen == 0 for address in settings.proxy_addresses):
            yield wrong(
                f"{sentence}: that is anybody. Name the proxy's own address in PRECIS_PROXY_ADDRESSES."
            )
        else:
            yield ok(f"{sentence}; the proxy must overwrite it in every request.")
    elif settings.trusted_proxies:
        yield warning(f"{ANYBODY}, and whoever the proxy lets through: set PRECIS_AUTH to proxy or oidc.")
    else:
        yield ok(f"{ANYBODY}.")


def _look_at_openid(settings: Settings) -> Iterator[Finding]:
    # Who has no provider need not have it.
    import requests

    issuer = settings.oidc_issuer
    try:
        # As the client that signs people in does: by the same certificates and proxies.
        answer = requests.get(settings.oidc_discovery, timeout=PATIENCE_SECONDS)
        answer.raise_for_status()
        called = answer.json()["issuer"]
    except (requests.RequestException, ValueError, LookupError, TypeError) as error:
        yield wrong(
            f"{issuer} does not say how to sign in ({type(error).__name__}): see whether PRECIS_OIDC_ISSUER "
            "is right, and whether firewall, HTTPS_PROXY and REQUESTS_CA_BUNDLE let this machine through."
        )
        return
    if called != issuer:
        yield wrong(f"{issuer} calls itself {called}: set PRECIS_OIDC_ISSUER to exactly that.")
    else:
        yield ok(f"{issuer} says how to sign in.")
    if not settings.trusted_proxies:
        yield warning(
            "The provider sends people back to the address by which their request came, which a proxy that "
            "ends TLS knows: where there is one, set PRECIS_TRUSTED_PROXIES to 1."
        )


def look_at_hosts(settings: Settings) -> Iterator[Finding]:
    """See whether the names are names, and whether there is one for those who come by a proxy."""
    for host in settings.hosts:
        if "/" in host or "*" in host:
            yield wrong(
                f"PRECIS_HOSTS names {host}: a name stands there as in an address, without https:// and *."
            )
    if settings.trusted_proxies and all(config.is_loopback(host.strip("[]")) for host in settings.hosts):
        yield warning(
            "PRECIS_HOSTS names this machine only: who comes by a proxy under another name is refused. Add "
            "the name that stands in the browsers."
        )


def look_at_machine(settings: Settings) -> Iterator[Finding]:
    """See how many may watch, and whether there are cores for the processes."""
    server.raise_file_limit()
    most = server.max_connections()
    sentence = f"Each process can hold {most:,} connections, {most * 3 // 4:,} of them viewers."
    if most < FEW_CONNECTIONS:
        yield warning(f"{sentence} Open files limit it: raise LimitNOFILE, or ulimit -n, to 20300.")
    else:
        yield ok(sentence)
    if settings.workers > (cores := os.cpu_count() or 1):
        yield warning(f"PRECIS_WORKERS is {settings.workers}, but there are {cores} cores.")


# Where everything is kept


def look_at_file(file: Path) -> Iterator[Finding]:
    """See whether a SQLite file is sound and private, and has room to grow."""
    folder = next(folder for folder in file.absolute().parents if folder.exists())
    if not os.access(folder, os.W_OK | os.X_OK):
        yield wrong(f"{folder} cannot be written to by this user: make it his, or name another file.")
        return
    if not file.exists():
        yield ok(f"{file} is not there yet: the first start makes it.")
    elif not os.access(file, os.R_OK | os.W_OK):
        yield wrong(f"{file} cannot be read and written by this user: make it his.")
    else:
        yield from _look_into(file)
    free = shutil.disk_usage(folder).free
    sentence = f"There are {free / 1e9:,.1f} GB free for {file}."
    if free < LITTLE_DISK:
        say = wrong if free < TOO_LITTLE_DISK else warning
        yield say(f"{sentence} When the disk is full nothing more is saved: make room.")
    else:
        yield ok(sentence)


def _look_into(file: Path) -> Iterator[Finding]:
    try:
        examine_file(file, "quick_check", may_be_new=True)
        with opened(file) as connection:
            tables = connection.execute("SELECT name FROM sqlite_schema WHERE name = 'schema_migration'")
            names = connection.execute("SELECT name FROM schema_migration") if tables.fetchone() else ()
            applied = {name for (name,) in names}
    except DatabaseRefused as error:
        yield wrong(str(error))
        return
    yield _compare(str(file), applied)
    mode = file.stat().st_mode
    if mode & PRIVATE:
        yield warning(f"Others on this machine may read {file}: chmod go= {file}*")


def _compare(where: str, applied: set[str]) -> Finding:
    """Say how a database's schema is to this version's."""
    if newer := unknown(applied):
        if contracted := {name for name in newer if "contract" in name}:
            return wrong(f"{where} was changed by a newer version ({max(contracted)}): run that version.")
        return warning(f"{where} is of a newer version, beside which this one can run for a while.")
    if applied and {migration.stem for migration in MIGRATIONS.glob("*.py")} - applied:
        return ok(f"{where} is of an older version: the next start brings it up to date.")
    return ok(f"{where} is sound and up to date." if applied else f"{where} is empty so far.")


# In an encoding, because a database without one would answer in bytes.
SESSION: dict[str, Any] = {"autocommit": True, "client_encoding": "utf8"}
# Before it is known that it is a server of ours: one answer of what any PostgreSQL knows.
STATE = """
    SELECT current_setting('server_version') AS version, current_setting('max_connections')::int
        - current_setting('superuser_reserved_connections')::int AS connections,
        current_setting('timezone') AS zone, extract(epoch FROM clock_timestamp()) AS time,
        current_setting('transaction_read_only')::bool AS is_read_only,
        current_setting('server_encoding') AS encoding, current_setting('fsync')::bool AS is_durable,
        has_schema_privilege(current_schema(), 'CREATE') AS may_create,
        to_regclass('schema_migration') IS NOT NULL AS is_ours
"""


def look_at_postgresql(settings: Settings) -> Iterator[Finding]:
    """See whether a PostgreSQL server answers, lets us write, and has connections enough."""
    try:
        from storage.postgresql import MOST_CONNECTIONS, PostgreSQL, psycopg
    except ImportError:
        yield wrong(f"PostgreSQL {NEEDS_MORE}")
        return
    database = PostgreSQL(settings.database_url)
    where = f"PostgreSQL at {database.where}"
    try:
        with closing(psycopg.connect(database.conninfo, **SESSION)) as connection:
            asked = time.time()
            cursor = connection.cursor(row_factory=psycopg.rows.namedtuple_row)
            state: Any = cursor.execute(STATE).fetchone()
            ahead = float(state.time) - (asked + time.time()) / 2
            names = connection.execute("SELECT name FROM schema_migration") if state.is_ours else ()
            applied = {name for (name,) in names}
    except psycopg.Error as error:
        yield wrong(
            f"{where} does not let us in ({_first_line(error)}): see whether it runs, and whether "
            "PRECIS_DATABASE_URL names its host, port, user, password and database."
        )
        return
    yield ok(f"{where} answers; its version is {state.version}.")
    yield _compare(where, applied)
    yield from _look_at_rights(where, state, applied)
    yield _count_connections(where, state.connections, settings.workers * MOST_CONNECTIONS)
    yield from _look_at_clock(where, state.zone, ahead)


def _look_at_rights(where: str, state: Any, applied: set[str]) -> Iterator[Finding]:
    if state.is_read_only:
        yield wrong(f"{where} can only be read: name the server that is written to.")
    if state.encoding != "UTF8":
        yield wrong(f"{where} has the encoding {state.encoding}: make the database with ENCODING 'UTF8'.")
    if not state.may_create and not applied:
        yield wrong(f"{where} does not let this user make tables: GRANT CREATE ON SCHEMA public.")
    if not state.is_durable:
        yield warning(f"{where} runs with fsync = off: a power cut may leave nothing.")


def _count_connections(where: str, most: int, need: int) -> Finding:
    sentence = f"{where} has {most} connections, and this server takes up to {need}"
    if need > most:
        return wrong(f"{sentence}: raise its max_connections.")
    return ok(f"{sentence}; all others that use it need theirs, too.")


def _look_at_clock(where: str, zone: str, ahead: float) -> Iterator[Finding]:
    if zone.removeprefix("Etc/") != "UTC":
        yield wrong(
            f"{where} goes by the time zone {zone} although UTC is asked for: something between drops "
            "the options of a connection, such as PgBouncer. Connect directly."
        )
    sentence = f"The clock of {where} is {abs(ahead):,.1f} s {'ahead' if ahead > 0 else 'behind'}"
    if abs(ahead) > CLOCK_SECONDS:
        yield warning(
            f"{sentence}: times in pages are its, times in the log this machine's. Set both by NTP."
        )
    else:
        yield ok(f"{sentence}.")


OPTIONS: dict[str, Any] = {"protocol": 2, "socket_timeout": 1, "socket_connect_timeout": 1}


def look_at_redis(url: str) -> Iterator[Finding]:
    """See whether a Redis answers, carries messages, and forgets nothing."""
    try:
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry
    except ImportError:
        yield wrong(f"Redis {NEEDS_MORE}")
        return
    topic = f"precis:check:{os.getpid()}"
    try:
        with (
            redis.Redis.from_url(url, **OPTIONS, retry=Retry(NoBackoff(), 0)) as client,
            client.pubsub(ignore_subscribe_messages=True) as heard,
        ):
            about = client.info()
            heard.subscribe(topic)
            heard.get_message(timeout=1)  # that it has subscribed
            began = time.monotonic()
            client.publish(topic, "")
            carried = heard.get_message(timeout=1)
            seconds = time.monotonic() - began
    except redis.RedisError as error:
        yield wrong(
            f"Redis does not let us in ({_first_line(error)}): see whether it runs, whether "
            "PRECIS_REDIS_URL names its host, port and password, and whether its user may use channels."
        )
        return
    yield ok(f"Redis answers; its version is {about['redis_version']}.")
    sentence = f"A message through Redis takes {seconds * 1000:.1f} ms"
    if not carried:
        yield wrong(
            "Redis carries no message from one of its clients to another: see what stands in between."
        )
    elif seconds > SLOW_SECONDS:
        yield warning(f"{sentence}: so much later people read what is written. See what keeps it busy.")
    else:
        yield ok(f"{sentence}.")
    if about.get("maxmemory") and about.get("maxmemory_policy") != "noeviction":
        yield warning(
            f"Redis may forget who has started how often (maxmemory-policy {about['maxmemory_policy']}): set "
            "it to noeviction, and then each process counts by itself while the memory is full."
        )


# Who is asked


def look_at_provider(settings: Settings, name: str, home: str) -> Iterator[Finding]:
    """See whether a provider can be reached: neither key nor question is sent."""
    key, address = getattr(settings, f"{name}_api_key"), getattr(settings, f"{name}_base_url") or home
    host, where = urlsplit(address).hostname or "", _without_password(address)
    try:
        # As its client does: by the same certificates and proxies.
        with httpx2.Client(timeout=PATIENCE_SECONDS) as client:
            status = client.get(httpx2.URL(address).copy_with(userinfo=b"", query=None)).status_code
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        yield wrong(
            f"{where} cannot be reached ({_first_line(error)}): see whether {name.upper()}_BASE_URL is "
            "right, and whether firewall, HTTPS_PROXY and SSL_CERT_FILE let this machine through."
        )
    else:
        # Without a key and a question most answer 401 or 404.
        if status >= 500:
            yield warning(
                f"{where} answers {status}: it is in trouble, or a proxy on the way does not reach it."
            )
        else:
            yield ok(f"{where} answers{'' if key else ', to which no key is sent'}.")
    if address.startswith("http://") and not config.is_loopback(host):
        yield warning(f"Documents go to {host} in the clear: use https:// there.")


def look_at_models(settings: Settings, analyzer: Analyzer) -> Iterator[Finding]:
    """See what is known of the models on offer."""
    if all(model.startswith("offline:") for model in analyzer.models):
        yield warning(
            "No language model is on offer, only sentences out of the document: set OPENAI_API_KEY, "
            "ANTHROPIC_API_KEY or OPENAI_BASE_URL."
        )
    for entry in analyzer.models:
        name = entry.partition(":")[0]
        if name != "offline":
            is_elsewhere = bool(getattr(settings, f"{name}_base_url"))
            yield _describe(entry, analyzer, is_elsewhere)


def _describe(entry: str, analyzer: Analyzer, is_elsewhere: bool) -> Finding:
    name, _, model = entry.partition(":")
    window, price = analyzer.costs.window(entry), analyzer.providers[name].price(Usage(1_000, 1_000), model)
    if price is None and any(analyzer.costs.budgets):
        return wrong(
            f"{entry} is on offer, but what it costs is not known here, so that nobody can ask it while a "
            f"PRECIS_BUDGET_ is set: add {entry}=in/out to PRECIS_PRICES, in US dollars per million tokens."
        )
    if window is not None and price is not None:
        return ok(f"{entry} reads {window:,} tokens, and its price is known.")
    missing = " and ".join(
        [*(["how much it reads"] if window is None else []), *(["what it costs"] if price is None else [])]
    )
    sentence = f"{entry} is on offer; {missing} is not known here."
    if not is_elsewhere:
        # Of a model of one's own nobody knows; one of the vendor's may be misspelt.
        return warning(f"{sentence} See whether it is spelt as the provider does.")
    if window is None:
        return warning(
            f"{sentence} Set PRECIS_CONTEXT_TOKENS to what its server lets it read at once: many drop what "
            "is longer, without a word."
        )
    return ok(sentence)


def _without_password(url: str) -> str:
    return PASSWORD.sub("…", url)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".:")
