"""PDF: what stands on its pages is read as it was meant, and what would do harm is told and does none."""

import re
from pathlib import Path

import gevent
import pytest

from extraction import Extraction, Part, Reason, Unreadable
from tests import pdf_files
from tests.pdf_files import Pdf, block, line

WORDS = "The supplier shall deliver the goods within four weeks"


def texts(data):
    """Return what is read of each page."""
    return [part.text for part in Extraction(data, "a.pdf")]


def text(*contents):
    """Return what is read of a file with one page."""
    (page,) = texts(Pdf(b"".join(contents)).data)
    return page


def reason(data):
    """Return why a file cannot be read."""
    with pytest.raises(Unreadable) as refused:
        list(Extraction(data, "a.pdf"))
    return refused.value.reason


def most_memory():
    """Return how many kilobytes this process has had at most."""
    return int(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1])


# Pages


def test_pages_come_one_by_one_with_their_numbers():
    extraction = Extraction(pdf_files.book(300), "a.pdf")
    reading = iter(extraction)
    assert next(reading).page == 1
    assert extraction.pages == 300
    rest = list(reading)
    assert [part.page for part in rest] == list(range(2, 301))
    assert all(part.text.startswith(f"This is page {part.page}\n\n") for part in rest)


def test_a_page_without_text_keeps_its_number():
    assert list(Extraction(pdf_files.scan(line("Words")), "")) == [Part("", 1), Part("Words", 2)]


def test_a_file_of_pictures_is_told_from_a_damaged_one():
    assert reason(pdf_files.scan()) == Reason.NO_TEXT


def test_a_page_that_cannot_be_opened_is_noted():
    file = Pdf(line("One"), line("Two"))
    file.kids.insert(1, b"99 0 R")
    extraction = Extraction(file.data, "")
    assert [part.text for part in extraction] == ["One", "", "Two"]
    assert extraction.notes == [("damaged", "2")]


def test_the_title_is_the_files_own():
    extraction = Extraction(Pdf(line("Words"), title="Terms (of use)").data, "a.pdf")
    list(extraction)
    assert extraction.title == "Terms (of use)"


# Paragraphs


def test_the_lines_of_a_paragraph_are_put_together():
    page = block(f"{WORDS} and be", f"{WORDS} and", "paid.") + block("Nothing else", y=700)
    assert text(page) == f"{WORDS} and be {WORDS} and paid.\n\nNothing else"


def test_a_paragraph_ends_with_a_line_that_had_room_for_more():
    lines = [f"{WORDS} and be", f"{WORDS} and so", "be paid."]
    assert text(block(*lines, *lines)) == "\n\n".join([" ".join(lines)] * 2)


def test_a_paragraph_begins_with_a_line_that_is_further_in():
    page = b"".join(
        line(f"{WORDS} and be {number}.", y=700 - 14 * number, x=90 if number in (3, 6) else 72, size=11)
        for number in range(9)
    )
    assert [paragraph.count("\n") for paragraph in text(page).split("\n\n")] == [0, 0, 0]
    assert [len(paragraph.split("be ")) - 1 for paragraph in text(page).split("\n\n")] == [3, 3, 3]


def test_lines_that_were_meant_stay_lines():
    page = block("Precis Ltd", "1 Main Street", "Springfield") + block(f"{WORDS} and so on", y=650)
    assert text(page).startswith("Precis Ltd\n1 Main Street\nSpringfield\n\n")


@pytest.mark.parametrize(
    ("end", "start", "joined"),
    [
        ("deliv-", "eries of goods", "deliveries of"),
        ("Anglo-", "American goods", "Anglo-American goods"),
        ("long-", "term goods", "long-term goods"),
        ("OP-", "TIONAL goods", "OPTIONAL goods"),
        ("Ein-", "und Ausgang", "Ein- und Ausgang"),
        ("at https://shop.example/deliv-", "eries and", "at https://shop.example/deliv-eries and"),
        ("Covid-", "19 goods", "Covid-19 goods"),
    ],
)
def test_a_word_that_was_parted_is_put_together(end, start, joined):
    page = block(f"{WORDS} {end}", f"{start} are {WORDS[:40]}", "late.")
    first, _ = texts(Pdf(page, line("A long-term loan of OPTIONAL size.")).data)
    assert f"weeks {joined}" in first


