"""The main job in a real browser: what a person sees, hears and does while an answer comes."""

import time

import gevent
import pytest

from tests.chromium import squeezed
from tests.prose import answer, long_document


@pytest.fixture
def provider(site):
    return site.provider


@pytest.fixture
def tab(site, provider, browser):
    """A tab on a document's page, the Analyze button under the finger, an answer of three seconds ready."""
    provider.script(text=answer(), rate=50)
    return browser.open(site.url + site.bring("Terms\n\nPay by March.\n\nCopy nothing."))


def layout_shift(tab):
    """Return the page's cumulative layout shift, counted as strictly as can be: all of it, as one."""
    return sum(shift["value"] for shift in tab.witness()["shifts"] if not shift["byInput"])


@pytest.mark.both_modes
def test_the_main_job_is_a_paste_and_two_keys(precis, browser):
    precis.start(PRECIS_MODELS="offline:extractive")
    tab = browser.open(precis.url)

    tab.page.keyboard.insert_text(long_document())
    with tab.page.expect_navigation():
        tab.press_access_key("o")
    analysis = tab.analyze()
    tab.wait_for_text()
    tab.wait_for_status("complete")

    seen = tab.witness()
    print(f"\nEnter to first words: {seen['first'] - seen['enter']:.0f} ms (offline)")
    tab.assert_showed_only(tab.text())
    assert squeezed("No language model was used") in tab.text()
    assert tab.page.url == precis.url + analysis
    tab.assert_content()


def test_nothing_moves_complains_or_takes_the_focus_while_an_answer_comes(tab, site):
    analysis = tab.analyze()
    tab.wait_for_text()
    before = tab.witness()
    tab.wait_for_status("complete")
    # A poll or a connection that should not be would come within the five seconds of their triggers.
    tab.page.wait_for_timeout(5500)

    seen = tab.witness()
    print(f"\nEnter to first words: {seen['first'] - seen['enter']:.0f} ms (scripted provider)")
    print(f"CLS {layout_shift(tab):.4f} over {seen['frames']} frames; live region: {seen['said']}")
    assert layout_shift(tab) <= 0.02
    assert seen["focus"] == before["focus"]
    assert tab.focus() == "Analyze Alt A"
    assert 1 <= len(seen["said"]) <= 4
    assert tab.duplicate_ids() == []
    assert len(tab.streams()) == 1
    tab.assert_shows(site.stored(analysis))
    tab.assert_content()


def test_a_later_answer_pushes_nothing_and_covers_nothing(tab, site, provider):
    provider.script(text="Short.")
    for _ in range(2):
        analysis = tab.analyze()
        tab.wait_for_status("complete")
        tab.page.reload()
        tab.page.locator("button.main").focus()
    provider.script(text=answer(), rate=50)
    # The history stands below now; shifts count from here, but for what the key press itself does.
    before = layout_shift(tab)
    tab.analyze(after={analysis})
    tab.wait_for_text()
    tab.wait_for_status("complete")

    assert layout_shift(tab) - before <= 0.02
    result, history = (tab.page.locator(it).bounding_box() for it in ("#result", "[aria-labelledby=history]"))
    answer_box = tab.page.locator("section.analysis").bounding_box()
    assert answer_box["y"] + answer_box["height"] <= result["y"] + result["height"] <= history["y"]


def test_twenty_analyses_in_one_page_leave_no_id_twice(tab, provider):
    provider.script(text="Short.")
    seen = set()
    while len(seen) < 20:
        seen.add(tab.analyze(after=seen))
        tab.wait_for_status("complete")

    assert provider.calls == 20
    assert tab.duplicate_ids() == []
    assert len(tab.streams()) == 20
    tab.assert_content()


