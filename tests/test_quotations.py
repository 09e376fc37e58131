"""Quotations: what an answer quotes, and whether it stands in the document word for word."""

import re
from string import ascii_lowercase

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from analyzer import quotations
from analyzer.quotations import Quotation, compare
from tests.extracts import CONTRACT, GERMAN, README, RECIPES, answer
from tests.extracts import HOSTILE as HOSTILE_DOCUMENT
from tests.person import Writer, as_person, bring, finished, saved

DOCUMENT = """\
# Lease

The tenant shall pay the rent of 1,000 EUR by the 1st of each month, and can't sublet.

Cus­tody of keys: the "Key Holder" – a well-known
person – keeps them. The [Landlord] may enter after ten days’ notice; the ﬁne is 5.5 %.

Der Mieter zahlt die Miete bis zum dritten Werktag. Le loyer est payable d’avance. Au deuxième étage.
Zakaz palenia w lokalu.

合同有效期三年，自签署
之日起计算。使用Python语言编写。賃料は毎月末日までに支払う。ผู้เช่าต้องชำระค่าเช่าทุกเดือน

किरायेदार हर महीने किराया देगा।

The &lt;rate&gt; is 3 \\* 2. A R&D budget.
"""

STANDS = [
    "It says “the tenant shall pay the rent” [¶2].",
    'It says "the tenant shall pay the rent".',
    'It says ("the tenant shall pay the rent"), see below.',
    'There is a "stray one here, and "the tenant shall pay the rent".',
    "“The tenant shall pay the rent, …”",
    "“**The tenant** shall *pay* the r**en**t”",
    "“The tenant shall [¶2] pay the rent [¶2].”",
    "“of 1,000 EUR by”",
    "“can't sublet” and “CAN’T SUBLET.”",
    "“custody of keys: the ‘Key Holder’ — a well\u2011known person - keeps them”",
    "“the &lt;rate&gt; is 3 \\* 2” and “the \\&lt;rate\\&gt; is 3 * 2”",
    "“can’t sublet. Custody of keys”",
    "“the fine is 5.5 %”",
    "“the tenant … shall […] pay the rent”",
    "“the tenant … the rent ... each month”",
    "“[T]he tenant shall pay […] each mon[th]”",
    "“the \\[Landlord\\] may enter”",
    "“the [landlord] may enter after”",
    "“A R&amp;D budget”",
    "“keeps them&period; The &#91;Landlord&#93; may”",
    "Er sagt: „Der Mieter zahlt die Miete bis zum dritten Werktag.“",
    "Er sagt: »Der Mieter zahlt die Miete« und sonst nichts.",
    "Il dit : « Le loyer est payable d’avance. »",
    "Il dit : ‹ Le loyer est payable ›",
    "« Au deuxie\u0300me e\u0301tage »",
    "Mówi: „Zakaz palenia w lokalu”.",
    "Svaret: ”Der Mieter zahlt die Miete” och »Le loyer est payable».",
    "他说“合同有效期三年，自签署之日起计算”。",
    '他说"自签署之日起计算"。',
    "「賃料は毎月末日まで」『毎月末日までに支払う』",
    "“使用 Python 语言”和“Python语言编写”",
    "“使用Ｐｙｔｈｏｎ语言编写”",
    "“ต้องชำระค่าเช่าทุกเดือน”",
    "“हर महीने किराया”",
    "> The tenant shall pay\n> the rent of 1,000 EUR\n> — the lease, [¶2]",
    "> “The tenant shall pay the rent” [¶2]",
    "- > The tenant shall pay [¶2]\n  > and can't sublet. [¶2]",
    "> - The [Landlord] may enter\n> - The tenant shall pay",
    "1. “The tenant shall\n   pay the rent”",
    "| “can't sublet” | “the tenant shall pay” |",
]


@pytest.mark.parametrize("text", STANDS)
def test_what_stands_in_the_document_is_found(text):
    found = compare(text, lambda: DOCUMENT)
    assert found
    assert found.compared
    assert (found.not_found, found.left) == ([], 0)


