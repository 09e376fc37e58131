"""Text as it is kept: the same however it came, and cut into the same paragraphs each time."""

from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from analyzer.text import Door, as_title, clean, count_words, guess_title, paragraphs, unwrap

# Letters, and all that is special to the door: line ends, halves of pairs, NUL, the stand-in for `<`.
TEXTS = st.lists(
    st.one_of(
        st.sampled_from("ab \n\r\t\0\ue000\ud83d\ude00\udbff\udc00𝄞\ufeff\u2028"),
        st.characters(exclude_categories=()),
    ),
    max_size=40,
).map("".join)
MANY = settings(derandomize=True, database=None, deadline=None, max_examples=500)


def through_a_door(chunks):
    door = Door()
    return "".join([*map(door.pass_in, chunks), door.rest])


@MANY
@given(text=TEXTS, cuts=st.lists(st.integers(0, 40)))
@example(text="a\r\nb", cuts=[2])
@example(text="\r\r\n\n\r", cuts=[1, 2, 3, 4])
@example(text="\ud83d\ude00", cuts=[1])
@example(text="\ud83d\r\n\ude00", cuts=[1, 2, 3])
def test_text_is_clean_alike_however_it_is_cut(text, cuts):
    edges = sorted({0, *cuts, len(text)})
    chunks = [text[start:end] for start, end in pairwise(edges)]
    assert through_a_door(chunks) == through_a_door(text) == clean(text)


@MANY
@given(text=TEXTS)
def test_clean_text_can_be_stored_and_shown_and_is_not_changed_again(text):
    kept = clean(text)
    assert not set(kept) & {"\0", "\r", "\ue000"}
    assert kept.encode().decode() == kept
    assert clean(kept) == kept


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("a\r\nb\rc\n\rd", "a\nb\nc\n\nd"),
        ("\ud83d\ude00", "😀"),
        ("\ude00\ud83d", "��"),
        ("a\0b\ue000c", "a�b�c"),
        ("Zwölf 𝄞 \u2028\x85\x0b\ufeff", "Zwölf 𝄞 \u2028\x85\x0b\ufeff"),
    ],
)
def test_nothing_else_is_changed(text, kept):
    assert clean(text) == kept


def test_a_door_passes_on_all_that_is_decided():
    door = Door()
    assert door.pass_in("one\r") == "one"
    assert door.pass_in("two\ud83d") == "\ntwo"
    assert door.pass_in("") == ""
    assert door.pass_in("\ude00") == "😀"
    assert door.pass_in("\r") == ""
    assert door.rest == "\n"


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("", []),
        (" \n\t\n", []),
        ("one", ["one"]),
        ("one\nstill one\n\ntwo", ["one\nstill one", "two"]),
        ("\n\n\none\n \t \n\n\u2003\ntwo\n\n", ["one", "two"]),
        ("  indented\n\n\tcode", ["  indented", "\tcode"]),
        ("one\u2028still one\x0c\n\n\x0c\n\ntwo", ["one\u2028still one\x0c", "two"]),
    ],
)
def test_a_paragraph_is_a_run_of_lines_that_are_not_blank(text, cut):
    assert paragraphs(text) == cut


@MANY
@given(text=TEXTS)
def test_paragraphs_hold_every_word_once_and_in_order(text):
    text = clean(text)
    parts = paragraphs(text)
    assert [word for part in parts for word in part.split()] == text.split()
    assert all(part.strip() and "\n\n" not in part for part in parts)


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("", "Untitled"),
        ("\n \n---\n\x07\n", "Untitled"),
        ("\n\n# The *title* #\nMore", "The *title"),
        ("> quoted", "quoted"),
        ("a" * 121, "a" * 119 + "…"),
        ("a" * 120, "a" * 120),
    ],
)
def test_a_title_is_the_first_line_that_says_something(text, title):
    assert guess_title(text).rstrip("#* ") == title


@pytest.mark.parametrize(
    ("words", "title"),
    [
        ("  a\tb\nc  ", "a b c"),
        ("a\0b\x1b[31mc\x7f", "a�b [31mc"),
        ("a\u202eb\u2066c\u200fd\u061ce", "a b c d e"),
        ("\ufeffa\u200bb\u00adc\U000e0041d", "a b c d"),
        ("\ud800", "�"),
        ("x " * 80, "x " * 59 + "x…"),
        ("\u202e", ""),
    ],
)
def test_a_label_is_one_line_without_marks_that_hide_or_turn_it(words, title):
    assert as_title(words) == title
    assert len(as_title(words)) <= 120


def test_lines_that_were_only_kept_short_are_joined():
    line = "word " * 13
    assert unwrap(f"{line}\n{line}\nend") == f"{line}{line}end"


@pytest.mark.parametrize("paragraph", ["one", "short\nlines\nof verse", "a" * 120 + "\nb", "| a |\n| b |"])
def test_lines_that_mean_something_stay(paragraph):
    assert unwrap(paragraph) == paragraph


@pytest.mark.parametrize(("text", "words"), [("", 0), (" \n", 0), ("one", 1), (" Ünï 𝄞\u2003two\nthree ", 4)])
def test_words_are_runs_without_space(text, words):
    assert count_words(text) == words == len(text.split())