def test_two_presses_of_enter_make_one_analysis_and_a_later_one_makes_another(tab, provider):
    provider.script(text="Short.")
    asked = []
    tab.page.route("**/documents/*/analyses", lambda route: asked.append(route))
    with tab.page.expect_request("**/documents/*/analyses"):
        tab.page.keyboard.press("Enter")
    tab.page.keyboard.press("Enter")
    for route in asked:
        route.continue_()
    tab.page.unroute("**/documents/*/analyses")
    first = tab.analysis()
    tab.wait_for_status("complete")
    posts = [request for request in tab.requests if request.method == "POST"]
    assert len(asked) == len(posts) == provider.calls == 1

    tab.analyze(after={first})
    tab.wait_for_status("complete")
    assert provider.calls == 2
    tab.assert_content()


@pytest.mark.both_modes
@pytest.mark.parametrize("by", ["click", "accesskey", "enter"])
def test_stop_ends_the_call_keeps_the_text_and_the_focus(tab, site, provider, by):
    analysis = tab.analyze()
    tab.wait_for_text(100)
    stop = tab.page.locator("button", has_text="Stop")
    ended = gevent.spawn(lambda: provider.wait(cancels=1) and time.monotonic())

    if by == "enter":
        stop.focus()
    pressed = time.monotonic()
    if by == "click":
        stop.click()
    elif by == "accesskey":
        tab.press_access_key("s")
    else:
        tab.page.keyboard.press("Enter")
    tab.wait_for_status("stopped")

    latency = ended.get() - pressed
    print(f"\nStop by {by} to the provider's socket closed: {latency * 1000:.0f} ms")
    assert latency <= 1
    assert provider.cancels == 1
    tab.assert_shows(site.stored(analysis))
    assert len(tab.text()) >= 100
    # The element in Stop's place has its id: neither a click nor a key leaves the focus nowhere.
    assert tab.page.evaluate("document.activeElement.id") == f"actb-{analysis.rpartition('/')[2]}"
    assert "BODY" not in tab.witness()["focus"][1:]
    tab.assert_content()


def test_citations_lead_to_the_paragraph_in_the_source(site, provider, browser):
    provider.script(text="See [¶40] and [¶2, 39].")
    document = site.bring("\n\n".join(f"Paragraph number {n}. " + "Words of it. " * 30 for n in range(1, 42)))
    tab = browser.open(site.url + document)
    tab.analyze()
    tab.wait_for_status("complete")

    tab.page.get_by_role("link", name="¶40").click()

    assert tab.page.url.endswith("#p40")
    box, pane = (tab.page.locator(it).bounding_box() for it in ("#p40", ".source"))
    assert pane["y"] <= box["y"]
    assert box["y"] + box["height"] <= pane["y"] + pane["height"]
    assert tab.page.locator("a.citation").all_text_contents() == ["¶40", "¶2", "39"]
    tab.assert_content()


def test_white_space_arrives_as_it_was_written(site, provider, browser):
    code = "def f():\n\n    if x:\n        return\t1\n"
    pieces = [
        "One",
        " ",
        "two",
        "\n\n",
        "```",
        "\n",
        *code,
        "```",
        "\n",
        "\n",
        "\u00a0",
        "Three",
        "\u2028",
        " ",
        "end",
    ]
    provider.script(pieces=pieces, rate=50)
    tab = browser.open(site.url + site.bring("Terms"))
    tab.analyze()
    tab.page.locator("pre code", has_text="return").wait_for()
    while_streaming = tab.page.locator("pre code").text_content()
    tab.wait_for_status("complete")

    assert code.startswith(while_streaming)
    assert tab.page.locator("pre code").text_content() == code
    first, last = tab.page.locator(".answer p").all_text_contents()
    assert first == "One two"
    assert last.strip() == "Three\u2028 end"


@pytest.mark.both_modes
def test_a_second_tab_that_deletes_ends_the_call_and_tells_the_first(tab, site, provider, browser):
    analysis = tab.analyze()
    tab.wait_for_text()
    other = browser.open(f"{site.url}{analysis}/deletion")
    other.page.get_by_role("button", name="Delete analysis").click()

    tab.page.locator("#status", has_text="This analysis was deleted").wait_for()
    tab.page.locator("section.analysis", has_text="This analysis was deleted").wait_for()
    provider.wait(cancels=1, open=0)
    assert tab.witness()["odd"] == []
    assert len(tab.streams()) == 1
    tab.assert_content()
