"""Behind real nginx: one that knows nothing of streams, for which what Precis sends of itself is enough, and
the one that deploy/nginx.conf configures."""

import re
import ssl
from contextlib import ExitStack, contextmanager

import gevent
import httpx2
import pytest
from gevent.event import Event
from gevent.server import StreamServer

from bench.stalled import Launched
from tests.chromium import Browser, squeezed
from tests.fleet import wait_until
from tests.nginx import SHIPPED, authority, default_nginx, shipped_nginx
from tests.page import Page
from tests.person import Writer
from tests.precis import free_port
from tests.proxy import Proxy
from tests.scripted_provider import ScriptedProvider

__all__ = ["authority"]

WORDS = "one two three four five six seven"
DOCUMENT = "Terms\n\nPay by March."


# Its defaults


@pytest.mark.fault("proxy that buffers")
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_each_word_passes_at_once(site, tmp_path, encoding):
    provider = site.provider
    provider.script(text="one two three four five six seven", rate=8)
    headers = {"Host": "localhost", "Accept-Encoding": encoding}
    with default_nginx(tmp_path / "nginx", site.url) as url:
        analysis = site.ask(site.bring("Text."))
        page = Page(analysis)
        received, reads = b"", []
        with httpx2.stream("GET", f"{url}{analysis}/stream", headers=headers, timeout=10) as answer:
            # One that was told to compress event streams does so, but holds nothing back for it.
            assert answer.headers.get("content-encoding", "identity") == encoding
            for chunk in answer.iter_bytes():
                received += chunk
                reads.append((b"#tail" in chunk, provider.open))
        page.read(received)

    assert page.done
    assert page.text == "onetwothreefourfivesixseven"
    # While the provider still wrote, its words came one after another.
    assert sum(has_text for has_text, is_open in reads if is_open) > 3


# Ours


@pytest.fixture(scope="module")
def _server(tmp_path_factory):
    # A server has one address; here it has both kinds.
    lines = "app.config.Settings.address = property(lambda it: ['unix:socket', f'127.0.0.1:{it.port}'])"
    folder = tmp_path_factory.mktemp("server")
    with (
        ScriptedProvider() as provider,
        Launched(
            folder, provider, lines, PRECIS_TRUSTED_PROXIES="1", PRECIS_HOSTS="localhost,127.0.0.1"
        ) as server,
    ):
        server.socket = f"unix:{folder}/socket"
        yield server.start()


@pytest.fixture
def server(_server):
    """A server with the settings that deploy/nginx.conf asks for, on a port and on a unix socket."""
    with _server.lent():
        yield _server


@contextmanager
def chain(kind, folder, authority, server):
    """Put nginx in front of a server in one way or another; yields its address."""
    with ExitStack() as stack:

        def ours(*servers):
            return stack.enter_context(shipped_nginx(folder / "ours", authority, *servers))

        def default(upstream):
            return stack.enter_context(default_nginx(folder / "default", upstream))

        if kind == "unix socket":
            yield ours(server.socket)
        elif kind == "several, one of them dead":
            yield ours(f"127.0.0.1:{free_port()}", f"127.0.0.1:{server.port}")
        elif kind == "behind another":
            yield default(ours(server.socket))
        elif kind == "in front of another":
            yield ours(default(server.url).removeprefix("http://"))


class Reading:
    """Somebody who reads a page that grows; `has_come` is set when the last word is there."""

    def __init__(self, people, path):
        self.people = people
        self.path = path
        self.parts = []
        self.has_come = Event()
        self.greenlet = gevent.spawn(self._read)

    def _read(self):
        with self.people.stream("GET", self.path) as answer:
            self.headers = answer.headers
            for part in answer.iter_bytes():
                self.parts.append(part.decode())
                if "seven" in part.decode():
                    self.has_come.set()

    def __str__(self):
        return "".join(self.parts)


def count_with_words(parts):
    return sum(any(word in part for word in WORDS.split()) for part in parts)


def people_of(url, authority, **options):
    """Return a client that trusts the test's authority."""
    context = ssl.create_default_context(cafile=authority / "ca.pem")
    return httpx2.Client(base_url=url, verify=context, timeout=20, **options)


def ask(people, text=DOCUMENT):
    """Bring a document and start an analysis; returns its path."""
    document = people.post("/documents", data={"text": text}).headers["Location"]
    asked = people.post(f"{document}/analyses", data={"recipe": "brief", "model": "openai:gpt-6-sol"})
    assert asked.status_code == 303, asked.text
    return asked.headers["Location"].removesuffix("/live")


