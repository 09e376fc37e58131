"""Word files through the real child: what is read of them, in which order, and how hostile ones end."""

import io
import random
import zipfile
import zlib

import docx
import pytest

from extraction import Reason, Unreadable
from tests.office_files import RELATED, STRICT, bomb, packed, paragraph, read, run, table, with_listed, word

LAUGHS = "".join(f"<!ENTITY l{at} '{f'&l{at - 1};' * 10}'>" for at in range(1, 10))
BILLION = f"<!DOCTYPE d [<!ENTITY l0 'lol'>{LAUGHS}]>"
NUMBERS = """
<w:abstractNum w:abstractNumId="0">
  <w:lvl w:ilvl="0"><w:start w:val="1"/><w:numFmt w:val="decimal"/><w:lvlText w:val="§ %1"/></w:lvl>
  <w:lvl w:ilvl="1"><w:start w:val="1"/><w:numFmt w:val="decimal"/><w:lvlText w:val="%1.%2"/></w:lvl>
  <w:lvl w:ilvl="2"><w:start w:val="1"/><w:numFmt w:val="lowerLetter"/><w:lvlText w:val="(%3)"/></w:lvl>
</w:abstractNum>
<w:abstractNum w:abstractNumId="1">
  <w:lvl w:ilvl="0"><w:numFmt w:val="bullet"/><w:lvlText w:val=""/></w:lvl>
  <w:lvl w:ilvl="1"><w:numFmt w:val="bullet"/><w:lvlText w:val="o"/></w:lvl>
</w:abstractNum>
<w:abstractNum w:abstractNumId="2">
  <w:lvl w:ilvl="0"><w:start w:val="1"/><w:numFmt w:val="upperRoman"/><w:lvlText w:val="%1."/></w:lvl>
</w:abstractNum>
<w:num w:numId="1"><w:abstractNumId w:val="0"/></w:num>
<w:num w:numId="2"><w:abstractNumId w:val="1"/></w:num>
<w:num w:numId="3"><w:abstractNumId w:val="2"/></w:num>
<w:num w:numId="4"><w:abstractNumId w:val="2"/>
  <w:lvlOverride w:ilvl="0"><w:startOverride w:val="4"/></w:lvlOverride></w:num>
"""


def numbered(text, number, level=0):
    return paragraph(text, f'<w:numPr><w:ilvl w:val="{level}"/><w:numId w:val="{number}"/></w:numPr>')


def text_of(body, parts=None, **changes):
    return read(word(body, parts, **changes), "a.docx")[0]


def notes_of(body, parts=None):
    return read(word(body, parts), "a.docx")[1].notes


def picture():
    def chunk(kind, data):
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    head = chunk(b"IHDR", bytes([0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0, 0]))
    return io.BytesIO(
        b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND", b"")
    )


def test_a_document_is_read_in_the_order_in_which_it_is_shown():
    document = docx.Document()
    document.core_properties.title = "Terms of the loan"
    document.sections[0].header.paragraphs[0].text = "Draft 3"
    document.sections[0].footer.paragraphs[0].text = "Confidential"
    document.sections[0].footer.add_paragraph("- 7 -")
    document.add_heading("Loan", 0)
    document.add_heading("Interest", 2)
    said = document.add_paragraph("The rate is 3 % on 10")
    said.add_run("2").font.superscript = True
    said.add_run(" m")
    for item in ("monthly", "in arrears"):
        document.add_paragraph(item, style="List Bullet")
    for item in ("Sign.", "Pay."):
        document.add_paragraph(item, style="List Number")
    rates = document.add_table(2, 3)
    for cell, text in zip(rates._cells, ["Year", "Rate|", "Note", "2027", "", "two\nlines"], strict=True):
        cell.text = text
    rates.cell(1, 0).merge(rates.cell(1, 1))
    document.add_paragraph("After the table.")
    document.add_picture(picture())
    document.add_comment(said.runs, "Is that so?", "Reader")
    held = io.BytesIO()
    document.save(held)

    text, extraction = read(held.getvalue(), "loan.docx")
    assert text.split("\n\n") == [
        "Draft 3",
        "# Loan",
        "## Interest",
        "The rate is 3 % on 10² m",
        "- monthly\n- in arrears",
        "1. Sign.",
        "2. Pay.",
        "| Year | Rate\\| | Note |\n| --- | --- | --- |\n| 2027 |  | two lines |",
        "After the table.",
        "Confidential",
    ]
    assert (extraction.format, extraction.title, extraction.pages) == ("docx", "Terms of the loan", None)
    assert extraction.notes == [("images", "1"), ("comments", "1")]