def test_a_word_that_goes_on_nowhere_in_sight_keeps_its_hyphen():
    first = block(f"{WORDS} and be", f"{WORDS} of deliv-") + line("1 See the act.", y=90, size=8)
    assert text(first).endswith("of deliv-\n\n1 See the act.")
    codes = [(letter, 100 + 6 * place) for place, letter in enumerate("goods deliv\u2010")]
    assert texts(pdf_files.written(codes)) == ["goods deliv-"]


def test_headings_are_known_by_their_size():
    page = line("Terms of use", size=24) + line("1. Deliveries", y=700, size=16)
    page += block(f"{WORDS} and so", "be paid.", y=670) + line("2. Payment", y=620, size=16)
    page += line("A note that is a little larger.", y=590, size=12) + block(WORDS, y=560)
    assert text(page).split("\n\n")[::2] == [
        "# Terms of use",
        f"{WORDS} and so be paid.",
        "A note that is a little larger.",
    ]
    assert text(page).split("\n\n")[1::2] == ["## 1. Deliveries", "## 2. Payment", WORDS]


def test_a_list_keeps_its_items():
    page = block("• One thing", "• Another") + block("1. First", "2. Second", y=700)
    assert text(page) == "- One thing\n- Another\n\n1. First\n2. Second"


def test_what_would_be_a_bullet_at_the_beginning_of_a_line_stays_within_it():
    lines = "It came – late – and cost 10 · 5.", "int f(const char * name)", "• An item – with more"
    page = b"".join(line(words, y=700 - 40 * number) for number, words in enumerate(lines))
    assert text(page).split("\n\n") == [*lines[:2], "- An item – with more"]


def test_the_cells_of_a_row_stand_apart():
    rows = [("Item", "Number", "Price"), ("Office chair", "12", "1,200.00"), ("Lamp", "7", "210.50")]
    page = b"".join(
        line(cell, x=72 + 160 * column, y=700 - 14 * row)
        for row, cells in enumerate(rows)
        for column, cell in enumerate(cells)
    )
    after = line("They were delivered in good order and in time.", y=658)
    table = "\n".join("  ".join(cells) for cells in rows)
    assert text(page, after) == f"{table}\n\nThey were delivered in good order and in time."


def test_a_clause_is_a_paragraph_even_where_nothing_parts_it_from_the_last():
    assert text(block("2.1 It begins at once.", "2.2 It ends by notice.")).count("\n\n") == 1


def test_a_raised_number_does_not_end_its_line():
    page = line("The goods are sound") + line("1", x=170.5, y=774.5, size=6) + line(", and whole.", x=173.5)
    assert text(page) == "The goods are sound¹, and whole."


@pytest.mark.parametrize("turned", [b"1 0 0 1", b"0 1 -1 0"], ids=["upright", "on its side"])
def test_figures_above_and_below_the_line_are_told_from_those_on_it(turned):
    pieces = ["It is 10", (5, "-6"), " m", (4, "2"), " of H", (-2, "2"), "O, 2", (3, "k+1"), ", 2", (4, "nd")]
    pieces += [", 4", (0, "4"), " and m", (5, "3")]
    shown = [
        b"%d Ts /F1 %d Tf (%s) Tj\n" % (rise, size, words.encode())
        for piece in pieces
        for rise, size, words in [(0, 11, piece) if isinstance(piece, str) else (piece[0], 7, piece[1])]
    ]
    page = text(b"BT %s 300 300 Tm\n%s ET\n" % (turned, b"".join(shown)))
    assert page == "It is 10⁻⁶ m² of H₂O, 2k⁺¹, 2nd, 44 and m³"


def test_a_figure_so_high_that_it_seems_a_line_stays_in_its_own():
    assert (
        text(b"BT /F1 11 Tf 72 700 Td (m) Tj 5 Ts /F1 7 Tf (2) Tj 0 Ts /F1 11 Tf ( are let) Tj ET")
        == "m² are let"
    )


