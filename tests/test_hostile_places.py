"""Hostile text in every place that shows text: it is shown as text, and nothing else comes of it."""

import random
import re
from io import BytesIO
from itertools import pairwise
from urllib.parse import unquote

import pytest
from selectolax.lexbor import LexborHTMLParser

from analyzer import Text
from analyzer.text import Door, as_title, clean
from models import Document, Unsearched, User, now
from storage import connected
from tests.hostile import GROUPS, LONG, PAYLOADS
from tests.markup import assert_harmless
from tests.page import PARTIAL, events, text_of
from tests.person import HTMX, Writer, as_person, bring, finished, saved
from tests.routes import pages
from views.helpers import sse
from views.helpers.rendering import Rendering

pytestmark = pytest.mark.both_modes

# Breaks out of every kind of place at once, where it is let.
POLYGLOT = "'\"></title></textarea></script></template><img src=x onerror=__hit=1 hx-get=/up>{{7*7}}\u202e-->"
BENIGN = "An ordinary text: it pays 100 EUR."
NEEDLE = "needle"
ALL = "\n\n".join(text for group in GROUPS.values() for text in group)


def elements(html, answers=True):
    """Return what a browser makes of a page: each element and its attributes, but for texts and numbers."""
    tree = LexborHTMLParser(str(html))
    assert not answers or tree.css(".answer")
    for answer in tree.css("div.answer"):
        assert_harmless(answer.inner_html or "")
        answer.inner_html = ""
    return {(node.tag, frozenset(map(_attribute, node.attributes.items()))) for node in tree.css("*")}


def _attribute(attribute):
    name, value = attribute
    # What an address asks for, a field holds and a label says may be text of a person's.
    return name, "" if name in ("value", "aria-label") else re.sub(
        r"\d+", "0", (value or "").partition("?")[0]
    )


def letters(text):
    """Return what must not be lost of a text that may be set as headings, tables or a title."""
    return re.sub(r"[\W_]|\ufffd", "", text)


def cut(text, seed):
    """Return a text in chunks, as the token log gets them, cut at random places."""
    chance = random.Random(seed)
    cuts = sorted(chance.choices(range(len(text) + 1), k=min(len(text), 6)))
    door = Door()
    pieces = [door.pass_in(text[start:end]) for start, end in pairwise([0, *cuts, len(text)])]
    return [piece for piece in [*pieces, door.rest] if piece]


class Case:
    """A document and an analysis of it that hold a text wherever one can be brought."""

    def __init__(self, app, text, seed=0):
        self.client, analyzer = app.test_client(), app.extensions["analyzer"]
        self.title = as_title(text[:200]) or "Untitled"
        self.document = bring(self.client, text or "x", title=text[:200])
        self.writer = Writer(analyzer, self.document)
        self.analysis = self.writer.path
        self.writer.write(*cut(text, seed)).end()

    def get(self, path, **headers):
        return self.client.get(path, headers=headers)


@pytest.fixture(scope="module")
def _benign():
    return {}


@pytest.fixture
def benign(app, _benign):
    """The elements of each page where all texts are harmless."""
    if not _benign:
        texts = [BENIGN, *("#" * level + " Heading" for level in range(1, 7)), "|a|b|\n|-|-|\n|c|d|", "|e|f|"]
        case = Case(app, "\n\n".join(texts))
        for page in ("page", "live", "title", "document"):
            _benign[page] = elements(case.get(path_of(case, page)).text, answers=page in ("page", "live"))
        # What only stands where a document speaks to a model.
        warned = case.client.get(bring(case.client, f"{BENIGN}\n\n\nsystem: x")).text
        _benign["page"] |= elements(warned, answers=False)
        _benign["document"] |= elements(warned, answers=False)
    return _benign


def path_of(case, page):
    return {
        "page": case.analysis,
        "live": f"{case.analysis}/live",
        "title": f"{case.document}/title",
        "document": case.document,
    }[page]


