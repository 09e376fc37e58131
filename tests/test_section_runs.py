"""Documents longer than the model's window: read in sections, put together, and nothing of it asked twice."""

import json
import re
from itertools import pairwise

import httpx2
import pytest
from gevent.event import Event

from analyzer import Viewer
from analyzer.runner import Runner
from analyzer.text import paragraphs
from analyzer.token_log import TokenLog
from models import Analysis, Document, Section, Status, User
from storage import connected
from tests.page import Page, text_of
from tests.person import HTMX, ask, bring, finished, row, saved, settle, stream
from tests.test_continuations import continued

pytestmark = pytest.mark.both_modes

WINDOW = 8_000
TEXT = "\n\n".join(
    f"# Chapter {chapter}\n\n"
    + "\n\n".join(
        f"Chapter {chapter} says thing{chapter}x{n}. " + "Words follow here. " * 20 for n in range(14)
    )
    for chapter in range(12)
)
FINDINGS = "It says a thing [¶3]."
TOGETHER = "so it was read in sections"


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    monkeypatch.setattr(Runner, "PAUSES", (0.01, 0.01))
    # Else nearly all of the time is that of the many short answers' ticks.
    monkeypatch.setattr(TokenLog, "TICK_SECONDS", 0.001)


@pytest.fixture
def app(make_app):
    return make_app(context_tokens=WINDOW)


@pytest.fixture
def document(client):
    """A document of five sections or so, as the page's address."""
    return bring(client, TEXT)


@pytest.fixture
def provider(provider):
    provider.script(text=FINDINGS)
    provider.script(marker=TOGETHER, text="All in all [¶3, 90].")
    return provider


@pytest.fixture
def estimate(analyzer, document):
    with connected():
        found = Document.find(User.local(), int(document.rsplit("/", 1)[-1]))
        return analyzer.costs.estimate(found, TEXT, "openai:gpt-6-sol")


def sections(analysis):
    return Section.of(row(analysis).id)


def asked(provider):
    """Return what each call was asked, as one text."""
    return [json.dumps(request["body"], ensure_ascii=False) for request in provider.requests]


def numbers(provider):
    """Return which section each call was about, 0 for all together."""
    found = [re.search(r"section (\d+) of \d+ \(", text) for text in asked(provider)]
    return [int(it[1]) if it else 0 for it in found]


@pytest.mark.parametrize("model", ["openai:gpt-6-sol", "anthropic:claude-sonnet-5-5"])
def test_all_of_it_is_read_in_as_many_calls_as_were_announced(client, document, provider, estimate, model):
    analysis = ask(client, document, model=model)
    page = Page(analysis)
    page.read(stream(client, analysis).get_data())

    ended = row(analysis)
    assert estimate.sections > 3
    assert (ended.status, ended.sections, ended.error) == ("complete", estimate.sections, "")
    assert provider.calls == estimate.calls == estimate.sections + 1
    assert numbers(provider) == [*range(1, estimate.sections + 1), 0]
    # Each paragraph stood under its number in one call.
    for number, paragraph in enumerate(paragraphs(TEXT), 1):
        line = json.dumps(f"[¶{number}] {paragraph.rstrip()}", ensure_ascii=False)[1:-1]
        assert sum(line in text for text in asked(provider)) == 1
    # What was found goes on to the last call, citations and all, and its answer ends the text.
    assert asked(provider)[-1].count(FINDINGS) == estimate.sections
    assert ended.text.endswith(f"\n\n## All {estimate.sections} sections together\n\nAll in all [¶3, 90].")
    assert re.findall(r"^## (.*)", ended.text, re.MULTILINE) == [
        *(f"Section {it.number} of {it.number and estimate.sections}: [¶{it.first}-{it.last}]"
          for it in sections(analysis)[:-1]),
        f"All {estimate.sections} sections together",
    ]  # fmt: skip
    assert page.text == text_of(answer_of(saved(client, analysis).text))
    assert (ended.input_tokens, ended.usage_is_estimate) == (100 * provider.calls, False)


def answer_of(html):
    """Return the saved answer of a page."""
    return html[html.index('id="blocks-') :].partition(">")[2].partition("</div>")[0]


