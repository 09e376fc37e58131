"""Search: what a question finds, in which order, and how what is new comes to be found."""

import shutil

import gevent
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import storage
from models import Analysis, Document, Order, Status, Unsearched, User
from storage import backups, connected, database, saving, schema, search
from storage.search import Question
from tests.person import bring, held
from views import search as page

pytestmark = pytest.mark.both_modes

LEASE = "The tenant shall pay the rent in advance.\n\nKündigung nur schriftlich, per Einschreiben."
TEXTS = {
    "Lease of Lindenhof": LEASE,
    "Rental guide": "Contracts, contractors and their contracting. Pay the tenant's rent; the rent is due.",
    "Minutes": "The board met on 1 March 2027 and spent 11,400 EUR. Straße, Éclair, ﬁnal.",
    "租约": "租户应提前每月支付租金，自第二年起按指数调整。 สัญญาเช่าห้าปี שָׁלוֹם",
}


def keep(title, text, owner=None):
    with connected():
        return Document.add(owner or User.local(), title, text, 2, 1)


@saving
def keep_many(number):
    for n in range(number):
        Document.add(User.local(), f"Title {n}", f"Word number{n}", 2, 1)


def answer(document, text, question="", owner=None, status=Status.COMPLETE):
    """Have a document analysed, with that answer."""
    with connected():
        asked, _ = Analysis.ask(document, owner or document.owner, "brief", "offline:extractive", question)
        claimed = Analysis.claim_next("worker", 15)
        if text:
            Analysis.commit("worker", [(claimed.id, 0, text)], {})
        if status:
            Analysis.commit("worker", [], {asked.id: {"status": status, "text": text, "words": 2}})
    return asked


def look(kind, question, order=Order.BEST, owner=None, limit=50, offset=0):
    """Search what there is by now; returns what was found."""
    with connected():
        assert Unsearched.catch_up(60)
        asked = None if question is None else Question.parse(question)
        return kind.search(owner or User.local(), asked, order, limit, offset)


def titles(question, **options):
    return [hit.row.title for hit in look(Document, question, **options).hits]


def rows(table):
    with connected():
        return database.execute_sql(f"SELECT count(*) FROM {table}").fetchone()[0]


def marks(pieces):
    return "".join(f"[{text}]" if is_hit else text for text, is_hit in pieces)


@pytest.fixture
def texts(tables):
    """Some documents."""
    for title, text in TEXTS.items():
        keep(title, text)


# What a question finds


QUESTIONS = {
    "tenant rent": {"Lease of Lindenhof", "Rental guide"},
    "tenant advance": {"Lease of Lindenhof"},
    "lindenhof tenant": {"Lease of Lindenhof"},
    "TENANT": {"Lease of Lindenhof", "Rental guide"},
    "kundigung": {"Lease of Lindenhof"},
    "KÜNDIGUNG eclair": set(),
    "strasse éCLAIR final": {"Minutes"},
    '"the rent"': {"Lease of Lindenhof", "Rental guide"},
    '"rent the"': {"Rental guide"},
    '"tenant rent"': set(),
    "“the rent” „pay the“": {"Lease of Lindenhof", "Rental guide"},
    "contr": {"Rental guide"},
    '"contr"': set(),
    "co": set(),
    "rent -advance": {"Rental guide"},
    'rent -"in advance"': {"Rental guide"},
    "rent -lindenhof": {"Rental guide"},
    "-rent": set(),
    "11,400": {"Minutes"},
    "2027": {"Minutes"},
    "per-Einschreiben": {"Lease of Lindenhof"},
    "支付租金": {"租约"},
    "金租": set(),
    "每月 -户": set(),
    "เช่า": {"租约"},
    "שלום": {"租约"},
    '"the rent': {"Lease of Lindenhof", "Rental guide"},
    "NEAR OR NOT": set(),
    "head:lease": set(),
    "title AND": set(),
}


def test_a_question_finds_what_has_all_its_words_and_none_that_it_excludes(texts):
    assert {question: set(titles(question)) for question in QUESTIONS} == QUESTIONS


ODD = st.text(
    alphabet=st.one_of(
        st.sampled_from("\"'()*^:-+{}~|&!<>\\%_?,.;@\x00\ud800 abANDORNOTé租"), st.characters()
    )
)