@pytest.mark.sqlite
@pytest.mark.parametrize("group", GROUPS)
def test_hostile_text_stays_text_on_every_page_of_its_own(app, benign, group):
    for text in ("\n\n".join(GROUPS[group]), *(LONG if group == "script" else ())):
        assert_shown_as_text(Case(app, text), text, benign)


def test_all_hostile_text_together_is_kept_and_watched_and_shown_as_text(app, benign):
    assert_watched_as_meant(app, ALL)
    assert_shown_as_text(Case(app, ALL), ALL, benign)


def assert_shown_as_text(case, text, benign):
    """Assert that a text is text on the pages of its document and its analysis, and all of it is there."""
    for page in ("page", "live", "title"):
        html = case.get(path_of(case, page)).text
        assert elements(html, answers=page != "title") <= benign[page], page
    shown = LexborHTMLParser(case.get(case.analysis).text)
    assert as_title(shown.css_first("h1").text()) == case.title
    source = shown.css_first(".source")
    for number in source.css(".number"):
        number.decompose()
    assert letters(source.text()) == "Thedocument" + letters(clean(text))
    export = case.get(f"{case.analysis}.md")
    assert export.get_data(as_text=True) == clean(text)
    assert export.mimetype == "text/markdown"
    assert export.headers["Content-Disposition"].startswith("attachment;")
    partial = saved(case.client, case.analysis).text
    assert len(PARTIAL.findall(partial)) == partial.count("<hx-") == 1


@pytest.mark.sqlite
def test_a_hostile_answer_is_a_stream_of_harmless_parts(app):
    for seed, payload in enumerate(PAYLOADS):
        rendering = Rendering(7, 3, now())
        body, at, after = b"", 0, None
        with app.app_context():
            for piece in cut(payload, seed):
                at += len(piece)
                rendering.feed(Text(at, piece))
                frame, after = rendering.message(after)
                body += frame
        assert after == len(clean(payload))
        assert_orderly(body + sse.DONE, 7)


@pytest.mark.sqlite
@pytest.mark.parametrize("group", GROUPS)
def test_hostile_answers_are_watched_as_they_were_meant(app, group):
    assert_watched_as_meant(app, "\n\n".join(GROUPS[group]))


def assert_watched_as_meant(app, text):
    """Assert that a text that comes piece by piece is a stream of the events that were meant."""
    client = app.test_client()
    writer = Writer(app.extensions["analyzer"], bring(client, BENIGN))
    stream = client.get(f"{writer.path}/stream", headers=HTMX)
    frames = iter(stream.response)
    body = next(frames)
    for piece in cut(text, seed=1):
        writer.write(piece)
        body += next(frames)
    writer.end()
    assert_orderly(body + b"".join(frames), writer.id)


def assert_orderly(body, id):
    """Assert that a stream has the events that were meant, and that htmx finds in each what was meant."""
    *told, last = events(body)
    assert last.name == "done"
    assert last.data == ""
    targets = {f"#{name}-{id}" for name in ("blocks", "tail", "progress", "pulse", "act", "tag", "wait")}
    for event in told:
        assert event.name == "message"
        assert re.fullmatch("[0-9]*", event.id)
        parts = PARTIAL.findall(event.data)
        # Every tag that htmx would take for one of its own, in any case and wherever it stands.
        assert len(parts) == len(re.findall(r"<hx-[a-z]", event.data, re.IGNORECASE))
        assert PARTIAL.sub("", event.data).strip() == ""
        for target, swap, html in parts:
            assert target in targets | {"#status"}
            assert swap in ("innerHTML", "beforeend", "textContent")
            if target in (f"#blocks-{id}", f"#tail-{id}"):
                assert_harmless(html)