MISSING = {
    "“the tenant shall pay the price”": "the tenant shall pay the price",
    "“tenant shall pay the re”": "tenant shall pay the re",
    "“enant shall pay the rent”": "enant shall pay the rent",
    "“of 1000 EUR by”": "of 1000 EUR by",
    "“the fine is 55 %”": "the fine is 55 %",
    "“the rent … the **tenant** shall”": "the rent … the tenant shall",
    "“the rent of 1,000 EUR [or more] by the 2nd”": "the rent of 1,000 EUR [or more] by the 2nd",
    "“the tenant [¶2] pay the rent”": "the tenant pay the rent",
    "> ```\n> code\n\n“not a word of it”": "not a word of it",
    "“[T]he tenants shall pay”": "[T]he tenants shall pay",
    "„Der Mieter zahlt keine Miete“": "Der Mieter zahlt keine Miete",
    "« Le loyer n’est pas payable »": "Le loyer n’est pas payable",
    "“合同有效期三…三年自签”": "合同有效期三…三年自签",
    "“合同有效期五年”": "合同有效期五年",
    "“हर महीने किरायी”": "हर महीने किरायी",
    "> The tenant shall pay\n> no rent at all [¶2]": "The tenant shall pay no rent at all",
    "> The tenant shall pay [¶2] if he likes it": "if he likes it",
    "“a “b c d e” f”": "a “b c d e” f",
    'it is 5" wide, “so they say to us': None,
}


@pytest.mark.parametrize(("text", "shown"), MISSING.items())
def test_what_does_not_stand_in_the_document_is_told_as_it_was_quoted(text, shown):
    found = compare(text, lambda: DOCUMENT)
    assert (found and found.not_found) == (shown and [shown])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Nothing is quoted here, and it isn't anybody's words that aren't.",
        "The “Key Holder” and the “other one” are terms, and “合同” is one.",
        "`“not a word of it”` and ``a ` “not a word of it” ``",
        "```\n“not a word of it”\n\n> not a word of it\n```",
        "~~~~\n“not a word of it”\n~~~\n“not a word of it”",
        "- a\n\n  ```\n  “not a word of it”\n  ```",
        "> ```\n> not a word of it\n",
        "“not a word\n\nof it”",
        "- “not a word\n- of it”",
        "“not a word\n> of it”",
        "| “not a word | of it” |",
        "# “not a word\nof it”",
        "“not a word of it",
        "not a word of it”",
        'It is 5" wide and not a word of it is 6" long.',
        'A 5"x board is not a word of it and 6" long.',
        "> [¶12]\n>\n> — —",
        "“[¶2]” “…” “[not a word of it]” “... . . .”",
    ],
)
def test_where_nothing_is_quoted_the_document_is_not_even_read(text):
    assert compare(text, lambda: pytest.fail("it is read")) is None


def test_a_quotation_counts_once_however_often_and_however_it_is_made():
    text = (
        "“The tenant shall pay”\n\n> the *tenant* shall pay\n\n“no such words here” and “No such words here.”"
    )
    assert compare(text, lambda: DOCUMENT) == (2, ["no such words here"], 0)


def test_the_title_and_the_question_are_no_quotations_of_the_document_where_they_are_repeated_as_a_whole():
    question = "May the tenant keep three dogs?"
    for text in ("“May the tenant keep three dogs?”", "“Lease for *three* dogs”", "“may the tenant ke…”"):
        assert compare(text, lambda: DOCUMENT, "Lease for three dogs", question) is None, text
    for text in (
        "“the tenant keep three dogs”",
        "“May the tenant keep”",
        "“the tenant keep…”",
        "“may the … dogs”",
    ):
        assert compare(text, lambda: DOCUMENT, "Lease for three dogs", question).not_found, text


def test_a_document_that_is_gone_is_compared_with_nothing():
    assert compare("“the tenant shall pay”", lambda: None) is None


@pytest.mark.parametrize("text", [CONTRACT, GERMAN, README, HOSTILE_DOCUMENT, DOCUMENT])
@pytest.mark.parametrize("recipe", RECIPES)
def test_what_the_offline_analyst_quotes_stands_in_the_document(text, recipe):
    for question in (
        "Who shall pay, and when? Mieter Miete",
        "Who shall pay, and when? " * 30,
        "xyzzy 1 2 3",
    ):
        _hold(answer(text, recipe, question), question, text)


def _hold(said, question, text):
    found = compare(said, lambda: text, "A title", question)
    assert "” [¶" not in said or (found and found.compared)
    assert not found or found.not_found == []