@pytest.mark.parametrize(
    "kind", ["unix socket", "several, one of them dead", "behind another", "in front of another"]
)
def test_a_page_grows_word_by_word_and_stop_works(server, tmp_path, authority, kind):
    provider = server.provider
    # It never ends: what has come has not waited for an end.
    provider.script(text=WORDS, rate=20, fault="silence")
    with chain(kind, tmp_path, authority, server) as url, people_of(url, authority) as people:
        analysis = ask(people)
        readings = stream, live = [Reading(people, f"{analysis}/{page}") for page in ("stream", "live")]
        for reading in readings:
            assert reading.has_come.wait(30), reading.path
            assert count_with_words(reading.parts) > 3
        assert provider.open == 1

        people.post(f"{analysis}/cancellation")
        provider.wait(cancels=1, open=0)
        gevent.joinall([reading.greenlet for reading in readings], timeout=30, raise_error=True)
        stored = people.get(f"{analysis}.md").text

    page = Page(analysis)
    page.read(str(stream).encode())
    assert page.done
    assert page.text == squeezed(stored) == squeezed(WORDS)
    assert str(live).rstrip().endswith("</html>")
    if "another" not in kind:
        assert not any("Content-Encoding" in reading.headers for reading in readings)


def test_over_http_2_a_page_grows_word_by_word_and_stop_works(server, tmp_path, authority, chromium):
    provider = server.provider
    provider.script(text=WORDS, rate=20, fault="silence")
    with (
        shipped_nginx(tmp_path / "ours", authority, server.socket) as url,
        people_of(url, authority) as people,
        Browser(chromium, ignore_https_errors=True) as browser,
    ):
        page = browser.open(url).page
        analysis = ask(people)
        page.evaluate(READ, [f"{analysis}/stream", f"{analysis}/live"])
        page.wait_for_function("() => Object.values(came).every(parts => parts.join('').includes('seven'))")
        assert provider.open == 1
        assert (
            page.evaluate(f"fetch('{analysis}/cancellation', {{method: 'POST'}}).then(it => it.status)")
            == 200
        )
        page.evaluate("Promise.all(reading)")
        came = page.evaluate("came")
        protocols = page.evaluate("performance.getEntriesByType('resource').map(it => it.nextHopProtocol)")

    shown = Page(analysis)
    shown.read("".join(came[f"{analysis}/stream"]).encode())
    assert shown.done
    assert shown.text == squeezed(WORDS)
    assert "".join(came[f"{analysis}/live"]).rstrip().endswith("</html>")
    assert all(count_with_words(parts) > 3 for parts in came.values())
    assert len(protocols) > 3
    assert set(protocols) == {"h2"}


READ = """paths => {
  window.came = Object.fromEntries(paths.map(path => [path, []]));
  window.reading = paths.map(async path => {
    const decoder = new TextDecoder();
    const reader = (await fetch(path)).body.getReader();
    for (let part; !(part = await reader.read()).done;) came[path].push(decoder.decode(part.value));
  });
  return null;
}"""


def test_nine_pages_watch_and_a_tenth_still_loads(server, tmp_path, authority, chromium):
    provider = server.provider
    provider.script(text=" ".join(WORDS.split() * 100), rate=20)
    with (
        shipped_nginx(tmp_path / "ours", authority, server.socket) as url,
        people_of(url, authority) as people,
        Browser(chromium, ignore_https_errors=True) as browser,
    ):
        analyses = [ask(people, f"{DOCUMENT} {number}") for number in range(9)]
        tabs = [browser.open(url + analysis) for analysis in analyses]
        for tab in tabs:
            tab.wait_for_text(len(squeezed(WORDS)))
        tenth = browser.open(f"{url}/")
        assert tenth.page.get_by_role("heading", level=1).is_visible()

        assert provider.open == 9
        for analysis, tab in zip(analyses, tabs, strict=True):
            tab.wait_for_text(len(tab.text()) + 10)
            assert len(tab.streams()) == 1
            people.post(f"{analysis}/cancellation")
            tab.wait_for_status("stopped")
            tab.assert_showed_only(people.get(f"{analysis}.md").text)


def test_what_is_too_large_is_refused_with_our_own_page(server, tmp_path, authority, chromium):
    with (
        shipped_nginx(tmp_path / "ours", authority, server.socket) as url,
        people_of(url, authority) as people,
        Browser(chromium, ignore_https_errors=True) as browser,
    ):
        long = b"text=" + b"x" * (17 << 20)
        in_chunks = (long[start : start + (1 << 20)] for start in range(0, len(long), 1 << 20))
        for body in (long, in_chunks):
            kind = {"Content-Type": "application/x-www-form-urlencoded"}
            answer = people.post("/documents", content=body, headers=kind)
            assert answer.status_code == 413
            assert "split it and try again" in answer.text
        answer = people.post("/documents", files={"text": (None, "word " * (2 << 20))})
        assert answer.status_code == 422
        assert "The document must be 2,000,000 characters or fewer" in answer.text

        file = tmp_path / "long.txt"
        file.write_bytes(bytes(17 << 20))
        page = browser.open(url).page
        page.get_by_label("or select a file").set_input_files(file)
        page.get_by_role("button", name="Open document").click()
        page.get_by_text("split it and try again").wait_for()


