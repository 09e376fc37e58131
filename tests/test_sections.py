"""Sections: a document that is too long is cut into parts that are all of it, each as full as fits."""

from decimal import Decimal

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from analyzer.estimate import estimate
from analyzer.prompt import build_section, frame, load_recipes
from analyzer.sections import Budget, Outline, groups, needs, place, rounds
from analyzer.text import clean, paragraphs
from config import ROOT
from providers.base import GO_ON

RECIPES = load_recipes(ROOT / "prompts")
WORDS = needs(frame(RECIPES.values(), ""))
WINDOWS = (4_000, 8_000, 16_000)

quick = settings(
    derandomize=True, database=None, deadline=None, max_examples=60, suppress_health_check=list(HealthCheck)
)


def budget(window, most=4096, words=WORDS):
    return Budget(window, words, most)


@st.composite
def parts(draw):
    """A paragraph: prose, a heading, figures, Chinese, or one without any place to cut it."""
    kind = draw(st.sampled_from(["prose", "heading", "table", "cjk", "solid", "blanks", "odd"]))
    size = draw(st.integers(1, 400)) * draw(st.sampled_from([1, 1, 1, 20]))
    return {
        "prose": "The tenant pays the rent. " * size,
        "heading": "#" * (size % 6 + 1) + " On payment",
        "table": "| 1,204.50 | 3.7 % |\n" * size,
        "cjk": "本合同自签字之日起生效。" * size,
        "solid": "x" * 10 * size,
        "blanks": "a" + " " * 10 * size + "b",
        "odd": draw(st.text(min_size=1, max_size=20)),
    }[kind]


@st.composite
def documents(draw):
    """A text, and how many paragraphs each of its pages has, if it has any."""
    found = draw(st.lists(parts(), min_size=1, max_size=40))
    text = clean(draw(st.sampled_from(["\n\n", "\n \n\n", "\n\n\n"])).join(found))
    pages, left = [], len(paragraphs(text))
    while left:
        pages.append(draw(st.integers(0, min(left, 5))))
        left -= pages[-1]
    return text, draw(st.sampled_from([[], pages]))


@quick
@given(document=documents(), window=st.sampled_from(WINDOWS))
@example(document=("word " * 20_000, []), window=4_000)
@example(document=("。" * 20_000, []), window=4_000)
@example(document=("a" + " " * 200_000 + "b\n\nc", [2]), window=4_000)
def test_the_sections_together_are_the_document(document, window):
    text, pages = document
    sections = Outline(text, pages).sections(budget(window))

    assert "".join(text[it.start : it.end] for it in sections) == text
    # Each paragraph is read under its own number, and none of it twice.
    read = {}
    for it in sections:
        numbered = list(enumerate(paragraphs(text[it.start : it.end]), it.first))
        assert not numbered or numbered[-1][0] == it.last
        for number, part in numbered:
            read[number] = read.get(number, "") + part
    whole = enumerate(paragraphs(text), 1)
    assert {n: squeezed(part) for n, part in read.items()} == {n: squeezed(part) for n, part in whole}


def squeezed(text):
    return "".join(text.split())


@quick
@given(document=documents(), window=st.sampled_from(WINDOWS), recipe=st.sampled_from(list(RECIPES)))
@example(document=("| 1,204.50 | 3.7 % |\n" * 5000, []), window=16_000, recipe="brief")
def test_the_prompt_of_every_section_fits_the_window_with_its_answer(document, window, recipe):
    text, pages = document
    outline, it = Outline(text, pages), budget(window)
    for number, section in enumerate(outline.sections(it), 1):
        prompt = build_section(
            RECIPES[recipe],
            "T" * 120,
            text[section.start : section.end],
            section.first,
            f"section {number} of 99 ({place(section.first, section.last, pages)})",
            "",
            it.findings,
        )
        asked = (prompt.instructions, prompt.document, prompt.request, GO_ON)
        # Twice, because what broke off is sent along when it is continued.
        assert sum(map(needs, asked)) + 2 * prompt.max_output_tokens <= window + len(asked)
        assert set(prompt.numbers) == set(range(section.first, section.last + 1)) or not prompt.paragraphs


@quick
@given(document=documents(), window=st.sampled_from(WINDOWS))
def test_planned_again_from_where_a_section_ends_it_goes_on_as_it_would_have(document, window):
    text, pages = document
    outline = Outline(text, pages)
    sections = outline.sections(budget(window))
    for number, section in enumerate(sections[:-1], 1):
        assert outline.sections(budget(window), section.end) == sections[number:]


