"""What goes wrong between browser and server: the page shows only what is saved, and heals by itself."""

import re

import pytest

from tests.chromium import Browser, launch
from tests.prose import answer
from tests.proxy import Proxy

HIDE = """hidden => {
  const say = (name, value) => Object.defineProperty(document, name, {get: () => value, configurable: true});
  say("hidden", hidden);
  say("visibilityState", hidden ? "hidden" : "visible");
  document.dispatchEvent(new Event("visibilitychange"));
}"""


@pytest.fixture
def provider(site):
    return site.provider


@pytest.fixture
def proxy(site):
    with Proxy(site.port) as proxy:
        yield proxy


@pytest.fixture
def document(site):
    return site.bring("Terms\n\nPay by March.\n\nCopy nothing.")


def hurry(tab, rate):
    """Let the page's animations run so many times as fast."""
    session = tab.page.context.new_cdp_session(tab.page)
    session.send("Animation.enable")
    session.send("Animation.setPlaybackRate", {"playbackRate": rate})
    return session


def assert_numeric(cursors):
    """Assert that the first connection asked for everything and each other one for what it had not."""
    first, *others = cursors
    assert first is None
    assert all(cursor is None or re.fullmatch("[0-9]+", cursor) for cursor in others), cursors


@pytest.mark.fault("page reloaded")
def test_twenty_refreshes_and_three_more_tabs_are_one_call(site, provider, document, browser):
    provider.script(text=answer(16), rate=50)
    tab = browser.open(site.url + document)
    analysis = tab.analyze()
    tab.wait_for_text()
    others = [browser.open(site.url + analysis) for _ in range(3)]
    for _ in range(20):
        tab.page.reload()
    assert provider.open == 1, "it ended before all was done to it"

    for viewer in (tab, *others):
        viewer.wait_for_status("complete")
        viewer.assert_shows(site.stored(analysis))
        viewer.assert_content()
    assert provider.calls == 1


@pytest.mark.both_modes
@pytest.mark.fault("page reloaded")
def test_going_away_and_back_resumes_without_a_second_call(site, provider, document, browser):
    provider.script(text=answer(8), rate=50)
    tab = browser.open(site.url + document)
    analysis = tab.analyze()
    tab.wait_for_text()

    tab.page.goto(site.url)
    tab.page.go_back()
    tab.wait_for_text(400)
    assert tab.witness()["persisted"] is False
    tab.wait_for_status("complete")

    tab.assert_shows(site.stored(analysis))
    assert provider.calls == 1
    tab.assert_content()


@pytest.mark.fault("page reloaded")
def test_a_page_out_of_the_back_forward_cache_resumes_where_it_was(site, provider, proxy, document, chromium):
    # Playwright switches this cache off, and does not report what a page out of it requests.
    own = launch(chromium.browser_type, ignore_default_args=["--disable-back-forward-cache"])
    provider.script(text=answer(8), rate=50)
    with Browser(own) as browser:
        tab = browser.open(proxy.url + document)
        analysis = tab.analyze()
        tab.wait_for_text(200)
        tab.page.goto(proxy.url)
        tab.page.evaluate("history.back()")
        tab.page.wait_for_url(proxy.url + analysis, wait_until="commit")
        tab.page.wait_for_function("window.witness && witness.persisted !== null")
        assert tab.witness()["persisted"]
        tab.wait_for_status("complete")
        tab.assert_shows(site.stored(analysis))
    own.close()
    streams = [head for head in proxy.heads if f"GET {analysis}/stream " in head]
    cursors = [re.findall(r"Last-Event-ID: (.*)\r", head, re.IGNORECASE) for head in streams]
    first, (second,) = cursors
    assert first == []
    assert re.fullmatch("[0-9]+", second)
    assert provider.calls == 1


@pytest.mark.fault("page reloaded")
@pytest.mark.both_modes
def test_a_hidden_document_lets_its_stream_go_and_resumes_it(site, provider, document, browser):
    """The hiding is emulated: the page is told what it would be told, but stays where it is."""
    provider.script(text=answer(8), rate=50)
    tab = browser.open(site.url + document)
    analysis = tab.analyze()
    for length in (100, 300, 500):
        tab.wait_for_text(length)
        tab.page.evaluate(HIDE, True)
        tab.page.evaluate(HIDE, False)
    tab.wait_for_status("complete")

    assert len(tab.streams()) >= 2
    assert_numeric(tab.cursors())
    tab.assert_shows(site.stored(analysis))
    assert provider.calls == 1
    tab.assert_content()


@pytest.mark.both_modes
@pytest.mark.fault("connection lost")
def test_connections_that_are_cut_again_and_again_lose_and_repeat_nothing(
    site, provider, proxy, document, browser
):
    provider.script(text=answer(10), rate=50)
    tab = browser.open(proxy.url + document)
    analysis = tab.analyze()
    tab.wait_for_text()
    fault = proxy.cut_often()
    provider.wait(finished=1)
    fault.kill()
    tab.wait_for_status("complete")

    assert proxy.cuts >= 3
    assert len(tab.streams()) >= 3
    assert_numeric(tab.cursors())
    tab.assert_shows(site.stored(analysis))
    assert provider.calls == 1