def test_how_much_was_read_is_said_and_the_answer_is_a_link_away(client, document, provider, estimate):
    analysis = finished(client, document)
    for html in (
        client.get(analysis).text,
        saved(client, analysis).text,
        client.get(f"{analysis}/live").text,
    ):
        assert f"Read all {len(paragraphs(TEXT))} paragraphs in {estimate.sections} sections." in html
        id = row(analysis).id
        assert f'<a href="#together-{id}">All {estimate.sections} sections together</a>' in html
        assert re.search(rf'id="together-{id}"></span><h3>All {estimate.sections} sections', html)


def test_a_document_with_pages_is_told_by_its_pages(app, client, analyzer, provider):
    parts = paragraphs(TEXT)
    pages = [3] * (len(parts) // 3)
    with connected():
        owner = User.local()
        paper = Document.add(owner, "Terms", TEXT, 1, len(parts), format="pdf", pages=pages)
        analysis, _ = analyzer.start(paper, owner, "brief", "openai:gpt-6-sol")
    for _ in analyzer.observe(analysis.id, 0, Viewer()):
        pass
    path = f"/analyses/{analysis.id}"
    assert row(path).text.startswith("## Section 1 of")
    assert re.match(r"## Section 1 of \d+: pages 1–\d+\n\n", row(path).text)
    assert f"Read all {len(pages)} pages in {row(path).sections} sections." in saved(client, path).text


def test_what_fits_is_asked_as_it_always_was(client, provider):
    analysis = finished(client, bring(client, "Terms of use\n\nPay by March."))
    assert (row(analysis).text, row(analysis).sections, sections(analysis)) == (FINDINGS, 1, [])
    assert provider.calls == 1
    assert "section" not in asked(provider)[0]
    assert "Read all" not in saved(client, analysis).text


@pytest.mark.parametrize("fault", [{"status": 429, "headers": {"Retry-After": "0"}}, {"status": 503}])
def test_a_call_that_is_refused_in_the_middle_is_made_again(client, document, provider, estimate, fault):
    provider.script(marker="section 3 of", text=FINDINGS, times=2, **fault)
    analysis = finished(client, document)
    assert row(analysis).status == "complete"
    assert provider.calls == estimate.calls + 2
    assert row(analysis).text.count("## Section 3 of") == 1


def test_a_call_that_breaks_off_in_its_text_is_not_made_again_and_continue_goes_on_in_it(
    client, document, provider, estimate
):
    provider.script(marker="section 3 of", text="One two three four.", at=2, fault="fin")
    broken = finished(client, document)

    assert (row(broken).status, row(broken).error) == ("incomplete", "Broken")
    assert numbers(provider) == [1, 2, 3]
    assert row(broken).text.endswith("\n\nOne two")
    third = sections(broken)[2]
    assert (
        f"Read 2 of {estimate.sections} sections: paragraphs 1–{third.first - 1} of"
        in saved(client, broken).text
    )

    provider.script(marker="section 3 of", text=" three four.")
    whole = continued(client, broken)

    assert row(whole).status == "complete"
    assert numbers(provider) == [1, 2, 3, 3, *range(4, estimate.sections + 1), 0]
    assert "'assistant'" in str(provider.requests[3]["body"])
    assert "One two three four.\n\n## Section 4 of" in row(whole).text
    assert "One two three four." in asked(provider)[-1]
    assert [(it.start, it.end) for it in sections(whole)][:3] == [
        (it.start, it.end) for it in sections(broken)
    ]
    assert f"Read all {len(paragraphs(TEXT))} paragraphs" in saved(client, whole).text


def test_what_broke_off_before_a_sections_first_word_goes_on_with_that_section(
    client, document, provider, estimate
):
    provider.script(marker="section 3 of", status=500)
    broken = finished(client, document)
    assert (row(broken).status, row(broken).error) == ("incomplete", "Busy")
    assert re.search(r"## Section 3 of \d+: \S+\n\n$", row(broken).text)

    provider.script(marker="section 3 of", text="The third.")
    whole = continued(client, broken)

    assert row(whole).status == "complete"
    assert row(whole).text.count("## Section 3 of") == 1
    assert numbers(provider)[-estimate.calls + 2 :] == [3, *range(4, estimate.sections + 1), 0]


def test_what_broke_off_in_its_last_call_goes_on_there(client, document, provider, estimate):
    provider.script(marker=TOGETHER, text="All in all.", at=1, fault="rst")
    broken = finished(client, document)
    assert row(broken).status == "incomplete"

    provider.script(marker=TOGETHER, text=" in all.")
    whole = continued(client, broken)

    assert (row(whole).status, provider.calls) == ("complete", estimate.calls + 1)
    assert row(whole).text.endswith("sections together\n\nAll in all.")


def test_a_first_call_that_fails_leaves_no_heading_behind(client, document, provider):
    provider.script(status=401)
    failed = finished(client, document)
    assert (row(failed).status, row(failed).text, row(failed).words) == ("failed", "", 0)
    assert ">Continue<" not in saved(client, failed).text


@pytest.mark.parametrize("size", [6_000, 16_000, 0])
def test_with_another_window_the_rest_is_planned_anew_and_nothing_is_read_twice(
    analyzer, client, document, provider, size
):
    provider.script(marker="section 3 of", status=500)
    broken = finished(client, document)
    read = sections(broken)[1].end
    del provider.markers["section 3 of"]
    provider.requests.clear()

    analyzer.costs.context_tokens = size
    whole = continued(client, broken)

    assert row(whole).status == "complete"
    found = [it for it in sections(whole) if not it.level and it.stop_reason]
    assert "".join(TEXT[it.start : it.end] for it in found) == TEXT
    assert row(whole).sections == len(found)
    assert found[1].end == read
    assert not any("[¶1] " in text for text in asked(provider))
    assert asked(provider)[-1].count(FINDINGS) == len(found)


def test_a_section_that_fits_no_more_is_begun_anew_and_its_beginning_is_no_finding(
    analyzer, client, document, provider
):
    provider.script(marker="section 3 of", text="Half of it.", at=1, fault="fin")
    broken = finished(client, document)
    del provider.markers["section 3 of"]

    analyzer.costs.context_tokens = 4_500
    whole = continued(client, broken)

    assert row(whole).status == "complete"
    found = [it for it in sections(whole) if not it.level and it.stop_reason]
    assert "".join(TEXT[it.start : it.end] for it in found) == TEXT
    assert row(whole).text.count("## Section 3 of") == 2
    together = [text for text in asked(provider) if TOGETHER in text]
    assert together
    assert not any("Half" in text for text in together)


def test_findings_that_are_too_many_are_put_together_in_rounds(make_app, provider):
    app = make_app(context_tokens=4_000)
    client, analyzer = app.test_client(), app.extensions["analyzer"]
    document = bring(client, TEXT)
    analysis = finished(client, document)
    with connected():
        found = analyzer.costs.estimate(
            Document.find(User.local(), row(analysis).document_id), TEXT, "openai:gpt-6-sol"
        )
    assert row(analysis).status == "complete"
    assert found.calls > found.sections + 2
    assert provider.calls == found.calls
    assert "## Sections 1–4 together\n" in row(analysis).text
    # Each finding is put together once, and what comes of it once more.
    assert [it.level for it in sections(analysis)] == sorted(it.level for it in sections(analysis))
    for level in range(3):
        covered = [(it.start, it.end) for it in sections(analysis) if it.level == level]
        assert covered[0][0] == 0
        assert covered[-1][1] == len(TEXT)
        assert all(one[1] == other[0] for one, other in pairwise(covered))


def test_stop_ends_it_within_a_call_and_asks_for_nothing_more(client, document, provider):
    provider.script(marker="section 2 of", text="word " * 100, rate=50)
    analysis = ask(client, document)
    provider.wait(calls=2)
    client.post(f"{analysis}/cancellation")
    stream(client, analysis).get_data()
    assert row(analysis).status == "stopped"
    assert provider.wait(open=0).calls == 2
    assert "Read 1 of" in saved(client, analysis).text


@pytest.mark.parametrize("at", [0, 20])
def test_what_was_stopped_goes_on_and_asks_for_no_section_twice(client, document, provider, estimate, at):
    provider.script(marker="section 3 of", text="word " * at, at=at, fault="silence")
    analysis = ask(client, document)
    provider.wait(calls=3)
    client.post(f"{analysis}/cancellation")
    stream(client, analysis).get_data()
    assert row(analysis).status == "stopped"
    assert ">Continue<" in saved(client, analysis).text
    provider.script(marker="section 3 of", text="The rest.")
    again = continued(client, analysis)
    assert row(again).status == "complete"
    assert provider.calls == estimate.calls + 1
    assert numbers(provider) == [1, 2, 3, *range(3, estimate.sections + 1), 0]
    assert row(again).text.startswith(row(analysis).text.rstrip())
    assert row(again).text.count("## Section 3 of") == 1


def test_stop_between_two_calls_makes_no_other(analyzer, client, document, provider, monkeypatch):
    began, go_on = Event(), Event()
    begin = Section.begin

    def begin_late(self, worker):
        is_own = begin(self, worker)
        if self.number == 2:
            began.set()
            go_on.wait()
        return is_own

    monkeypatch.setattr(Section, "begin", begin_late)
    analysis = ask(client, document)
    assert began.wait(30)
    client.post(f"{analysis}/cancellation")
    go_on.set()
    stream(client, analysis).get_data()
    settle(analyzer)
    assert (row(analysis).status, provider.calls) == ("stopped", 1)
    assert "## Section 2" not in row(analysis).text


def test_findings_that_are_cut_are_no_end_and_are_told(client, document, provider, estimate):
    provider.script(marker="section 2 of", text="Cut. ```\n```\ncode", stop="length")
    analysis = finished(client, document)
    assert row(analysis).status == "complete"
    assert provider.calls == estimate.calls
    assert "Cut at their length limit: the findings on section 2." in saved(client, analysis).text
    # Code that was left open does not swallow the next heading.
    assert "```\ncode\n```\n\n## Section 3 of" in row(analysis).text


def test_an_answer_that_is_cut_can_be_continued(client, document, provider, estimate):
    provider.script(marker=TOGETHER, text="All in", stop="length")
    cut = finished(client, document)
    assert row(cut).status == "cut"
    provider.script(marker=TOGETHER, text=" all.")
    whole = continued(client, cut)
    assert row(whole).text.endswith("together\n\nAll in all.")
    assert provider.calls == estimate.calls + 1


def test_a_section_that_is_declined_ends_it(client, document, provider):
    provider.script(marker="section 2 of", text="No.", stop="refusal")
    analysis = finished(client, document)
    assert (row(analysis).status, provider.calls) == ("declined", 2)
    assert "Read 1 of" in saved(client, analysis).text


def test_a_section_about_which_nothing_is_said_ends_it_with_what_had_come(client, document, provider):
    provider.script(marker="section 2 of", text="")
    analysis = finished(client, document)
    assert (row(analysis).status, row(analysis).error, provider.calls) == ("incomplete", "Empty", 2)
    assert ">Continue<" in saved(client, analysis).text


def test_a_section_that_the_provider_finds_too_long_counts_no_token_of_it(client, document, provider):
    """What was paid for are the sections before, and the sentence takes those for no length of a prompt."""
    provider.script(text=FINDINGS, usage={"input": WINDOW, "output": 10})
    provider.script(marker="section 3 of", status=413)
    analysis = finished(client, document)
    assert (row(analysis).status, row(analysis).error, provider.calls) == ("incomplete", "TooLong", 3)
    assert (row(analysis).input_tokens, row(analysis).output_tokens) == (2 * WINDOW, 20)
    assert "Too long for this model. Shorten the document" in saved(client, analysis).text


def test_who_comes_late_sees_which_section_is_read(client, document, provider, estimate):
    provider.script(marker="section 3 of", text="word " * 500, rate=50)
    analysis = ask(client, document)
    provider.wait(calls=3)
    for cursor in ({}, {"Last_Event_ID": "20"}):
        frames = stream(client, analysis, **cursor).iter_encoded()
        assert read_until((frame.decode() for frame in frames), f">section 3 of {estimate.sections} · ")
        frames.close()
    assert 'id="together-' not in client.get(analysis).text
    client.post(f"{analysis}/cancellation")
    assert "## Section 3 of" in client.get(f"{analysis}/live").text


@pytest.mark.sqlite
def test_a_thousand_pages_are_read_at_a_small_window(make_app, provider):
    app = make_app(context_tokens=WINDOW)
    client, analyzer = app.test_client(), app.extensions["analyzer"]
    parts = [f"Page {n // 4 + 1} says thing{n}. " + "Words follow here. " * 8 for n in range(4000)]
    text = "\n\n".join(parts)
    with connected():
        owner = User.local()
        paper = Document.add(owner, "Long", text, 1, 4000, format="pdf", pages=[4] * 1000)
        estimates = {}
        for model in ("openai:gpt-6-sol", "offline:extractive"):
            estimates[model] = analyzer.costs.estimate(paper, text, model)
    for model, estimate in estimates.items():
        with connected():
            analysis, _ = analyzer.start(paper, owner, "brief", model)
        path = f"/analyses/{analysis.id}"
        stream(client, path).get_data()
        assert (row(path).status, row(path).sections) == ("complete", estimate.sections)
        assert f"Read all 1,000 pages in {estimate.sections} sections." in saved(client, path).text
        assert estimate.sections > 40
        leaves = [it for it in sections(path) if not it.level]
        assert "".join(text[it.start : it.end] for it in leaves) == text
        assert len(sections(path)) == estimate.calls
    assert provider.calls == estimates["openai:gpt-6-sol"].calls
    answer = row(path).text.rpartition("together\n\n")[2]
    # The offline analyst quotes the document's own words under their own numbers.
    quotes = re.findall(r"thing(\d+)\..* \[¶(\d+)\]$", answer, re.MULTILINE)
    assert len(quotes) > 1
    assert all(int(number) + 1 == int(paragraph) for number, paragraph in quotes)


def test_the_offline_analyst_goes_on_where_it_was_interrupted(analyzer, client, document):
    whole = finished(client, document, model="offline:extractive")
    text = row(whole).text
    assert row(whole).status == "complete"
    third = sections(whole)[2]
    with connected():
        # As if its process had died in the third section.
        upto = third.position + 200
        Analysis.update(status=Status.INTERRUPTED, text=text[:upto]).where(
            Analysis.id == row(whole).id
        ).execute()
        Section.update(stop_reason="").where(Section.analysis == row(whole).id, Section.number == 3).execute()
        Section.delete().where(Section.analysis == row(whole).id, Section.position > third.position).execute()

    again = continued(client, whole)

    assert (row(again).status, row(again).text) == ("complete", text)


def test_htmx_gets_a_continued_one_with_its_sections(client, document, provider):
    provider.script(marker="section 3 of", text="One two", at=1, fault="fin")
    broken = finished(client, document)
    answer = client.post(f"{broken}/continuation", data={"request_key": "k"}, headers=HTMX)
    assert answer.status_code == 200
    assert "Section 3 of" in answer.text


@pytest.fixture
def far(precis, provider):
    """A server whose viewers are, with PostgreSQL, in another process than what runs."""
    precis.settings["PRECIS_CONTEXT_TOKENS"] = str(WINDOW)
    return precis.start()


def read_until(frames, wanted):
    seen = ""
    while wanted not in seen:
        seen += next(frames)
    return seen


def test_viewers_in_another_process_see_which_section_is_read_and_all_that_is_kept(far, provider):
    provider.script(marker="section 3 of", text="word " * 40, rate=100)
    analysis = far.ask(far.bring(TEXT))
    page = Page(analysis)
    with httpx2.stream("GET", f"{far.url}{analysis}/stream", timeout=30) as answer:
        frames = answer.iter_text()
        seen = read_until(frames, ">section 3 of 6 · ")
        with httpx2.stream("GET", f"{far.url}{analysis}/stream", timeout=30) as late:
            read_until(late.iter_text(), ">section 3 of 6 · ")
        seen += read_until(frames, "event: done")
    assert ">section 1 of 6 · " in seen
    page.read(f"{seen}\n\n".encode())
    assert page.done
    html = httpx2.get(f"{far.url}{analysis}").text
    assert page.text == text_of(answer_of(html))
    assert "Read all 180 paragraphs in 6 sections." in html


@pytest.mark.sqlite
def test_a_process_that_is_killed_in_a_section_costs_no_other_section_twice(far, provider):
    provider.script(marker="section 5 of", text="One two three.", at=2, fault="silence")
    analysis = far.ask(far.bring(TEXT))
    with httpx2.stream("GET", f"{far.url}{analysis}/stream", timeout=30) as answer:
        read_until(answer.iter_text(), "One two")
    far.kill()
    provider.script(marker="section 5 of", text=" three.")
    far.start()
    assert far.rows("SELECT status FROM analysis") == [("interrupted",)]

    answer = httpx2.post(f"{far.url}{analysis}/continuation", data={"request_key": "k"})
    again = answer.headers["Location"].removesuffix("/live")
    page = httpx2.get(f"{far.url}{again}/live", timeout=30).text

    assert far.rows("SELECT status FROM analysis WHERE continues_id IS NOT NULL") == [("complete",)]
    assert numbers(provider) == [1, 2, 3, 4, 5, 5, 6, 0]
    assert "One two three.\n\n## Section 6 of 6" in far.stored(again)
    assert "Read all 180 paragraphs in 6 sections." in page
