"""HTML through the real child: what a page shows, in which order, and how hostile pages end."""

import pytest

from extraction import Reason, Unreadable
from tests.office_files import hurry, read


def page(body, head=""):
    return f"<!doctype html><html><head>{head}</head><body>{body}</body></html>".encode()


def text_of(body, head=""):
    return read(page(body, head), "a.html")[0]


def notes_of(body):
    return dict(read(page(body), "a.html")[1].notes)


def test_a_page_is_read_in_the_order_in_which_it_is_shown():
    body = """
      <h1>The <em>loan</em></h1> <p>One
      line &amp; another.<br>New line, 10<sup>2</sup> of H<sub>2</sub>O.</p>
      <ul><li>a<li>b<ul><li>c</ul></li></ul>
      <ol start="3" type="a"><li>three<li><p>four</p><p>still four</p></ol>
      <table><caption>Rates</caption><thead><tr><th>Year<th>Rate|</thead>
        <tr><td rowspan="2">2027<td>3<br>%<tr><td>4 %</table>
      <blockquote><p>Quoted</p><blockquote>deeper<br>twice</blockquote></blockquote>
      <dl><dt>Term<dd>What it means</dl>
      <pre>  if x:
        y</pre><p>was <del>ten</del> twenty</p><hr>The end.<script>alert(1)</script><style>p{}</style>
    """
    text, extraction = read(page(body, "<title> The\n loan </title>"), "a.html")
    assert text.split("\n\n") == [
        "# The loan",
        "One line & another.\nNew line, 10² of H₂O.",
        "- a\n- b\n  - c",
        *("c. three", "d. four", "still four"),
        "Rates",
        "| Year | Rate\\| |\n| --- | --- |\n| 2027 | 3 % |\n|  | 4 % |",
        *("> Quoted", "> > deeper\n> > twice"),
        "Term\n  What it means",
        "  if x:\n        y",
        *("was ~~ten~~ twenty", "The end."),
    ]
    assert (extraction.format, extraction.title, extraction.notes) == ("html", "The loan", [])


@pytest.mark.parametrize(
    "declaration",
    [
        '<?xml version="1.0"?>\n<html>',
        '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN">\n<html>',
        '<!-- saved --><html lang="en" xmlns="http://www.w3.org/1999/xhtml">',
    ],
)
def test_what_xhtml_closes_at_once_takes_nothing_that_follows(declaration):
    data = f"""{declaration}<head><title/><script src="a/b>.js" /><style type='text/css'/></head><body>
        <p>one<br/>two</p><a id="x"/><textarea/><iframe src="x"/><p/><![CDATA[1 < 2 <b/>]]>
        <!-- <i/> --><script>write("<script/>")</script><p>three</p></body></html>"""
    text, extraction = read(data.encode(), "a.html")
    assert text.split("\n\n") == ["one\ntwo", "1 < 2 <b/>", "three"]
    assert extraction.title == ""


@pytest.mark.parametrize("piece", ["<!--", "<![CDATA[", "<script>", "<script ", "<a '\""])
def test_xhtml_that_is_left_open_takes_no_longer(piece):
    data = f"<?xml version='1.0'?><html><p>x</p>{piece * (1_500_000 // len(piece))}"
    assert read(data.encode(), "a.html")[0].startswith("x")


def test_hidden_text_is_left_out_and_said():
    body = (
        "<p>seen<span hidden>aaa</span><span style='color:red; DISPLAY : none'>bbb</span>"
        "<span style='visibility:hidden'>ccc<b>d</b></span><span style='font-size:0px'>e</span>"
        "<span style='font-size:0.9em;opacity:0.5'> also</span></p><dialog>ff</dialog><template>x</template>"
    )
    text, extraction = read(page(body), "a.html")
    assert text == "seen also"
    assert extraction.notes == [("hidden", "13")]


def test_what_a_browser_shows_only_without_scripts_is_said():
    assert text_of("<p>a<noscript>b <b>c</b></noscript>") == "a"
    assert notes_of("<p>a<noscript>b <b>c</b></noscript>") == {"hidden": "2"}


def test_the_words_of_a_drawing_are_read():
    drawing = (
        "<svg><title>no</title><defs><style>no</style></defs><text>Fire</text>"
        "<text>One <tspan>line</tspan><tspan x=1>Two</tspan></text>"
        "<foreignObject><p>Box</p></foreignObject></svg>"
    )
    assert text_of(f"<p>a<svg><path/></svg> b</p>{drawing}<p>c</p>").split("\n\n") == [
        *("a b", "Fire\n  One line\nTwo\n  Box", "c")
    ]


def test_formulas_and_files_within_a_page_are_counted():
    formula = "<math><mfrac><mn>1</mn><mn>2</mn></mfrac><annotation>x</annotation></math>"
    frames = "<iframe srcdoc='<p>no'></iframe><iframe hidden src=a></iframe><iframe></iframe><embed src=a>"
    assert text_of(f"<p>{formula} m</p>{frames}") == "12 m"
    assert notes_of(f"<p>{formula} m</p>{frames}") == {"formulas": "1", "embedded": "2"}


