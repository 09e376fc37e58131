"""The reading of a file: what it is, the child that reads it, and that nothing of that is left behind."""

import io
import os
import sys
import zipfile
from pathlib import Path

import gevent
import pytest

from extraction import Extraction, Part, Reason, Unreadable, process
from extraction.formats import format_of
from tests import pdf_files
from tests.processes import children, open_files

PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504)


def packed(*names):
    """Return a zip with files of these names."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in names:
            archive.writestr(name, "<x/>")
    return out.getvalue()


def reason(data, name="file"):
    """Return why a file cannot be read."""
    with pytest.raises(Unreadable) as refused:
        list(Extraction(data, name))
    return refused.value.reason


def ours():
    """Return the pids of this process' children, also of those that are dead and not reaped."""
    return set(children("self"))


@pytest.fixture(autouse=True)
def others():
    """See that a test leaves no process and no open file; returns the children that are not its own."""
    others, files = ours(), len(open_files("self"))
    yield others
    wait_until_none_is_left(others)
    with gevent.Timeout(30, AssertionError("a file is left open")):
        # What ran before this test may try to connect once more, and then gives up.
        while len(open_files("self")) > files:
            gevent.sleep(0.01)


def wait_until_none_is_left(others):
    with gevent.Timeout(30, AssertionError("a child is left")):
        while ours() - others:
            gevent.sleep(0.001)  # the loop reaps a child that was killed, and tells nobody


@pytest.fixture(scope="module")
def bomb():
    """A file that takes longer than any file may."""
    return pdf_files.operator_bomb()


@pytest.fixture
def busy(bomb):
    """A file whose child works until it is ended."""
    return Extraction(bomb, "busy.pdf")


def begun(extraction):
    """Read a file in a greenlet, and return that with its child's pid, once there is one."""
    before = ours()
    outcome = gevent.spawn(lambda: reason_of(extraction))
    while not ours() - before:
        gevent.sleep(0.001)
    (pid,) = ours() - before
    return outcome, pid


def reason_of(extraction):
    try:
        return list(extraction)
    except Unreadable as error:
        return error.reason


# What a file is


