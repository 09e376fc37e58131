"""The state machine: one way, one winner."""

import pytest

import storage
from models import ENDINGS, LIVE, Analysis, Document, Piece, Status, User

pytestmark = pytest.mark.both_modes


@pytest.fixture(autouse=True)
def _database(tables):
    with storage.connected():
        yield


@pytest.fixture
def document():
    return Document.add(User.local(), "Title", "One.\n\nTwo.", 2, 2)


def ask(document, key=None):
    return Analysis.ask(document, document.owner, "brief", "offline:extractive", request_key=key)[0]


def test_a_status_is_live_or_an_ending():
    assert set(LIVE) | set(ENDINGS) == set(Status)
    assert not set(LIVE) & set(ENDINGS)


def test_an_analysis_waits_until_it_is_claimed(document):
    first, second = ask(document), ask(document)

    assert Analysis.claim_next("w", 15).id == first.id
    assert Analysis.claim_next("w", 15).id == second.id
    assert Analysis.claim_next("w", 15) is None
    assert Analysis.get_by_id(first.id).status == Status.RUNNING


def test_an_ending_is_final(document):
    id = ask(document).id
    Analysis.claim_next("w", 15)
    Analysis.commit("w", [], {id: {"status": Status.COMPLETE, "text": "done", "words": 1}})

    assert Analysis.commit("w", [], {id: {"status": Status.FAILED, "text": "", "words": 0}}) == {}
    assert Analysis.stop(id) is Status.COMPLETE
    assert Analysis.interrupt([id], "another", is_alone=True) == []
    row = Analysis.get_by_id(id)
    assert (row.status, row.text) == (Status.COMPLETE, "done")


def test_one_that_waits_is_stopped_at_once(document):
    id = ask(document).id

    assert Analysis.stop(id) is Status.WAITING
    assert Analysis.get_by_id(id).status == Status.STOPPED
    assert Analysis.claim_next("w", 15) is None


def test_one_that_runs_is_asked_to_stop_and_left_to_its_runner(document):
    id = ask(document).id
    Analysis.claim_next("w", 15)

    assert Analysis.stop(id) is Status.RUNNING
    row = Analysis.get_by_id(id)
    assert (row.status, row.stop_requested) == (Status.RUNNING, True)


def test_what_a_dead_worker_left_is_interrupted_with_its_text(document):
    dead, waiting = ask(document).id, ask(document).id
    Analysis.claim_next("dead", 15)
    Analysis.commit("dead", [(dead, 0, "one "), (dead, 4, "two")], {}, first={dead})

    assert Analysis.abandoned("new", lambda _: False, is_alone=True) == [dead]
    assert Analysis.interrupt([dead, waiting], "new", is_alone=True) == [dead]

    row = Analysis.get_by_id(dead)
    assert (row.status, row.text, row.words) == (Status.INTERRUPTED, "one two", 2)
    assert row.first_text_at
    assert row.ended_at
    assert not Piece.select().exists()
    assert Analysis.get_by_id(waiting).status == Status.WAITING


@pytest.mark.sqlite
def test_a_piece_that_is_damaged_keeps_nothing_from_being_ended(document):
    id = ask(document).id
    Analysis.claim_next("dead", 15)
    Analysis.commit("dead", [(id, 0, "one "), (id, 4, "two")], {})
    storage.database.execute_sql("UPDATE piece SET text = CAST(x'6fff65' AS TEXT) WHERE position = 0")

    assert Analysis.interrupt([id], "new", is_alone=True) == [id]
    assert Analysis.get_by_id(id).text == "o\ufffdetwo"


def test_a_request_key_is_a_persons_own(document):
    first = ask(document, "key")
    again, is_new = Analysis.ask(document, document.owner, "risks", "m", request_key="key")
    other = User.create(name="other")
    theirs, is_theirs = Analysis.ask(document, other, "brief", "m", request_key="key")

    assert (again.id, is_new) == (first.id, False)
    assert is_theirs
    assert theirs.id != first.id


def test_the_same_question_asked_by_a_form_while_it_runs_is_the_same_analysis(document):
    first = ask(document, "key")
    second = ask(document, "another key")
    without = ask(document)
    other = Analysis.ask(document, document.owner, "risks", "offline:extractive", request_key="third")[0]
    assert second.id == first.id
    assert len({first.id, without.id, other.id}) == 3

    Analysis.stop(first.id)
    assert ask(document, "another key").id > other.id


def test_an_id_is_never_given_out_twice(document):
    first = ask(document)
    first.delete_one()

    assert ask(document).id > first.id


def test_what_belongs_to_another_is_not_found(document):
    other = User.create(name="other")

    assert Document.find(other, document.id) is None
    assert Analysis.find(other, ask(document).id) is None


def test_a_reading_is_one_snapshot_of_row_and_pieces(document):
    id = ask(document).id
    Analysis.claim_next("w", 15)
    Analysis.commit("w", [(id, 0, "one "), (id, 4, "two")], {})
    assert Analysis.saved(id, 2) == ("running", "e two")

    Analysis.commit("w", [], {id: {"status": Status.COMPLETE, "text": "one two", "words": 2}})
    assert Analysis.saved(id, 2) == ("complete", "e two")
    assert Analysis.saved(99) is None


def test_the_migrated_schema_is_the_models_schema():
    for model in (User, Document, Analysis, Piece):
        columns = {
            column.name: column.null for column in storage.database.get_columns(model._meta.table_name)
        }
        assert columns == {field.column_name: field.null for field in model._meta.sorted_fields}


def test_a_document_takes_its_analyses_with_it(document):
    waiting, ended = ask(document).id, ask(document)
    Analysis.stop(ended.id)

    assert document.delete_with_analyses() == [waiting]
    assert not Analysis.select().exists()