@pytest.mark.fault("connection lost")
def test_a_lost_connection_is_said_and_the_note_goes_when_it_is_back(
    site, provider, proxy, document, browser
):
    provider.script(text=answer(12), rate=50)
    tab = browser.open(proxy.url + document)
    analysis = tab.analyze()
    tab.wait_for_text()
    note = tab.page.get_by_text("Connection lost: trying again.")
    assert note.count() == 1
    assert not note.is_visible()

    proxy.faults["/stream"] = None
    proxy.cut()
    # The note waits 25 seconds. Its clock alone is hurried, and only while no beat can come.
    session = hurry(tab, 20)
    note.wait_for()
    session.send("Animation.setPlaybackRate", {"playbackRate": 1})
    proxy.faults.clear()
    note.wait_for(state="hidden")

    assert provider.open == 1, "the note should have gone while the answer still came"
    tab.wait_for_status("complete")
    assert note.count() == 0
    tab.assert_shows(site.stored(analysis))


@pytest.mark.fault("connection lost")
@pytest.mark.parametrize("status", [502, 404])
def test_a_page_survives_a_proxy_that_answers_for_the_server_while_it_streams(
    site, provider, proxy, document, browser, status
):
    provider.script(text=answer(), rate=50)
    tab = browser.open(proxy.url + document)
    analysis = tab.analyze()
    tab.wait_for_text(100)
    shown = tab.text()
    proxy.faults["/stream"] = status
    proxy.cut()
    tab.page.wait_for_event("response", lambda response: response.status == status)
    assert tab.text().startswith(shown)
    proxy.faults.clear()
    tab.wait_for_status("complete")

    assert_numeric(tab.cursors())
    tab.assert_shows(site.stored(analysis))


@pytest.mark.fault("connection lost")
@pytest.mark.parametrize("status", [502, 404, None])
def test_a_final_load_that_fails_keeps_the_text_and_is_tried_again(
    site, provider, proxy, document, browser, status
):
    provider.script(text=answer(2), rate=50)
    tab = browser.open()
    tab.page.clock.install()
    tab.page.goto(proxy.url + document)
    analysis = tab.analyze()
    tab.wait_for_text()
    proxy.faults[rf"GET {analysis} "] = status
    with tab.page.expect_event(
        "requestfinished" if status else "requestfailed", lambda it: it.url == proxy.url + analysis
    ):
        provider.wait(finished=1)
    assert proxy.failed == [f"GET {analysis} HTTP/1.1"]
    tab.assert_shows(site.stored(analysis))
    assert tab.page.locator("[data-status=running]").count() == 1

    proxy.faults.clear()
    # The page asks again by itself, within 20 seconds.
    tab.page.clock.fast_forward(20_000)
    tab.wait_for_status("complete")

    tab.assert_shows(site.stored(analysis))
    assert provider.calls == 1


@pytest.mark.fault("connection lost")
@pytest.mark.parametrize("status", [502, 404, None])
def test_a_first_connection_that_fails_is_tried_again(site, provider, proxy, document, browser, status):
    provider.script(text=answer(2), rate=50)
    proxy.faults["/stream"] = status
    tab = browser.open()
    tab.page.clock.install()
    tab.page.goto(proxy.url + document)
    with tab.page.expect_event(
        "requestfinished" if status else "requestfailed", lambda request: request.url.endswith("/stream")
    ):
        analysis = tab.analyze()
    assert tab.page.locator("#result", has_text="Proxy says").count() == 0

    proxy.faults.clear()
    tab.page.clock.fast_forward(5_000)
    tab.wait_for_status("complete")

    assert len(tab.streams()) == 2
    tab.assert_shows(site.stored(analysis))
    assert provider.calls == 1


def test_an_extension_that_loads_late_still_streams(site, provider, document, browser):
    provider.script(text=answer(), rate=50)
    analysis = site.ask(document)
    provider.wait(calls=1)
    tab = browser.open()

    def late(route):
        tab.page.wait_for_timeout(700)  # the fault itself: a slow file
        route.continue_()

    tab.page.route("**/hx-sse.min.js*", late)
    tab.page.goto(site.url + analysis, wait_until="commit")
    tab.wait_for_status("complete")

    assert len(tab.streams()) == 1
    tab.assert_shows(site.stored(analysis))
    tab.assert_content()


@pytest.mark.fault("killed")
@pytest.mark.parametrize("what", ["the worker", "everything"])
def test_the_page_heals_when_the_server_is_killed(precis, what, browser, request):
    provider = request.getfixturevalue("site").provider
    provider.script(text=answer(40), rate=50)
    precis.settings["OPENAI_BASE_URL"] = provider.openai_url
    precis.start()
    tab = browser.open(precis.url + precis.bring("Terms\n\nPay by March."))
    analysis = tab.analyze()
    tab.wait_for_text(200)
    note = tab.page.get_by_text("Connection lost: trying again.")

    if what == "the worker":
        precis.kill_worker()
    else:
        precis.kill()
        # The note's clock alone is hurried, while nothing is there that could send a beat.
        session = hurry(tab, 20)
        note.wait_for()
        session.send("Animation.setPlaybackRate", {"playbackRate": 1})
        precis.start()
    tab.wait_for_status("interrupted")

    assert note.count() == 0
    stored = precis.stored(analysis)
    assert len(stored) >= 200
    tab.assert_shows(stored)
    assert_numeric(tab.cursors())
    assert provider.calls == 1
