"""What viewers are sent: one rendering for all of them, in frames that no text can break."""

import time

import gevent
import pytest

from analyzer import Text
from models import now
from tests.page import PARTIAL, Page, events
from tests.person import Writer, saved, stream
from views.helpers import rendering, sse
from views.helpers.markdown import render
from views.helpers.rendering import Rendering

# The progress goes by the database's clock.
pytestmark = pytest.mark.usefixtures("tables")


def test_viewers_that_share_a_rendering_feed_it_each_text_once():
    shared = Rendering(1, 3, now())
    for text in ("One ", "One two.\n\n", "One ", "One two.\n\nThree."):
        shared.feed(Text(len(text), text))
    page = Page("/analyses/1")
    page.read(shared.message(None)[0])
    assert page.html == "<p>One two.</p>\n<p>Three.</p>\n"


def test_a_message_depends_on_the_text_and_the_two_positions_alone():
    text = "One.\n\nTwo **three**.\n\n- four\n- five\n\nSix"
    at_once = Rendering(1, 3, now())
    at_once.feed(Text(len(text), text))
    by_letters = Rendering(1, 3, now())
    for end in range(1, len(text) + 1):
        by_letters.feed(Text(end, text[:end]))
    for after in (None, *range(len(text) + 1)):
        assert shown_by(at_once.message(after)[0]) == shown_by(by_letters.message(after)[0])


def shown_by(message):
    """Return what a message does to the page, but for the progress, which goes by the clock."""
    (event,) = events(message)
    return event.id, [part for part in PARTIAL.findall(event.data) if "progress" not in part[0]]


def test_the_progress_counts_each_word_once_however_it_is_cut():
    text = " One  two-three\nfour five\n"
    for size in (1, 2, 5, 100):
        counted = Rendering(1, 3, now())
        for end in [*range(size, len(text), size), len(text)]:
            counted.feed(Text(end, text[:end]))
        assert counted._words == len(text.split())


def test_a_late_viewer_gets_a_long_answer_in_messages_that_are_not():
    text = "".join(f"Paragraph {n} of **this** answer, of some length.\n\n" for n in range(3000)) + "Open"
    late = Rendering(1, 3, now())
    late.feed(Text(len(text), text))
    page, cursor, sizes = Page("/analyses/1"), None, []
    while cursor != late.position:
        message, reached = late.message(cursor)
        assert reached > (cursor or 0)
        page.read(message)
        assert page.last_event_id == str(reached)
        assert "".join(text.replace("**", "").split()).startswith(page.text)
        sizes.append(len(message))
        cursor = reached
    assert len(sizes) > 5
    assert max(sizes) < rendering.MOST_CHARACTERS + 4000
    assert page.html == render(text, 3)


def test_a_viewer_without_a_long_open_block_hardly_rests():
    shared = Rendering(1, 3, now())
    text = "A finished paragraph.\n\n" * 5000 + "Open."
    shared.feed(Text(len(text), text))
    shared.message(None)
    assert shared.rests_until - time.monotonic() < 0.05


def test_a_message_that_one_viewer_got_rests_for_that_viewer_and_not_for_the_others():
    shared = Rendering(1, 3, now())
    shared.feed(Text(4, "One "))
    shared.message(None)
    shared.feed(Text(8, "One two "))
    assert not shared.is_due(4, shared.rests_until - 0.001)
    assert shared.is_due(4, shared.rests_until)
    shared.message(4)
    assert shared.is_due(4, shared.rests_until - 0.001)
    shared.feed(Text(14, "One two three."))
    assert shared.is_due(4, shared.rests_until - 0.001)
    assert not shared.is_due(8, shared.rests_until - 0.001)
    assert shared.is_due(8, shared.rests_until)


def test_all_who_watch_get_a_message_before_any_of_them_gets_the_next(
    analyzer, client, document, monkeypatch
):
    monkeypatch.setattr(rendering, "BYTES_PER_SECOND", 0.001)
    writer = Writer(analyzer, document)
    viewers = [stream(client, writer.path) for _ in range(3)]
    flushes = [viewer.iter_encoded() for viewer in viewers]
    for _ in range(2):
        # The opening, and the snapshot without text, after which nothing rests.
        assert all(next(frames) for frames in flushes)
    writer.write("One ")
    with gevent.Timeout(30):
        assert [events(next(frames))[0].id for frames in flushes] == ["4"] * 3
    for viewer in viewers:
        viewer.close()


def test_text_that_rested_at_the_end_is_still_sent(analyzer, client, document, monkeypatch):
    monkeypatch.setattr(rendering, "BYTES_PER_SECOND", 0.001)
    writer = Writer(analyzer, document).write("One ")
    page = Page(writer.path)
    viewer = gevent.spawn(lambda: stream(client, writer.path).data)
    gevent.idle()
    writer.write("two ", "three.").end()
    received = viewer.get(timeout=30)
    page.read(received)
    assert page.html in saved(client, writer.path).text
    assert [event.id for event in events(received) if "#tail" in event.data] == ["4", "14"]


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_every_line_end_begins_a_new_data_line(end):
    frame = sse.message(f"a{end}{end}event: done{end}b")
    assert frame == b"data: a\ndata: \ndata: event: done\ndata: b\n\n"
    assert events(frame)[0].data == "a\n\nevent: done\nb"


def test_what_the_standard_does_not_call_a_line_end_is_left_alone():
    data = "a\u2028b\u2029c\x85d\x0be\x0cf\x1cg"
    assert events(sse.message(data))[0].data == data


def test_a_frame_holds_its_fields_before_its_data():
    frame = sse.message("a", id=7, event="done", retry=250)
    assert frame == b"id: 7\nevent: done\nretry: 250\ndata: a\n\n"
    assert sse.message("", id=0) == b"id: 0\ndata: \n\n"
