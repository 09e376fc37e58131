"""What the tests share. Everything real runs on this machine's loopback and nothing leaves it."""

from gevent import monkey

monkey.patch_all()

import os  # noqa: E402
import socket  # noqa: E402
from traceback import walk_tb  # noqa: E402

import gevent  # noqa: E402
import pytest  # noqa: E402
from jinja2 import FileSystemBytecodeCache  # noqa: E402

import config  # noqa: E402
import storage  # noqa: E402
from app import create_app  # noqa: E402
from tests.chromium import Browser, open_chromium  # noqa: E402
from tests.precis import Precis  # noqa: E402
from tests.scripted_provider import ScriptedProvider  # noqa: E402

for name in [name for name in os.environ if name.startswith(("PRECIS_", "OPENAI_", "ANTHROPIC_", "SSL_"))]:
    del os.environ[name]

# Each client would read all that the machine trusts, which takes longer than most tests do.
os.environ["SSL_CERT_DIR"] = os.devnull

if "PYTEST_XDIST_WORKER" in os.environ:
    # A worker waits for its next test, which another thread brings, and gevent would call that a deadlock.
    gevent.get_hub().loop.async_().start(lambda: None)


@pytest.fixture(autouse=True)
def _loopback_only(monkeypatch):
    connect = socket.socket.connect

    def guarded(self, address):
        if self.family != socket.AF_UNIX and address[0] not in {"127.0.0.1", "::1", "localhost"}:
            raise AssertionError(f"a test tried to reach {address}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(autouse=True)
def _no_greenlet_dies_unheard(monkeypatch):
    """Fail a test in which one of the product's greenlets died, which gevent would only print."""
    hub, died = gevent.get_hub(), []

    def remember(context, kind, error, traceback):
        # The first frame is gevent's own, the second the greenlet's function.
        frames = [frame.f_code.co_filename for frame, _ in walk_tb(traceback)]
        is_ours = not any("/tests/" in file for file in frames[:2])
        if is_ours and not issubclass(kind, gevent.GreenletExit | SystemExit):
            died.append((context, error))

    monkeypatch.setattr(hub, "handle_error", remember)
    yield
    assert not died


@pytest.fixture
def provider():
    """A scripted provider in this process."""
    with ScriptedProvider() as provider:
        yield provider


@pytest.fixture
def settings(tmp_path, provider):
    """Settings with the scripted provider as OpenAI, Anthropic and a database of the test's own."""
    return config.Settings(
        database_url=f"sqlite:///{tmp_path / 'precis.db'}",
        openai_api_key="test-key",
        openai_base_url=provider.openai_url,
        openai_api="responses",
        anthropic_api_key="test-key",
        anthropic_base_url=provider.anthropic_url,
        models=("openai:gpt-6-sol", "anthropic:claude-sonnet-5-5", "offline:extractive"),
        analyze_limit="",
    )


@pytest.fixture(scope="session")
def _compiled(tmp_path_factory):
    """What the templates are compiled to, by the first application that shows them."""
    return FileSystemBytecodeCache(str(tmp_path_factory.mktemp("templates")))


@pytest.fixture
def make_app(settings, _compiled):
    """Make applications that have begun, each in place of the one before."""
    made = []

    def make(**changes):
        for app in made:
            app.extensions["analyzer"].drain(0)
        made.clear()
        app = create_app(settings.model_copy(update=changes))
        app.testing = True
        app.jinja_env.bytecode_cache = _compiled
        storage.migrate()
        app.extensions["analyzer"].begin()
        made.append(app)
        return app

    yield make
    for app in made:
        app.extensions["analyzer"].drain(0)


@pytest.fixture
def app(make_app):
    """An application that has begun, in this process."""
    return make_app()


@pytest.fixture
def client(app):
    """A browser without scripts, more or less."""
    return app.test_client()


@pytest.fixture
def analyzer(app):
    """The application's analyzer."""
    return app.extensions["analyzer"]


@pytest.fixture
def document(client):
    """A document of three paragraphs, as the page's address."""
    text = "Terms of use\n\nThe user shall pay 100 EUR by 1 March 2027.\n\nNobody may copy this."
    return client.post("/documents", data={"text": text}).headers["Location"]


@pytest.fixture
def precis(tmp_path, provider):
    """A server process of its own, to be started by the test, with the scripted provider as OpenAI."""
    with Precis(tmp_path, provider) as precis:
        yield precis


@pytest.fixture(scope="session")
def chromium():
    """Debian's chromium, without a window."""
    with open_chromium() as browser:
        yield browser


@pytest.fixture
def browser(chromium):
    """A person's browser, as new."""
    with Browser(chromium) as browser:
        yield browser


@pytest.fixture(scope="session")
def _standing(tmp_path_factory):
    with ScriptedProvider() as provider, Precis(tmp_path_factory.mktemp("site"), provider) as precis:
        precis.provider = provider
        yield precis.start()


@pytest.fixture
def site(_standing):
    """A server process that stays up, for tests that do it no harm; its `provider` is as new."""
    _standing.provider.reset()
    return _standing
