"""What the offline provider picks from a document, and that it invents nothing."""

from __future__ import annotations

import re

import pyromark
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.extract.document import Document
from providers.extract.findings import DATE
from providers.extract.marks import visible
from providers.extract.readability import syllables_of
from tests.extracts import CONTRACT, GERMAN, HOSTILE, README, RECIPES, answer, paragraphs, quotes, section


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize(
    "text", [CONTRACT, GERMAN, HOSTILE, README], ids=["contract", "german", "hostile", "readme"]
)
def test_every_quoted_sentence_stands_in_the_paragraph_it_cites(text: str, recipe: str) -> None:
    parts = paragraphs(text)
    found = quotes(answer(text, recipe, "Must the supplier pay? Muss der Mieter zahlen?"))
    assert found
    for quoted, number in found:
        assert quoted in " ".join(parts[number - 1].split())


@pytest.mark.parametrize("recipe", RECIPES)
def test_words_of_the_document_never_become_markdown_or_a_citation(recipe: str) -> None:
    markdown = answer(HOSTILE, recipe, "[¶99999] <script> must")
    page = pyromark.html(markdown)
    assert set(re.findall(r"</?([a-z0-9]+)", page)) <= {"em", "p", "h2", "ul", "li", "strong"}
    cited = {int(number) for number in re.findall(r"\[¶(\d+)\]", markdown)}
    assert cited
    assert cited <= set(range(1, len(paragraphs(HOSTILE)) + 1))


WORDS = [
    "shall",
    "must pay",
    "30 days",
    "£5.00",
    "“Fee” means",
    "2025年1月1日",
    "é",
    ". ",
    "! ",
    "\n",
    "\u2028",
]
MARKS = [
    "*",
    "**",
    "_",
    "`",
    "[¶9]",
    "](x)",
    "<b>",
    "&amp;",
    "|",
    "~~",
    "\\",
    "$",
    "#",
    "- ",
    "1. ",
    "“",
    '"',
    "(",
]


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(
    st.lists(st.sampled_from(WORDS + MARKS), min_size=5, max_size=40), st.sampled_from(RECIPES), st.booleans()
)
def test_any_mix_of_markdown_is_quoted_as_it_stands(pieces: list[str], recipe: str, spaced: bool) -> None:
    text = (" " if spaced else "").join(pieces)
    for quoted, number in quotes(
        answer((text, "The tenant must pay."), recipe, "Who must pay within 30 days?")
    ):
        assert quoted in " ".join((text, "The tenant must pay.")[number - 1].split())


def test_a_brief_has_key_sentences_in_order_terms_names_headings_and_figures() -> None:
    text = answer(CONTRACT)
    places = [number for _, number in quotes(section(text, "In short"))]
    assert len(places) >= 3
    assert places == sorted(places)
    assert "“A title” has 10 paragraphs and 5 headings: English, less than a minute to read." in text
    assert "- Supplier, " in section(text, "Key terms")
    assert "Northwind Analytics Ltd" in section(text, "Names")
    assert "- 2. Services [¶5]" in section(text, "Structure")
    assert "eleanor.whitfield@harbour-sons.example" in section(text, "Addresses")


def test_risks_are_grouped_and_the_telling_words_are_bold() -> None:
    text = answer(CONTRACT, "risks")
    assert "The Customer **shall** pay the Fees" in section(text, "Obligations")
    assert "The Customer **must not** share" in section(text, "Prohibitions")
    assert "Either party may **terminate**" in section(text, "Risks and liability")
    assert "**indemnify**" in section(text, "Risks and liability")
    assert "**entitled** to audit" in section(text, "Rights")


def test_actions_are_deadlines_tasks_amounts_and_dates() -> None:
    text = answer(CONTRACT, "actions")
    assert "within **10 business days**" in section(text, "Deadlines")
    assert "**ninety (90) days**" in section(text, "Deadlines")
    assert "must not share its login details" in section(text, "To do")
    assert "**£48,500**" in section(text, "Amounts")
    assert "**4%**" in section(text, "Amounts")
    assert "**3 March 2025**" in section(text, "Other dates")


@pytest.mark.parametrize(
    "line",
    [
        "Please tell the support team about it.",
        "Anna to send the plan to the board.",
        "Ben: call the bank about it.",
    ],
)
def test_somebody_told_to_do_something_is_a_task(line: str) -> None:
    assert line[-20:] in section(
        answer(f"Minutes of today\n\n- {line}\n- Nothing else came up at all.", "actions"), "To do"
    )


def test_plain_language_shows_reading_ease_definitions_and_long_sentences() -> None:
    winding = "The council " + "and the committee of the town " * 9 + "met."
    text = answer(f"{CONTRACT}\n{winding}", "plain-language")
    assert "Flesch reading ease: **" in section(text, "How hard")
    assert '- **Fees**: “"Fees" means the charges set out in clause 4.” [¶4]' in section(
        text, "Defined terms"
    )
    assert "**Agreement**, **Supplier**, **Customer**" in section(text, "Defined terms")
    assert "intellectual" in section(text, "Long words")
    assert "57 words: “The council" in section(text, "Longest sentences")


