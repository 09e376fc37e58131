"""The stream's protocol, as hx-sse and any conforming parser read it."""

import re

import gevent
import pytest

from tests.page import PARTIAL, Page, events
from tests.person import HTMX, Writer, ask, saved, stream

pytestmark = pytest.mark.both_modes


@pytest.fixture
def writer(analyzer, document):
    """An answer that the test writes."""
    return Writer(analyzer, document)


def frames(client, analysis, **headers):
    """Open a stream to read one flush at a time; it must be closed."""
    answer = stream(client, analysis, **headers)
    assert answer.status_code == 200
    return answer, answer.iter_encoded()


def targets(event):
    return [target for target, _, _ in PARTIAL.findall(event.data)]


def test_an_analysis_is_streamed_whole_and_ends_with_done(client, document, provider):
    provider.script(text="One two.\n\nThree **four** [¶2].")
    analysis = ask(client, document)

    answer = stream(client, analysis)

    assert answer.headers["Content-Type"] == "text/event-stream"
    assert answer.headers["Cache-Control"] == "no-store, no-transform"
    assert answer.headers["X-Accel-Buffering"] == "no"
    assert "Content-Length" not in answer.headers
    assert answer.data.startswith(b":")
    seen = events(answer.data)
    assert seen[-1].name == "done"
    page = Page(analysis)
    page.read(answer.data)
    citation = '<a href="#p2" class="citation" rel="noopener noreferrer nofollow">¶2</a>'
    assert page.html == f"<p>One two.</p>\n<p>Three <strong>four</strong> [{citation}].</p>\n"
    assert page.html in saved(client, analysis).text


def test_the_first_byte_is_a_comment_and_comes_before_any_text(client, writer):
    answer, flushes = frames(client, writer.path)
    assert next(flushes) == b": open\n\n"
    answer.close()


def test_a_snapshot_without_text_replaces_and_has_the_position_0(client, writer):
    answer, flushes = frames(client, writer.path)
    first = events(next(flushes) + next(flushes))[0]
    answer.close()
    assert first.id == "0"
    replaced = {target: (swap, html) for target, swap, html in PARTIAL.findall(first.data)}
    assert replaced[f"#blocks-{writer.id}"] == ("innerHTML", "")
    assert replaced[f"#tail-{writer.id}"] == ("innerHTML", "")


def test_a_beat_comes_with_the_first_message_of_each_connection(client, writer):
    writer.write("One.")
    for headers in ({}, {"Last_Event_ID": "4"}, {"Last_Event_ID": "2"}):
        answer, flushes = frames(client, writer.path, **headers)
        next(flushes)
        seen = events(next(flushes))
        answer.close()
        assert f"#pulse-{writer.id}" in targets(seen[-1])
        # A beat shows no text, so it must not move the cursor.
        assert seen[-1].id == ("" if headers.get("Last_Event_ID") == "4" else "4")


def test_every_event_that_shows_text_has_the_position_it_ends_at(client, writer):
    page = Page(writer.path)
    answer, flushes = frames(client, writer.path)
    received = next(flushes) + next(flushes)
    for text in ("Ünïcode 𝄞 ", "and *more*.\n\n", "Then ", "the end."):
        writer.write(text)
        received += next(flushes)
    writer.end()
    received += b"".join(flushes)
    answer.close()
    positions = [int(event.id) for event in events(received) if f"#tail-{writer.id}" in targets(event)]
    assert positions == [0, 10, 23, 28, 36]
    page.read(received)
    assert page.done
    assert page.html in saved(client, writer.path).text


@pytest.mark.parametrize(
    "cursor",
    [
        "abc",
        "-1",
        "+1",
        "1.0",
        " ",
        "",
        "1e1",
        "0x1",
        "10000000000",
        "12345678901",
        str(10**30),
        "9" * 5000,
        "00000000005",
        "99",
        "١",
    ],
)
def test_a_position_that_is_none_gets_a_snapshot(client, writer, cursor):
    writer.write("One two.\n\nThree four.").end()
    seen = events(
        client.get(f"{writer.path}/stream", headers={"Last-Event-ID": cursor.encode().decode("latin-1")}).data
    )
    swaps = {target: swap for target, swap, _ in PARTIAL.findall(seen[0].data)}
    assert swaps[f"#blocks-{writer.id}"] == "innerHTML"
    assert seen[0].id == "21"


def test_a_valid_position_gets_what_came_after_it_and_no_more(client, writer):
    writer.write("One two.\n\nThree four.\n\nFive.").end()
    delta = stream(client, writer.path, Last_Event_ID="12").text
    assert "One two." not in delta
    assert f'hx-target="#blocks-{writer.id}" hx-swap="beforeend"><p>Three four.</p>' in delta
    page = Page(writer.path)
    page.blocks = "<p>One two.</p>\n"
    page.read(delta.encode())
    assert page.html in saved(client, writer.path).text


def test_one_who_has_it_all_gets_no_text_again(client, writer):
    writer.write("One two.").end()
    received = stream(client, writer.path, Last_Event_ID="8")
    assert "One two." not in received.text
    assert events(received.data)[-1].name == "done"


def test_an_analysis_that_has_ended_is_a_snapshot_and_done(client, writer):
    writer.write("One two.\n\nThree.").end()
    received = stream(client, writer.path).data
    assert [event.name for event in events(received)] == ["message"] * (len(events(received)) - 1) + ["done"]
    page = Page(writer.path)
    page.read(received)
    assert page.html == "<p>One two.</p>\n<p>Three.</p>\n"


