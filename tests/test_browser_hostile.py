"""Hostile text in a real browser: no script runs, nothing is asked for and nothing leaves."""

import re
from collections import Counter

import pytest
from gevent.server import StreamServer

from tests.chromium import Browser
from tests.hostile import PAYLOADS
from tests.precis import Precis
from tests.prose import answer
from tests.test_browser_uploads import choose_book
from tests.test_hostile_places import POLYGLOT, cut
from tests.uploads import held_up

BATCHES = 3
# What opens a fence would make code of all that follows.
FENCED = [payload for payload in PAYLOADS if re.search("```|~~~", payload)]
OPEN = [payload for payload in PAYLOADS if payload not in FENCED and len(payload) < 1000]
# A title opened as text, a page printed and scripts that had time to run.
SETTLED = "() => new Promise(done => requestAnimationFrame(() => setTimeout(done, 50)))"


@pytest.fixture
def provider(site):
    return site.provider


@pytest.fixture
def away():
    """Somebody else's server: its address, and who has reached it."""
    reached = []
    with StreamServer(("127.0.0.1", 0), lambda sock, address: reached.append(address)) as server:
        server.start()
        yield f"127.0.0.1:{server.server_port}", reached


class Watched:
    """A tab of which each request, page and frame is noted."""

    def __init__(self, browser, url):
        self.url = url
        self.tab = browser.open()
        self.page = self.tab.page
        self.visited = []
        self.page.on("framenavigated", lambda frame: self.visited.append(self._named(frame.url)))

    def go(self, path):
        self.page.goto(self.url + path)

    def settle(self):
        """Do what a person does who reads and prints: what waits for that has its chance."""
        self.page.mouse.move(600, 500)
        self.page.mouse.move(300, 300)
        self.page.keyboard.press("Tab")
        self.page.emulate_media(media="print")
        self.page.pdf()
        self.page.emulate_media(media="screen")
        self.page.evaluate(SETTLED)

    def asked(self):
        """Return what was asked for, once or more often, with numbers as one."""
        return {(request.method, self._named(request.url)) for request in self.tab.requests}

    def _named(self, url):
        return re.sub(r"\d+", "0", url.replace(self.url, "").partition("?")[0])

    def assert_calm(self):
        """Assert that no script ran, the content security policy refused nothing and nothing opened."""
        assert self.page.evaluate("typeof window.__hit") == "undefined"
        assert len(self.page.frames) == len(self.page.context.pages) == 1
        self.tab.assert_content()


def read(watched, provider, title, text, pieces):
    """Have a text analysed, and look at it while it comes, saved, anew and on paper; returns the paths."""
    site = watched.url
    provider.script(pieces=pieces, rate=60)
    watched.go("/")
    watched.page.get_by_label("Title").fill(title)
    watched.page.get_by_label("Paste its text").fill(text)
    watched.page.get_by_role("button", name="Open document").click()
    watched.page.locator("button.main", has_text="Analyze").wait_for()
    document = watched.page.url.removeprefix(site)
    analysis = watched.tab.analyze()
    watched.tab.wait_for_text(20)
    watched.settle()
    watched.tab.wait_for_status("complete")
    watched.settle()
    watched.page.reload()
    watched.settle()
    for path in (f"{document}/title", f"{document}/deletion", f"{analysis}/live", "/", "/search"):
        watched.go(path)
        watched.page.evaluate(SETTLED)
    return document, analysis


def test_hostile_text_is_text_while_it_comes_and_saved_and_printed(site, provider, chromium, away):
    address, reached = away
    assert len(OPEN) > 550
    batches = [OPEN[number::BATCHES] for number in range(BATCHES)]
    batches[-1] += [*FENCED, "The end."]
    with Browser(chromium) as browser:
        benign = Watched(browser, site.url)
        read(benign, provider, "A title that is ordinary", "Terms\n\nPay.", cut(answer(3), seed=1))
        benign.assert_calm()
        benign.page.close()
        for seed, batch in enumerate(batches):
            text = "\n\n".join(batch).replace("away.example", address)
            watched = Watched(browser, site.url)
            _, analysis = read(watched, provider, POLYGLOT, text, cut(text, seed))
            watched.assert_calm()
            assert watched.asked() == benign.asked()
            assert Counter(watched.visited) == Counter(benign.visited)
            assert len(watched.tab.streams()) == 1
            watched.go(analysis)
            shown = watched.page.locator(".analysis .answer").text_content()
            assert sum(payload[:12] in shown for payload in batch if payload.startswith("<")) > 50
            watched.page.close()
    assert reached == []


PLANTED = {
    "img-src": "<img src='http://away.example/x.png'>",
    "style-src-attr": "<p style='color:red'>x</p>",
    "script-src-elem": "<script>__hit = 1</script>",
}