@given(question=ODD | ODD.map(lambda text: text * 300))
@example(question='"' * 10_000)
@example(question="(" * 300 + "租 " * 5_000)
@example(question="\\':* | <-> & !a' \x00 NEAR(a b, 3) ^ - -- \"a\" *")
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_question_is_an_error(texts, question):
    assert set(titles(question)) <= set(TEXTS)
    assert look(Analysis, question).hits == []


@given(text=ODD.map(lambda text: text.replace("\x00", "").encode(errors="ignore").decode()))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_a_text_holds_its_own_words_find_it(tables, text):
    document = keep("t", text)
    found = search.words(text)
    for word in set(found[: search.MOST_WORDS]):
        assert document in [hit.row for hit in look(Document, f'"{word}"').hits]
    if phrase := " ".join(found[: search.MOST_WORDS]):
        assert document in [hit.row for hit in look(Document, f'"{phrase}"').hits]
    document.delete_with_analyses()


def test_a_long_text_is_searched_as_one(tables):
    words = [f"word{n}" for n in range(5_000)]
    keep("Long", " ".join(words))
    assert titles("word1 word4999") == ["Long"]
    assert titles("word1 -word4999") == []
    # Wherever a part of it may end, a phrase is found across.
    for start in range(900, 4_000, 7):
        assert titles(f'"{" ".join(words[start : start + 30])}"', limit=1) == ["Long"], start


def test_a_word_that_a_text_repeats_hides_nothing(tables):
    keep("Repeated", f"{'again ' * 3_500}and again finally {'again ' * 3_500}the end")
    assert titles('"again and again finally again"') == ["Repeated"]
    assert titles('"again the end"') == ["Repeated"]
    assert titles('"again end"') == []


def test_a_text_of_two_million_characters_is_saved_and_searched_to_its_end(tables):
    long = keep("Long", ("Sōme wörds of a lease, " * 100_000)[: 2_000_000 - 12] + " zanzibar 租约.")
    (hit,) = look(Document, "zanzi lease").hits
    assert hit.row == long
    assert "[lease]" in marks(hit.excerpt)
    (hit,) = look(Document, '"zanzibar 租约"').hits
    assert marks(hit.excerpt).endswith("[zanzibar 租约].")


def test_while_somebody_searches_others_go_on(texts):
    ran = []
    with connected():
        assert Unsearched.catch_up(60)
        other = gevent.spawn(ran.append, "other")
        database.find("document", User.local().id, Question.parse("rent"), ranked=True)
        assert ran == ["other"]
    other.join()


def test_a_person_finds_nothing_of_anybody_else(texts):
    with connected():
        other = User.create(name="other")
    theirs = keep("Their lease", LEASE, other)
    answer(theirs, "The rent is theirs.", "Whose lease?", other)
    for order in Order:
        assert "Their lease" not in titles("rent", order=order) + titles(None, order=order)
        assert look(Analysis, "rent", order).hits == look(Analysis, None, order).hits == []
        assert (
            titles("rent", order=order, owner=other)
            == titles(None, order=order, owner=other)
            == ["Their lease"]
        )
        assert len(look(Analysis, "rent", order, other).hits) == 1
    assert look(Document, None).count == len(TEXTS)
    assert look(Document, "rent", owner=other).count == 1


# What is shown of it


def test_what_was_found_is_marked_where_it_stands(texts):
    (hit,) = look(Document, "lease kundig").hits
    assert marks(hit.head) == "[Lease] of Lindenhof"
    assert marks(hit.excerpt).endswith("in advance.\n\n[Kündigung] nur schriftlich, per Einschreiben.")
    (hit,) = look(Document, "支付租金").hits
    assert marks(hit.excerpt).startswith("租户应提前每月[支付租金]，自第二年起")


def test_an_excerpt_is_some_words_around_the_first_that_was_found(tables):
    keep("Long", " ".join(f"w{n}" for n in range(3_000)) + " needle " + " ".join(f"v{n}" for n in range(500)))
    (hit,) = look(Document, "needle").hits
    assert marks(hit.excerpt).startswith("…w2992 ")
    assert " w2999 [needle] v0 " in marks(hit.excerpt)
    assert marks(hit.excerpt).endswith(" v26…")


# In which order


def test_the_best_match_comes_first_and_a_title_counts_most(tables):
    keep("Third", "A lease. " + "Much else. " * 200)
    keep("Second", "Lease, lease and lease again.")
    keep("The lease", "Much else. " * 200)
    assert titles("lease") == ["The lease", "Second", "Third"]