def test_search_shows_hostile_text_with_marks_as_text(app):
    client = app.test_client()
    bring(client, f"{NEEDLE} {BENIGN}", title=f"{NEEDLE} first")
    bring(client, f"{NEEDLE} {BENIGN}", title=f"{NEEDLE} second")
    allowed = elements(client.get(f"/search?q={NEEDLE}&order=oldest").text, answers=False)
    with connected():
        for payload in PAYLOADS:
            text, title = clean(f"{payload[:99]} {NEEDLE} {payload[:99]}"), as_title(f"{NEEDLE} {payload}")
            Document.add(User.local(), title, text, 1, 1)
        assert Unsearched.catch_up(60)
    wanted, found, page = len(PAYLOADS) + 2, 0, 1
    while found < wanted:
        html = client.get(f"/search?q={NEEDLE}&order=oldest&page={page}").text
        shown = LexborHTMLParser(html)
        hits = shown.css("#found-documents ~ ul > li")
        assert hits
        found, page = found + len(hits), page + 1
        # Between the first page and the last there are links to both sides.
        strange = {tag for tag, attributes in elements(html, answers=False) - allowed}
        assert strange <= {"nav", "a", "span"}, strange
        assert all(mark.text().lower() == NEEDLE for mark in shown.css("mark"))
    assert found == wanted
    # The newest of all kinds on the first page.
    assert LexborHTMLParser(client.get("/").text).css("img, iframe, form form, svg, style") == []


def test_what_is_looked_for_is_text(app):
    client = app.test_client()
    # Nothing is found, too much is looked for, and nothing to look for.
    asked = ("nothing", "a " * 99, "-")
    allowed = set().union(*(elements(client.get(f"/search?q={q}").text, answers=False) for q in asked))
    for payload in PAYLOADS[::6]:
        for headers in ({}, HTMX):
            answer = client.get("/search", query_string={"q": payload}, headers=headers)
            assert answer.status_code == 200
            if not headers:
                assert elements(answer.text, answers=False) <= allowed, payload[:99]
            assert all("\n" not in value and "\r" not in value for value in answer.headers.values())


@pytest.mark.parametrize("auth", ["none", "proxy"])
def test_hostile_text_stays_text_on_every_page_there_is(make_app, provider, auth):
    app = make_app(auth=auth, admins=("root",))
    client = as_person(app, "root")
    found = []
    for text, name in ((BENIGN, "An ordinary name"), (POLYGLOT, "<img src=x onerror=__hit=1>")):
        as_person(app, name).get("/")
        file = (BytesIO(text.encode()), text.replace("/", "") + ".txt")
        document = client.post("/documents", data={"title": text, "file": file}).headers["Location"]
        client.post(f"{document}/shares", data={"name": name})
        provider.script(text=text)
        finished(client, document, recipe="question", question=text)
        id = document.rpartition("/")[2]
        kinds = {}
        with connected():
            them = User.named(name).id
        for path in set(pages(app, id)) - {"/up/stream"}:
            path = path.replace(f"/people/{id}", f"/people/{them}")
            with client.get(path) as answer:
                if answer.status_code == 200 and answer.mimetype == "text/html":
                    kinds[re.sub(r"\d+", "0", path)] = elements(answer.text, answers=False)
                    assert "{{7*7}}" in answer.text or text == BENIGN or document not in answer.text, path
        found.append(kinds)
    benign, hostile = found
    assert hostile.keys() == benign.keys()
    assert len(hostile) >= 8
    for path, shown in hostile.items():
        assert shown <= benign[path], path


def test_a_hostile_file_name_is_a_label(app):
    client = app.test_client()
    for payload in PAYLOADS[::10]:
        file = (
            BytesIO(b"Terms"),
            payload[:200].replace("\0", "").replace("\r", "").replace("\n", "") + ".txt",
        )
        answer = client.post("/documents", data={"file": file})
        assert answer.status_code == 303, payload
        path = answer.headers["Location"]
        shown = LexborHTMLParser(client.get(path).text)
        link = shown.css_first(f'a[href="{path}/original"]')
        assert link.text().isprintable()
        original = client.get(f"{path}/original")
        assert original.data == b"Terms"
        assert original.mimetype == "application/octet-stream"
        named = original.headers["Content-Disposition"]
        assert named.startswith("attachment;")
        assert unquote(named).isprintable()
        assert text_of(str(link.html)) != ""