def test_what_a_client_says_of_itself_is_not_believed(server, tmp_path, authority):
    lies = {"User": "boss", "Host": "evil.example", "For": "10.0.0.9", "Proto": "http"}
    headers = {f"X-Forwarded-{name}": lie for name, lie in lies.items()} | {"X-Request-ID": "mine"}
    with (
        Proxy(server.port) as proxy,
        shipped_nginx(tmp_path / "ours", authority, proxy.url.removeprefix("http://")) as url,
        people_of(url, authority, headers=headers) as people,
    ):
        answer = people.post("/documents", data={"text": DOCUMENT}, headers={"Origin": url})
        assert answer.status_code == 303
        assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
        (head,) = proxy.heads

    lines = [line.partition(": ") for line in head.split("\r\n")]
    told = {
        name: value for name, _, value in lines if name.startswith("X-") or name in ("Host", "Connection")
    }
    id = told.pop("X-Request-ID")
    assert re.fullmatch("[0-9a-f]{32}", id)
    assert answer.headers["X-Request-ID"] == id
    host = url.removeprefix("https://")
    assert told == {
        "Host": host,
        "Connection": "close",
        "X-Forwarded-Host": host,
        "X-Forwarded-For": "127.0.0.1",
        "X-Forwarded-Proto": "https",
    }


def test_what_a_person_looks_for_is_in_no_line_of_its_log(server, tmp_path, authority):
    with (
        shipped_nginx(tmp_path / "ours", authority, server.socket) as url,
        people_of(url, authority) as people,
    ):
        address = "/search?q=canary"
        id = people.get(address, headers={"Referer": url + address}).headers["X-Request-ID"]
        log = tmp_path / "ours/access.log"
        wait_until(lambda: id in log.read_text())

    line = next(line for line in log.read_text().splitlines() if id in line)
    assert ' "GET /search HTTP/1.1" 200 ' in line
    assert "canary" not in line


def test_a_post_is_never_sent_twice_and_what_only_reads_is_asked_elsewhere(server, tmp_path, authority):
    heard = []

    def hear_and_die(client, _address):
        heard.append(client.recv(65536).split(b" ")[0])
        client.close()

    dying = StreamServer(("127.0.0.1", 0), hear_and_die)
    dying.start()
    servers = f"127.0.0.1:{dying.server_port}", f"127.0.0.1:{server.port}"
    before = server.rows("SELECT count(*) FROM document")[0][0]
    # Asked each time, as if it were not known yet.
    always = ("fail_timeout=2s;", "max_fails=0;")
    with (
        shipped_nginx(tmp_path / "ours", authority, *servers, change=always) as url,
        people_of(url, authority) as people,
    ):
        posted = [people.post("/documents", data={"text": DOCUMENT}).status_code for _ in range(6)]
        read = [people.get("/").status_code for _ in range(6)]
    dying.stop()

    brought = server.rows("SELECT count(*) FROM document")[0][0] - before
    assert (posted.count(303), posted.count(502)) == (brought, heard.count(b"POST")) == (3, 3)
    assert read == [200] * 6
    assert b"GET" in heard


def test_a_stream_whose_process_is_killed_does_not_look_ended(precis, provider, tmp_path, authority):
    provider.script(text=WORDS, fault="silence")
    precis.start()
    with (
        shipped_nginx(tmp_path / "ours", authority, f"127.0.0.1:{precis.port}") as url,
        people_of(url, authority) as people,
    ):
        reading = Reading(people, f"{ask(people)}/live")
        assert reading.has_come.wait(30)
        precis.kill()
        with pytest.raises(httpx2.RemoteProtocolError):
            reading.greenlet.get(timeout=30)


def test_what_is_not_encrypted_is_led_to_what_is(server, tmp_path, authority):
    with (
        shipped_nginx(tmp_path / "ours", authority, server.socket) as url,
        people_of(url, authority) as people,
    ):
        (plain,) = re.findall(r"listen 127.0.0.1:([0-9]+);", (tmp_path / "ours/nginx.conf").read_text())
        answer = httpx2.get(f"http://127.0.0.1:{plain}/documents/1?a=b")
        assert (answer.status_code, answer.headers["Location"]) == (301, f"{url}/documents/1?a=b")
        assert people.get("/").headers["Content-Encoding"] == "gzip"


def test_it_buffers_all_but_what_grows(app, client, analyzer, document):
    Writer(analyzer, document).write("One.").end()
    (pattern,) = re.findall(r"location ~ (\S+) \{\n\s*proxy_buffering off;", SHIPPED)
    growing = set()
    rules = [rule for rule in app.url_map.iter_rules() if "GET" in rule.methods]
    for rule in rules:
        path = rule.rule.replace("<id:id>", "1").replace("<path:filename>", "precis.css")
        with client.get(path) as answer:
            assert ("X-Accel-Buffering" in answer.headers) == bool(re.search(pattern, path)), path
            growing |= {rule.rule} if "X-Accel-Buffering" in answer.headers else set()
    streams = {"/analyses/<id:id>/stream", "/analyses/<id:id>/live", "/up/stream"}
    assert growing == streams | {"/account/export"}
