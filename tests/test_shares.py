"""Shares: colleagues read what is shared with them, and what is taken back is over at once."""

import logging
import re
from datetime import timedelta
from html import unescape

import gevent
import pytest

from models import Document, Session, Share, Status, User
from storage import connected, database
from tests.openid import CLIENT
from tests.page import events
from tests.person import HTMX, Writer, as_person, bring, saved, stream
from tests.uploads import upload
from views.helpers import viewers

KEYS = ("0123456789" * 4,)
SECONDS = 5  # in which who loses the right is sent away


@pytest.fixture
def app(make_app):
    """Precis behind a proxy that signs people in."""
    return make_app(auth="proxy")


@pytest.fixture
def anna(app):
    """The owner."""
    return as_person(app, "anna")


@pytest.fixture
def ben(app):
    """A colleague who has been here."""
    return _here(app, "ben")


@pytest.fixture
def cleo(app):
    """Another one."""
    return _here(app, "cleo")


@pytest.fixture
def document(anna):
    """A document of Anna's, as it is addressed."""
    return bring(anna, "Terms of use\n\nThe user shall pay.", title="Terms of Anna")


@pytest.fixture
def writer(app, document):
    """An answer to Anna that the test writes."""
    return Writer(app.extensions["analyzer"], document, "anna")


@pytest.fixture
def watchful(monkeypatch):
    """Have it looked often whether those who watch still may."""
    monkeypatch.setattr(viewers, "GUARD_SECONDS", 0.01)


def _here(app, name):
    client = as_person(app, name)
    assert client.get("/").status_code == 200
    return client


def share(owner, document, name="ben"):
    """Share a document with a colleague, or with all; returns the address that ends it."""
    sent = {"name": name} if name else {"everybody": "yes"}
    answer = owner.post(f"{document}/shares", data=sent)
    assert (answer.status_code, answer.headers["Location"]) == (303, f"{document}/shares"), answer.text
    with connected():
        id = Share.select().order_by(Share.id.desc()).first().id
    return f"{document}/shares/{id}/deletion"


def count_shares():
    with connected():
        return Share.select().count()


def pages(document, writer):
    """Return all that can be read of a document."""
    return [document, f"{document}/original", writer.path, f"{writer.path}.md", f"{writer.path}/live"]


# With whom


@pytest.mark.both_modes
def test_who_is_named_reads_all_there_is_and_nobody_else_does(app, anna, ben, cleo):
    document = upload(anna, "terms.md", b"Terms of use").headers["Location"]
    writer = Writer(app.extensions["analyzer"], document, "anna").write("One **two**.").end()
    share(anna, document)
    for page in pages(document, writer):
        assert ben.get(page).status_code == 200, page
        assert cleo.get(page).status_code == 404, page
    assert ben.get(f"{document}/original").data == b"Terms of use"
    assert "One <strong>two</strong>." in saved(ben, writer.path).text
    # On paper it has to be told who asked.
    assert all("asked by anna</span>" in saved(who, writer.path).text for who in (anna, ben))
    assert "Two" not in saved(cleo, writer.path).text
    assert "One <strong>two</strong>." in stream(ben, writer.path).text
    assert stream(cleo, writer.path).status_code == 404


@pytest.mark.both_modes
def test_what_is_shared_with_everybody_is_read_by_all_who_sign_in(app, anna, ben, cleo, document, writer):
    writer.write("One.").end()
    share(anna, document, None)
    for reader in (ben, cleo, as_person(app, "never here before")):
        assert "The user shall pay." in reader.get(document).text
        assert "One." in stream(reader, writer.path).text
    assert app.test_client().get(document).status_code == 401
    assert app.test_client().get(f"{writer.path}/stream").status_code == 401


def test_the_owner_sees_with_whom_and_a_reader_by_whom(app, anna, ben, cleo, document):
    def told(client):
        return unescape(client.get(document).text)

    link = f'<a href="{document}/shares">{{}}</a>'
    assert link.format("Share") in told(anna)
    for name, words in (
        ("ben", "Shared with ben"),
        ("Cleo", "Shared with ben and cleo"),
        ("dora", "Shared with ben and 2 others"),
        (None, "Shared with everybody who signs in"),
    ):
        _here(app, "dora")
        share(anna, document, name)
        assert link.format(words) in told(anna)
    assert "Shared by anna" in told(ben)
    assert "Shared with" not in told(ben)
    assert "Shared by" not in told(anna)


