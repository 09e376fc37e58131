"""Tables as text through the real child: their delimiter, their quotes, and how hostile ones end."""

import pytest

from extraction import Reason, Unreadable
from tests.office_files import read


def text_of(data, name="a.csv"):
    return read(data if isinstance(data, bytes) else data.encode(), name)[0]


def rows(*cells):
    """Return rows as they are told, the first as a header."""
    lines = [f"| {' | '.join(row)} |" for row in cells]
    return "\n".join([lines[0], "|" + " --- |" * len(cells[0]), *lines[1:]])


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_a_delimiter_is_found_by_how_evenly_it_cuts(delimiter):
    data = "name/price/note\nApple/1.5/red\nPear/2/\n".replace("/", delimiter)
    assert text_of(data) == rows(["name", "price", "note"], ["Apple", "1.5", "red"], ["Pear", "2", ""])


def test_a_decimal_comma_is_no_delimiter():
    assert text_of("a;b\n1,5;2,5\n3,5;4,5\n") == rows(["a", "b"], ["1,5", "2,5"], ["3,5", "4,5"])
    assert text_of("1,5;2,5\n3,5;4,5\n") == rows(["1,5", "2,5"], ["3,5", "4,5"])


def test_excel_may_name_its_delimiter_in_a_line_of_its_own():
    assert text_of("sep=,\r\na,b;c\r\n1,2;3\r\n") == rows(["a", "b;c"], ["1", "2;3"])


def test_lines_without_cells_are_a_table_of_one_column():
    assert text_of("one\ntwo\n") == rows(["one"], ["two"])


def test_quoted_cells_may_hold_anything():
    data = 'a,b\r\n"x, ""y""","line\r\nbreak"\r\n"p|q",\\\r\n'
    assert text_of(data) == rows(["a", "b"], ['x, "y"', "line break"], ["p\\|q", "\\"])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_a_table_is_decoded_as_excel_writes_it(encoding):
    name = "a.tsv" if encoding == "utf-16" else "a.csv"
    data = "Größe\tPreis\nfünf\t5 €\n".encode(encoding)
    assert text_of(data, name) == rows(["Größe", "Preis"], ["fünf", "5 €"])


def test_an_encoding_that_nothing_tells_is_said_and_refused_where_it_cannot_be():
    text, extraction = read("Größe;5 €\n".encode("cp1252"), "a.csv")
    assert extraction.notes == [("guessed", "3")]
    assert "Größe | 5 €" in text
    for data in ("für,b\n".encode("cp850"), "契約、,b\n".encode("cp932")):
        with pytest.raises(Unreadable) as caught:
            read(data, "a.csv")
        assert caught.value.reason == Reason.NOT_TEXT


def test_one_bad_byte_in_a_table_spoils_no_other():
    text, extraction = read("Müller;Zoë;5.000 €\n".encode() + b"a\xff;b;c\n", "a.csv")
    assert text == rows(["Müller", "Zoë", "5.000 €"], ["a\ufffd", "b", "c"])
    assert extraction.notes == [("lost", "1")]


def test_ragged_rows_keep_their_cells_and_empty_ones_are_left_out():
    assert text_of("a,b\n1\n\n,\n1,2,3\n") == "| a | b |  |\n| --- | --- | --- |\n| 1 |\n| 1 | 2 | 3 |"


def test_a_long_table_is_parted_every_forty_rows_and_headed_once():
    text = text_of("n,x\n" + "".join(f"{at},y\n" for at in range(100_000)))
    parts = text.split("\n\n")
    assert [part.split("\n")[0] for part in parts[:3]] == ["| n | x |", "| 39 | y |", "| 79 | y |"]
    assert len(parts) == 2501
    assert parts[-1] == "| 99999 | y |"


@pytest.mark.parametrize("data", ['a,b\n"x,1\n2,3\n', 'a,b\n"' + "x,1\n" * 50_000])
def test_a_quote_that_is_never_closed_takes_no_rows(data):
    assert text_of(data).split("\n")[2] == '| "x | 1 |'


def test_a_cell_may_be_long():
    assert text_of(f"a,b\n{'x' * 300_000},y\n") == rows(["a", "b"], ["x" * 300_000, "y"])


def test_tag_characters_are_told():
    assert read("a,b\U000e0041\n".encode(), "a.csv")[1].notes == [("tags", "1")]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("," * 3_000_000, Reason.EMPTY),
        ('"' + "x\n" * 500_000, Reason.TOO_LONG),
        ("x,y\n" * 500_000, Reason.TOO_LONG),
        (b"a,b\n\0,1\n", Reason.NOT_TEXT),
    ],
    ids=["only commas", "one quote", "too many rows", "no text"],
)
def test_a_hostile_table_gets_its_reason(data, reason):
    with pytest.raises(Unreadable) as caught:
        text_of(data)
    assert caught.value.reason == reason