def test_a_heading_is_known_by_its_style_whatever_that_is_called_and_by_its_outline():
    styles = """
    <w:style w:styleId="berschrift2"><w:name w:val="heading 2"/></w:style>
    <w:style w:styleId="Own"><w:name w:val="Klausel"/><w:basedOn w:val="berschrift2"/></w:style>
    <w:style w:styleId="Loop"><w:name w:val="Loop"/><w:basedOn w:val="Loop"/></w:style>
    <w:style w:styleId="Outlined"><w:name w:val="x"/><w:pPr><w:outlineLvl w:val="0"/></w:pPr></w:style>
    """
    body = (
        paragraph("derived", '<w:pStyle w:val="Own"/>')
        + paragraph("outlined", '<w:pStyle w:val="Outlined"/>')
        + paragraph("deep", '<w:outlineLvl w:val="8"/>')
        + paragraph("text again", '<w:pStyle w:val="Own"/><w:outlineLvl w:val="9"/>')
        + paragraph("loop", '<w:pStyle w:val="Loop"/>')
    )
    assert (
        text_of(body, {"styles": styles}) == "## derived\n\n# outlined\n\n###### deep\n\ntext again\n\nloop"
    )


def test_numbers_that_stand_nowhere_in_the_text_are_read():
    styles = """<w:style w:styleId="Clause"><w:name w:val="Clause"/>
    <w:pPr><w:numPr><w:ilvl w:val="1"/><w:numId w:val="1"/></w:numPr></w:pPr></w:style>"""
    body = (
        paragraph(
            "Scope", '<w:outlineLvl w:val="0"/><w:numPr><w:ilvl w:val="0"/><w:numId w:val="1"/></w:numPr>'
        )
        + paragraph("by its style", '<w:pStyle w:val="Clause"/>')
        + numbered("letters", 1, 2)
        + numbered("go on", 1, 2)
        + paragraph("counts on", '<w:pStyle w:val="Clause"/>')
        + numbered("next", 1)
        + numbered("begins again", 1, 1)
        + numbered("roman", 3)
        + numbered("starts at four", 4)
        + numbered("no list", 0)
    )
    assert text_of(body, {"numbering": NUMBERS, "styles": styles}).split("\n\n") == [
        *("# § 1 Scope", "1.1 by its style", "(a) letters", "(b) go on", "1.2 counts on", "§ 2 next"),
        *("2.1 begins again", "I. roman", "IV. starts at four", "no list"),
    ]


def test_short_items_of_a_list_share_a_paragraph_and_long_ones_do_not():
    body = (
        numbered("a", 2)
        + numbered("b", 2, 1)
        + numbered("c", 2)
        + numbered("x" * 600, 2)
        + paragraph("text")
        + numbered("d", 2)
    )
    long = "x" * 600
    assert text_of(body, {"numbering": NUMBERS}) == f"- a\n  - b\n- c\n\n- {long}\n\ntext\n\n- d"


def test_tables_keep_their_columns_whatever_is_merged():
    cells = [paragraph(letter) for letter in "abcdef"]
    down, on = '<w:vMerge w:val="restart"/>', "<w:vMerge/>"
    body = table(
        [(cells[0], '<w:gridSpan w:val="2"/>'), cells[1]],
        [(cells[2], down), cells[3], cells[4]],
        [(paragraph("not shown"), on), cells[5], paragraph("")],
    )
    assert text_of(body) == "| a |  | b |\n| --- | --- | --- |\n| c | d | e |\n|  | f |  |"


def test_a_table_in_a_table_is_read_where_it_stands():
    inner = table([paragraph("1"), paragraph("2")])
    body = table(
        [paragraph("left"), paragraph("right")],
        [paragraph("before") + inner + paragraph("behind"), paragraph("end")],
    )
    assert text_of(body) == "left\n\nright\n\nbefore\n\n| 1 | 2 |\n| --- | --- |\n\nbehind\n\nend"


def test_a_long_table_is_parted_every_forty_rows_and_headed_once():
    rows = [[paragraph(f"r{row}"), paragraph("x")] for row in range(100)]
    first, second, third = text_of(table(*rows)).split("\n\n")
    assert [len(part.split("\n")) for part in (first, second, third)] == [41, 40, 20]
    assert first.startswith("| r0 | x |\n| --- | --- |\n| r1 | x |")
    assert second.startswith("| r40 | x |\n| r41 | x |")


