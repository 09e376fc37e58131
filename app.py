"""Precis: open a document, press Enter, and watch an analysis arrive and stay.

`python app.py` brings the database up to date and serves; `backup` and `restore` copy what it keeps,
`check` looks at its settings and `doctor` at it from outside.
Each process is made by `create_app`.
"""

from gevent import monkey

# First of all: what was imported before it would keep blocking sockets, and one would stop every stream.
monkey.patch_all()

import argparse  # noqa: E402
import sys  # noqa: E402
from datetime import timedelta  # noqa: E402
from ipaddress import ip_network  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import NoReturn  # noqa: E402

from flask import Flask  # noqa: E402
from peewee import DatabaseError  # noqa: E402
from werkzeug.middleware.proxy_fix import ProxyFix  # noqa: E402

import check  # noqa: E402
import config  # noqa: E402
import doctor  # noqa: E402
import logs  # noqa: E402
import server  # noqa: E402
import storage  # noqa: E402
import views  # noqa: E402
from analyzer import Analyzer, Limits  # noqa: E402
from analyzer.channel import Redis, Silence  # noqa: E402
from analyzer.prompt import RecipeError, load_recipes  # noqa: E402
from analyzer.readings import Readings  # noqa: E402
from analyzer.retention import Retention  # noqa: E402
from analyzer.trail import Trail  # noqa: E402
from config import ConfigError, Settings  # noqa: E402
from findings import tell  # noqa: E402
from models import Budgets, User, millionths  # noqa: E402
from providers import anthropic, offline, openai  # noqa: E402
from providers.base import Provider  # noqa: E402
from storage import backups  # noqa: E402
from views.helpers import openid  # noqa: E402
from views.helpers.cookie import Cookie  # noqa: E402


def create_app(settings: Settings) -> Flask:
    """Build the web application around an analyzer that has not begun: its worker begins it."""
    storage.connect(settings.database_url)
    app = Flask(__name__)
    app.config.update(
        SECRET_KEY=next(iter(settings.secret_key), None),
        SECRET_KEY_FALLBACKS=settings.secret_key[1:],
        AUTH=settings.auth,
        ADMINS={User.as_name(name) for name in settings.admins},
        PROXY_USER_HEADER=settings.proxy_user_header,
        PROXY_ADDRESSES=[ip_network(address) for address in settings.proxy_addresses],
        SESSION_LENGTH=timedelta(hours=settings.session_hours),
        SESSION_IDLE=timedelta(minutes=settings.idle_minutes),
        HOSTS={host.lower() for host in settings.hosts},
        MAX_CONTENT_LENGTH=16 * 1024 * 1024,
        # Flask's own limit of 500 kB for a form's field would refuse a long paste.
        MAX_FORM_MEMORY_SIZE=12 * 1024 * 1024,
        SEND_FILE_MAX_AGE_DEFAULT=365 * 24 * 3600,
        ANALYZE_LIMIT=settings.analyze_limit,
        REDIS_URL=settings.redis_url,
        MAX_STREAMS=settings.max_streams,
        RETENTION_DAYS=settings.retention_days,
        # The rest of the connections are for pages.
        MAX_VIEWERS=server.max_connections() * 3 // 4,
    )
    app.extensions["analyzer"] = make_analyzer(settings)
    app.extensions["trail"] = trail = Trail()
    app.extensions["retention"] = Retention(trail, settings.retention_days, settings.event_days)
    app.extensions["readings"] = Readings(trail, settings.keep_originals == "yes")
    if hops := settings.trusted_proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]
    if settings.auth == "oidc":
        app.session_interface = Cookie()
        openid.register(
            app,
            issuer=settings.oidc_issuer,
            discovery=settings.oidc_discovery,
            client_id=settings.oidc_client_id,
            client_secret=settings.oidc_client_secret,
            admin_group=settings.oidc_admin_group,
        )
    views.register(app, settings.role)
    return app


def make_analyzer(settings: Settings) -> Analyzer:
    """Build the analyzer with the providers that the settings configure."""
    providers = configured_providers(settings)
    return Analyzer(
        providers,
        offered_models(settings, providers),
        load_recipes(config.ROOT / "prompts"),
        # Each call is a connection too.
        max_running=0 if settings.role == "web" else min(settings.max_running, server.max_connections()),
        max_output_tokens=settings.max_output_tokens,
        context_tokens=settings.context_tokens,
        limits=Limits(settings.first_token_seconds, settings.gap_seconds, settings.total_seconds),
        budgets=Budgets(
            millionths(settings.budget_analysis),
            millionths(settings.budget_person),
            millionths(settings.budget_day),
        ),
        channel=make_channel(settings),
    )


