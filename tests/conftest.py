"""What the tests share. Everything real runs on this machine's loopback and nothing leaves it.

A test runs on SQLite. Marked `both_modes`, or in a module whose `pytestmark` is that, it runs on PostgreSQL
with Redis too, if it uses anything that is kept: `app`, `tables`, `precis` or `site`; the last two are then a
web process beside a worker process. Marked `sqlite` in such a module, it stays with SQLite.
"""

from gevent import monkey

monkey.patch_all()

import os  # noqa: E402
import shutil  # noqa: E402
import socket  # noqa: E402
from contextlib import ExitStack  # noqa: E402
from functools import cache  # noqa: E402
from traceback import walk_tb  # noqa: E402

import gevent  # noqa: E402
import pytest  # noqa: E402
from jinja2 import FileSystemBytecodeCache  # noqa: E402

import config  # noqa: E402
import storage  # noqa: E402
from analyzer import readings  # noqa: E402
from app import create_app  # noqa: E402
from tests.chromium import Browser, open_chromium  # noqa: E402
from tests.fork_server import ForkServer  # noqa: E402
from tests.precis import Pair, Precis  # noqa: E402
from tests.scale import Scale, environment  # noqa: E402
from tests.scripted_provider import ScriptedProvider  # noqa: E402
from views.helpers import rendering  # noqa: E402

for name in [name for name in os.environ if name.startswith(("PRECIS_", "OPENAI_", "ANTHROPIC_", "SSL_"))]:
    del os.environ[name]

# A file is answered with its document, however busy the machine is; a test of long files sets less.
readings._Job.PATIENCE_SECONDS = 60.0

# Each client would read all that the machine trusts, which takes longer than most tests do.
os.environ["SSL_CERT_DIR"] = os.devnull

if "PYTEST_XDIST_WORKER" in os.environ:
    # While a worker waits for another thread gevent has nothing to do, and would call that a deadlock.
    gevent.get_hub().loop.timer(0.1, 0.1).start(lambda: None)


class Noticed:
    """An event that another thread sets, and this one looks for."""

    def __init__(self):
        self.is_set = False

    def set(self):
        self.is_set = True

    def clear(self):
        self.is_set = False

    def wait(self):
        while not self.is_set:
            gevent.sleep(0.005)


def pytest_plugin_registered(plugin):
    """Let a worker hear of its next test, which another thread brings: gevent's own locks may miss that."""
    if queue := getattr(plugin, "torun", None):
        queue._lock = monkey.get_original("threading", "RLock")()
        queue._has_items_event = Noticed()


def pytest_generate_tests(metafunc):
    """Run what is marked `both_modes` on SQLite and on PostgreSQL, except what is marked `sqlite`."""
    marked = metafunc.definition.get_closest_marker
    if "mode" in metafunc.fixturenames and marked("both_modes") and not marked("sqlite"):
        metafunc.parametrize("mode", ["sqlite", "scale"], indirect=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    """Show, with a test that failed, what its server has logged last."""
    report = yield
    server = getattr(item, "funcargs", {}).get("precis")
    if report.failed and server and server.log.exists():
        report.sections.append(("the server's log", "\n".join(server.log.read_text().splitlines()[-40:])))
    return report


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


@pytest.fixture(scope="session", autouse=True)
def _fork_server():
    """Starts servers without importing everything anew."""
    with ForkServer() as Precis.fork_server:
        yield


@pytest.fixture
def provider():
    """A scripted provider in this process."""
    with ScriptedProvider() as provider:
        yield provider


@pytest.fixture
def mode(request):
    """What Precis keeps everything in: `sqlite`, a file, or `scale`, PostgreSQL with Redis."""
    return getattr(request, "param", "sqlite")


@pytest.fixture(scope="session")
def scale():
    """PostgreSQL and Redis, started when first asked for."""
    with Scale() as scale:
        yield scale


@pytest.fixture(scope="session")
def _empty_file(tmp_path_factory):
    """A file with Precis' tables in it, and no rows: to copy it takes a hundredth of making them."""
    file = tmp_path_factory.mktemp("tables") / "precis.db"
    bound = storage.database.obj
    storage.connect(f"sqlite:///{file}")
    storage.migrate()
    storage.database.initialize(bound)
    return file


@pytest.fixture
def place(mode, tmp_path, request, _empty_file):
    """The settings that say where everything is kept: tables, and nothing in them yet."""
    if mode == "scale":
        return request.getfixturevalue("scale").clear()
    return {"database_url": f"sqlite:///{shutil.copy(_empty_file, tmp_path)}"}


@pytest.fixture
def tables(place):
    """A database of the test's own, to which the models are bound."""
    storage.connect(place["database_url"])
    storage.migrate()
    yield
    storage.database.disconnect()


@pytest.fixture
def settings(place, provider):
    """Settings with the scripted provider as OpenAI, Anthropic and a database of the test's own."""
    return config.Settings(
        **place,
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
            _end(app)
        made.clear()
        # By id, and the last test's may not be collected yet.
        rendering._open.clear()
        app = create_app(settings.model_copy(update=changes))
        app.testing = True
        app.jinja_env.bytecode_cache = _compiled
        storage.migrate()
        analyzer = app.extensions["analyzer"]
        for provider in analyzer.providers.values():
            # Built when it is asked: each client takes longer than most tests do.
            provider.warm = lambda: None
        analyzer.begin()
        made.append(app)
        while not analyzer.channel.is_up:
            gevent.sleep(0.001)  # its first beat is heard by itself alone
        return app

    yield make
    for app in made:
        _end(app)


def _end(app):
    """End an application, and the guard of who watches, for whom it is that no test has closed an answer."""
    app.extensions.get("places", set()).clear()
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
def precis(place, mode, tmp_path, provider, request):
    """A server of its own, to be started by the test, with the scripted provider as OpenAI.

    On PostgreSQL it is a pair of processes, unless the test is marked `one_process`.
    """
    is_pair = mode == "scale" and not request.node.get_closest_marker("one_process")
    with (Pair if is_pair else Precis)(tmp_path, provider, **environment(place)) as precis:
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
def _standing(tmp_path_factory, request):
    """The servers that stay up, by mode: each is started when first asked for."""
    with ExitStack() as stack:

        @cache
        def standing(mode):
            folder = tmp_path_factory.mktemp("site")
            provider = stack.enter_context(ScriptedProvider())
            if mode == "scale":
                place = request.getfixturevalue("scale").create()
                precis = Pair(folder, provider, **environment(place))
            else:
                precis = Precis(folder, provider)
            precis.provider = provider
            return stack.enter_context(precis).start()

        yield standing


@pytest.fixture
def site(mode, _standing):
    """A server that stays up, for tests that do it no harm; its `provider` is as new."""
    site = _standing(mode)
    site.provider.reset()
    return site