def test_what_was_found_and_all_there_is_come_in_the_order_asked_for(tables):
    for title, words in (("bee", 3), ("Ant", 1), ("cat", 2)):
        answer(keep(title, "text " * words), "answer " * words)
    expected = {
        Order.NEWEST: ["cat", "Ant", "bee"],
        Order.OLDEST: ["bee", "Ant", "cat"],
        Order.TITLE: ["Ant", "bee", "cat"],
        Order.LONGEST: ["bee", "cat", "Ant"],
    }
    for order, names in expected.items():
        assert titles("text", order=order) == titles(None, order=order) == names
        for question in ("answer", None):
            found = [hit.row.document.title for hit in look(Analysis, question, order).hits]
            # The answers are equally long in words as they were counted: the newest of them come first.
            assert found == (names if order is not Order.LONGEST else ["cat", "Ant", "bee"])
    assert titles("text", order=Order.TITLE, limit=1, offset=1) == ["bee"]
    assert titles("text", limit=2) + titles("text", limit=2, offset=2) == titles("text")
    assert len(titles("text")) == 3


def test_of_more_than_are_looked_at_it_says_so_and_shows_the_newest(client, monkeypatch):
    monkeypatch.setattr(search, "MOST_FOUND", 3)
    monkeypatch.setattr("records.search.MOST_FOUND", 3)
    keep_many(5)
    found = look(Document, "word")
    assert sorted(hit.row.title for hit in found.hits) == ["Title 2", "Title 3", "Title 4"]
    assert (found.count, found.is_cut) == (3, True)
    shown = client.get("/search?q=word").text
    assert "More than 3 documents and 0 analyses found" in shown
    assert "These are the newest 3 of each. Add a word to find fewer." in shown
    assert "More than" not in client.get("/search?q=number1").text


# How it comes to be found


def test_an_answer_is_found_once_it_has_ended_by_what_was_asked_and_answered(tables):
    document = keep("Lease", "Text.")
    asked = answer(document, "The landlord pays.", "Who restores the floor?", status=None)
    assert look(Analysis, "landlord").hits == look(Analysis, "restores").hits == []
    with connected():
        Analysis.commit("worker", [], {asked.id: {"status": Status.COMPLETE, "text": "The landlord pays."}})
    assert rows("analysis_words") == 0, "ending it costs no more than a note"
    for question in ("landlord", "restor floor", "landlord restores"):
        assert [hit.row for hit in look(Analysis, question).hits] == [asked]
    assert look(Analysis, "lease").hits == []


def test_what_was_stopped_or_interrupted_is_found_too(tables):
    document = keep("Lease", "Text.")
    answer(document, "Half an answer.", status=None)
    with connected():
        assert Analysis.interrupt([1], "other", is_alone=True)
    (hit,) = look(Analysis, "half").hits
    assert hit.row.status == Status.INTERRUPTED


def test_what_is_deleted_leaves_no_word_behind(tables):
    lease, minutes = keep("Lease", LEASE), keep("Minutes", "Met.")
    one, two = answer(lease, "First answer.", "Why?"), answer(lease, "Second answer.")
    assert look(Analysis, "answer").count == 2
    one.delete_one()
    assert [hit.row for hit in look(Analysis, "answer").hits] == [two]
    # By the database itself, with the document.
    lease.delete_with_analyses()
    assert titles("lease") == look(Analysis, "answer").hits == []
    minutes.delete_with_analyses()
    assert rows("document_words") == rows("analysis_words") == rows("unsearched") == 0
    if not database.is_shared:
        with connected():
            for kind in ("document", "analysis"):
                database.execute_sql(
                    f"CREATE VIRTUAL TABLE temp.left_{kind} USING fts5vocab(main, {kind}_words, row)"
                )
        assert rows("left_document") == rows("left_analysis") == 0


def test_what_is_deleted_before_it_was_found_never_is(tables):
    keep("Lease", LEASE).delete_with_analyses()
    assert titles("lease") == []
    assert rows("unsearched") == rows("document_words") == 0


def test_a_renamed_document_is_found_by_its_new_title_only(tables):
    document = keep("Lease", "Text.")
    assert titles("lease") == ["Lease"]
    document.rename("Tenancy")
    assert titles("lease") == []
    assert titles("tenancy text") == ["Tenancy"]