WORDS = st.lists(
    st.text(ascii_lowercase + "äßéжक有ー1 ,.-–’\n", min_size=1, max_size=8), min_size=6, max_size=60
)


@settings(derandomize=True, database=None, deadline=None, max_examples=300)
@given(WORDS, st.data())
def test_any_words_of_a_document_stand_there_and_none_with_another_among_them(words, data):
    document = "\n".join(words)
    own = document.split()
    assume(len(own) >= 3)
    start = data.draw(st.integers(0, len(own) - 3))
    end = data.draw(st.integers(start + 3, len(own)))
    quoted = own[start:end]
    found = compare(f"“{' '.join(quoted)}”", lambda: document)
    assert not found or found == (1, [], 0)
    quoted[data.draw(st.integers(0, len(quoted) - 1))] = "QX"
    found = compare(f"“{' '.join(quoted)}”", lambda: document)
    assert not found or len(found.not_found) == 1


@pytest.mark.parametrize("size", [50, 997])
def test_where_a_long_document_is_cut_nothing_is_lost(monkeypatch, size):
    whole = quotations.plain(DOCUMENT * 9)
    monkeypatch.setattr(quotations, "CHARACTERS_AT_ONCE", size)
    assert quotations.plain(DOCUMENT * 9) == whole


def test_a_text_of_ascii_is_made_plain_as_any_other():
    text = "".join(map(chr, range(128)))
    assert quotations.plain(f"{text} é{text}") == f"{quotations.plain(text)}é{quotations.plain(text)}"


HOSTILE = [
    *('"' * 100_000, "“" * 100_000, "”" * 100_000, "“”" * 50_000, "“a " * 50_000 + "”" * 50_000),
    *(
        "„“" * 50_000,
        "«»" * 50_000,
        "»" * 100_000,
        '"a "' * 25_000,
        "“„«‹「『" * 15_000 + "』」›»“”" * 15_000,
    ),
    *("`" * 100_000, "".join("`" * length + " " for length in range(500)), "`“``" * 25_000),
    *("> " * 50_000, "- " * 50_000, "- > " * 25_000, ">\n\n" * 25_000, "```\n" * 25_000, "|“" * 50_000),
    *("“" + each * 25_000 + "”" for each in ("[", "]", "[¶", "[a] … ", ". ", ".", "&", "a&", "\\", "*a ")),
    "“a b c … d” " * 10_000,
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: text[:8])
def test_hostile_answers_are_read_in_steps_as_many_as_they_are_long(monkeypatch, text):
    steps = 0

    def count(items, at_once):
        nonlocal steps
        for item in items:
            steps += 1
            yield item

    monkeypatch.setattr(quotations, "in_turns", count)
    read = []
    compare(text, lambda: read.append(1) or DOCUMENT)
    assert steps <= 3 * len(text) + 10
    assert len(read) <= 1


def test_a_long_document_is_looked_through_so_often_and_no_more(monkeypatch):
    turns, passed = [], []
    stands_in = Quotation.stands_in
    monkeypatch.setattr(quotations, "let_others_run", lambda: turns.append(1))
    monkeypatch.setattr(Quotation, "stands_in", lambda *each: passed.append(1) or stands_in(*each))
    monkeypatch.setattr(quotations, "MOST_SEARCHED", 10_000_000)
    monkeypatch.setattr(quotations, "SEARCHED_AT_ONCE", 1_000_000)
    document = "ab " * 333_333
    text = "\n".join(f"- “no such {number}”" for number in range(2_000))
    found = compare(text, lambda: document)
    assert found.compared == len(found.not_found) == len(passed) == 10
    assert found.left == 2_000 - 10
    # Of the document every 20,000 characters, then with each search.
    assert len(turns) >= 45 + 9


CHECK = "Check before use"
ALL = "quotations stand in the document word for word."


def note(page):
    """Return what a page says about quotations, in words."""
    html = re.findall(
        r'<div class="note">\s*<p><strong>.*?</div>|<p class="meta">[^<]*quotation[^<]*</p>', page, re.S
    )
    return " ".join(re.sub(r"<[^>]*>", " ", " ".join(html)).split())


