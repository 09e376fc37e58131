"""Forms, errors and hostile answers in a real browser; and the whole job without scripts."""

import re

import pytest
from gevent.server import StreamServer

from tests.chromium import Browser, squeezed
from tests.precis import Precis
from tests.prose import answer


@pytest.fixture
def provider(site):
    return site.provider


@pytest.fixture
def document(site):
    return site.bring("Terms\n\nPay by March.\n\nCopy nothing.")


@pytest.fixture
def scriptless(chromium):
    """A person's browser that runs no scripts."""
    with Browser(chromium, java_script_enabled=False) as browser:
        yield browser


def test_a_question_left_out_is_asked_for_in_place(site, provider, document, browser):
    provider.script(text=answer(5), rate=50)
    tab = browser.open(site.url + document)
    analysis = tab.analyze()
    tab.wait_for_text(50)

    tab.page.get_by_label("A question").check()
    tab.page.get_by_label("Your question").press("Enter")
    alert = tab.page.get_by_role("alert")
    alert.filter(has_text="Enter a question.").wait_for()

    assert tab.page.get_by_label("A question").is_checked()
    assert tab.page.url == site.url + analysis
    tab.page.keyboard.type("Who pays?")
    tab.wait_for_status("complete")
    assert tab.page.get_by_label("Your question").input_value() == "Who pays?"
    tab.assert_shows(site.stored(analysis))
    assert provider.calls == 1

    provider.script(text="The tenant does.")
    tab.page.keyboard.press("Enter")
    second = tab.analysis(after={analysis})
    tab.wait_for_status("complete")
    assert alert.text_content() == ""
    assert tab.page.locator(".question", has_text="Who pays?").is_visible()
    assert tab.text() == squeezed(site.stored(second))


def test_the_limit_is_said_in_place_and_leaves_the_running_answer(tmp_path, site, provider, browser):
    provider.script(text=answer(5), rate=50)
    with Precis(tmp_path, provider, PRECIS_ANALYZE_LIMIT="1 per minute") as precis:
        precis.start()
        tab = browser.open(precis.url + precis.bring("Terms"))
        analysis = tab.analyze()
        tab.wait_for_text(50)
        tab.page.get_by_label("Actions and deadlines").check()
        tab.page.get_by_role("button", name="Analyze").press("Enter")
        tab.page.get_by_role("alert").filter(has_text="Nothing is lost.").wait_for()

        assert tab.focus() == "Analyze Alt A"
        tab.wait_for_status("complete")
        tab.assert_shows(precis.stored(analysis))
        assert provider.calls == 1

        # The same without scripts: a page of its own, with the form.
        tab.page.goto(precis.url + precis.bring("Other terms"))
        tab.page.evaluate("document.querySelector('form.ask').removeAttribute('hx-post')")
        tab.page.evaluate("document.querySelector('form.ask').submit()")
        tab.page.get_by_role("alert").filter(has_text="Nothing is lost.").wait_for()
        assert tab.page.get_by_role("button", name="Analyze").is_visible()
        assert provider.calls == 1


def test_a_document_that_is_missing_keeps_what_was_typed_and_takes_the_focus(site, browser):
    tab = browser.open(site.url)
    tab.page.get_by_label("Title").fill("My terms")
    tab.page.get_by_role("button", name="Open document").click()

    tab.page.get_by_role("alert").wait_for()
    assert tab.page.title().startswith("Error: ")
    assert tab.page.get_by_label("Title").input_value() == "My terms"
    assert tab.focus().startswith("There is a problem")


@pytest.mark.both_modes
def test_without_scripts_the_whole_job_gets_done(site, provider, scriptless):
    provider.script(text=answer(), rate=50)
    page = scriptless.open(site.url).page
    page.get_by_label("Paste its text").fill("Terms\n\nPay by March.")
    page.get_by_role("button", name="Open document").click()
    page.get_by_role("button", name="Analyze").click(no_wait_after=True)

    page.locator("pre.answer", has_text="says2").wait_for()
    while_coming = page.locator("pre.answer").text_content()
    # What is waited for before the first words is none of them.
    for notice in page.locator("pre.answer em").all_text_contents():
        while_coming = while_coming.replace(notice, "")
    assert provider.open == 1, "the text came only at the end"
    assert "says140" not in while_coming

    page.locator('section[data-status="complete"]').wait_for()
    analysis = re.sub("/live$", "", page.url.removeprefix(site.url))
    saved = page.locator(".analysis .answer").text_content()
    assert squeezed(saved) == squeezed(site.stored(analysis)) == squeezed(answer())
    assert squeezed(saved).startswith(squeezed(while_coming))
    assert not page.locator("pre.answer").is_visible()

    page.get_by_role("link", name="Delete").click()
    page.get_by_role("button", name="Delete analysis").click()
    page.get_by_role("heading", name="Terms").wait_for()
    assert page.locator("table.rows").count() == 0
    assert provider.calls == 1


def test_without_scripts_stop_works_while_the_page_still_loads(site, provider, document, scriptless):
    provider.script(text=answer(20), rate=50)
    page = scriptless.open(site.url + document).page
    page.get_by_role("button", name="Analyze").click(no_wait_after=True)
    page.locator("pre.answer", has_text="says2").wait_for()

    page.get_by_role("button", name="Stop").click(no_wait_after=True)
    page.locator('section[data-status="stopped"]').wait_for()

    provider.wait(cancels=1, open=0)
    assert "says2" in page.locator(".analysis .answer").text_content()


