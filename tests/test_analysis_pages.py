"""Reading an analysis: its page, its saved partial and its export, while it runs and after."""

import re
from decimal import Decimal
from urllib.parse import urlsplit

import pytest

from tests.page import PARTIAL as PARTIALS
from tests.page import Page
from tests.person import HTMX, Writer, bring, finished, row, saved, stream


def test_while_it_runs_the_page_watches_it_and_offers_stop(analyzer, client, document):
    writer = Writer(analyzer, document).write("One.\n\nTwo")
    page = client.get(writer.path).text
    assert page.count(f'id="analysis-{writer.id}"') == 1
    assert f'hx-sse:connect="{writer.path}/stream"' in page
    assert f'action="{writer.path}/cancellation"' in page
    head = page[: page.index("</head>")]
    refresh = f'<noscript><meta http-equiv="refresh" content="0; url={writer.path}/live"></noscript>'
    assert refresh in head
    assert "noscript" not in page[page.index("</head>") :]
    assert ">Analysing</span>" in page
    assert '<p id="status" role="status">Analysing</p>' in page


def test_what_has_come_is_on_the_page_before_any_script_runs(analyzer, client, document):
    writer = Writer(analyzer, document).write("One.\n\nTwo **three")
    page = client.get(writer.path).text
    shown = Page(writer.path)
    shown.read(_until_now(client, writer))
    assert shown.blocks == "<p>One.</p>\n"
    assert f"hx-ignore>{shown.blocks}</div>" in page
    assert f"hx-ignore>{shown.tail}</div>" in page


def _until_now(client, writer):
    answer = stream(client, writer.path)
    flushes = answer.iter_encoded()
    received = next(flushes) + next(flushes)
    answer.close()
    return received


def test_the_saved_partial_is_204_while_it_runs_and_the_section_after(analyzer, client, document):
    writer = Writer(analyzer, document).write("One.")
    answer = saved(client, writer.path)
    assert (answer.status_code, answer.data) == (204, b"")
    writer.end()
    answer = saved(client, writer.path)
    assert answer.status_code == 200
    assert answer.text.startswith(
        f'<section id="analysis-{writer.id}" class="analysis" data-status="complete"'
    )
    assert "hx-sse" not in answer.text
    assert "<html" not in answer.text
    targets = {target: html for target, _, html in PARTIALS.findall(answer.text)}
    assert targets["#status"] == "Analysis complete, 1 word"


def test_the_page_of_an_ended_analysis_watches_nothing(analyzer, client, document):
    page = client.get(Writer(analyzer, document).write("One.").end().path).text
    assert "hx-sse:connect" not in page
    assert "cancellation" not in page
    assert "http-equiv" not in page
    assert "aria-busy" not in page


def test_the_saved_partial_is_the_section_of_the_page(analyzer, client, document):
    path = Writer(analyzer, document).write("One.\n\n- two\n- three [¶1]").end().path
    section = re.search(r"<section id=\"analysis-.*?</section>", saved(client, path).text, re.DOTALL)[0]
    assert section in client.get(path).text


@pytest.mark.parametrize("is_deleted", [False, True])
def test_a_partial_of_what_is_unknown_or_deleted_is_a_section_with_a_sentence(
    analyzer, client, document, is_deleted
):
    path = "/analyses/4711"
    if is_deleted:
        path = Writer(analyzer, document).write("secret").end().path
        client.post(f"{path}/deletion")
    answer = saved(client, path)
    assert answer.status_code == 200
    assert answer.text.startswith(f'<section id="analysis-{path.rsplit("/", 1)[-1]}"')
    assert "This analysis was deleted, or never was." in answer.text
    assert "secret" not in answer.text
    assert client.get(path).status_code == 404


def test_htmx_restoring_its_history_gets_the_whole_page(analyzer, client, document):
    path = Writer(analyzer, document).write("One.").path
    answer = client.get(path, headers=HTMX | {"HX-Request-Type": "full"})
    assert answer.status_code == 200
    assert "<html" in answer.text


@pytest.mark.parametrize("path", ["", ".md", "/live", "/stream"])
def test_caches_tell_a_page_from_its_part(analyzer, client, document, path):
    vary = client.get(Writer(analyzer, document).write("One.").end().path + path).headers["Vary"]
    assert {"HX-Request", "HX-Request-Type"} <= {name.strip() for name in vary.split(",")}
    assert "Accept" not in vary