@pytest.mark.parametrize(
    ("directive", "scripts"), [("img-src", True), ("script-src-elem", True), ("style-src-attr", False)]
)
def test_what_the_content_security_policy_refuses_is_seen(site, chromium, directive, scripts):
    def plant(route):
        answer = route.fetch()
        body = answer.text().replace("</main>", f"{PLANTED[directive]}</main>")
        route.fulfill(response=answer, body=body)

    with Browser(chromium, java_script_enabled=scripts) as browser:
        tab = browser.open()
        tab.page.route(f"{site.url}/", plant)
        with tab.page.expect_console_message(lambda it: "Content Security Policy" in it.text):
            tab.page.goto(site.url)
        assert tab.complaints
        if scripts:
            assert tab.witness()["refused"][-1].startswith(directive)
            assert tab.page.evaluate("typeof window.__hit") == "undefined"


@pytest.fixture
def shared_site(tmp_path, site, provider):
    """A server behind a proxy that signs people in, and an answer of several seconds."""
    provider.script(text=answer(8), rate=60)
    with Precis(tmp_path, provider, PRECIS_AUTH="proxy", PRECIS_ADMINS="anna") as precis:
        yield precis.start()


def as_browser_of(chromium, name, **options):
    return Browser(chromium, extra_http_headers={"X-Forwarded-User": name}, **options)


@pytest.mark.parametrize("scripts", [True, False])
def test_the_content_security_policy_refuses_nothing_in_all_that_a_person_does(
    shared_site, provider, chromium, tmp_path, scripts
):
    file = tmp_path / "lease.md"
    file.write_text("# Lease\n\nThe tenant pays.\n\n|a|b|\n|-|-|\n|c|d|\n")
    with (
        as_browser_of(chromium, "ben") as other,
        as_browser_of(chromium, "anna", java_script_enabled=scripts) as browser,
    ):
        other.open(shared_site.url)
        tab = browser.open(shared_site.url)
        page = tab.page

        def press(name):
            page.get_by_role("button", name=name).first.click(no_wait_after=True)

        def follow(name):
            page.get_by_role("link", name=name, exact=True).first.click()

        def download(name):
            with page.expect_download():
                follow(name)

        page.get_by_label("or select a file").set_input_files(file)
        press("Open document")
        press("Analyze")
        page.locator(".answer", has_text="says2").first.wait_for()
        press("Stop")
        page.locator('section[data-status="stopped"]').wait_for()
        provider.script(text=answer(1), fault="fin", times=1)
        press("Try again")
        page.locator('section[data-status="incomplete"]').wait_for()
        press("Continue")
        page.locator('section[data-status="complete"]').wait_for()
        download("Markdown")
        follow("Link" if scripts else "To the document")
        follow("Rename")
        page.get_by_label("Title").fill("A lease")
        press("Rename")
        page.get_by_role("heading", name="A lease").wait_for()
        follow("Share")
        page.get_by_label("A colleague").fill("ben")
        press("Share")
        page.get_by_text("since").wait_for()
        press("End")
        page.get_by_text("Only you.").wait_for()
        for path in ("/account", "/people", "/events", "/spending", "/account/deletion", "/nowhere"):
            page.goto(shared_site.url + path)
            if path in ("/events", "/spending"):
                download("Download as CSV")
            elif path == "/account":
                download("Download everything")
            elif path == "/people":
                press("Suspend ben")
                press("Let ben in again")
                page.get_by_role("button", name="Suspend ben").wait_for()
        page.goto(shared_site.url)
        if scripts:
            choose_book(page)
            with held_up(shared_site.worker()):
                with page.expect_response("**/readings/*"):
                    pass
                press("Cancel")
                page.get_by_text("You cancelled this.").wait_for()
            page.goto(shared_site.url)
        page.get_by_role("searchbox").fill("tenant")
        press("Search")
        follow("A lease")
        page.get_by_role("heading", name="A lease").wait_for()
        follow("Delete document")
        press("Delete document")
        page.get_by_role("heading", name="New document").wait_for()
        refused = [complaint for complaint in tab.complaints if "404" not in complaint]
        assert refused == []
        assert not scripts or tab.witness()["refused"] == []


def test_back_shows_the_newest_and_after_signing_out_nothing(shared_site, provider, chromium):
    provider.script(text="Short.")
    with as_browser_of(chromium, "anna") as browser:
        tab = browser.open(shared_site.url)
        page = tab.page
        page.get_by_label("Paste its text").fill("Terms that are secret")
        page.get_by_role("button", name="Open document").click()
        page.get_by_role("button", name="Analyze").wait_for()
        document = page.url.removeprefix(shared_site.url)
        analysis = tab.analyze()
        tab.wait_for_status("complete")
        page.get_by_role("link", name="Account").click()
        page.get_by_role("heading", name="Account").wait_for()

        page.go_back()
        tab.wait_for_status("complete")
        assert page.url == shared_site.url + analysis
        page.go_back()
        page.locator("#history").wait_for()
        assert page.locator("table.rows td.title").count() == 1
        page.go_forward()
        tab.wait_for_status("complete")
        tab.assert_content()
        assert provider.calls == 1

        # A page that was loaded whole, which a cache could show again without asking.
        page.goto(shared_site.url + document)
        page.get_by_role("link", name="Account").click()
        page.get_by_role("heading", name="Account").wait_for()
        browser.context.set_extra_http_headers({})
        page.go_back()
        page.get_by_text("Nobody has signed in").wait_for()
        assert "secret" not in page.content()