@pytest.mark.parametrize(
    ("data", "name", "expected"),
    [
        (b"%PDF-1.4\n", "a.txt", "pdf"),
        (packed("[Content_Types].xml", "word/document.xml"), "a.pdf", "docx"),
        (b"%PDF-1.4\n" + packed("word/document.xml"), "a.docx", "pdf"),
        (packed("word/document.xml") + b"%PDF-1.4\n<html>", "a.html", "docx"),
        (b"<!DOCTYPE html><p>", "a.txt", "html"),
        (b"\xef\xbb\xbf \n<!-- one --><!-- two -->\n<HTML lang=en>", "", "html"),
        (b"\xff\xfe" + "<!doctype html>".encode("utf-16-le"), "", "html"),
        (b'<?xml version="1.0"?>\n<!DOCTYPE html PUBLIC "x">', "", "html"),
        (b"<p class=a>Words", "a.HTM", "html"),
        (b"<p class=a>Words", "a.txt", "text"),
        (b"No markup, but 1 < 2", "a.html", "text"),
        (b"Received: from x\r\n\tby y\r\nMessage-ID: <1@example.org>\r\n\r\nWords", "", "mail"),
        (b"From: a\nMIME-Version: 1.0\n\nWords", "a.txt", "mail"),
        (b"From a@example.org Tue Nov  3 10:00:00 2026\r\nFrom: a\r\nDate: today\r\n\r\nWords", "", "mail"),
        (b"From here: on\nWords", "a.eml", "text"),
        (b"Subject: Words\n\nWords", "a.eml", "mail"),
        (b"Subject: Words\n\nWords", "a.mht", "mail"),
        (b"Subject: the bell\n\nWords", "a.txt", "text"),
        (b"From: Ann\nTo: Bob\nDate: today\nSubject: Loan\nDecision: approve it\n\nWords", "", "text"),
        (b"Date: today\nReceived: by post\nSubject: Loan\n\nWords", "a.md", "markdown"),
        (b"From 10:00 to 12:00\nDate: today\nSubject: Loan\n\nWords", "", "text"),
        (b"Dear all,\nFrom: me\nDate: today\n", "a.txt", "text"),
        (b"a;b\n1;2", "A.CSV", "table"),
        (b"a\tb\n1\t2", "a.tsv", "table"),
        (b"# Words", "a.md", "markdown"),
        (b"# Words", "../../etc/a.markdown", "markdown"),
        (b"Words", "a.pdf", "text"),
        (b" %PDF-1.4\n", "a.pdf", "text"),
        (b"BM and MZ and RIFF are words as well", "", "text"),
    ],
)
def test_content_decides_what_a_file_is_and_among_texts_the_name(data, name, expected):
    assert format_of(data, name) == expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", Reason.EMPTY),
        (b" \r\n\t", Reason.EMPTY),
        (b"\xef\xbb\xbf", Reason.EMPTY),
        (b"x" * 10_000_001, Reason.TOO_LARGE),
        (b"x" * 2_000_001, Reason.TOO_LONG),
        (b"gr\xfcn", Reason.NOT_TEXT),
        (b"a\0b", Reason.NOT_TEXT),
        (b"\xff\xfea", Reason.NOT_TEXT),
        ("words".encode("utf-16-le"), Reason.NOT_TEXT),
        (PNG, Reason.UNKNOWN),
        (OLE, Reason.UNKNOWN),
        (b"{\\rtf1 words}", Reason.UNKNOWN),
        (packed("xl/workbook.xml"), Reason.UNKNOWN),
        (packed("xl/workbook.xml")[:60], Reason.UNKNOWN),
        (packed("word/notes.txt"), Reason.UNKNOWN),
        (OLE + "EncryptedPackage".encode("utf-16-le"), Reason.PASSWORD),
    ],
    # A packed file holds the time at which it was made.
    ids=lambda value: value if isinstance(value, Reason) else f"{len(value)}-bytes",
)
@pytest.mark.parametrize("name", ["a.pdf", "a.docx", "a.txt", "a.html", "\0\n/../CON"])
def test_what_is_nothing_to_read_is_refused_at_once_whatever_its_name(data, expected, name):
    with pytest.raises(Unreadable) as refused:
        Extraction(data, name)
    assert refused.value.reason == expected


def test_a_page_that_begins_with_a_thousand_comments_is_told_at_once():
    assert format_of(b"<!---->" * 1100 + b"words", "a.txt") == "text"


# Text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_text_is_read_as_it_stands(encoding):
    extraction = Extraction("# Größe\r\n\r\n😀 ab".encode(encoding), "a.md")
    assert list(extraction) == [Part("# Größe\r\n\r\n😀 ab")]
    assert (extraction.format, extraction.pages, extraction.title, extraction.notes) == (
        "markdown",
        None,
        "",
        [],
    )


def test_letters_that_nobody_sees_are_counted():
    extraction = Extraction("Wörter\U000e0041\U000e0001\U000e007f\U000e0080".encode(), "a.txt")
    list(extraction)
    assert extraction.notes == [("tags", "3")]


# The child


def test_a_file_of_any_size_reaches_the_child_whole():
    file = pdf_files.Pdf(pdf_files.line("Words"))
    file.stream(os.urandom(9_000_000))
    assert list(Extraction(file.data, "")) == [Part("Words", 1)]


def test_who_ends_the_reading_ends_the_child(busy):
    outcome, _ = begun(busy)
    busy.close()
    assert outcome.get(timeout=30) == Reason.INTERRUPTED


def test_a_reading_that_was_ended_before_it_began_starts_no_child(busy):
    busy.close()
    assert reason_of(busy) == Reason.INTERRUPTED


def test_a_greenlet_that_dies_takes_its_child_with_it(busy, others):
    outcome, _ = begun(busy)
    outcome.kill()
    wait_until_none_is_left(others)


