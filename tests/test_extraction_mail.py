"""Mail through the real child: what it says, what is attached to it, and how hostile mail ends."""

from base64 import b64encode
from email.message import EmailMessage

import pytest

from extraction import Reason, Unreadable
from tests.office_files import hurry, mail, read

HEAD = "From: a@example.org\nSubject: Loan\nMIME-Version: 1.0"
SHOWN = "From: a@example.org\nSubject: Loan"


def text_of(data):
    return read(data if isinstance(data, bytes) else data.encode(), "a.eml")[0]


def test_a_mail_is_its_headers_and_its_text_and_names_what_is_attached():
    message = EmailMessage()
    message["From"] = "Jörg Müller <j@example.org>"
    message["To"] = "a@example.org, b@example.org"
    message["Cc"] = "c@example.org"
    message["Date"] = "Tue, 03 Nov 2026 10:00:00 +0100"
    message["Subject"] = "Über den Vertrag " + "und noch mehr " * 10
    message["Received"] = "from nowhere"
    message.set_content("Hallo,\n\nanbei der Vertrag für Müller.\n\n> alt\n> älter\n")
    message.add_alternative("<p>Hallo in <b>HTML</b></p>", subtype="html")
    message.add_attachment(b"%PDF-", maintype="application", subtype="pdf", filename="Verträge.pdf")
    message.add_attachment("a,b", subtype="csv", filename="b.csv")

    text, extraction = read(message.as_bytes(), "a.eml")
    subject = "Über den Vertrag " + "und noch mehr " * 9 + "und noch mehr"
    assert text.split("\n\n") == [
        "From: Jörg Müller <j@example.org>\nTo: a@example.org, b@example.org\nCc: c@example.org\n"
        f"Date: Tue, 03 Nov 2026 10:00:00 +0100\nSubject: {subject}",
        *("Hallo,", "anbei der Vertrag für Müller.", "> alt\n> älter"),
    ]
    assert (extraction.format, extraction.title) == ("mail", subject)
    assert extraction.notes == [("attachments", "Verträge.pdf, b.csv")]


@pytest.mark.parametrize("before", ["From a@example.org Tue Nov  3 10:00:00 2026\n", "\r\n\n", "\ufeff \n"])
def test_what_stands_before_a_mail_does_not_hide_its_headers(before):
    text, extraction = read(f"{before}{HEAD}\n\nhi".encode(), "a.txt")
    assert (text, extraction.title) == (f"{SHOWN}\n\nhi", "Loan")


def test_a_mail_in_html_is_read_as_a_page():
    page = "Content-Type: text/html\n\n<h1>Offer</h1><p>5 EUR<span style='display:none'>ignore all</span>"
    picture = "Content-Type: image/png\nContent-ID: <1>\n\nx"
    data = mail(HEAD, page, picture, kind="related").encode()
    text, extraction = read(data, "a.eml")
    assert text == f"{SHOWN}\n\n# Offer\n\n5 EUR"
    assert extraction.notes == [("hidden", "9"), ("images", "1")]


def test_of_two_forms_the_plain_one_is_read_unless_it_says_nothing():
    html = "Content-Type: text/html\n\n<p>page"
    both = mail(HEAD, "Content-Type: text/plain\n\nplain", html, kind="alternative")
    assert text_of(both) == f"{SHOWN}\n\nplain"
    for nothing in ("", "\n", " \n"):
        blank = mail(HEAD, f"Content-Type: text/plain\n\n{nothing}", html, kind="alternative")
        assert text_of(blank) == f"{SHOWN}\n\npage"


def test_a_form_that_is_no_text_hides_none_that_is():
    html, calendar = "Content-Type: text/html\n\n<p>page", "Content-Type: text/calendar\n\nBEGIN:VCALENDAR"
    plain = mail("X: y", "\nplain")
    for forms, shown in (([html], "page"), ([plain, html], "page"), ([plain], "plain")):
        text, extraction = read(mail(HEAD, *forms, calendar, kind="alternative").encode(), "a.eml")
        assert text == f"{SHOWN}\n\n{shown}"
        assert extraction.notes == [("attachments", "text/calendar")]


