"""A document read in sections, in a real browser: which one is read, how much was, and where it goes on."""

import re

import pytest

from tests.chromium import Browser
from tests.precis import Precis
from tests.scripted_provider import ScriptedProvider

PARAGRAPHS = [f"Clause {n} says thing{n}. " + "Words follow here. " * 20 for n in range(150)]
FINDINGS = "It **says** a thing [¶3].\n\n- One [¶4]\n- Two [¶5]\n\nThat is all of it, and it is enough."


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A server whose models read little at once."""
    with ScriptedProvider() as provider:
        folder = tmp_path_factory.mktemp("site")
        with Precis(folder, provider, PRECIS_CONTEXT_TOKENS="8000") as precis:
            precis.provider = provider
            yield precis.start()


@pytest.fixture
def provider(site):
    site.provider.reset()
    site.provider.script(text=FINDINGS, rate=200)
    return site.provider


def test_it_is_told_which_section_is_read_and_in_the_end_that_all_were(site, browser, provider):
    provider.script(marker="section 3 of", text=FINDINGS, rate=6)
    tab = browser.open(site.url + site.bring("\n\n".join(PARAGRAPHS)))
    analysis = tab.analyze()
    tab.page.locator(
        "[id^=progress-]", has_text=re.compile(r"^section 3 of 4 · \d+ s, [\d,]+ words$")
    ).wait_for()
    late = browser.open(site.url + analysis)
    late.page.locator("[id^=progress-]", has_text="section 3 of 4").wait_for()
    for each in (tab, late):
        each.wait_for_status("complete")
        each.page.get_by_text("Read all 150 paragraphs in 4 sections.").wait_for()

    tab.assert_showed_only(site.stored(analysis).replace("## ", "").replace("**", "").replace("- ", ""))
    assert sum(it["value"] for it in tab.witness()["shifts"] if not it["byInput"]) <= 0.02
    assert len(tab.witness()["said"]) <= 4
    heading = tab.page.get_by_role("heading", name="All 4 sections together")
    assert heading.bounding_box()["y"] > 800
    tab.page.get_by_role("link", name="All 4 sections together").click()
    assert 0 <= heading.bounding_box()["y"] < 800
    assert tab.duplicate_ids() == []
    tab.assert_content()


def test_continue_goes_on_in_the_section_that_broke_off(site, browser, provider):
    whole = FINDINGS.replace("**", "")
    provider.script(marker="section 3 of", text=whole, at=6, fault="rst")
    tab = browser.open(site.url + site.bring("\n\n".join(PARAGRAPHS)))
    broken = tab.analyze()
    tab.wait_for_status("incomplete")
    tab.page.get_by_text(re.compile(r"^Read 2 of 4 sections: paragraphs 1–\d+ of 150\.$")).wait_for()
    stored = site.stored(broken).rpartition("\n\n## Section 3 of 4")[2].partition("\n\n")[2]
    provider.script(marker="section 3 of", text=whole.removeprefix(stored), rate=100)

    tab.page.get_by_role("button", name="Continue").click()
    analysis = tab.analysis(after={broken})
    tab.wait_for_status("complete")
    tab.page.get_by_text("Read all 150 paragraphs in 4 sections.").wait_for()

    assert tab.page.locator(".join").count() == 1
    assert site.stored(analysis).count("## Section 3 of 4") == 1
    assert whole in site.stored(analysis)
    tab.assert_content()


def test_without_scripts_it_is_read_in_sections_as_well(site, chromium, provider):
    with Browser(chromium, java_script_enabled=False) as browser:
        page = browser.open(site.url + site.bring("\n\n".join(PARAGRAPHS))).page
        page.get_by_role("button", name="Analyze").click()
        page.locator("pre.answer", has_text="## Section 2 of 4").wait_for(state="attached")
        page.locator('[data-status="complete"]').wait_for()
        assert page.get_by_text("Read all 150 paragraphs in 4 sections.").is_visible()
        assert page.get_by_role("link", name="All 4 sections together").is_visible()