def test_columns_are_read_one_after_the_other_and_a_sentence_goes_on_in_the_next():
    left = block(*["The goods shall be delivered in", "four weeks from the day of the"] * 10, y=700, size=10)
    right = block("order, and not later. The goods", "are paid when they are there.", x=310, y=700, size=10)
    paragraphs = text(line("Terms", size=20), left, right).split("\n\n")
    assert paragraphs[0] == "# Terms"
    assert paragraphs[1].endswith("day of the order, and not later. The goods are paid when they are there.")
    assert len(paragraphs) == 2


@pytest.mark.parametrize("shown", [0, 90, 180, 270])
def test_a_page_that_lies_on_its_side_is_read_like_any_other(shown):
    lines = [f"{WORDS} and be", f"{WORDS} and", "paid.", "", f"{WORDS} again"]
    turned = b"".join(
        b"BT /F1 11 Tf 0 1 -1 0 %d 72 Tm (%s) Tj ET\n" % (100 + 14 * number, words.encode())
        for number, words in enumerate(lines)
        if words
    )
    file = Pdf()
    file.kids = [file.add_page(turned, entries=b"/Rotate %d" % shown)]
    assert texts(file.data) == [f"{' '.join(lines[:3])}\n\n{lines[4]}"]


@pytest.mark.parametrize(("across", "step"), [(1, 14), (-1, -14)], ids=["upwards", "downwards"])
def test_what_is_turned_on_an_upright_page_leaves_the_rest_as_it_is(across, step):
    turned = b"".join(
        b"BT /F1 11 Tf 0 %d %d 0 %d 300 Tm (Row %d on its side) Tj ET\n"
        % (across, -across, 400 + step * row, row)
        for row in (1, 2, 3)
    )
    page = text(block("It begins", f"with {WORDS}."), turned, block("Then it ends", "for good.", y=200))
    rows = "Row 1 on its side Row 2 on its side Row 3 on its side"
    assert " ".join(page.split()) == f"It begins with {WORDS}. {rows} Then it ends for good."


# Letters


@pytest.mark.parametrize("is_turned", [False, True])
def test_what_runs_from_right_to_left_is_read_in_that_order(is_turned):
    codes = [(letter, 200 - 6 * place) for place, letter in enumerate("שלום")]
    codes += [(digit, 165 + 6 * place) for place, digit in enumerate("42")]
    codes += [(letter, 155 - 6 * place) for place, letter in enumerate("עולם")]
    assert texts(pdf_files.written(codes[::-1] if is_turned else codes)) == ["שלום 42 עולם"]


def test_the_shapes_of_arabic_letters_are_letters_again():
    # Seen, sin, lam-alef, mim in their shapes: salam.
    codes = [(letter, 200 - 6 * place) for place, letter in enumerate("\ufeb3\ufefc\ufee1")]
    assert texts(pdf_files.written(codes)) == ["سلام"]


@pytest.mark.parametrize("mark", ["\u2010", "\xad"])
def test_a_word_that_was_parted_by_another_hyphen_is_put_together(mark):
    codes = [(letter, 100 + 6 * place) for place, letter in enumerate(f"goods deliv{mark}")]
    codes += [(letter, 100 + 6 * place, 688) for place, letter in enumerate("ered.")]
    assert texts(pdf_files.written(codes)) == ["goods delivered."]


def test_letters_that_share_a_shape_keep_their_order():
    codes = [(letter, 200 - 6 * place) for place, letter in enumerate(["س", "لا", "م"])]
    codes += [(letter, 178 - 6 * place) for place, letter in enumerate(["مج", "لس"])]
    assert texts(pdf_files.written(codes)) == ["سلام مجلس"]


def test_ligatures_are_letters_again():
    codes = [(letter, 100 + 6 * place) for place, letter in enumerate("e\ufb03cient")]
    assert texts(pdf_files.written(codes)) == ["efficient"]


def test_letters_beyond_the_first_plane_move_nothing():
    codes = [(letter, 100 + 6 * place) for place, letter in enumerate("😀😀ab")]
    codes += [(letter, 400 + 6 * place) for place, letter in enumerate("cd")]
    assert texts(pdf_files.written(codes)) == ["😀😀ab  cd"]


# What is on a page beside its text


def test_what_fills_a_form_is_read():
    assert texts(pdf_files.form(Name="Ada", City="Paris", Street="")) == [
        "An application form\n\nName: Ada\n\nCity: Paris"
    ]