def test_what_is_entered_in_a_form_is_read():
    body = (
        "<p>Name <input value='Ann Lee'><p>Born:<input type=DATE value=2001-02-03><input type=hidden value=x>"
        "<p><input type=checkbox checked>Yes <input type=radio>No<input type=submit value=Send>"
    )
    assert text_of(body).split("\n\n") == ["Name Ann Lee", "Born: 2001-02-03", "☒ Yes ☐ No"]


def test_a_list_that_counts_down_is_numbered_so():
    assert text_of("<ol reversed><li>a<li>b<ol><li>c</ol></ol>").split("\n\n") == ["2. a", "1. b", "1. c"]
    assert text_of("<ol reversed start=9><li>a<li>b</ol>").split("\n\n") == ["9. a", "8. b"]


def test_the_main_part_of_a_page_is_read_and_the_rest_counted():
    around = "<header>Shop now</header><nav>Home</nav>{}<footer>Imprint</footer>"
    for main in ("<main>Text</main>", "<div role=main>Text</div>", "<article>Text</article>"):
        assert text_of(around.format(main)) == "Text"
        assert notes_of(around.format(main)) == {"outside": "18"}


def test_a_page_without_one_main_part_is_read_whole_but_for_its_menus():
    body = "<nav>Home</nav><article>One</article><article>Two</article><main hidden>No</main>"
    assert text_of(body) == "One\n\nTwo"
    assert notes_of(body) == {"outside": "4", "hidden": "2"}


def test_an_empty_main_part_does_not_hide_the_page():
    assert text_of("<main><img></main><p>Text</p>") == "Text"


@pytest.mark.parametrize("main", ["<td role=main>", "<ul role=main>", "<span role=main>", "<h2 role=main>"])
def test_a_main_part_may_be_any_element(main):
    assert text_of(f"out<table><tr><td><table><tr>{main}inner</table></table>").strip("- #") == "inner"


def test_a_table_that_arranges_a_page_is_read_as_text():
    body = (
        "<table><tr><td><h2>Left</h2>a<td>b</table><table role=presentation><tr><td>c<td>d</table>"
        "<table><tr><td>e<table><tr><td>1<td>2</table>f<td>g</table><table><tr><td>h<tr><td>i</table>"
        f"<table><tr><td>{'x' * 1001}<td>y</table>"
    )
    assert text_of(body).split("\n\n") == [
        *("## Left", "a", "b", "c", "d", "e", "| 1 | 2 |\n| --- | --- |", "f", "g", "h", "i", "x" * 1001, "y")
    ]


@pytest.mark.parametrize(
    ("risk", "fire", "flood"),
    [
        ("<h3>Risk</h3>", "Fire", "Flood"),
        ("Risk", "<h3>Fire</h3>", "<h3>Flood</h3>"),
        ("<p>Risk", "Fire", f"<p>Flood<p>{'x' * 1001}"),
    ],
    ids=["headed columns", "headed rows", "long"],
)
def test_a_table_of_data_keeps_its_rows_whatever_is_in_its_cells(risk, fire, flood):
    body = (
        f"<table><tr><th>{risk}<th>Level<th>Owner<tr><td>{fire}<td><td>Ann<tr><td>{flood}<td>Bob<td></table>"
    )
    text, extraction = read(page(body), "a.html")
    first, _, *rows = text.replace(f" {'x' * 1001}", "").split("\n")
    assert [first, *rows] == ["| Risk | Level | Owner |", "| Fire |  | Ann |", "| Flood | Bob |  |"]
    assert extraction.notes == []


@pytest.mark.parametrize(
    "cell", ["<table><tr><td>x</table>", "<h3>x</h3>y", "<h3>x</h3>", "x" * 1001], ids=lambda cell: cell[:9]
)
def test_a_table_that_loses_its_rows_is_said(cell):
    body = f"<table role={{}}><tr><th>Risk<th>Level<tr><td>Fire<td>low {cell}</table>"
    assert text_of(body).startswith("Risk\n\nLevel\n\nFire\n\n")
    assert notes_of(body.format("table")) == {"tables": "1"}
    assert notes_of(body.format("none")) == {}


@pytest.mark.parametrize(
    ("head", "encoding"),
    [
        ("", "utf-8"),
        ("", "utf-8-sig"),
        ("", "utf-16"),
        ("", "cp1252"),
        ("<meta charset=iso-8859-1>", "cp1252"),
        ("<meta charset=windows-1252>", "utf-8"),
        ("<meta charset=utf-8>", "cp1252"),
        ("<meta http-equiv=content-type content='text/html; charset=cp1250'>", "cp1250"),
        ("<meta charset=punycode>", "cp1252"),
        ("<meta charset=zlib>", "cp1252"),
        ("<meta charset=nonsense>", "utf-8"),
        ("<meta charset=utf-16>", "utf-8"),
        ("<meta charset=x-cp1250>", "cp1250"),
    ],
)
def test_an_encoding_is_found_also_where_the_page_is_wrong_about_it(head, encoding):
    data = f"<!doctype html>{head}<p>Fünf „Äpfel“ – 5 €</p>".encode(encoding)
    assert read(data, "a.html")[0] == "Fünf „Äpfel“ – 5 €"