def test_an_easy_text_is_easier_than_a_hard_one() -> None:
    def ease(text: str) -> float:
        found = re.search(r"reading ease: \*\*(-?\d+)\*\*", answer(text, "plain-language"))
        assert found
        return float(found[1])

    assert ease("The cat sat on the mat and it was warm. " * 6) > 90
    assert (
        ease("Organisational considerations necessitate the comprehensive standardisation of it. " * 6) < 10
    )


@pytest.mark.parametrize(("word", "count"), [("cat", 1), ("make", 1), ("table", 2), ("termination", 4)])
def test_syllables_are_counted_as_spoken(word: str, count: int) -> None:
    assert syllables_of(word, "English") == count


@pytest.mark.parametrize(
    ("question", "first"),
    [
        ("How much must the customer pay?", "3.1 The Customer shall pay the Fees"),
        ("When can a party terminate the contract?", "4.2 Either party may terminate"),
        ("Who answers questions?", "2.3 Questions go to Eleanor Whitfield"),
        ("What about termination?", "4.2 Either party may terminate"),
    ],
)
def test_a_question_gets_the_sentence_that_answers_it_first(question: str, first: str) -> None:
    found = quotes(answer(CONTRACT, "question", question))
    assert found[0][0].startswith(first)


def test_a_question_without_a_match_is_told_so_and_gets_no_quotes() -> None:
    text = answer(CONTRACT, "question", "Which volcano erupted?")
    assert "Nothing in this document matches “Which volcano erupted?”" in text
    assert "“volcano”" in text
    assert not re.search(r"\[¶\d+\]", text)


def test_words_of_a_question_that_occur_nowhere_are_named() -> None:
    assert "Not found anywhere in the document: “volcano”." in answer(
        CONTRACT, "question", "Fees for the volcano?"
    )


@pytest.mark.parametrize("question", ["", "What is this about?"])
def test_a_question_about_nothing_gets_the_brief(question: str) -> None:
    assert "## In short" in answer(CONTRACT, "question", question)


def test_abbreviations_numbers_and_line_ends_do_not_end_a_sentence() -> None:
    document = Document(paragraphs(GERMAN))
    list(document.read())
    texts = [sentence.text for sentence in document.sentences]
    assert document.language == "German"
    assert "Zur Wohnung gehören z. B. ein Keller und ein Stellplatz." in texts
    assert "Gemäß § 551 Abs. 3 BGB hat der Vermieter die Kaution getrennt anzulegen." in texts
    assert texts[0].endswith("Lindenstraße 14 in Köln.")


def test_german_duties_are_found() -> None:
    text = answer(GERMAN, "risks")
    assert "Der Mieter **muss** Schäden" in section(text, "Obligations")
    assert "nicht** untervermieten" in section(text, "Prohibitions")


def test_chinese_sentences_are_told_apart_and_found_by_a_question() -> None:
    text = answer(
        ("本合同自签署之日起生效。甲方应在三十日内付款给乙方。双方可以随时终止本合同。",),
        "question",
        "何时付款",
    )
    assert quotes(text)[0][0] == "甲方应在三十日内付款给乙方。"


@pytest.mark.parametrize(
    "line",
    [
        "The customer is **not required to** insure the goods.",
        "The customer shall **not be required to** insure the goods.",
        "The customer has **no obligation** to insure the goods.",
        "The customer does **not have to** insure the goods.",
        "Der Mieter **muss nicht** für Schäden an der Tür zahlen.",
    ],
)
def test_what_nobody_has_to_do_is_a_right_and_no_obligation(line: str) -> None:
    text = answer(line.replace("*", ""), "risks")
    assert line in section(text, "Rights")
    assert not section(text, "Obligations") + section(text, "Prohibitions")


def test_a_term_is_shown_where_it_is_defined_rather_than_where_it_is_first_named() -> None:
    text = f'{CONTRACT}\n"Agreement" means this document and its schedules.'
    shown = section(answer(text, "plain-language"), "Defined terms")
    assert '- **Agreement**: “"Agreement" means this document and its schedules.” [¶11]' in shown
    assert "- **Supplier**, **Customer**: “This Services Agreement" in shown


@pytest.mark.parametrize(
    "date",
    [
        "2.5 years",
        "3.1.2025",
        "31.12.2025",
        "12/31/25",
        "31/12/2025",
        "2025-01-31",
        "2025/1/31",
        "2025.01.31",
    ],
)
def test_a_date_or_period_in_figures_is_found_whole(date: str) -> None:
    found = DATE.search(f"It ends on {date}.")
    assert found
    assert found[0] == date