def test_the_export_is_exactly_the_stored_text_also_while_it_grows(analyzer, client, document):
    text = "# One\r\n\r\n<b>two</b> ünï 𝄞\u2028 [¶1]  \n\n"
    kept = text.replace("\r\n", "\n")
    writer = Writer(analyzer, document)
    assert client.get(f"{writer.path}.md").data == b""
    writer.write(text)
    assert client.get(f"{writer.path}.md").data == kept.encode()
    writer.end()
    answer = client.get(f"{writer.path}.md")
    assert answer.data == kept.encode() == row(writer.path).text.encode()
    assert answer.headers["Content-Type"] == "text/markdown; charset=utf-8"
    assert answer.headers["Content-Disposition"].startswith("attachment;")
    assert client.get("/analyses/4711.md").status_code == 404


def test_citations_link_to_paragraphs_that_exist(analyzer, client, document):
    page = client.get(Writer(analyzer, document).write("Pay [¶2], [¶1-3], [¶3, 4] or [¶0].").end().path).text
    cited = set(re.findall(r'href="#(p\d+)" class="citation"', page))
    assert cited == {"p1", "p2", "p3"}
    assert all(f'id="{paragraph}"' in page for paragraph in cited)
    assert "¶0]" in page


@pytest.mark.parametrize(
    ("price", "words"),
    [("0.0234", "about $0.02"), ("0.0004", "under $0.01"), ("1234.5", "about $1,234.50"), ("0", "free")],
)
def test_the_details_tell_tokens_price_stop_reason_and_reference(
    analyzer, client, document, provider, monkeypatch, price, words
):
    monkeypatch.setattr(analyzer.providers["openai"], "price", lambda usage, model: Decimal(price))
    provider.script(text="One two three.", usage={"input": 1204, "cached": 1000})
    page = client.get(finished(client, document)).text
    assert "<dd>1,204 in (1,000 cached) / 3 out</dd>" in page
    assert f"<dt>Cost</dt><dd>{words}</dd>" in page
    assert f'<td class="minor figure">{words.removeprefix("about ")}</td>' in page
    assert "<dt>Stop reason</dt><dd>end</dd>" in page
    assert "<dd>req_1</dd>" in page


def test_a_price_that_is_not_known_is_not_zero(make_app, provider):
    client = make_app(models=("openai:unheard-of",)).test_client()
    document = client.post("/documents", data={"text": "Text."}).headers["Location"]
    page = client.get(finished(client, document, model="openai:unheard-of")).text
    assert "<dt>Cost</dt><dd>price unknown</dd>" in page


@pytest.mark.parametrize(("counted", "is_told"), [(100, True), (150, False), (None, False)])
def test_a_server_that_dropped_a_part_of_the_document_is_found_out(client, provider, counted, is_told):
    """A thousand characters and more are no hundred tokens."""
    provider.script(text="One two.", usage=counted and {"input": counted})
    page = client.get(finished(client, bring(client, "Words follow here. " * 60))).text
    assert ("its server counted 100 tokens of 1,140 characters" in page) == is_told
    assert ("probably read only a part" in page) == is_told


@pytest.mark.fault("usage missing")
def test_missing_usage_is_an_estimate_and_called_so(client, document, provider):
    provider.script(text="One two three four.", usage=None)
    page = client.get(finished(client, document)).text
    figures = re.search(r"<dt>Tokens</dt><dd>about ([0-9,]+) in / ([0-9,]+) out</dd>", page)
    # The prompt holds the rules, the recipe and the document: some hundred tokens.
    assert 100 < int(figures[1]) < 1000
    assert 3 <= int(figures[2]) <= 8
    assert "price unknown" in page


def test_a_refused_key_is_said_and_the_document_kept(client, document, provider):
    provider.key = "another"
    analysis = finished(client, document)
    page = client.get(analysis).text
    assert 'data-status="failed"' in page
    assert "The AI service refused our key. Your document is saved." in page
    assert "Nobody may copy this." in client.get(document).text
    assert provider.calls == 1


def test_hostile_names_stay_text(client, provider):
    title = "</title><script>alert(1)</script>"
    document = client.post("/documents", data={"title": title, "text": "<img src=x onerror=y>\n\n[¶1]"})
    document = document.headers["Location"]
    analysis = finished(client, document, recipe="question", question='"><script>alert(2)</script>')
    for path in ("/", document, analysis, f"{analysis}/live", f"{analysis}/deletion", f"{document}/deletion"):
        page = client.get(path).text
        assert "<script>alert" not in page
        assert "<img" not in page


def test_every_link_of_an_ended_analysis_leads_somewhere(analyzer, client, document):
    path = Writer(analyzer, document).write("One.").end().path
    links = set(re.findall(r'(?:href|action|src)="([^"#]+)', client.get(path).text))
    assert len(links) > 5
    for link in links:
        answer = client.get(link)
        assert urlsplit(link).netloc == ""
        assert answer.status_code in (200, 405), link
        answer.close()