def test_the_page_says_who_may_read_and_since_when(anna, ben, cleo, document):
    assert "Only you." in anna.get(f"{document}/shares").text
    share(anna, document)
    end = share(anna, document, None)
    page = anna.get(f"{document}/shares").text
    readers = re.findall(r'<span id="share-\d+">(.*?)</span>\s*<span class="hint">since (.*?)</span>', page)
    assert [name for name, _ in readers] == ["Everybody who signs in", "ben"]
    assert all(since.endswith("UTC") for _, since in readers)
    assert f'action="{end}"' in page
    assert 'name="everybody"' not in page


@pytest.mark.parametrize(
    ("sent", "sentence"),
    [
        ({}, "Enter a colleague’s name."),
        ({"name": "  "}, "Enter a colleague’s name."),
        ({"name": "nobody <b>"}, "Nobody of this name has been here."),
        ({"name": "b%"}, "Nobody of this name has been here."),
        ({"name": "ANNA"}, "That is you"),
        ({"name": "Ben"}, "This document is already shared with ben."),
        ({"everybody": "yes"}, "This document is already shared with everybody who signs in."),
    ],
)
def test_what_cannot_be_is_told_in_a_sentence_and_changes_nothing(anna, ben, document, sent, sentence):
    share(anna, document)
    share(anna, document, None)
    answer = anna.post(f"{document}/shares", data=sent)
    assert answer.status_code == 422
    assert answer.text.count(sentence) == 2, "at the top and beside the field"
    assert "<title>Error: " in answer.text
    assert "<b>" not in answer.text
    assert f'value="{sent.get("name", "").strip().replace("<b>", "&lt;b&gt;")}"' in answer.text
    assert count_shares() == 2


@pytest.mark.both_modes
@pytest.mark.parametrize("name", ["ben", None])
def test_a_form_that_is_sent_many_times_at_once_gives_one_right(anna, ben, document, name):
    sent = {"name": name} if name else {"everybody": "yes"}
    posts = [gevent.spawn(anna.post, f"{document}/shares", data=sent) for _ in range(8)]
    answers = [post.get(timeout=SECONDS).status_code for post in posts]
    assert sorted(answers) == [303] + [422] * 7
    assert count_shares() == 1


@pytest.mark.both_modes
def test_a_right_that_is_taken_back_is_over_and_the_others_stay(anna, ben, cleo, document, writer):
    end = share(anna, document)
    share(anna, document, "cleo")
    answer = anna.post(end)
    assert (answer.status_code, answer.headers["Location"]) == (303, f"{document}/shares")
    assert ben.get(document).status_code == 404
    assert ben.get(writer.path).status_code == 404
    assert stream(ben, writer.path, **HTMX).data == b": open\n\nevent: done\ndata: \n\n"
    assert cleo.get(document).status_code == 200
    assert anna.post(end).status_code == 404


def test_a_share_is_ended_at_its_own_documents_address_only(app, anna, ben, document):
    other = bring(anna, "Another text.")
    end = share(anna, document)
    assert anna.post(end.replace(document, other)).status_code == 404
    theirs = bring(ben, "A text of Ben's.")
    assert ben.post(end.replace(document, theirs)).status_code == 404
    assert count_shares() == 1


@pytest.mark.both_modes
def test_what_is_deleted_is_shared_no_more(anna, ben, document):
    share(anna, document)
    anna.post(f"{document}/deletion")
    assert ben.get(document).status_code == 404
    assert count_shares() == 0
    assert "Shared with you" not in ben.get("/").text


# What readers see


def test_readers_see_nothing_that_only_the_owner_can_do(anna, ben, document, writer):
    share(anna, document)
    writer.write("One two.")
    running = [client.get(writer.path).text for client in (anna, ben)]
    writer.end(Status.CUT)
    ended = [
        (
            client.get(document),
            client.get(writer.path),
            stream(client, writer.path),
            saved(client, writer.path),
        )
        for client in (anna, ben)
    ]
    own, read = (running[each] + "".join(answer.text for answer in ended[each]) for each in range(2))
    read += ben.get(f"{writer.path}/live").text
    for words in (
        "<form",
        "Analyze",
        "Stop <kbd>",
        "Continue",
        "Rename",
        ">Delete<",
        "Delete document",
        "/shares",
    ):
        assert words in own, words
        assert words not in read, words
    assert "Cut at the length limit" in read


