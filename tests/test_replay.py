"""Exact replay: whatever happens to a viewer's connections, it ends with the saved answer, whole."""

import gevent
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from analyzer import Ended, Viewer
from models import Status
from tests.page import Page
from tests.person import Writer, saved, stream
from views.helpers import rendering

# Each example has four viewers: a thousand schedules.
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
CUTS = st.tuples(st.integers(0, 3), st.floats(0, 1))
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
        self.reader.get(timeout=10)
        self.answer.close()
        self.page.read(bytes(self.received))


@pytest.fixture
def quick(analyzer, monkeypatch):
    """A log that commits at once, and a rendering that never rests."""
    monkeypatch.setattr(analyzer.log, "TICK_SECONDS", 0)
    monkeypatch.setattr(rendering, "BYTES_PER_SECOND", 1e12)
    return analyzer


@SCHEDULES
@given(schedule=SCHEDULE)
@example(schedule=["One\n\n", (0, 0.99), "two"])
@example(schedule=["\r", (0, 0.5), "\n", (0, 0.5), "\n"])
def test_each_page_shows_the_saved_answer_whenever_its_connections_are_cut(quick, client, document, schedule):
    writer = Writer(quick, document)
    connections = [Connection(client, Page(writer.path)) for _ in range(4)]
    for step in schedule:
        if isinstance(step, str):
            writer.write(step)
            gevent.sleep(0)
        else:
            viewer, at = step
            connections[viewer].cut(at)
            connections[viewer] = Connection(client, connections[viewer].page)
    writer.end()
    answer = saved(client, writer.path).text
    for connection in connections:
        connection.end()
        assert connection.page.done
        assert f"hx-ignore>{connection.page.html}</div>" in answer


@SCHEDULES
@given(schedule=SCHEDULE)
def test_whoever_observes_in_any_number_of_parts_reads_the_stored_text(quick, client, document, schedule):
    writer = Writer(quick, document)
    read = [[], [], [], []]
    for step in schedule:
        if isinstance(step, str):
            writer.write(step)
        else:
            viewer, at = step
            observe(quick, writer.id, read[viewer], at_most=1 + int(at * 3))
    writer.end()
    stored = client.get(f"{writer.path}.md").text
    assert not set(stored) & {"\r", "\0", "\ue000"}
    for items in read:
        assert observe(quick, writer.id, items) == Ended(Status.COMPLETE)
        assert "".join(items) == stored


def observe(analyzer, id, read, at_most=None):
    """Read on from where `read` ends: a number of items, or to the ending, which is returned."""
    viewer = Viewer(patience=0)
    position = sum(map(len, read))
    for seen, item in enumerate(analyzer.observe(id, position, viewer), 1):
        if isinstance(item, Ended):
            return item
        read.append(item.text)
        position += len(item.text)
        assert item.position == position
        if seen == at_most:
            viewer.leave()
    return None