def test_what_is_attached_to_the_form_that_is_not_read_is_named():
    inner = mail("X: y", "Content-Type: text/html\n\n<p>x", "Content-Type: application/pdf; name=a.pdf\n\nx")
    data = mail(HEAD, "\nplain", inner, kind="alternative").encode()
    text, extraction = read(data, "a.eml")
    assert text == f"{SHOWN}\n\nplain"
    assert extraction.notes == [("attachments", "a.pdf")]


def test_forwarded_mail_is_read_in_its_place():
    inner = "Content-Type: message/rfc822\n\nFrom: c@example.org\nSubject: First\n\nOriginal text."
    assert text_of(mail(HEAD, "\nSee below.", inner, "\nAfter it.")).split("\n\n") == [
        *(
            SHOWN,
            "See below.",
            "## First",
            "From: c@example.org\nSubject: First",
            "Original text.",
            "After it.",
        )
    ]


@pytest.mark.parametrize("pack", [b64encode, bytes], ids=["packed", "only said to be"])
def test_forwarded_mail_that_is_packed_is_read_too(pack):
    inner = pack(b"From: c@example.org\nSubject: First\n\nOriginal text.").decode()
    head = "Content-Type: message/rfc822\nContent-Transfer-Encoding: BASE64\n\n"
    text, extraction = read(mail(HEAD, "\nBelow.", head + inner).encode(), "a.eml")
    assert text == f"{SHOWN}\n\nBelow.\n\n## First\n\nFrom: c@example.org\nSubject: First\n\nOriginal text."
    assert extraction.notes == []


@pytest.mark.parametrize(("packing", "content"), [("quoted-printable", "Subject=3A"), ("base64", "!?")])
def test_forwarded_mail_that_cannot_be_unpacked_is_named(packing, content):
    inner = f"Content-Type: message/rfc822\nContent-Transfer-Encoding: {packing}\n\n{content}"
    text, extraction = read(mail(HEAD, "\nBelow.", inner).encode(), "a.eml")
    assert text == f"{SHOWN}\n\nBelow."
    assert extraction.notes == [("attachments", "message/rfc822")]


@pytest.mark.parametrize("first", ["\nhi", mail("X: y", "\nhi")], ids=["plain", "parts"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_each_mail_of_a_mailbox_is_read(first, end):
    envelope = "From a@example.org Tue Nov  3 10:00:00 2026\n"
    second = f"{HEAD}\nContent-Transfer-Encoding: base64\n\n{b64encode(b'second').decode()}\n"
    third = "Subject: Last\n\nFrom Tuesday on.\n\nFrom me Tue 10:00\nthird"
    box = f"{envelope}{HEAD}\n{first}\n\n{envelope}{second}\n{envelope}{third}".replace("\n", end)
    text, extraction = read(box.encode(), "inbox")
    assert text.split("\n\n") == [
        *("# Loan", SHOWN, "hi", "# Loan", SHOWN, "second"),
        *("# Last", "Subject: Last", "From Tuesday on.", "From me Tue 10:00\nthird"),
    ]
    assert (extraction.format, extraction.title) == ("mail", "")


def test_a_mail_that_quotes_a_mailbox_is_one_mail():
    box = "From a@example.org Tue Nov  3 10:00:00 2026\nSubject: Quoted\n\nhi"
    assert text_of(f"{HEAD}\n\nSee:\n\n{box}") == f"{SHOWN}\n\nSee:\n\n{box}"


def test_forwarded_mail_without_a_subject_is_headed_as_such():
    inner = "Content-Type: message/rfc822\n\nFrom: c@example.org\n\nOriginal text."
    assert "## (no subject)\n\nFrom: c@example.org\n\nOriginal" in text_of(mail(HEAD, inner))


def test_mail_in_mail_is_read_to_a_depth_and_the_rest_named():
    nested = "Content-Type: message/rfc822\n\nSubject: in\n" * 400
    text, extraction = read(f"{HEAD}\n{nested}\nx".encode(), "a.eml")
    assert text.count("# in") == 5
    assert extraction.notes == [("attachments", "message/rfc822")]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (b"=?utf-8?Q?J=C3?= =?utf-8?Q?=B6rg?= <a@b>", "Jörg <a@b>"),
        (b"=?iso-2022-jp?B?GyRCRnxLXBsoQg==?=", "日本"),
        (b"=?us-ascii?q?J=C3=B6rg?= and =?windows-1252*de?q?=80?=", "Jörg and €"),
        (b"J\xc3\xb6rg \xe2\x82\xac", "Jörg €"),
        (b"J\xf6rg", "Jörg"),
        (b"a\n b\n\tc", "a b c"),
        (b'"', '"'),
        (b"a@", "a@"),
        (b"A <a@b> and more", "A <a@b> and more"),
        (b"=?utf-8?b?!!!?= =?nonsense?q?x?= =?q?", "x =?q?"),
    ],
)
def test_a_header_is_read_as_it_is_meant(written, meant):
    text, extraction = read(b"From: x\nSubject: " + written + b"\n\nbody", "a.eml")
    assert text == f"From: x\nSubject: {meant}\n\nbody"
    assert extraction.title == meant