def test_one_that_is_renamed_while_it_is_made_searchable_is_found_by_its_new_title(tables, monkeypatch):
    document = keep("Lease", "Text.")
    real, todo = search.words_of_long, ["Tenancy"]

    def rename_meanwhile(text):
        if todo:
            document.rename(todo.pop())
        return real(text)

    monkeypatch.setattr("records.unsearched.words_of_long", rename_meanwhile)
    assert titles("tenancy") == ["Tenancy"]
    assert titles("lease") == []


def test_two_who_search_at_once_make_each_text_searchable_once(tables):
    keep_many(60)

    def catch_up():
        with connected():
            assert Unsearched.catch_up(60)

    gevent.joinall([gevent.spawn(catch_up) for _ in range(4)], raise_error=True)
    # In PostgreSQL the title has a row of its own.
    assert rows("document_words") == (120 if database.is_shared else 60)
    assert titles("number59") == ["Title 59"]


@pytest.fixture
def before(mode, place, request, tmp_path, monkeypatch):
    """A database as the version before search has left it, with a lease and an answer in it."""
    if mode == "scale":
        scale = request.getfixturevalue("scale")
        place = scale.create()
        name = place["database_url"].rpartition("/")[2]
        scale.postgresql.execute(f"DROP DATABASE {name}")
        scale.postgresql.execute(f"CREATE DATABASE {name}")
    else:
        place = {"database_url": f"sqlite:///{tmp_path / 'before.db'}"}
    storage.connect(place["database_url"])
    folder = tmp_path / "migrations"
    folder.mkdir()
    for migration in schema.MIGRATIONS.glob("[0-9]*.py"):
        # Those that came after it know nothing of it.
        if not migration.name.startswith("0006"):
            shutil.copy(migration, folder)
    with monkeypatch.context() as patched:
        patched.setattr(schema, "MIGRATIONS", folder)
        storage.migrate()
        keep_many(30)
        answer(keep("Lease", LEASE), "The landlord pays.")
        answer(keep("Other", LEASE), "Live text.", status=None)
        with connected():
            assert "document_words" not in database.get_tables()
    yield
    database.disconnect()


def test_what_was_there_before_search_is_found(before):
    storage.migrate()
    assert sorted(titles("kundigung")) == ["Lease", "Other"]
    assert titles("number29") == ["Title 29"]
    assert [hit.row.document.title for hit in look(Analysis, "landlord").hits] == ["Lease"]
    assert look(Analysis, "live").hits == []


def test_what_a_process_of_an_older_version_saves_is_found(texts):
    with connected():
        columns = "owner_id, title, text, characters, words, paragraphs, created_at"
        values = "'Old title', 'Old text', 8, 2, 1, created_at"
        database.execute_sql(
            f"INSERT INTO document ({columns}) SELECT owner_id, {values} FROM document LIMIT 1"
        )
    assert titles('"old text"') == ["Old title"]


def test_what_takes_long_goes_on_by_itself_and_the_page_says_so(app, client, monkeypatch):
    bring(client, "Terms\n\nPay by March.")
    monkeypatch.setattr(page, "CATCH_UP_SECONDS", 0)
    shown = client.get("/search?q=march").text
    assert "Some of what is new cannot be found yet. Search again in a moment." in shown
    gevent.joinall(app.extensions["catching_up"], raise_error=True)
    shown = client.get("/search?q=march").text
    assert "1 document and 0 analyses found" in shown
    assert "cannot be found yet" not in shown


@pytest.mark.sqlite
def test_while_nothing_can_be_saved_what_is_known_can_be_searched(app, client, monkeypatch):
    bring(client, "Terms\n\nPay by March.")
    assert "1 document and 0 analyses found" in client.get("/search?q=pay").text
    bring(client, "Other terms\n\nPay by April.")
    monkeypatch.setattr(storage, "PATIENCE_SECONDS", 0)
    with held():
        shown = client.get("/search?q=pay").text
        gevent.joinall(app.extensions["catching_up"], raise_error=True)
    assert "1 document and 0 analyses found" in shown
    assert "Some of what is new cannot be found yet." in shown
    assert "2 documents and 0 analyses found" in client.get("/search?q=pay").text


@pytest.mark.sqlite
def test_a_backup_is_searched_like_the_original(texts, tmp_path):
    assert len(titles("rent")) == 2
    copy = tmp_path / "copy.db"
    backups.back_up(database.file, copy)
    database.disconnect()
    storage.connect(f"sqlite:///{copy}")
    assert len(titles("rent")) == 2
    with connected():
        database.execute_sql("INSERT INTO document_words (document_words) VALUES ('integrity-check')")
