"""Bytes that are cut anywhere become the events that the standard says."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers import sse
from providers.sse import Splitter

LINES = st.lists(
    st.one_of(
        st.sampled_from(
            ["", "", "data", "data:", "data: ", "event: a", "event", ": ping", "id: 7", ":", "\ufeffdata: b"]
        ),
        st.text("dé👋 :", max_size=6).map("data: {}".format),
        st.text("ab: ", max_size=6),
    ),
    max_size=20,
)


def dispatch(lines):
    """Do what the standard says, line by line."""
    name, data, events = "", [], []
    for line in lines:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                events.append((name or "message", "\n".join(data).encode()))
            name, data = "", []
        elif field == "data":
            data.append(value)
        elif field == "event":
            name = value
    return events


@given(lines=LINES, ends=st.data())
def test_any_chunking_and_line_ends_give_the_same_events(lines, ends):
    stream = ""
    for line in lines:
        # A line that ends in CR and is followed by an empty one that ends in LF would read as CRLF.
        choices = ["\r\n", "\r"] if stream.endswith("\r") and not line else ["\n", "\r\n", "\r"]
        stream += line + ends.draw(st.sampled_from(choices))
    raw = stream.encode()
    cuts = sorted(ends.draw(st.lists(st.integers(0, len(raw)), max_size=12)))
    splitter, events = Splitter(), []
    for start, end in itertools.pairwise([0, *cuts, len(raw)]):
        events += splitter.feed(raw[start:end])
    assert events == dispatch([lines[0].removeprefix("\ufeff"), *lines[1:]] if lines else [])


def test_an_event_without_its_blank_line_is_none():
    assert Splitter().feed(b"event: a\ndata: b\n") == []


def test_an_event_is_out_as_soon_as_its_blank_line_is():
    splitter = Splitter()
    assert splitter.feed(b"data: a\r\n\r") == [("message", b"a")]
    assert splitter.feed(b"\ndata: b\r\r") == [("message", b"b")]


def test_an_event_without_end_is_refused(monkeypatch):
    monkeypatch.setattr(sse, "LONGEST_EVENT", 1000)
    splitter = Splitter()
    assert splitter.feed(b"data: xxx\n" * 100) == []
    with pytest.raises(ValueError, match="without end"):
        splitter.feed(b"x")