def test_what_was_chosen_in_a_form_is_read_in_the_words_that_were_offered():
    offered = b"/FT /Ch /Opt [[(FR) (France)] [(DE) (Germany)] [(IT) (Italy)]] "
    one, many = offered + b"/Ff 131072 /V (FR)", offered + b"/Ff 2097152 /V [(FR) (IT)]"
    (page,) = texts(
        pdf_files.form(Country=one, Visited=many, Typed=offered + b"/Ff 393216 /V (Spain)", None_=offered)
    )
    assert page.split("\n\n")[1:] == ["Country: France", "Visited: France, Italy", "Typed: Spain"]


def test_a_form_that_only_other_programs_draw_is_told():
    extraction = Extraction(pdf_files.form(b"/NeedsRendering true", b"/XFA (x)"), "")
    list(extraction)
    assert extraction.notes == [("form", "1")]


def test_what_was_typed_onto_a_page_is_read_and_comments_are_counted():
    note = b"<< /Type /Annot /Subtype /%s /Rect [9 9 20 20] /Contents (%s) >>"
    notes = b" ".join(
        [note % (b"FreeText", b"Typed"), note % (b"Text", b"Why?"), note % (b"Highlight", b"No")]
    )
    extraction = Extraction(Pdf(line("Words"), annotations=notes).data, "")
    assert [part.text for part in extraction] == ["Words\n\nTyped"]
    assert extraction.notes == [("comments", "2")]


def test_files_inside_are_named_and_not_read():
    extraction = Extraction(pdf_files.with_attachments("a.pdf", "b.png"), "")
    assert [part.text for part in extraction] == ["See what is attached."]
    assert extraction.notes == [("attachments", "a.pdf, b.png")]


# Passwords


def test_a_file_with_a_password_is_told_as_such():
    assert reason(pdf_files.locked(line("Secret"), user=b"user")) == Reason.PASSWORD


def test_a_file_that_only_its_owner_may_change_is_read():
    assert texts(pdf_files.locked(line("Open to all"))) == ["Open to all"]


# Harm


@pytest.mark.fault("too much work")
@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: pdf_files.flate_bomb(1500), Reason.TOO_MUCH_WORK),
        (pdf_files.form_bomb, Reason.TOO_MUCH_WORK),
        (pdf_files.form_loop, Reason.TOO_MUCH_WORK),
        (lambda: pdf_files.text_bomb(21), Reason.TOO_LONG),
        (lambda: pdf_files.page_bomb(4), Reason.TOO_MANY_PAGES),
        (lambda: pdf_files.page_bomb(12), Reason.DAMAGED),
        (lambda: pdf_files.book(1001), Reason.TOO_MANY_PAGES),
        (pdf_files.page_loop, Reason.DAMAGED),
        (pdf_files.object_loop, Reason.NO_TEXT),
        (lambda: pdf_files.book(9)[:3000], Reason.DAMAGED),
        (lambda: b"%PDF-1.7\n" + b"<<" * 1_000_000, Reason.DAMAGED),
        (lambda: b"%PDF-1.7\n" + b"[" * 1_000_000 + b"\ntrailer << /Root 1 0 R >>", Reason.DAMAGED),
    ],
    ids=[
        "flate_bomb", "form_bomb", "form_loop", "text_bomb", "page_bomb", "endless_pages",
        "1001_pages", "page_loop", "object_loop", "cut_off", "dictionaries", "arrays",
    ],
)  # fmt: skip
def test_what_would_do_harm_is_told_and_costs_this_process_no_memory(make, expected):
    data = make()
    Path("/proc/self/clear_refs").write_text("5")  # the most memory so far is forgotten
    before = most_memory()
    with gevent.Timeout(30):
        assert reason(data) == expected
    assert most_memory() - before < 20_000


def test_an_outline_without_end_is_not_followed():
    assert texts(pdf_files.outline_bomb(50_000)) == ["A page with a long outline"]


def test_a_file_of_this_machine_is_never_read(tmp_path):
    canary = tmp_path / "canary"
    canary.write_text(line("canary").hex())
    assert texts(pdf_files.pointing_at(str(canary))) == ["", "Nothing else"]