def test_japanese_is_read_in_its_own_encodings():
    for encoding in ("shift_jis", "euc_jp", "iso-2022-jp"):
        data = f"<!doctype html><meta charset={encoding}><p>契約書の条項</p>".encode(encoding)
        assert read(data, "a.html")[0] == "契約書の条項"


@pytest.mark.parametrize(
    ("said", "written", "text"),
    [
        ("gb2312", "gbk", "朱镕基"),
        ("gb2312", "utf-8", "中文合同条款"),
        ("shift_jis", "cp932", "①㈱髙島屋"),
        ("iso-2022-jp", "cp50221", "①㈱髙島屋 ｱ. A"),
        ("euc-kr", "cp949", "똠방각하"),
        ("big5", "cp950", "裏碁"),
        ("iso-8859-9", "cp1254", "“İğ”"),
    ],
)
def test_an_encoding_is_what_programs_mean_that_name_it(said, written, text):
    jis = b"\x1b$B-!-j|bEg20\x1b(B \x1b(I1\x1b(B. A"
    data = jis if written == "cp50221" else text.encode(written)
    shown, extraction = read(f"<!doctype html><meta charset={said}><p>".encode() + data, "a.html")
    assert (shown, extraction.notes) == (text, [])


def test_the_encoding_of_an_xml_declaration_is_heeded():
    data = "<?xml version='1.0' encoding='windows-1251'?><html><body><p>договор</p></body></html>"
    text, extraction = read(data.encode("cp1251"), "a.xhtml")
    assert (text, extraction.notes) == ("договор", [])


def test_what_is_guessed_and_what_is_lost_is_said():
    text, extraction = read("<!doctype html><p>Größe – 5 €".encode("cp1252"), "a.html")
    assert (text, extraction.notes) == ("Größe – 5 €", [("guessed", "4")])
    text, extraction = read("<!doctype html><p>Müller schuldet 5.000 €".encode() + b"\xff.", "a.html")
    assert (text, extraction.notes) == ("Müller schuldet 5.000 €\ufffd.", [("lost", "1")])
    data = b"<!doctype html><meta charset=shift_jis><p>" + "契約書".encode("cp932") + b"\x81."
    text, extraction = read(data, "a.html")
    assert (text, extraction.notes) == ("契約書\ufffd.", [("lost", "1")])


def test_a_headings_link_to_itself_is_no_word_of_it():
    body = '<h2>Scope<a class="headerlink" href="#scope">¶</a></h2><p>See <a href="#scope">Scope</a>, ¶ 2</p>'
    assert text_of(body) == "## Scope\n\nSee Scope, ¶ 2"


def test_pictures_are_counted_and_tag_characters_told():
    text, extraction = read(page("<p>a\U000e0041b</p><img src=http://127.0.0.1:1/x alt=no><img>"), "a.html")
    assert text == "a\U000e0041b"
    assert extraction.notes == [("images", "2"), ("tags", "1")]


def test_deep_and_wide_pages_are_read():
    assert text_of("<div>" * 5000 + "x") == "x"
    assert text_of("<table><tr><td>" * 5000 + "x") == "x"
    assert text_of("<blockquote>" * 5000 + "x") == "> > > > > x"
    assert text_of(f"<p style='{'display :' * 500_000}'>x") == "x"
    cells = "<table><tr><td colspan=999999999>a<td rowspan=999999999>b<tr><td>c</table>"
    assert text_of(cells).endswith("| b |\n|" + " --- |" * 51 + "\n| c |")


@pytest.mark.fault("too much work")
@pytest.mark.parametrize(
    "body",
    ["<div>" * 100_000 + "x", "<p " + " ".join(f"a{at}=x" for at in range(700_000)) + ">x"],
    ids=["deep", "attributes"],
)
def test_a_page_that_takes_too_long_is_given_up(body, monkeypatch):
    hurry(monkeypatch)
    with pytest.raises(Unreadable) as caught:
        text_of(body)
    assert caught.value.reason == Reason.TOO_MUCH_WORK


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("word " * 450_000, Reason.TOO_LONG),
        ("<script>only()</script><p hidden>x</p>", Reason.EMPTY),
    ],
    ids=["long", "nothing to see"],
)
def test_a_hostile_page_gets_its_reason(body, reason):
    with pytest.raises(Unreadable) as caught:
        text_of(body)
    assert caught.value.reason == reason