def test_the_page_without_javascript_has_no_stop_for_readers(anna, ben, document, writer):
    share(anna, document)
    answers = {}
    for client in (anna, ben):
        answer = client.get(f"{writer.path}/live")
        received = b""
        for part in answer.iter_encoded():
            received += part
            if b'<pre class="answer">' in received:
                break
        answer.close()
        answers[client] = received
    assert b"<form" in answers[anna]
    assert b"<form" not in answers[ben]


def test_readers_see_nothing_of_the_owners_other_documents_with_the_same_text(anna, ben, document, app):
    same = bring(anna, "Terms of use\n\nThe user shall pay.", title="Another title")
    Writer(app.extensions["analyzer"], same, "anna").write("One.").end()
    share(anna, document)
    assert "Already analysed" in anna.get(document).text
    assert "Already analysed" not in ben.get(document).text


@pytest.mark.both_modes
def test_the_first_page_lists_what_others_share(app, anna, ben, cleo, document):
    assert "Shared with you" not in ben.get("/").text
    of_all = bring(cleo, "Rules of the house.", title="Rules of Cleo")
    share(cleo, of_all, None)
    share(cleo, of_all)
    later = bring(anna, "Later.", title="Later of Anna")
    public = bring(anna, "Public.", title="Public of Anna")
    share(anna, document)
    share(anna, later)
    share(anna, public, None)

    def listed(client):
        section = client.get("/").text.partition("Shared with you")[2]
        return re.findall(r'<a href="/documents/\d+">(.*?)</a>\s*<span class="hint">(\w+) ·', section)

    assert listed(ben) == [
        ("Later of Anna", "anna"),
        ("Terms of Anna", "anna"),
        ("Rules of Cleo", "cleo"),
        ("Public of Anna", "anna"),
    ]
    assert listed(cleo) == [("Public of Anna", "anna")]
    assert listed(anna) == [("Rules of Cleo", "cleo")]
    for path in ("/search", "/search?q=Anna", "/search?q=terms"):
        assert "of Anna" not in ben.get(path).text, "search and lists hold one's own"

    with connected(), database.atomic():
        owner = User.named("anna")
        for number in range(25):
            Share.give(Document.add(owner, f"Number {number}", "Text.", 1, 1), None)
    names = [title for title, _ in listed(ben)]
    assert len(names) == 20
    assert names[:4] == ["Later of Anna", "Terms of Anna", "Rules of Cleo", "Number 24"]


def test_where_nobody_signs_in_there_is_nobody_to_share_with(make_app):
    client = make_app().test_client()
    document = bring(client, "A text.")
    assert client.get(f"{document}/shares").status_code == 404
    assert client.post(f"{document}/shares", data={"everybody": "yes"}).status_code == 404
    assert client.post(f"{document}/shares/1/deletion").status_code == 404
    assert count_shares() == 0
    assert "/shares" not in client.get(document).text
    assert "Shared with you" not in client.get("/").text


# While they watch


def end_the_share():
    Share.delete().execute()


def delete_the_document():
    Document.delete().execute()


def shut_out():
    User.update(disabled_at=database.now()).where(User.name == "ben").execute()


def watch(client, writer, page="stream"):
    """Watch an answer until some of it has come; returns what was received, and what is to come."""
    answer = client.get(f"{writer.path}/{page}")
    parts = answer.iter_encoded()
    received = b""
    while b"Before." not in received:
        received += next(parts)
    return answer, parts


def the_rest(parts):
    with gevent.Timeout(SECONDS, AssertionError("still there")):
        return b"".join(parts)


@pytest.mark.both_modes
@pytest.mark.parametrize("end", [end_the_share, delete_the_document, shut_out])
@pytest.mark.parametrize("page", ["stream", "live"])
def test_who_loses_the_right_while_watching_is_sent_away(anna, ben, document, writer, watchful, page, end):
    share(anna, document)
    writer.write("Before.")
    answer, parts = watch(ben, writer, page)
    with connected():
        # As another process does it, which tells this one nothing.
        end()
    rest = the_rest(parts)
    answer.close()
    assert b"done" not in rest
    assert b"refresh" in rest if page == "live" else events(rest)[-1].retry, "told to come again"
    again = ben.get(f"{writer.path}/{page}")
    assert again.status_code in (401, 404)
    assert "Before." not in again.text