@pytest.mark.parametrize("is_deleted", [False, True])
def test_what_is_unknown_or_deleted_is_one_done_to_htmx_and_404_to_others(client, writer, is_deleted):
    writer.write("secret").end()
    path = writer.path
    if is_deleted:
        client.post(f"{path}/deletion")
    else:
        path = "/analyses/999"
    answer = client.get(f"{path}/stream", headers=HTMX)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/event-stream"
    assert answer.data == b": open\n\nevent: done\ndata: \n\n"
    answer = client.get(f"{path}/stream")
    assert answer.status_code == 404
    assert "secret" not in answer.text


FORGED = "a\n\nevent: done\ndata: x"


@pytest.mark.parametrize(
    "tokens",
    [
        [FORGED, "\n\nid: 0\ndata: y\n\nb"],
        ["a\r", "b\r", "\nc\r\n", "\r\n", "d"],
        ["a\r\n", "\r", "\revent: done\rdata: x\r\rb"],
        ["<script>alert(1)</script>", "<hx-partial hx-target=\"#act-1\">x</hx-partial>"],
        ["</div></section>", "</template>", "</hx-partial>", "<!--", "]]>"],
        ["```\n</hx-partial><div hx-get=/up>\n", "```\n\nafter"],
        ["one\u2028two\u2029", "three\x85four\x0bfive\x0csix\x1cseven"],
        [" ", "\n", "\n", "\n", "   ", "\t", "x", " ", "\n\n"],
        [" ", "\n \n"],
        ["\ud83d", "\ude00", " \ud83d", " \x00 \ue000 \ufeff"],
        ["data: 1\nid: 7\nretry: 1\n: comment\n", "event: done"],
    ],
)  # fmt: skip
def test_whatever_a_model_writes_is_text(client, analyzer, writer, tokens):
    """No token ends an event, forges one, or leaves its place on the page."""
    page = Page(writer.path)
    viewer = gevent.spawn(lambda: stream(client, writer.path, HX_Request="true").data)
    gevent.idle()
    shown = len("".join(tokens).encode("utf-16", "surrogatepass"))
    for token in tokens:
        writer.write(token)
    writer.end()
    received = viewer.get()

    seen = events(received)
    page.read(received)
    assert [event.name for event in seen[:-1]] == ["message"] * (len(seen) - 1)
    assert seen[-1].name == "done"
    assert {event.retry for event in seen} == {None}
    ids = [int(event.id) for event in seen[:-1] if event.id]
    assert ids == sorted(ids)
    assert ids[-1] == len(client.get(f"{writer.path}.md").text) <= shown
    allowed = {
        f"#{name}-{writer.id}" for name in ("blocks", "tail", "pulse", "progress", "tag", "wait", "act")
    }
    for event in seen[:-1]:
        assert set(targets(event)) <= allowed
        # What is left beside the partials is nothing.
        assert PARTIAL.sub("", event.data) == ""
    assert set(re.findall(r"<[^>]*", page.html)) <= {"<p", "</p", "<pre", "</pre", "<code", "</code", "<br /"}
    assert page.html in saved(client, writer.path).text


def test_a_late_viewer_gets_one_snapshot_and_no_replay(client, writer):
    for number in range(20):
        writer.write(f"Paragraph {number}.\n\n")
    answer, flushes = frames(client, writer.path)
    next(flushes)
    first = events(next(flushes))[0]
    assert "Paragraph 0." in first.data
    assert "Paragraph 19." in first.data
    answer.close()


def test_text_that_comes_slowly_is_shown_before_the_end(client, document, provider):
    provider.script(text="First words.", fault="silence")
    analysis = ask(client, document)
    answer, flushes = frames(client, analysis)
    page = Page(analysis)
    received = b""
    while page.text != "Firstwords.":
        received += next(flushes)
        page.read(received)
    assert client.get(f"{analysis}.md").text == "First words."
    answer.close()


def test_a_viewer_that_is_sent_away_hears_when_to_come_again_and_no_done(client, analyzer, writer):
    writer.write("One.")
    answer, flushes = frames(client, writer.path)
    received = next(flushes) + next(flushes)
    analyzer.log.dismiss()
    received += b"".join(flushes)
    answer.close()
    assert received.endswith(b"data: \n\n")
    last = received.decode().removesuffix("\n\n").rsplit("\n\n", 1)[-1]
    # hx-sse heeds a delay only in an event that has data.
    assert last.split("\n")[0].startswith("retry: ")
    assert 200 <= int(last.split("\n")[0].removeprefix("retry: ")) <= 1500
    assert "event: done" not in received.decode()


def test_a_hundred_viewers_read_one_answer(app, writer):
    watching = [gevent.spawn(lambda: stream(app.test_client(), writer.path).data) for _ in range(100)]
    gevent.idle()
    writer.write("One ", "two.\n\n", "Three.").end()
    for received in gevent.joinall(watching, raise_error=True):
        page = Page(writer.path)
        page.read(received.value)
        assert page.html == "<p>One two.</p>\n<p>Three.</p>\n"


def test_viewers_that_leave_are_forgotten_and_stop_nothing(client, analyzer, writer):
    for _ in range(5):
        answer, flushes = frames(client, writer.path)
        next(flushes), next(flushes)
        answer.close()
    assert not analyzer.log._live[writer.id].viewers
    writer.write("Still written.").end()
    assert client.get(f"{writer.path}.md").text == "Still written."


def test_the_last_message_takes_stop_away_before_done(client, writer):
    writer.write("One.").end()
    *_, last, done = events(stream(client, writer.path).data)
    assert targets(last) == [f"#act-{writer.id}"]
    assert "cancellation" not in last.data
    assert done.name == "done"
