"""Search and rename in a real browser, by the keyboard, and without scripts."""

import secrets

import pytest

from tests.chromium import Browser


@pytest.fixture
def word():
    """A word that no other document on the server has."""
    return "w" + "".join(chr(ord("a") + digit % 26) for digit in secrets.token_bytes(12))


@pytest.fixture
def document(site, word):
    return site.bring(f"Lease {word}\n\nThe tenant {word} pays by March.")


@pytest.fixture
def scriptless(chromium):
    """A person's browser that runs no scripts."""
    with Browser(chromium, java_script_enabled=False) as browser:
        yield browser


def wait_for_count(page, text):
    page.locator("#count", has_text=text).wait_for()


@pytest.mark.both_modes
def test_what_is_typed_is_found_at_once_and_the_focus_stays(site, document, word, browser):
    tab = browser.open(site.url)
    page = tab.page
    page.get_by_label("Paste its text").fill("Not yet sent.")
    page.get_by_label("Search").focus()
    page.keyboard.type(word[:8])
    wait_for_count(page, "1 document and 0 analyses found")

    assert page.evaluate("document.activeElement.id") == "q"
    assert page.url == f"{site.url}/search?q={word[:8]}"
    assert page.title() == f"{word[:8]} – Search – Precis"
    assert page.locator("#found mark").all_text_contents()[-1] == word
    assert page.get_by_role("status").filter(has_text="found").count() == 1

    page.keyboard.type("zzz")
    wait_for_count(page, "Nothing found")
    assert page.url == f"{site.url}/search?q={word[:8]}zzz"
    assert page.get_by_label("Search").input_value() == f"{word[:8]}zzz"
    assert page.get_by_label("Paste its text").input_value() == "Not yet sent."
    assert tab.duplicate_ids() == []

    for _ in "zzz":
        page.keyboard.press("Backspace")
    wait_for_count(page, "1 document")
    # Past the button and the five orders.
    for _ in range(7):
        page.keyboard.press("Tab")
    assert tab.focus() == f"Lease {word}"
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert page.url == site.url + document
    # One step back is the search, one more is the page on which it began.
    page.go_back()
    page.wait_for_url(f"{site.url}/search?q={word[:8]}")
    assert page.get_by_label("Search").input_value() == word[:8]
    page.go_back()
    page.wait_for_url(f"{site.url}/")
    tab.assert_content()


def test_enter_searches_without_waiting(site, document, word, browser):
    tab = browser.open(f"{site.url}/search")
    page = tab.page
    page.get_by_label("Search").focus()
    page.keyboard.insert_text(word)
    page.keyboard.press("Enter")
    wait_for_count(page, "1 document and 0 analyses found")
    page.get_by_role("link", name="Title", exact=True).click()
    page.wait_for_url(f"{site.url}/search?q={word}&order=title")
    page.get_by_label("Search").press("End")
    page.keyboard.type(" tenant")
    page.wait_for_url(f"{site.url}/search?q={word}+tenant&order=title")
    assert page.locator(".orders [aria-current]").text_content() == "Title"
    tab.assert_content()


def test_an_answer_that_comes_is_not_disturbed_by_a_search_beside_it(site, word, browser):
    site.provider.script(text=" ".join(f"says{n}" for n in range(60)) + f" {word}", rate=40)
    tab = browser.open(site.url + site.bring("Terms"))
    analysis = tab.analyze()
    tab.wait_for_text(20)
    other = browser.open(f"{site.url}/search?q={word}")
    wait_for_count(other.page, "Nothing found")
    tab.wait_for_status("complete")
    other.page.reload()
    wait_for_count(other.page, "0 documents and 1 analysis found")
    tab.assert_shows(site.stored(analysis))


def test_without_scripts_one_searches_and_renames(site, document, word, scriptless):
    page = scriptless.open(site.url).page
    page.get_by_label("Search").fill(word)
    page.get_by_label("Search").press("Enter")
    page.wait_for_url(f"{site.url}/search?q={word}")
    wait_for_count(page, "1 document and 0 analyses found")
    page.locator("#found").get_by_role("link", name=f"Lease {word}").click()
    page.get_by_role("link", name="Rename").click()
    page.get_by_label("Title").fill("")
    page.get_by_role("button", name="Rename").click()
    page.get_by_role("alert").filter(has_text="Enter a title.").wait_for()
    page.get_by_label("Title").fill("Tenancy")
    page.get_by_role("button", name="Rename").click()
    page.get_by_role("heading", name="Tenancy").wait_for()
    assert page.url == site.url + document


def test_a_document_is_renamed_by_the_keyboard(site, document, browser):
    tab = browser.open(site.url + document)
    page = tab.page
    page.get_by_role("link", name="Rename").press("Enter")
    page.wait_for_url(f"{site.url}{document}/title")
    assert page.evaluate("document.activeElement.id") == "title"
    page.keyboard.press("Control+A")
    page.keyboard.press("Delete")
    page.keyboard.press("Enter")
    page.get_by_role("alert").filter(has_text="Enter a title.").wait_for()
    assert tab.focus().startswith("There is a problem")
    page.get_by_role("link", name="Enter a title.").press("Enter")
    page.keyboard.type("House rules")
    page.keyboard.press("Enter")
    page.wait_for_url(site.url + document)
    assert page.title() == "House rules – Precis"
    assert [text for text in tab.complaints if "422" not in text] == []