def test_who_signs_out_in_another_tab_is_sent_away_and_elsewhere_stays_signed_in(make_app, watchful):
    app = make_app(auth="oidc", oidc_issuer="http://127.0.0.1:1", secret_key=KEYS, **CLIENT)
    with connected():
        anna = User.named("anna")
        tokens = [Session.begin(anna, False, timedelta(hours=1), timedelta(hours=1)) for _ in range(2)]
    clients = [app.test_client() for _ in tokens]
    for client, token in zip(clients, tokens, strict=True):
        with client.session_transaction() as session:
            session["token"] = token
    writer = Writer(app.extensions["analyzer"], bring(clients[0], "A text."), "anna").write("Before.")
    (gone, parts), (stays, others) = (watch(client, writer) for client in clients)
    with connected():
        Session.end(tokens[0])
    assert events(the_rest(parts))[-1].retry
    gone.close()
    assert "Before." not in stream(clients[0], writer.path).text
    writer.write(" After.").end()
    assert b"After." in the_rest(others)
    stays.close()


@pytest.mark.both_modes
def test_who_keeps_the_right_is_left_alone(app, anna, ben, cleo, document, writer, watchful):
    share(anna, document)
    writer.write("Before.")
    watching = {name: watch(as_person(app, name), writer) for name in ("anna", "ben")}
    share(anna, document, "cleo")
    lost, parts = watch(cleo, writer)
    with connected():
        Share.delete().where(Share.user == User.named("cleo")).execute()
    the_rest(parts)
    lost.close()
    writer.write(" After.").end()
    for answer, parts in watching.values():
        rest = the_rest(parts)
        answer.close()
        assert b"After." in rest
        assert rest.endswith(b"event: done\ndata: \n\n")


def test_who_takes_it_slowly_gets_no_more_of_it(anna, ben, document, writer, watchful):
    share(anna, document)
    writer.write("Before.\n\n", *["A paragraph of some words.\n\n" * 800] * 4)
    answer, parts = watch(ben, writer)
    with connected():
        end_the_share()
    (place,) = _places(ben)
    with gevent.Timeout(SECONDS, AssertionError("still there")):
        while not place.viewer.has_left:
            gevent.sleep(0.001)  # nothing announces it to one who takes nothing
    writer.end()
    assert the_rest(parts).count(b"some words") < 1500
    answer.close()


def test_the_page_of_one_who_was_sent_away_does_not_end_with_the_saved_answer(
    anna, ben, document, writer, watchful
):
    share(anna, document)
    writer.write("Before.")
    answer, parts = watch(ben, writer, "live")
    with connected():
        shut_out()
    (place,) = _places(ben)
    with gevent.Timeout(SECONDS, AssertionError("still there")):
        while not place.viewer.has_left:
            gevent.sleep(0.001)  # nothing announces it to one who takes nothing
    writer.write(" After.").end()
    assert b"After." not in the_rest(parts)
    answer.close()


@pytest.mark.both_modes
def test_a_database_that_is_away_takes_no_right_away_and_later_it_is_looked_at_again(
    anna, ben, document, writer, watchful, caplog
):
    share(anna, document)
    writer.write("Before.")
    answer, parts = watch(ben, writer)
    caplog.set_level(logging.ERROR, viewers.logger.name)
    with connected():
        database.execute_sql("ALTER TABLE share RENAME TO away")
    while not caplog.records:
        gevent.sleep(0.001)  # logging announces nothing
    writer.write(" Between.")
    while b"Between." not in next(parts):
        pass
    with connected():
        database.execute_sql("ALTER TABLE away RENAME TO share")
        end_the_share()
    assert events(the_rest(parts))[-1].retry
    answer.close()
    assert [record.message for record in caplog.records] == ["who may watch could not be looked up"]


def test_nobody_is_looked_after_where_nobody_signs_in_or_watches(make_app, watchful):
    app = make_app()
    client = app.test_client()
    writer = Writer(app.extensions["analyzer"], bring(client, "A text.")).write("Before.")
    answer, _ = watch(client, writer)
    assert _places(client)
    assert app.extensions["places"].guard is None
    answer.close()

    app = make_app(auth="proxy")
    anna = as_person(app, "anna")
    answer, _ = watch(
        anna, Writer(app.extensions["analyzer"], bring(anna, "A text."), "anna").write("Before.")
    )
    guard = app.extensions["places"].guard
    assert not guard.dead
    answer.close()
    guard.join(timeout=SECONDS)
    assert guard.dead


def _places(client):
    return client.application.extensions["places"]