def test_who_reads_no_further_leaves_no_child(others):
    for _ in Extraction(pdf_files.book(200), ""):
        assert ours() - others
        break
    wait_until_none_is_left(others)


@pytest.mark.fault("reader broken")
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("SIGXCPU", Reason.TOO_MUCH_WORK),
        ("SIGKILL", Reason.TOO_MUCH_WORK),
        ("SIGABRT", Reason.TOO_MUCH_WORK),
        ("SIGTERM", Reason.INTERRUPTED),
        ("SIGINT", Reason.INTERRUPTED),
        ("SIGSEGV", Reason.DAMAGED),
    ],
)
def test_a_death_says_why(busy, name, expected):
    outcome, pid = begun(busy)
    while Path(f"/proc/{pid}/stat").read_text().split()[18] != "10":
        gevent.sleep(0.001)  # until it has confined itself
    os.kill(pid, getattr(process.signal, name))
    assert outcome.get(timeout=30) == expected


@pytest.mark.fault("too much work")
@pytest.mark.parametrize("first", ["", "sys.stdin.read(); ", "sys.stdin.read(); os.close(0); os.close(1); "])
def test_a_child_that_does_nothing_is_ended_in_time(monkeypatch, first):
    monkeypatch.setattr(process, "WALL_SECONDS", 0.5)
    monkeypatch.setattr(process, "PROGRAM", f"import os, sys, time; {first}time.sleep(60)")
    with gevent.Timeout(30):
        assert reason(b"%PDF-" + bytes(5_000_000)) == Reason.TOO_MUCH_WORK


@pytest.mark.fault("too much work")
def test_a_child_that_works_too_long_is_ended(busy, monkeypatch):
    monkeypatch.setattr(process, "WALL_SECONDS", 0.5)
    assert reason_of(busy) == Reason.TOO_MUCH_WORK


@pytest.mark.fault("reader broken")
@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("", Reason.DAMAGED),
        ("nonsense", Reason.DAMAGED),
        ("[" * 100_000, Reason.DAMAGED),
        ('{"page": "1", "text": "a"}', Reason.DAMAGED),
        ('{"unreadable": "made-up"}', Reason.DAMAGED),
        ('{"page": 1, "text": "a"}', Reason.DAMAGED),
        ('{"unreadable": "password"}', Reason.PASSWORD),
        ('{"failed": "ValueError", "at": ["pdf.py:1"]}', Reason.DAMAGED),
        ('{"title": "a"}\n{"done": true}', Reason.EMPTY),
        ('{"pages": 2}\n{"page": 1, "text": " "}\n{"done": true}', Reason.NO_TEXT),
    ],
    ids=lambda value: value[:30],
)
def test_what_a_child_says_is_not_believed_blindly(monkeypatch, said, expected):
    monkeypatch.setattr(process, "PROGRAM", f"import sys; sys.stdin.read(); print({said!r})")
    assert reason(b"%PDF-") == expected


@pytest.mark.fault("too much work")
def test_a_child_that_never_stops_talking_is_ended(monkeypatch):
    monkeypatch.setattr(process, "PROGRAM", "while True: print('x' * 100_000, end='')")
    turns = 0

    def take_turns():
        nonlocal turns
        while True:
            gevent.sleep(0)
            turns += 1

    others = gevent.spawn(take_turns)
    with gevent.Timeout(30):
        assert reason(b"%PDF-") == Reason.TOO_LONG
    others.kill()
    assert turns > 100


def test_fifty_readings_leave_nothing_behind(others):
    ended = [gevent.spawn(reason_of, Extraction(pdf_files.book(1), "")) for _ in range(10)]
    closed = [Extraction(pdf_files.book(1), "") for _ in range(20)]
    ended += [gevent.spawn(reason_of, extraction) for extraction in closed]
    killed = [gevent.spawn(reason_of, Extraction(pdf_files.book(1), "")) for _ in range(20)]
    gevent.sleep(0)
    assert len(ours() - others) == 50
    for extraction in closed:
        extraction.close()
    gevent.killall(killed)
    outcomes = [greenlet.get(timeout=60) for greenlet in ended]
    assert [type(outcome) for outcome in outcomes] == [list] * 10 + [Reason] * 20


