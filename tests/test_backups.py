"""Backups of the database file, there and back: whole or not there, whatever happens on the way."""

import os
import shutil
import sys
from pathlib import Path

import gevent
import pytest

import app
import storage
from storage import DatabaseRefused, backups
from tests.database_files import (
    DAMAGES,
    FOREIGN,
    damage_a_page,
    ending,
    file,
    file_limit,
    fill,
    leave_as_after_a_kill,
    make_no_database,
    names,
    run,
    save,
    titles,
    watch,
)
from tests.precis import Precis
from tests.prose import answer

__all__ = ["file"]

DOCUMENT = "Terms\n\nPay by March."


@pytest.fixture
def backup(tmp_path):
    """A backup of another database, of three documents."""
    fill(tmp_path / "other.db", 3)
    backups.back_up(tmp_path / "other.db", tmp_path / "backup.db")
    return tmp_path / "backup.db"


@pytest.mark.fault("database damaged or newer")
def test_a_backup_of_a_streaming_server_is_restored_elsewhere_with_all_that_was_saved(
    precis, provider, tmp_path
):
    backup = tmp_path / "backup.db"
    precis.start()
    document = precis.bring(DOCUMENT)
    done = precis.ask(document)
    watch(precis, done)
    # It never ends: however slow this machine is, the backup is made while it runs.
    provider.script(text=answer(20), rate=100, fault="silence", at=450)
    running = precis.ask(document)
    watch(precis, running, "says20")

    restoring = gevent.spawn(run, precis, "restore", precis.log)
    code, out, words = run(precis, "backup", backup)
    assert (code, words) == (0, "")
    assert out == f"{backup}: {backup.stat().st_size / 1e6:,.1f} MB, documents: 1, analyses: 2\n"
    code, out, words = restoring.get()
    assert (code, out) == (1, "")
    assert words == (
        f"precis: {precis.database} is served by another process: stop that one, "
        "or set PRECIS_DATABASE_URL to another file.\n"
    )
    watch(precis, running, "says400")

    fresh = tmp_path / "a" / "fresh place"
    with Precis(tmp_path, provider, PRECIS_DATABASE_URL=f"sqlite:///{fresh / 'precis.db'}") as other:
        other.database = fresh / "precis.db"
        code, out, words = run(other, "restore", backup)
        assert (code, words) == (0, "")
        assert out == f"{other.database}: {backup.stat().st_size / 1e6:,.1f} MB, documents: 1, analyses: 2\n"
        assert names(fresh) == {"precis.db", "precis.db.lock"}
        other.start()

        assert other.rows("SELECT * FROM document") == precis.rows("SELECT * FROM document")
        same = "SELECT * FROM analysis WHERE id = 1"
        assert other.rows(same) == precis.rows(same)
        status, _, text = ending(other, running)
        assert status == "interrupted"
        assert "says20" in text
        assert precis.stored(running).startswith(text)
        assert other.stored(running) == text
        assert other.rows("SELECT * FROM piece") == []
        provider.script(text="All is well.")
        again = other.ask(document)
        watch(other, again)
        assert ending(other, again) == ("complete", "", "All is well.")
    assert provider.calls == 3


def test_what_waited_in_a_backup_is_not_asked_once_it_is_restored(precis, provider, tmp_path):
    backup = tmp_path / "backup.db"
    provider.script(text="One two.", fault="silence", at=1)
    precis.start(PRECIS_MAX_RUNNING="1")
    document = precis.bring(DOCUMENT)
    precis.ask(document)
    waiting = precis.ask(document)
    provider.wait(calls=1)
    assert run(precis, "backup", backup)[0] == 0
    precis.kill()
    assert run(precis, "restore", backup)[0] == 0
    provider.script(text="Asked again.")

    precis.start()

    assert ending(precis, waiting)[0] == "interrupted"
    assert provider.calls == 1


def test_a_backup_is_complete_while_its_newest_part_is_in_the_log_only(file, tmp_path):
    storage.connect(f"sqlite:///{file}")
    with storage.connected():
        save("newest")
        assert b"newest" not in file.read_bytes()
        backups.back_up(file, tmp_path / "backup.db")

    assert "newest" in titles(tmp_path / "backup.db")
    assert names(tmp_path) == {"precis.db", "precis.db-wal", "precis.db-shm", "backup.db"}


def test_a_backup_goes_into_a_new_file_in_a_folder_that_is_there(file, tmp_path):
    there = tmp_path / "there"
    there.write_text("mine")
    before = names(tmp_path)
    for database, target, sentence in (
        (file, there, f"{there} is there already: name a file that is not."),
        (file, tmp_path, f"{tmp_path} is there already: name a file that is not."),
        (file, tmp_path / "no" / "backup", f"{tmp_path / 'no'} is no folder: make it first."),
        (
            tmp_path / "none.db",
            tmp_path / "backup",
            f"{tmp_path / 'none.db'} is not there: PRECIS_DATABASE_URL says where everything is kept.",
        ),
    ):
        with pytest.raises(DatabaseRefused) as refusal:
            backups.back_up(database, target)
        assert str(refusal.value) == sentence
    assert names(tmp_path) == before
    assert there.read_text() == "mine"


def test_what_is_damaged_gives_no_backup(file, tmp_path):
    damage_a_page(file)

    with pytest.raises(DatabaseRefused, match="it is damaged"):
        backups.back_up(file, tmp_path / "backup.db")

    assert names(tmp_path) == {file.name}


def test_a_full_disk_gives_no_backup(file, tmp_path):
    with file_limit(65536), pytest.raises(DatabaseRefused, match=r"backup\.db cannot be written: disk I/O"):
        backups.back_up(file, tmp_path / "backup.db")

    assert names(tmp_path) == {file.name}
    backups.back_up(file, tmp_path / "backup.db")
    assert titles(tmp_path / "backup.db") == titles(file)