def test_notes_follow_the_paragraph_that_refers_to_them():
    footnotes = f'<w:footnote w:id="7">{paragraph("Small print.")}{paragraph("And more.")}</w:footnote>'
    endnotes = f'<w:endnote w:id="2">{paragraph("At last.")}</w:endnote>'
    foot = '<w:r><w:rPr><w:vertAlign w:val="superscript"/></w:rPr><w:footnoteReference w:id="7"/></w:r>'
    end = '<w:r><w:endnoteReference w:id="2"/></w:r>'
    body = f"<w:p>{run('Said')}{foot}{run(' so.')}{end}</w:p>" + table(
        [f"<w:p>{run('cell')}{foot}</w:p>", paragraph("b")]
    )
    assert text_of(body + paragraph("End."), {"footnotes": footnotes, "endnotes": endnotes}).split(
        "\n\n"
    ) == [
        "Said[^1] so.[^i]",
        "[^1]: Small print. And more.",
        "[^i]: At last.",
        "| cell[^2] | b |\n| --- | --- |",
        "[^2]: Small print. And more.",
        "End.",
    ]


def test_tracked_changes_are_read_as_accepted_and_counted():
    body = (
        f"<w:p>{run('It costs ')}<w:del><w:r><w:delText>10</w:delText></w:r></w:del>"
        f"<w:ins>{run('20')}</w:ins>{run(' EUR.')}<w:moveFrom>{run(' moved')}</w:moveFrom></w:p>"
        f"<w:tbl><w:tr><w:trPr><w:del/></w:trPr><w:tc>{paragraph('gone')}</w:tc></w:tr></w:tbl>"
    )
    text, extraction = read(word(body), "a.docx")
    assert text == "It costs 20 EUR."
    assert extraction.notes == [("changes", "3")]


def test_a_paragraph_that_was_deleted_or_is_hidden_counts_for_no_number():
    listed, hidden = '<w:numPr><w:ilvl w:val="0"/><w:numId w:val="1"/></w:numPr>', "<w:vanish/>"
    gone = "<w:del><w:r><w:delText>Gone</w:delText></w:r></w:del>"
    styles = '<w:style w:styleId="Unseen"><w:name w:val="Unseen"/><w:rPr><w:vanish/></w:rPr></w:style>'
    body = (
        numbered("Scope", 1)
        + f"<w:p><w:pPr>{listed}<w:rPr><w:del/></w:rPr></w:pPr>{gone}</w:p>"
        + f"<w:p><w:pPr>{listed}<w:rPr>{hidden}</w:rPr></w:pPr>{run('secret', hidden)}</w:p>"
        + paragraph("unseen", f'<w:pStyle w:val="Unseen"/>{listed}')
        + numbered("Payment (see § 2)", 1)
        + f"<w:p><w:pPr>{listed}</w:pPr>{gone}</w:p>"
        + numbered("Law", 1)
    )
    text, extraction = read(word(body, {"numbering": NUMBERS, "styles": styles}), "a.docx")
    assert text == "§ 1 Scope\n\n§ 2 Payment (see § 2)\n\n§ 4 Law"
    assert extraction.notes == [("changes", "2"), ("hidden", "12")]


def test_what_a_deleted_mark_has_parted_is_one_paragraph():
    mark = "<w:rPr><w:del/></w:rPr>"
    body = paragraph("It is paid", mark) + numbered(" in full,", 3) + paragraph("at once", mark)
    note = f'<w:footnote w:id="7">{paragraph("Small print.")}</w:footnote>'
    end = f"<w:p><w:pPr>{mark}</w:pPr>{run('End')}<w:r><w:footnoteReference w:id='7'/></w:r></w:p>"
    body += table([paragraph("a"), paragraph("b")]) + table([paragraph("c"), "<w:p/>"]) + end
    text, extraction = read(word(body, {"numbering": NUMBERS, "footnotes": note}), "a.docx")
    assert text.split("\n\n") == [
        *("I. It is paid in full,", "at once", "| a | b |\n| --- | --- |", "c"),
        *("End[^1]", "[^1]: Small print."),
    ]
    assert extraction.notes == [("changes", "3")]


