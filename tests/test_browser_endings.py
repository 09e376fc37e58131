"""Endings in a real browser: what a person reads while it waits, and what one press of a button does next."""

from itertools import groupby

import pytest

from tests.prose import answer

pytestmark = pytest.mark.both_modes


@pytest.fixture
def provider(site):
    return site.provider


@pytest.fixture
def tab(site, browser):
    """A tab on a document's page, the Analyze button under the finger."""
    return browser.open(site.url + site.bring("Terms\n\nPay by March.\n\nCopy nothing."))


def shift(tab):
    """Return how far things moved without having been touched."""
    return sum(shift["value"] for shift in tab.witness()["shifts"] if not shift["byInput"])


@pytest.mark.fault("rate limit")
def test_a_busy_provider_is_said_to_be_busy_and_then_answers(tab, site, provider):
    provider.script(text=answer(), rate=200, status=429, headers={"Retry-After": "1"}, times=1)
    analysis = tab.analyze()
    tab.page.get_by_text("Busy, trying again in").first.wait_for()
    tab.wait_for_status("complete")

    tab.assert_shows(site.stored(analysis))
    tab.assert_content()
    said = [words for words, _ in groupby(words.split(" in ")[0] for words in tab.witness()["said"])]
    # Who is to run it in another process waits first.
    assert said[0] in ("Analysing", "Waiting")
    busy = said.index("Busy, trying again")
    assert said[busy + 1] == "Analysing"
    assert len(said) <= 5
    assert tab.focus() == "Analyze Alt A"
    assert shift(tab) <= 0.02
    assert not tab.page.get_by_text("Busy").is_visible()
    assert provider.calls == 2


@pytest.mark.fault("cut in the middle")
def test_continue_is_one_press_of_a_key_and_the_answer_goes_on(tab, site, provider):
    whole = answer()
    provider.script(text=whole, rate=500, at=60, fault="rst")
    broken_off = tab.analyze()
    tab.wait_for_status("incomplete")
    stored = site.stored(broken_off)
    provider.script(text=whole.removeprefix(stored), rate=200)

    tab.page.get_by_role("button", name="Continue").focus()
    tab.page.keyboard.press("Enter")
    analysis = tab.analysis(after={broken_off})
    tab.page.locator(".join").wait_for()
    # The button that was pressed is gone: the finger is where the next thing can be done.
    assert tab.focus() == "Stop Alt S"
    tab.wait_for_status("complete")

    assert site.stored(analysis) == whole
    assert site.stored(broken_off) == stored
    assert tab.text() == "".join(whole.split())
    assert tab.page.locator(".join").count() == 1
    assert tab.page.url == site.url + analysis
    assert provider.calls == 2
    tab.assert_content()
    tab.page.reload()
    assert tab.page.locator(".join").count() == 1
    assert tab.page.get_by_role("note", name="continued here").is_visible()
    assert tab.duplicate_ids() == []


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ({"status": 401}, "The AI service refused our key. Your document is saved."),
        ({"status": 402}, "The spending limit of the AI service is reached."),
        ({"text": ""}, "The model returned no text."),
        ({"text": "One two.", "stop": "refusal"}, "The model declined to answer, or to go on."),
        ({"text": "One two.", "stop": "length"}, "Cut at the length limit"),
    ],
)
def test_an_ending_is_read_where_the_answer_would_be_and_said_to_a_screen_reader(
    tab, provider, script, sentence
):
    provider.script(**script)
    tab.analyze()

    tab.page.locator(".analysis .note", has_text=sentence).wait_for()
    tab.page.locator("#status", has_text=sentence).wait_for(state="attached")
    assert len(tab.witness()["said"]) <= 4
    assert tab.focus() == "Analyze Alt A"
    tab.assert_content()


def test_trying_again_keeps_what_failed_in_the_history(tab, site, provider):
    provider.script(text="")
    failed = tab.analyze()
    tab.wait_for_status("failed")
    provider.script(text="Here it is.")

    tab.page.get_by_role("button", name="Try again").click()
    again = tab.analysis(after={failed})
    tab.wait_for_status("complete")

    assert site.stored(again) == "Here it is."
    tab.page.reload()
    rows = tab.page.locator(".rows tbody tr").all_inner_texts()
    assert ["Complete" in rows[0], "Failed" in rows[1]] == [True, True]
    tab.assert_content()


def test_without_scripts_the_same_buttons_do_the_same(site, provider, chromium):
    whole = answer()
    provider.script(text=whole, rate=2000, at=60, fault="fin")
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(site.url + site.bring("Terms\n\nPay by March."))
    page.get_by_role("button", name="Analyze").click()
    page.locator('[data-status="incomplete"]').wait_for()
    provider.script(text=whole[40:], rate=2000)

    page.get_by_role("button", name="Continue").click()
    # The last of the page: what stands before it has come.
    page.locator("#end").wait_for()

    assert page.locator('[data-status="complete"] .join').count() == 1
    assert page.url.endswith("/live")
    context.close()


@pytest.mark.fault("too long")
def test_shortening_leads_to_the_text_in_the_form(tab, provider):
    provider.script(status=413)
    tab.analyze()
    tab.page.get_by_role("link", name="Shorten the document").click()

    assert tab.page.locator("#text").input_value() == "Terms\n\nPay by March.\n\nCopy nothing."
    assert tab.page.locator("#title").input_value() == "Terms"
    tab.assert_content()