def test_below_an_answer_it_is_said_whether_its_quotations_stand_in_the_document(analyzer, client):
    document = bring(client, DOCUMENT)
    for text, told in (
        ("“The tenant shall pay” and “the tenant … the rent” [¶2].", f"All 2 {ALL}"),
        ("“The tenant shall pay”", f"The one {ALL}".replace("quotations stand", "quotation stands")),
        (
            "“The tenant shall pay”, “but only on Sundays”.",
            f"{CHECK}: 1 of 2 quotations does not stand in the document word for word: but only on Sundays",
        ),
        (
            "“But only on Sundays”.",
            f"{CHECK}: the one quotation does not stand in the document word for word: But only on Sundays",
        ),
        ("The tenant shall pay.", ""),
    ):
        path = Writer(analyzer, document).write(text).end().path
        page, partial = client.get(path).text, saved(client, path).text
        assert note(page) == note(partial) == note(client.get(f"{path}/live").text) == told
        assert client.get(f"{path}.md").text == text


def test_while_it_runs_nothing_is_said_yet(analyzer, client):
    writer = Writer(analyzer, bring(client, DOCUMENT)).write("“but only on Sundays”")
    assert note(client.get(writer.path).text) == ""


@pytest.mark.parametrize("status", ["cut", "stopped", "incomplete", "interrupted", "declined"])
def test_it_is_said_however_the_answer_ended(analyzer, client, status):
    path = Writer(analyzer, bring(client, DOCUMENT)).write("“but only on Sundays” and").end(status).path
    assert "does not stand" in note(client.get(path).text)


def test_what_is_not_found_is_shown_as_text_and_not_at_any_length(analyzer, client):
    text = "“<img src=x onerror=alert(1)> {{ 7 * 7 }} [T]here”\n\n“" + "word " * 100 + "”\n\n"
    text += "\n".join(f"- “no such {number}”" for number in range(1_500))
    page = client.get(Writer(analyzer, bring(client, DOCUMENT)).write(text).end().path).text
    told = note(page)
    assert "1,502 of 1,502 quotations do not stand" in told
    assert "<li>&lt;img src=x onerror=alert(1)&gt; {{ 7 7 }} [T]here</li>" in page
    assert f"<li>{('word ' * 40)[:-1]}…</li>" in page
    assert "no such 17 and 1,482 more" in told
    assert "no such 18" not in told


def test_what_is_left_is_said(analyzer, client, monkeypatch):
    monkeypatch.setattr(quotations, "MOST_SEARCHED", 50)
    text = "“the tenant shall pay”, “can’t sublet”, “but only on Sundays”"
    page = client.get(Writer(analyzer, bring(client, DOCUMENT)).write(text).end().path).text
    assert note(page) == (
        "The first 2 quotations stand in the document word for word. The other 1 was not compared."
    )
    path = Writer(analyzer, bring(client, DOCUMENT)).write(f"“no such words”, {text}").end().path
    assert note(client.get(path).text) == (
        "Check before use: 1 of the first 1 quotation does not stand in the document word for word: "
        "no such words The other 3 were not compared."
    )


def test_a_colleague_reads_it_too(make_app):
    app = make_app(auth="proxy")
    anna, ben = as_person(app, "anna"), as_person(app, "ben")
    ben.get("/")
    document = bring(anna, DOCUMENT)
    anna.post(f"{document}/shares", data={"name": "ben"})
    path = Writer(app.extensions["analyzer"], document, "anna").write("“but only on Sundays”").end().path
    assert "does not stand" in note(ben.get(path).text)
    assert "does not stand" in note(saved(ben, path).text)


def test_a_continued_answer_is_compared_as_a_whole(client, provider):
    document = bring(client, DOCUMENT)
    provider.script(text="“But only on Sundays”, it says. “The tenant", stop="length")
    path = finished(client, document)
    assert "1 of" not in note(client.get(path).text)
    provider.script(text=" shall pay the rent”.")
    after = (
        client.post(f"{path}/continuation", data={"request_key": "k"})
        .headers["Location"]
        .removesuffix("/live")
    )
    client.get(f"{after}/stream").get_data()
    assert "1 of 2 quotations does not stand" in note(client.get(after).text)


def test_the_offline_analyst_is_told_to_quote_word_for_word(client):
    path = finished(client, bring(client, CONTRACT), model="offline:extractive")
    assert note(client.get(path).text).endswith(ALL)