def make_channel(settings: Settings) -> Redis | Silence:
    """Return what this process hears others through."""
    if settings.database_file:
        # Nobody else has it; but a copy of it, served beside it, could not be told from it.
        return Silence(is_up=True)
    # Who shares the database may share it with others, of whom nothing is heard.
    return Redis(settings.redis_url) if settings.redis_url else Silence(is_up=False)


def configured_providers(settings: Settings) -> dict[str, Provider]:
    """Return the providers that have a key or an address of their own, and `offline`, by name."""
    providers: dict[str, Provider] = {}
    prices = settings.stated_prices
    if settings.openai_api_key or settings.openai_base_url:
        providers["openai"] = openai.OpenAI(
            settings.openai_api_key,
            settings.openai_base_url or None,
            settings.openai_api,
            prices=prices.get("openai"),
        )
    if settings.anthropic_api_key or settings.anthropic_base_url:
        providers["anthropic"] = anthropic.Anthropic(
            settings.anthropic_api_key,
            settings.anthropic_base_url or None,
            prices=prices.get("anthropic"),
        )
    providers["offline"] = offline.Offline()
    return providers


DEFAULT_MODELS = {
    "openai": openai.DEFAULT_MODEL,
    "anthropic": anthropic.DEFAULT_MODEL,
    "offline": offline.DEFAULT_MODEL,
}


def offered_models(settings: Settings, providers: dict[str, Provider]) -> tuple[str, ...]:
    """Return the models on offer, the default first; one that cannot work raises `ConfigError`."""
    if not settings.models:
        return tuple(f"{name}:{DEFAULT_MODELS[name]}" for name in providers)
    for entry in settings.models:
        name, _, model = entry.partition(":")
        if name not in DEFAULT_MODELS or not model:
            known = ", ".join(DEFAULT_MODELS)
            raise ConfigError(
                f"PRECIS_MODELS: {entry!r} is not provider:model with a provider out of {known}."
            )
        if name not in providers:
            raise ConfigError(f"PRECIS_MODELS lists {entry}, but {name.upper()}_API_KEY is not set.")
    return tuple(dict.fromkeys(settings.models))


def main() -> None:
    """Serve, or do what the command line says; a mistake ends with one sentence."""
    logs.configure()
    arguments = read_arguments()
    if arguments.command == "doctor":
        sys.exit(tell(doctor.examine(arguments.url, arguments.seconds)))
    if arguments.command == "check":
        sys.exit(tell(check.examine(make_analyzer)))
    try:
        settings = config.load()
        if arguments.command:
            print(COMMANDS[arguments.command](file_of(settings), arguments.file))  # noqa: T201
        else:
            # Made here too, so that a mistake shows before anything runs; the serving process makes its own.
            server.serve(settings, make_analyzer(settings).models, create_app)
    except (ConfigError, RecipeError, storage.DatabaseRefused) as error:
        sys.exit(f"precis: {error}")
    except (storage.StorageError, DatabaseError) as error:
        sys.exit(f"precis: {settings.database_file or 'PostgreSQL'} cannot be used: {error}.")
    except OSError as error:
        sys.exit(f"precis: {error}.")


COMMANDS = {"backup": backups.back_up, "restore": backups.restore}


def file_of(settings: Settings) -> Path:
    """Return the SQLite file, or raise `ConfigError` where there is none."""
    if settings.database_file is None:
        raise ConfigError(
            "PRECIS_DATABASE_URL is PostgreSQL's: copy it with pg_dump, restore it with pg_restore"
        )
    return settings.database_file


def read_arguments() -> argparse.Namespace:
    """Read the command line: nothing, or a `command` and its `file`, or its `url` and `seconds`."""
    parser = Parser(prog="python app.py", description="Without a command: serve Precis.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    backup = commands.add_parser("backup", help="copy the database into a new file, even while it is served")
    backup.add_argument("file", type=Path, metavar="FILE", help="a file that is not there yet")
    restore = commands.add_parser("restore", help="put a backup in the database's place, which is kept")
    restore.add_argument("file", type=Path, metavar="FILE", help="a file that backup has made")
    look = commands.add_parser("doctor", help="look at Precis through all proxies, and say what is wrong")
    look.add_argument("url", metavar="URL", help="its address, as people type it")
    look.add_argument("--seconds", type=int, default=90, help="length of the last stream, at most 120 (90)")
    commands.add_parser("check", help="look at the settings and all they lead to, and say what is wrong")
    return parser.parse_args()


class Parser(argparse.ArgumentParser):
    """Tells a mistake in one sentence."""

    def error(self, message: str) -> NoReturn:
        """End with the sentence."""
        self.exit(2, f"precis: {message}; python app.py --help says more.\n")


if __name__ == "__main__":
    main()