@pytest.mark.parametrize(
    "figures",
    [
        *("3.13.13", "3.12.25", "v3.1.2025", "3.13.2025", "32.1.2025", "3.1/2025", "1.3.1.2025"),
        *("3.1.2025.4", "2025-13-01", "2025-01/02", "13/13/2025", "2025.13.1"),
    ],
)
def test_a_version_number_is_no_date(figures: str) -> None:
    assert not DATE.search(f"Add CPython {figures} and more")


def test_a_version_number_is_no_deadline() -> None:
    text = answer("Changes in this release\n\n- Add CPython 3.13.13\n- Pay the bill by 3.1.2026", "actions")
    assert "3.13.13" not in section(text, "Deadlines")
    assert "**3.1.2026**" in section(text, "Deadlines")


def test_what_markdown_hides_is_blank_and_all_else_keeps_its_place() -> None:
    text = (
        'a ![badge](http://x/y.svg) [b](http://x/(y) "t") [c][ref] <https://z.example> <img src="q">d</b> '
        "&nbsp; `e` ```python x < y and List<int>"
    )
    seen = visible(text)
    assert len(seen) == len(text)
    assert seen.split() == ["a", "[b]", "[c]", "<", ">", *"dex<y", "and", "List"]
    assert all(one in (other, " ") for one, other in zip(seen, text, strict=True))


def test_addresses_tags_and_marks_are_no_terms_names_or_hard_words() -> None:
    brief = answer(README)
    plain = answer(README, "plain-language")
    for hidden in ("https", "shields", "align", "svg", "nbsp", "Workflow Status", "readthedocs"):
        assert hidden not in section(brief, "Key terms") + section(brief, "Names")
    assert "administration" not in section(plain, "Long words")
    assert "configuration" in section(plain, "Long words")


@pytest.mark.parametrize("recipe", RECIPES[:4])
def test_badges_links_table_rows_and_contents_are_not_quoted(recipe: str) -> None:
    found = quotes(answer(README, recipe))
    assert found
    for quoted, _ in found:
        assert not quoted.startswith(("[", "!", "<", "|", "Installation .")), quoted


def test_a_link_in_a_sentence_is_quoted_as_it_stands() -> None:
    assert "The [lock file](https://readthedocs.example/administration/lock) must be" in [
        quoted[:72] for quoted, _ in quotes(answer(README, "risks"))
    ]


def test_an_address_ends_with_its_link() -> None:
    shown = section(answer(README), "Addresses")
    assert "- https://img.example/Workflow/administration.svg [¶1]\n" in shown
    assert "](" not in shown.replace("\\", "")
    wiki = answer("See https://w.example/A\\_(b) (or https://w.example/c), and `https://w.example/d`.")
    assert re.findall(r"- (\S+) ", section(wiki, "Addresses"))[1:] == [
        "https://w.example/c",
        "https://w.example/d",
    ]


def test_a_table_row_still_answers_a_question() -> None:
    assert quotes(answer(README, "question", "What is the price of Enterprise?"))[0][0].startswith(
        "| Enterprise"
    )


def test_by_default_is_no_risk_but_a_default_is() -> None:
    text = answer("The cache is on by default here.\n\nA default by the buyer ends it.", "risks")
    assert "cache" not in section(text, "Risks")
    assert "A **default** by the buyer" in section(text, "Risks")


CHANGELOG = """\
# Changelog

## 2.9.1

- The parser was made faster for long files.

## 2.9.0

- Add CPython 3.13.13 and drop support for Python 3.8
- Add CPython 3.13.0
- Add CPython 3.13.1
- Support for Python added in many other places when it was asked for.
"""


def test_a_version_number_is_one_strong_word_of_a_question() -> None:
    found = quotes(answer(CHANGELOG, "question", "When was support for Python 3.13.0 added?"))
    assert found[0][0] == "Add CPython 3.13.0"
    text = answer(CHANGELOG, "question", "What about 3.13.0?")
    assert [quoted for quoted, _ in quotes(text)] == ["Add CPython 3.13.0"]
    assert "**3.13.0**" in text


def test_a_version_in_a_heading_is_what_stands_under_it() -> None:
    found = quotes(answer(CHANGELOG, "question", "What happened in 2.9.1?"))
    assert [quoted for quoted, _ in found] == ["The parser was made faster for long files."]


def test_a_version_that_occurs_nowhere_is_named() -> None:
    assert "it holds none of the words “3.13.7”" in answer(CHANGELOG, "question", "3.13.7?")


def test_words_that_stand_only_in_a_heading_are_not_called_missing() -> None:
    text = answer("# Termination\n\n# Fees\n\nThe fees are due each year.", "question", "termination?")
    assert "its words stand only in headings" in text


def test_the_opening_line_counts_no_words() -> None:
    assert not re.search(r"\d words", answer(CONTRACT).partition("## ")[0])