def book(chapters, paragraphs_each):
    parts = []
    for chapter in range(chapters):
        parts.append(f"# Chapter {chapter}")
        parts += [
            f"Chapter {chapter} says {n}. " + "Words follow here. " * 20 for n in range(paragraphs_each)
        ]
    return "\n\n".join(parts)


def test_a_section_begins_with_a_heading_where_that_leaves_it_full_enough():
    text = book(12, 14)
    sections = Outline(text).sections(budget(8_000))
    assert 3 < len(sections) < 12
    assert all(text[it.start :].startswith("# Chapter") for it in sections)


def test_without_headings_a_section_begins_with_a_page():
    text = "\n\n".join(f"Paragraph {n}. " + "Words follow here. " * 20 for n in range(90))
    starts = {page * 4 + 1 for page in range(23)}
    sections = Outline(text, [4] * 23).sections(budget(8_000))
    assert len(sections) > 2
    assert {it.first for it in sections} <= starts
    assert {it.first for it in Outline(text).sections(budget(8_000))} - starts


def test_a_heading_is_not_parted_from_what_it_stands_above():
    body = "Words follow here. " * 20
    for before in range(30, 60):
        parts = [f"{n} {body}" for n in range(before)] + ["# Title", "# Chapter", body] + [body] * 60
        text = "\n\n".join(parts)
        for it in Outline(text).sections(budget(8_000)):
            assert paragraphs(text[it.start : it.end])[-1] not in ("# Title", "# Chapter")


def test_a_paragraph_longer_than_a_section_is_cut_at_a_sentences_end():
    text = "The tenant pays the rent in advance, each month. " * 2000
    sections = Outline(text).sections(budget(8_000))
    assert len(sections) > 3
    assert all(text[it.start :].startswith("The tenant") for it in sections)
    assert {(it.first, it.last) for it in sections} == {(1, 1)}


def test_what_fits_is_read_in_one_call_and_what_does_not_in_two_at_least():
    small, large = Outline("Words follow here. " * 100), Outline("Words follow here. " * 1800)
    assert budget(16_000).holds(small)
    assert not budget(16_000).holds(large)
    assert len(large.sections(budget(16_000))) == 2
    # What is not known, or too little for a section, is left to the provider.
    assert budget(None).holds(large)
    assert budget(3_000).holds(large)


def test_a_window_may_have_no_room_for_a_section():
    assert all(budget(window).has_room for window in WINDOWS)
    assert not budget(4_000, words=3_600).has_room
    found = estimate(Outline("Words follow here. " * 1800), budget(4_000, words=3_600), lambda _: None)
    assert (found.sections, found.calls, found.price) == (1, 1, None)


def test_the_price_is_that_of_every_call_at_the_most():
    outline, it = Outline("Words follow here. " * 20_000), budget(8_000)
    calls = []

    def price(usage):
        calls.append(usage)
        return Decimal(usage.input + 1_000_000 * usage.output)

    found = estimate(outline, it, price)
    answers = [it.findings] * (found.calls - 1) + [it.answer]
    assert found.calls > found.sections + 2
    assert int(found.price) // 1_000_000 == sum(answers)
    assert sum(call.input for call in calls) == int(found.price) % 1_000_000 > outline.total
    assert all(call.input + call.output <= it.window for call in calls)
    assert estimate(outline, it, lambda _: None).price is None


@pytest.mark.parametrize(
    ("count", "together", "expected"),
    [(1, 5, [1]), (5, 5, [1]), (6, 5, [2, 1]), (65, 7, [10, 2, 1]), (25, 5, [5, 1])],
)
def test_findings_are_put_together_in_rounds_until_all_are(count, together, expected):
    assert list(rounds(count, together)) == expected


@quick
@given(count=st.integers(0, 500), together=st.integers(2, 30))
def test_no_finding_is_left_out_and_the_groups_are_alike(count, together):
    sizes = groups(count, together)
    assert sum(sizes) == count
    assert max(sizes, default=0) <= together
    assert max(sizes, default=0) - min(sizes, default=0) <= 1
    # After the first group the rest is grouped as it was.
    assert not sizes or groups(count - sizes[0], together) == sizes[1:]


def test_a_place_is_its_pages_or_a_citation():
    pages = [2, 0, 3, 1]
    assert place(1, 2, pages) == "page 1"
    assert place(2, 3, pages) == "pages 1–3"
    assert place(6, 6, pages) == "page 4"
    assert place(3, 9, []) == "[¶3-9]"
    assert place(3, 3, []) == "[¶3]"