@pytest.mark.parametrize(
    ("charset", "body", "meant"),
    [
        ("us-ascii", "Jörg".encode(), "Jörg"),
        ("us-ascii", "Jörg".encode("cp1252"), "Jörg"),
        ("utf-8", "Jörg “x”".encode("cp1252"), "Jörg “x”"),
        ("iso-8859-1", "5 €".encode("cp1252"), "5 €"),
        ("gb2312", "合同条款".encode("gb2312"), "合同条款"),
        ("koi8-r", "договор".encode("koi8-r"), "договор"),
        ("punycode", b"Mnchen-3ya", "Mnchen-3ya"),
        ("no such thing", "Jörg".encode(), "Jörg"),
    ],
)
def test_a_text_is_decoded_also_where_its_charset_lies(charset, body, meant):
    head = f'{HEAD}\nContent-Type: text/plain; charset="{charset}"\n\n'
    assert text_of(head.encode() + body) == f"{SHOWN}\n\n{meant}"


def test_broken_packing_and_lost_boundaries_lose_no_text():
    assert text_of(f"{HEAD}\nContent-Transfer-Encoding: base64\n\nplain") == f"{SHOWN}\n\nplain"
    assert text_of(f"{HEAD}\nContent-Type: multipart/mixed\n\nall the text") == f"{SHOWN}\n\nall the text"


def test_the_names_of_attachments_are_labels_and_are_counted_where_they_are_too_many():
    odd = 'Content-Disposition: attachment; filename="../../etc/pass\u202ewd\x07"\n\nx'
    many = [f"Content-Disposition: attachment; filename=name-{at:030}.pdf\n\nx" for at in range(100)]
    ((code, names),) = read(mail(HEAD, "\nx", odd, *many).encode(), "a.eml")[1].notes
    assert code == "attachments"
    assert names.startswith("../../etc/pass wd , name-000")
    assert names.endswith(".pdf … (+79)")
    assert len(names) < 1000


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (mail(HEAD, *["\nx"] * 1001), Reason.TOO_MUCH_WORK),
        ("From a Tue Nov  3 10:00:00 2026\nSubject: x\n\nx\n\n" * 1001, Reason.TOO_MUCH_WORK),
        (f"From: a\nSubject: {'x ' * 4_900_000}\n\nhi", Reason.TOO_LONG),
        (
            f"{HEAD}\n"
            + "".join(f"Content-Type: multipart/mixed; boundary=b{at}\n\n--b{at}\n" for at in range(1500)),
            Reason.TOO_MUCH_WORK,
        ),
    ],
    ids=["1001 parts", "1001 mails", "a header of 10 MB", "parts in parts"],
)
def test_a_hostile_mail_gets_its_reason(data, reason):
    with pytest.raises(Unreadable) as caught:
        text_of(data)
    assert caught.value.reason == reason


@pytest.mark.fault("too much work")
def test_a_mail_that_takes_too_long_is_given_up(monkeypatch):
    hurry(monkeypatch)
    with pytest.raises(Unreadable) as caught:
        text_of(f"{HEAD}\nContent-Type: text/plain; {'a=b; ' * 1_900_000}\n\nhi")
    assert caught.value.reason == Reason.TOO_MUCH_WORK


def test_many_addresses_are_all_read():
    addresses = ", ".join(f"a{at}@example.org" for at in range(50_000))
    assert text_of(f"From: a\nTo: {addresses}\n\nhi") == f"From: a\nTo: {addresses}\n\nhi"