def test_what_wraps_a_text_does_not_hide_it():
    box = f"<w:txbxContent>{paragraph('in a box')}</w:txbxContent>"
    body = (
        f"<w:sdt><w:sdtPr><w:alias/></w:sdtPr><w:sdtContent>{paragraph('controlled')}"
        f"{table([paragraph('a'), paragraph('b')])}</w:sdtContent></w:sdt>"
        f"<w:p><w:hyperlink>{run('a link')}</w:hyperlink>"
        f"<w:sdt><w:sdtContent>{run(' inline')}</w:sdtContent></w:sdt>"
        f"<w:smartTag>{run(' tagged')}</w:smartTag><w:fldSimple>{run(' field')}</w:fldSimple>"
        "<m:oMath><m:r><m:t>x+y</m:t></m:r></m:oMath></w:p>"
        f"<w:p>{run('anchor')}<w:r><mc:AlternateContent><mc:Choice><w:drawing><wps:txbx>{box}</wps:txbx></w:drawing>"
        f"</mc:Choice><mc:Fallback><w:pict><v:textbox>{box}</v:textbox></w:pict></mc:Fallback></mc:AlternateContent>"
        "</w:r></w:p><w:tbl><w:sdt><w:sdtContent><w:tr><w:sdt><w:sdtContent>"
        f"<w:tc>{paragraph('c')}</w:tc></w:sdtContent></w:sdt><w:tc>{paragraph('d')}</w:tc></w:tr></w:sdtContent></w:sdt></w:tbl>"
    )
    assert text_of(body).split("\n\n") == [
        *("controlled", "| a | b |\n| --- | --- |", "a link inline tagged fieldx+y", "anchor", "in a box"),
        "| c | d |\n| --- | --- |",
    ]


def test_formulas_are_read_by_their_letters_and_counted():
    letter = "<m:r><m:t>{}</m:t></m:r>"
    two = f"<m:sup>{letter.format(2)}</m:sup>"
    power = f"<m:oMath><m:sSup><m:e>{letter}</m:e>{two}</m:sSup></m:oMath>"
    alone = f"<w:p><m:oMathPara><m:oMathParaPr/>{power.format('b')}{power.format('c')}</m:oMathPara></w:p>"
    text, extraction = read(word(f"<w:p>{run('It is ')}{power.format('a')}{run('.')}</w:p>{alone}"), "a.docx")
    assert text == "It is a2.\n\nb2c2"
    assert extraction.notes == [("formulas", "3")]


def test_fields_show_their_result_and_ticked_boxes_are_seen():
    def field(code, shown):
        mark = '<w:r><w:fldChar w:fldCharType="{}"/></w:r>'.format
        return f"{mark('begin')}{code}{mark('separate')}{shown}{mark('end')}"

    inner = field("<w:r><w:instrText>MERGEFIELD x</w:instrText></w:r>", run("not shown"))
    box = "<w:ffData><w:checkBox><w:checked/></w:checkBox></w:ffData>"
    ticked = f'<w:r><w:fldChar w:fldCharType="begin">{box}</w:fldChar></w:r>'
    body = (
        f"<w:p>{field(inner, run('the result'))}{run(' and on')}</w:p>"
        f'<w:p>{ticked}<w:r><w:fldChar w:fldCharType="end"/></w:r>{run(" agreed")}</w:p>'
        f'<w:p><w:r><w:sym w:font="Wingdings" w:char="F0A8"/></w:r>{run(" refused")}</w:p>'
        f"<w:p>{run('one')}<w:r><w:tab/><w:t>two</w:t><w:br/><w:t>three</w:t></w:r>"
        f"{run('old', '<w:strike/>')}{run('er', '<w:dstrike/>')}</w:p>"
    )
    assert text_of(body) == "the result and on\n\n☒ agreed\n\n☐ refused\n\none\ttwo\nthree~~old~~~~er~~"


@pytest.mark.parametrize(("result", "shown"), [('<w:result w:val="1"/>', "Closed"), ("", "Open")])
def test_what_was_chosen_from_a_list_is_read(result, shown):
    entries = '<w:listEntry w:val="Open"/><w:listEntry w:val="Closed"/>'
    box = f"<w:ffData><w:ddList>{result}{entries}</w:ddList></w:ffData>"
    chosen = f'<w:r><w:fldChar w:fldCharType="begin">{box}</w:fldChar></w:r>'
    body = f'<w:p>{run("Status: ")}{chosen}<w:r><w:fldChar w:fldCharType="end"/></w:r>{run(".")}</w:p>'
    assert text_of(body) == f"Status: {shown}."


