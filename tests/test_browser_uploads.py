"""Bringing files in a real browser: by the keyboard, without scripts, on a narrow screen, and cancelled."""

import pytest

import storage
from models import Reading
from tests.chromium import Browser
from tests.pdf_files import book
from tests.test_readings import age
from tests.uploads import MAIL, PAGE, held_up, pdf, send

BOOK = {"name": "The book.pdf", "mimeType": "application/pdf", "buffer": book(1000)}


@pytest.fixture
def scriptless(chromium):
    """A person's browser that runs no scripts."""
    with Browser(chromium, java_script_enabled=False) as browser:
        yield browser


def choose(page, file):
    """Choose a file, and send the form by the keyboard."""
    page.get_by_label("or select a file").set_input_files(file)
    page.get_by_label("or select a file").focus()
    page.keyboard.press("Tab")
    page.keyboard.type("My book")
    page.keyboard.press("Enter")


def choose_book(page):
    """Choose a file that takes long, and wait until the page tells how far it is."""
    choose(page, BOOK)
    page.get_by_text("Reading page").wait_for()


@pytest.mark.both_modes
def test_a_long_file_opens_by_itself_when_it_is_read_and_enter_analyses_it(site, browser):
    site.provider.script(text="A book.")
    tab = browser.open(site.url)
    choose_book(tab.page)
    with held_up(site.worker()):
        assert tab.page.get_by_role("heading", name="My book").is_visible()
        # Morphed each second, the button keeps the focus.
        tab.page.get_by_role("button", name="Cancel").focus()
        with tab.page.expect_response("**/readings/*"):
            pass
        assert tab.focus() == "Cancel"
    tab.page.wait_for_url("**/documents/*")
    assert tab.page.get_by_text("PDF, 1,000 pages").count() == 1
    tab.analyze()
    tab.wait_for_status("complete")
    tab.assert_content()

    tab.page.goto(f"{tab.page.url}#page-217")
    assert tab.page.locator("#page-217").text_content() == "Page 217"


@pytest.mark.fault("reading cancelled")
@pytest.mark.both_modes
def test_cancel_ends_a_reading_and_leads_back_to_the_form(site, browser):
    before = site.rows("SELECT count(*) FROM document")
    tab = browser.open(site.url)
    choose_book(tab.page)
    with held_up(site.worker()):
        tab.page.get_by_role("button", name="Cancel").press("Enter")
        tab.page.get_by_text("You cancelled this. Nothing of the file was kept.").wait_for()
    tab.page.get_by_role("link", name="Select a file").press("Enter")
    tab.page.get_by_label("or select a file").wait_for()
    assert site.rows("SELECT count(*) FROM document") == before
    tab.assert_content()


def test_without_scripts_a_long_file_opens_by_itself_too(site, scriptless):
    page = scriptless.open(site.url).page
    choose_book(page)
    assert "/readings/" in page.url
    page.wait_for_url("**/documents/*")
    page.get_by_role("heading", name="My book").wait_for()


def test_a_file_that_cannot_be_read_is_told_of_and_what_was_typed_is_kept(site, browser):
    tab = browser.open(site.url)
    choose(
        tab.page,
        {"name": "old.doc", "mimeType": "application/msword", "buffer": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"},
    )
    tab.page.get_by_role("alert").wait_for()
    assert tab.page.title().startswith("Error: ")
    assert tab.focus().startswith("There is a problem The selected file must be a PDF, DOCX, ")
    assert tab.focus().endswith("Save it as DOCX or PDF and try again.")
    assert tab.page.get_by_label("Title").input_value() == "My book"
    tab.page.get_by_role("link", name="The selected file must be").press("Enter")
    assert tab.page.evaluate("document.activeElement.id") == "file"


@pytest.mark.fault("killed while it reads")
@pytest.mark.one_process
def test_the_page_of_a_reading_outlives_a_server_that_is_killed(precis, browser):
    precis.start()
    tab = browser.open(precis.url)
    choose_book(tab.page)
    with held_up(precis.worker()):
        precis.kill()
    storage.connect(precis.settings["PRECIS_DATABASE_URL"])
    age(tab.page.url, Reading.LOST_SECONDS + 1)
    storage.database.disconnect()
    precis.start()
    tab.page.get_by_text("Precis was interrupted while it read this file.").first.wait_for()
    assert tab.page.locator("#status").text_content().startswith("Precis was interrupted")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_at_320_pixels_nothing_of_a_file_scrolls_the_page_sideways(site, chromium, theme):
    wide = ";".join(f"A column number {n}" for n in range(30))
    table = f"{wide}\n{wide}\n".encode()
    paths = [send(site, "wide.csv", table), send(site, "a.html", PAGE), send(site, "a.eml", MAIL)]
    paths.append(send(site, f"{'x' * 90}.pdf", pdf(["One."], [])))
    paths.append(send(site, "x" * 115 + ".pdf", BOOK["buffer"]))
    with Browser(chromium, color_scheme=theme) as browser, held_up(site.worker()):
        tab = browser.open()
        tab.page.set_viewport_size({"width": 320, "height": 640})
        for path in paths:
            tab.page.goto(site.url + path)
            assert tab.page.evaluate("document.documentElement.scrollWidth") <= 320, path
        assert tab.page.get_by_text("Reading page").is_visible()
        tab.page.get_by_role("button", name="Cancel").click()
        tab.page.get_by_text("You cancelled this.").first.wait_for()
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= 320
        # What is too wide scrolls by itself, by the keyboard too.
        tab.page.goto(site.url + paths[0])
        assert tab.page.locator(".source td", has_text="A column number 29").count() == 1
        assert tab.page.locator(".source .scroll").first.get_attribute("tabindex") == "0"
        tab.assert_content()


def test_each_paragraph_runs_the_way_its_own_letters_do(site, browser):
    text = "Minutes\n\nاجتمع مجلس المكتبة."
    tab = browser.open(site.url + send(site, "minutes.txt", text.encode()))
    # Where a paragraph's first letter stands: how far from its left and from its right edge.
    place = """id => {
        const p = document.getElementById(id), box = p.getBoundingClientRect();
        const range = document.createRange();
        range.setStart(p.lastChild, 0);
        range.setEnd(p.lastChild, 1);
        const letter = range.getBoundingClientRect();
        return [letter.left - box.left, box.right - letter.right];
    }"""
    left, right = tab.page.evaluate(place, "p1")
    assert left < right
    left, right = tab.page.evaluate(place, "p2")
    assert right < left