def test_without_scripts_the_page_of_a_running_analysis_leads_to_the_live_one(
    site, provider, document, scriptless, browser
):
    provider.script(text=answer(), rate=50)
    analysis = site.ask(document)
    page = scriptless.open(site.url + analysis, wait_until="commit").page
    page.wait_for_url(f"{site.url}{analysis}/live", wait_until="commit")

    tab = browser.open(site.url + analysis)
    tab.wait_for_status("complete")
    assert tab.page.url == site.url + analysis
    page.locator('section[data-status="complete"]').wait_for()
    assert provider.calls == 1


def test_without_scripts_going_back_and_sending_again_shows_what_there_is(
    site, provider, document, scriptless
):
    provider.script(text="Once.")
    page = scriptless.open(site.url + document).page
    page.get_by_role("button", name="Analyze").click()
    page.locator('section[data-status="complete"]').wait_for()
    first = page.url

    page.go_back()
    page.get_by_role("button", name="Analyze").click()
    page.locator('section[data-status="complete"]').wait_for()

    assert page.url == first
    assert provider.calls == 1


def test_on_paper_the_day_is_told_also_if_it_is_today(site, provider, document, browser):
    tab = browser.open(site.url + document)
    tab.analyze()
    tab.wait_for_status("complete")
    tab.page.emulate_media(media="print")
    time = tab.page.locator(".analysis time")
    shown = time.evaluate("it => [getComputedStyle(it, '::after').content, getComputedStyle(it).fontSize]")
    assert re.fullmatch(r'"\d{4}-\d\d-\d\d \d\d:\d\dZ"', shown[0])
    assert shown[1] == "0px"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_page_scrolls_sideways_at_320_pixels(site, provider, document, chromium, theme):
    wide = "https://example.com/" + "x" * 300
    table = "| Action | Who | By when |\n|---|---|---|\n" + f"| {'word ' * 30} | {wide} | tomorrow |\n"
    provider.script(text=f"A{'a' * 200} `{'b' * 200}`\n\n{table}\n```\n{'c' * 200}\n```\n")
    other = site.bring(f"{'T' * 200}\n\n{wide}")
    with Browser(chromium, color_scheme=theme) as browser:
        tab = browser.open(site.url + other)
        tab.page.set_viewport_size({"width": 320, "height": 640})
        analysis = tab.analyze()
        tab.wait_for_status("complete")
        paths = [
            "/",
            document,
            other,
            analysis,
            f"{analysis}/live",
            f"{analysis}/deletion",
            f"{other}/deletion",
        ]
        for path in [*paths, "/nothing"]:
            tab.page.goto(site.url + path)
            assert tab.page.evaluate("document.documentElement.scrollWidth") <= 320, path
        tab.page.goto(site.url)
        tab.page.get_by_role("button", name="Open document").click()
        tab.page.get_by_role("alert").wait_for()
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= 320


HOSTILE = """<script>alert(1)</script><img src=x onerror=alert(2)>

</div></template></section><h1 id="status">mine</h1><style>body{{display:none}}</style>

<div hx-get="/up" hx-trigger="load"></div> <div data-hx-get="/up" data-hx-trigger="load">x</div>

<hx-partial hx-target="#status" hx-swap="innerHTML">owned</hx-partial>

<div hx-sse:connect="/up" sse-connect="/up" hx-trigger="load"></div> <iframe src="{away}/frame"></iframe>

[one](javascript:alert(3)) [two](JaVaScRiPt&colon;alert(4)) [three](data:text/html,<script>alert(5)</script>)

![leak]({away}/image.png) ![data](data:image/svg+xml,<svg onload=alert(6)>) ![by reference][leak]

[leak]: {away}/reference.png

<a href="x" onmouseover="alert(7)" autofocus onfocus="alert(8)" tabindex="0">over</a> <svg/onload=alert(9)>

data: <script>alert(10)</script>
event: done
id: 999999

| <img src={away}/cell.png> | b |
|---|---|
| <form action={away}><button autofocus>x</button></form> | `<b hx-get="/up" hx-trigger="load">` |

```html
<script>alert(11)</script>
</code></pre><script src="{away}/script.js"></script>
```

The end.
"""


@pytest.mark.parametrize("where", ["answer", "document"])
def test_hostile_text_is_text_streamed_saved_and_reloaded(site, provider, browser, where):
    reached = []
    with StreamServer(("127.0.0.1", 0), lambda sock, address: reached.append(address)) as away:
        away.start()
        hostile = HOSTILE.format(away=f"http://127.0.0.1:{away.server_port}")
        provider.script(text=hostile if where == "answer" else "Calm.", rate=100)
        tab = browser.open(site.url + site.bring(hostile if where == "document" else "Terms\n\nx"))
        analysis = tab.analyze()
        tab.wait_for_status("complete")
        tab.page.reload()
        tab.wait_for_status("complete")
        text = tab.page.locator("main").inner_text()
        tab.page.mouse.move(600, 500)
        tab.page.emulate_media(media="print")
        tab.page.wait_for_load_state("networkidle")

    assert "<script>alert(1)</script>" in text
    assert "The end." in text
    assert reached == []
    paths = {request.url.removeprefix(site.url).partition("?")[0] for request in tab.requests}
    document = tab.requests[0].url.removeprefix(site.url)
    assert {path for path in paths if not path.startswith("/static/")} == {
        document,
        f"{document}/analyses",
        analysis,
        f"{analysis}/stream",
    }
    assert len(tab.streams()) == 1
    tab.assert_content()