BAD_BACKUPS = DAMAGES | {name: change for name, (change, _) in FOREIGN.items()}
BAD_BACKUPS["nothing in it"] = lambda file: os.truncate(file, 0)
BAD_BACKUPS["not there"] = os.unlink


@pytest.mark.parametrize("change", BAD_BACKUPS.values(), ids=BAD_BACKUPS)
def test_what_is_no_sound_backup_of_precis_is_not_restored(file, tmp_path, change):
    backup = tmp_path / "backup.db"
    backups.back_up(file, backup)
    change(backup)
    before = file.read_bytes()

    with pytest.raises(DatabaseRefused) as refusal:
        backups.restore(file, backup)

    assert str(refusal.value).startswith(f"{backup} ")
    assert file.read_bytes() == before
    assert names(tmp_path) <= {"precis.db", "precis.db.lock", "backup.db"}


def test_a_restore_keeps_what_was_there_with_its_log_and_says_where(file, backup):
    leave_as_after_a_kill(file)
    before = titles(as_it_is(file)) | {"in the log"}

    first = backups.restore(file, backup)
    second = backups.restore(file, backup)

    assert first == f"{file}: {backup.stat().st_size / 1e6:,.1f} MB, documents: 3, analyses: 0" + (
        f"; what was there is {file}.replaced-1"
    )
    assert second.endswith(f"{file}.replaced-2")
    assert titles(file) == titles(backup) == titles(f"{file}.replaced-2")
    assert titles(f"{file}.replaced-1") == before
    assert not names(file.parent) & {"precis.db-wal", "precis.db-shm", "precis.db.part"}


def test_a_damaged_database_is_replaced_and_kept_byte_for_byte(file, backup):
    make_no_database(file)
    before = file.read_bytes()

    backups.restore(file, backup)

    assert titles(file) == titles(backup)
    assert Path(f"{file}.replaced-1").read_bytes() == before


def test_a_log_without_its_database_is_not_replayed_onto_the_restored_one(file, backup):
    leave_as_after_a_kill(file)
    file.unlink()
    log = Path(f"{file}-wal").read_bytes()

    backups.restore(file, backup)

    assert titles(file) == titles(backup)
    assert Path(f"{file}.replaced-1-wal").read_bytes() == log


def test_nothing_is_restored_under_a_program_that_has_the_database_open(file, backup, monkeypatch):
    monkeypatch.setattr(storage, "PATIENCE_SECONDS", 0)
    storage.connect(f"sqlite:///{file}")
    with storage.connected():
        save("newest")
        with pytest.raises(DatabaseRefused) as refusal:
            backups.restore(file, backup)
        save("newer still")
    storage.database.close_idle()

    assert str(refusal.value) == f"{file} is open in another program: end that one first."
    assert {"newest", "newer still"} < titles(file)
    assert not [name for name in names(file.parent) if "replaced" in name or "part" in name]


def test_a_copy_is_on_the_disk_before_it_takes_the_databases_place(file, backup, monkeypatch):
    steps, fsync, replace = [], os.fsync, os.replace

    def seen_fsync(descriptor):
        steps.append(("fsync", os.path.realpath(f"/proc/self/fd/{descriptor}")))
        fsync(descriptor)

    def seen_replace(old, new):
        replace(old, new)
        steps.append(("replace", str(old)))

    monkeypatch.setattr(os, "fsync", seen_fsync)
    monkeypatch.setattr(os, "replace", seen_replace)
    backups.restore(file, backup)

    copy, folder = f"{file}.part", str(file.parent)
    assert steps == [("fsync", copy), ("fsync", folder), ("replace", copy), ("fsync", folder)]


def test_a_link_to_a_database_stays_a_link(file, backup, tmp_path):
    link = tmp_path / "link.db"
    link.symlink_to(file)

    backups.restore(link, backup)

    assert link.is_symlink()
    assert titles(file) == titles(backup)


def test_any_file_name_will_do(file, tmp_path):
    odd = tmp_path / "100% 'odd'? #1 \u00e9.db"
    backups.back_up(file, odd)
    expected = titles(file)
    backups.restore(file, odd)

    assert titles(file) == expected
    assert odd.exists()


def as_it_is(file):
    """Return a copy of the file alone, to be read without touching what is beside it."""
    return shutil.copy(file, file.parent.parent / f"{file.parent.name}.db")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["bakcup", "x"], "argument COMMAND: invalid choice: 'bakcup' (choose from"),
        (["backup"], "the following arguments are required: FILE;"),
        (["restore", "x", "y"], "unrecognized arguments: y;"),
    ],
)
def test_a_command_that_is_mistyped_is_told_in_one_sentence(monkeypatch, capsys, arguments, sentence):
    monkeypatch.setattr(sys, "argv", ["app.py", *arguments])
    with pytest.raises(SystemExit) as end:
        app.read_arguments()

    words = capsys.readouterr().err
    assert end.value.code == 2
    assert words.startswith(f"precis: {sentence}")
    assert words.endswith("; python app.py --help says more.\n")
    assert words.count("\n") == 1


def test_what_the_system_refuses_a_command_is_a_sentence_too(precis):
    precis.settings["PRECIS_DATABASE_URL"] = f"sqlite:///{precis.folder / 'a file' / 'precis.db'}"
    (precis.folder / "a file").write_text("no folder")
    (precis.folder / "backup.db").write_text("")

    code, _, words = run(precis, "restore", "backup.db")

    assert code == 1
    assert words.startswith("precis: ")
    assert words.count("\n") == 1
