"""Exact replay: whatever happens to a viewer's connections, it ends with the saved answer, whole."""

import re

import gevent
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from analyzer import Ended, Text, Viewer
from models import Status
from tests.page import Page
from tests.person import Writer, saved, stream
from views.helpers import rendering

pytestmark = pytest.mark.both_modes

VIEWERS = 4
ANSWER = re.compile(r'<div id="blocks-\d+"[^>]* hx-ignore>(.*?)</div>', re.DOTALL)

# `python -m bench.replay` runs ten thousand others.
SCHEDULES = settings(
    max_examples=250,
    derandomize=True,
    database=None,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

# Markdown that splits into blocks in every way, and what a model may send that is not Markdown.
WORDS = st.sampled_from(
    (
        *("One", " two", "three ", "\n", "\n\n", "\n\n\n", " ", "\r\n", "\r", "Ünï𝄞", "\ud834", "\udd1e"),
        *(
            "# Head\n\n",
            "- item\n",
            "  more\n",
            "1. a\n",
            "```\n",
            "~~~\n",
            "> said\n",
            "    code\n",
            "---\n",
        ),
        *("**bold", "**", "`", "| a | b |\n|---|---|\n", "| c | d |\n", "[¶2]", "[¶", "1-3]", "<b>"),
        *("</hx-partial>", "data: x\n\nevent: done\n\n", "\x00", "\u2028"),
    )
)
TEXTS = st.lists(WORDS, min_size=1, max_size=6).map("".join)
# Text is written, or one of the viewers is cut off somewhere in what it was sent, and comes again.
CUTS = st.tuples(st.integers(0, VIEWERS - 1), st.floats(0, 1))
SCHEDULE = st.lists(st.one_of(TEXTS, CUTS), min_size=2, max_size=16)


class Connection:
    """A page's connection, read in a greenlet of its own."""

    def __init__(self, client, page):
        self.page = page
        self.received = bytearray()
        self.answer = stream(client, f"/analyses/{page.id}", **page.headers)
        self.reader = gevent.spawn(self._read)

    def _read(self):
        for flush in self.answer.iter_encoded():
            self.received += flush

    def cut(self, at):
        """Break it off: the page gets a part of what was on its way."""
        self.reader.kill()
        self.answer.close()
        self.page.read(bytes(self.received[: int(at * len(self.received))]))

    def end(self):
        """Read it to its end."""
        self.reader.get(timeout=30)
        self.answer.close()
        self.page.read(bytes(self.received))


@pytest.fixture
def quick(analyzer, monkeypatch):
    """A log that commits at once, and a rendering that never rests."""
    monkeypatch.setattr(analyzer.log, "TICK_SECONDS", 0)
    monkeypatch.setattr(rendering, "BYTES_PER_SECOND", 1e12)
    return analyzer


@pytest.mark.sqlite
@SCHEDULES
@given(schedule=SCHEDULE)
@example(schedule=["One\n\n", (0, 0.99), "two"])
@example(schedule=["\r", (0, 0.5), "\n", (0, 0.5), "\n"])
def test_each_page_shows_the_saved_answer_whenever_its_connections_are_cut(quick, client, document, schedule):
    pages, answer = watch(quick, client, document, schedule)
    for page in pages:
        assert page.done
        assert page.html == answer


@pytest.mark.sqlite
@SCHEDULES
@given(schedule=SCHEDULE)
def test_whoever_observes_in_any_number_of_parts_reads_the_stored_text(quick, client, document, schedule):
    readings, stored = observe(quick, client, document, schedule)
    assert not set(stored) & {"\r", "\0", "\ue000"}
    for items in readings:
        assert gaps_and_repeats(items) == (0, 0)
        assert items[-1] == Ended(Status.COMPLETE)
        assert text_of(items) == stored


@settings(SCHEDULES, max_examples=15)
@given(schedule=SCHEDULE)
def test_both_hold_wherever_it_is_saved(quick, client, document, schedule):
    pages, answer = watch(quick, client, document, schedule)
    readings, stored = observe(quick, client, document, schedule)
    assert {page.html for page in pages} == {answer}
    assert {text_of(items) for items in readings} == {stored}


def watch(analyzer, client, document, schedule):
    """Run a schedule with four pages; returns them at its end, and the HTML of the saved answer."""
    writer = Writer(analyzer, document)
    connections = [Connection(client, Page(writer.path)) for _ in range(VIEWERS)]
    for step in schedule:
        if isinstance(step, str):
            writer.write(step)
            gevent.sleep(0)
        else:
            viewer, at = step
            connections[viewer].cut(at)
            connections[viewer] = Connection(client, connections[viewer].page)
    writer.end()
    for connection in connections:
        connection.end()
    return [connection.page for connection in connections], ANSWER.search(saved(client, writer.path).text)[1]


def observe(analyzer, client, document, schedule):
    """Run a schedule with four observers; returns what each was given, and the stored text."""
    writer = Writer(analyzer, document)
    readings = [[] for _ in range(VIEWERS)]
    for step in schedule:
        if isinstance(step, str):
            writer.write(step)
        else:
            viewer, at = step
            items = readings[viewer]
            read_on(analyzer, writer.id, items, at_most=1 + int(at * 3))
            items.append(cut(items.pop(), at))
    writer.end()
    for items in readings:
        read_on(analyzer, writer.id, items)
    return readings, client.get(f"{writer.path}.md").text


def read_on(analyzer, id, items, at_most=None):
    """Observe from where the items end: so many more, or all to the ending."""
    viewer = Viewer(patience=0)
    cursor = items[-1].position if items else 0
    for seen, item in enumerate(analyzer.observe(id, cursor, viewer), 1):
        if isinstance(item, Text | Ended):
            items.append(item)
        if seen == at_most:
            viewer.leave()


def cut(item, at):
    """Return the part of a text that got through."""
    kept = int(at * len(item.text))
    return Text(item.position - len(item.text) + kept, item.text[:kept])


def text_of(items):
    return "".join(item.text for item in items if isinstance(item, Text))


def gaps_and_repeats(items):
    """Return how many items begin after, and how many before, the end of the text before them."""
    gaps = repeats = end = 0
    for item in items:
        if isinstance(item, Text):
            begin = item.position - len(item.text)
            gaps += begin > end
            repeats += begin < end
            end = item.position
    return gaps, repeats