def test_letters_of_fonts_that_are_pictures_say_what_they_show_or_are_counted():
    sign = '<w:r><w:sym w:font="{}" w:char="{}"/></w:r>'.format
    alpha, times = "\uf061", "\uf0b4"
    greek = '<w:rFonts w:ascii="Symbol" w:hAnsi="Symbol"/>'
    body = (
        f"<w:p>{sign('Symbol', 'F0B3')}{run(' 5 ')}{sign('Symbol', 'F06D')}{run(' at 3 ')}"
        f"{run(alpha + times, greek)}{sign('Wingdings', 'F0E0')}</w:p>"
        f"<w:p>{sign('Webdings', 'F061')}{run(alpha)}{sign('Symbol', 'F0E6')}</w:p>"
    )
    text, extraction = read(word(body), "a.docx")
    assert text == "≥ 5 µ at 3 α×→\n\n•••"
    assert extraction.notes == [("signs", "3")]


def test_hidden_text_is_left_out_and_said():
    styles = '<w:style w:styleId="Ghost"><w:name w:val="g"/><w:rPr><w:vanish/></w:rPr></w:style>'
    ghost = '<w:rStyle w:val="Ghost"/>'
    hidden = run("ignore all", "<w:vanish/>") + run("and this", ghost)
    shown = run(" too", ghost + '<w:vanish w:val="0"/>')
    body = f"<w:p>{run('seen')}{hidden}{shown}</w:p>" + paragraph("nor this", '<w:pStyle w:val="Ghost"/>')
    text, extraction = read(word(body, {"styles": styles}), "a.docx")
    assert text == "seen too"
    assert extraction.notes == [("hidden", "26")]


def test_the_strict_format_is_read_too():
    assert text_of(paragraph("Strictly.", '<w:outlineLvl w:val="1"/>'), namespace=STRICT) == "## Strictly."


def test_a_document_with_macros_or_a_lost_part_is_read():
    relations = (
        f'<Relationships xmlns="{RELATED}"><Relationship Id="r1" Type="x/image" Target="NULL"/>'
        '<Relationship Id="r2" Type="x/styles" Target="../a"/><Relationship Id="r3" Type="x/footer" '
        'Target="http://127.0.0.1/f" TargetMode="External"/></Relationships>'
    )
    files = {"word/_rels/document.xml.rels": relations, "word/vbaProject.bin": b"\xd0\xcf"}
    assert text_of(paragraph("Read."), files=files) == "Read."


def test_what_is_embedded_is_counted_and_not_read():
    shown = '<v:shape><v:imagedata/></v:shape><o:OLEObject xmlns:o="urn:o" Type="Embed"/>'
    sheet = f"<w:p><w:r><w:object>{shown}</w:object></w:r></w:p>"
    assert notes_of(paragraph("a") + "<w:altChunk/>" + sheet) == [("embedded", "2")]


def test_tag_characters_are_told():
    _, extraction = read(word(paragraph("a\U000e0041\U000e0042b")), "a.docx")
    assert extraction.notes == [("tags", "2")]


def test_right_to_left_text_keeps_its_order_and_its_marks():
    first, second = "שלום ", "\u202bעולם\u202c"
    body = run(first, "<w:rtl/>") + run(second, "<w:rtl/>")
    assert text_of(f"<w:p>{body}</w:p>") == first + second


def test_a_secret_file_is_never_read(tmp_path):
    canary = tmp_path / "canary"
    canary.write_text("canary-7261")
    entities = f"<!ENTITY x SYSTEM '{canary.as_uri()}'><!ENTITY % y SYSTEM '{canary.as_uri()}'>%y;"
    with pytest.raises(Unreadable) as caught:
        text_of(paragraph("&x;"), head=f"<!DOCTYPE d [{entities}]>")
    assert caught.value.reason == Reason.DAMAGED
    related = {"header": f"{paragraph('head')}"}
    files = {"word/header.xml": f"<!DOCTYPE d [{entities}]><d>&x;</d>"}
    with pytest.raises(Unreadable):
        text_of(paragraph("body"), related, files=files)
    # A part is a name in the package, wherever it points.
    relations = (
        f'<Relationships xmlns="{RELATED}">'
        f'<Relationship Id="r1" Type="x/header" Target="{canary.as_uri()}"/>'
        f'<Relationship Id="r2" Type="x/footer" Target="/../..{canary}"/></Relationships>'
    )
    assert text_of(paragraph("body"), files={"word/_rels/document.xml.rels": relations}) == "body"