# What the child may do


def confined(program):
    """Run a program in a child as a reader runs, and return what it says before it ends, and how it ends."""
    start = (
        f"import sys; sys.path.insert(0, {process.ROOT!r}); import os, socket, extraction.limits as limits\n"
    )
    child = process.Child(sys.executable, "-I", "-c", start + program)
    child.give(b"")
    said = b""
    with gevent.Timeout(30):
        while chunk := child.read():
            said += chunk
        code = child.wait()
    child.hang_up()
    return said.decode(), code


@pytest.mark.parametrize(
    "attempt",
    [
        "open({file!r}).read()",
        "open({new!r}, 'w')",
        "socket.socket()",
        "os.pipe()",
    ],
)
def test_a_child_opens_nothing(tmp_path, attempt):
    file = tmp_path / "canary"
    file.write_text("canary")
    attempt = attempt.format(file=str(file), new=str(tmp_path / "new"))
    program = f"""
def attempt():
    try:
        {attempt}
    except OSError as error:
        return error.errno
print(attempt())
limits.confine()
limits.shut()
print(attempt())
"""
    assert confined(program) == ("None\n24\n", 0)
    assert {path.name for path in tmp_path.iterdir()} <= {"canary", "new"}


def test_what_reads_a_file_has_shut_itself_before(tmp_path, monkeypatch):
    canary = tmp_path / "canary"
    canary.write_text("canary-7261")
    reads = f"lambda data, tell: tell.part(open({str(canary)!r}).read(), 1)"
    program = process.PROGRAM.replace("main()", f"import extraction.pdf as pdf; pdf.read = {reads}; main()")
    monkeypatch.setattr(process, "PROGRAM", program)
    assert reason(pdf_files.Pdf(pdf_files.line("Terms.")).data) == Reason.DAMAGED


def test_a_child_writes_to_no_file(tmp_path):
    program = f"""
limits.confine()
try:
    with open({str(tmp_path / "new")!r}, "w") as file:
        file.write("x")
except OSError as error:
    print(error.errno)
"""
    assert confined(program) == ("27\n", 0)
    assert not (tmp_path / "new").stat().st_size


@pytest.mark.fault("too much work")
def test_a_child_gets_so_much_time_and_memory_and_no_more():
    working = "limits.CPU_SECONDS = 1; limits.confine()\nwhile True: pass"
    assert confined(working)[1] == -process.signal.SIGXCPU
    hoarding = "limits.confine()\ntry:\n  bytes(600_000_000)\nexcept MemoryError: print('none')"
    assert confined(hoarding) == ("none\n", 0)


def test_a_child_is_nice_and_has_no_environment_and_nothing_of_ours(monkeypatch):
    monkeypatch.setenv("PRECIS_SECRET_KEY", "secret")
    with open(os.devnull) as file:
        os.set_inheritable(file.fileno(), True)
        said, _ = confined(
            "before = os.listdir('/proc/self/fd')\n"
            "limits.confine(); print(os.nice(0), os.getcwd(), 'PRECIS_SECRET_KEY' in os.environ)\n"
            "print(os.get_blocking(0))\n"
            "print(len(before) > 4, os.listdir('/proc/self/fd'))"
        )
    assert said == "10 / False\nTrue\nTrue ['0', '1', '2', '3']\n"


@pytest.mark.fault("reader broken")
def test_what_breaks_a_reader_is_logged_without_the_files_words(monkeypatch, caplog):
    monkeypatch.setattr(
        process,
        "PROGRAM",
        process.PROGRAM.replace("main()", "import extraction.pdf as pdf; pdf.Style = None; main()"),
    )
    assert reason(pdf_files.Pdf(pdf_files.line("canary"), title="canary").data) == Reason.DAMAGED
    (record,) = caplog.records
    assert record.error == "AttributeError"
    assert any(place.startswith("pdf.py:") for place in record.places)
    assert "canary" not in str(vars(record))