HI = paragraph("hi")
DEEP = "<w:sdt>" * 3000 + HI + "</w:sdt>" * 3000
HOSTILE = {
    "entities that multiply": (lambda: word(paragraph("&l9;"), head=BILLION), Reason.TOO_MUCH_WORK),
    "a definition kept elsewhere": (
        lambda: word(HI, head="<!DOCTYPE d SYSTEM 'http://127.0.0.1:1/d'>"),
        Reason.DAMAGED,
    ),
    "a text of 60 MB": (
        lambda: mostly_noise(paragraph("x" * 60_000_000)),
        Reason.TOO_MUCH_WORK,
    ),
    "a text of 9 MB": (lambda: word(paragraph("x" * 9_000_000)), Reason.TOO_LONG),
    "a depth of 3000": (lambda: word(DEEP), Reason.TOO_MUCH_WORK),
    "a million empty paragraphs": (lambda: word("<w:p/>" * 1_000_000), Reason.EMPTY),
    "a bomb beside the text": (lambda: word(HI, files={"b": bytes(99_000_000)}), Reason.TOO_LARGE),
    "2001 entries": (lambda: word(HI, files=dict.fromkeys(map(str, range(2000)), "")), Reason.TOO_LARGE),
    "a size that lies": (lambda: bomb("word/document.xml", 1000, listed=1000), Reason.DAMAGED),
    "a size over all limits": (lambda: with_listed(packed_last(10), 24, "<I", 101_000_000), Reason.TOO_LARGE),
    "entries that overlap": (
        lambda: with_listed(word(HI, files={"b": "x"}), 42, "<I", 0),
        Reason.DAMAGED,
    ),
    "an entry with a password": (lambda: with_listed(packed_last(10), 8, "<H", 1), Reason.PASSWORD),
    "a packing that is not Word's": (
        lambda: packed({"word/document.xml": "x"}, zipfile.ZIP_LZMA),
        Reason.DAMAGED,
    ),
    "no XML": (lambda: packed({"word/document.xml": "hello"}), Reason.DAMAGED),
    "no body": (lambda: packed({"word/document.xml": "<d/>"}), Reason.DAMAGED),
    "cut off in its text": (lambda: word(HI)[:60], Reason.DAMAGED),
    "cut off in its list": (lambda: word(HI)[:-30], Reason.DAMAGED),
    "cut off in its end": (lambda: word(HI)[:-12], Reason.DAMAGED),
    "a broken list of parts": (lambda: word(HI, files={"_rels/.rels": "<"}), Reason.DAMAGED),
    "only a picture": (lambda: word("<w:p><w:r><w:drawing><a:pic/></w:drawing></w:r></w:p>"), Reason.EMPTY),
}


def packed_last(size):
    """A Word file whose text is the last entry, and is that long."""
    return packed({"first": "x", "word/document.xml": f"<d>{'x' * size}</d>"})


def mostly_noise(body):
    """A Word file that is large enough for its text not to stand out."""
    return word(body, files={"word/media/noise": random.Random(1).randbytes(900_000)})


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_gets_its_reason(name):
    make, reason = HOSTILE[name]
    data = make()
    with pytest.raises(Unreadable) as caught:
        read(data, "a.docx")
    assert caught.value.reason == reason


def test_a_zip_in_the_zip_stays_packed():
    inner = word("<w:p/>" * 8_000_000)
    assert text_of(paragraph("Read."), files={"word/embeddings/a.zip": inner}) == "Read."


def test_a_document_that_an_office_program_locked_says_so():
    locked = (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504) + "EncryptedPackage".encode("utf-16-le") + bytes(500)
    )
    with pytest.raises(Unreadable) as caught:
        read(locked, "a.docx")
    assert caught.value.reason == Reason.PASSWORD


def test_a_long_document_is_told_in_pieces_of_whole_paragraphs():
    body = "".join(paragraph(f"{at} " + "word " * 30) for at in range(2000))
    text, extraction = read(word(body), "a.docx")
    assert [part.split()[0] for part in text.split("\n\n")] == [str(at) for at in range(2000)]
    assert extraction.notes == []
