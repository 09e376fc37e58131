"""Database files: full of documents, damaged, another's, or on a full disk; and servers that have one."""

import os
import resource
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing, contextmanager

import httpx2
import pytest

import storage
from models import Document, User
from tests.precis import ROOT

NEWER = "INSERT INTO schema_migration (name, applied) VALUES ('0999_later', '2030-01-01 00:00:00')"


@pytest.fixture
def file(tmp_path):
    """A database of 200 documents that nobody has open."""
    file = tmp_path / "precis.db"
    fill(file, 200)
    return file


def fill(file, documents):
    storage.connect(f"sqlite:///{file}")
    storage.migrate()
    with storage.connected(), storage.database.atomic():
        for number in range(documents):
            save(f"Title {number}", "A paragraph of some length. " * 20)
    storage.database.close_idle()


def save(title="Title", text="Text. " * 20_000):
    with storage.connected():
        return Document.add(User.local(), title, text, 2, 1)


def execute(file, statement):
    with closing(sqlite3.connect(file, isolation_level=None)) as database:
        return database.execute(statement).fetchall()


def titles(file):
    """Return the titles of a database, which is sound."""
    assert execute(file, "PRAGMA integrity_check") == [("ok",)]
    return {title for (title,) in execute(file, "SELECT title FROM document")}


def names(folder):
    return {entry.name for entry in folder.iterdir()}


def run(precis, *arguments):
    """Run `python app.py` with arguments to its end; returns its exit code, output and last words."""
    environ = {key: value for key, value in os.environ.items() if not key.startswith("PRECIS_")}
    command = [sys.executable, ROOT / "app.py", *arguments]
    done = subprocess.run(
        command, env=environ | precis.settings, cwd=precis.folder, capture_output=True, text=True, timeout=60
    )
    return done.returncode, done.stdout, done.stderr


def watch(precis, analysis, word=None):
    """Watch an analysis until a word is shown, or to its end."""
    seen = ""
    with httpx2.stream("GET", f"{precis.url}{analysis}/stream") as stream:
        for text in stream.iter_text():
            seen += text
            if word and word in seen:
                return
    assert word is None, seen


def ending(precis, analysis):
    query = "SELECT status, error, text FROM analysis WHERE id = ?"
    return precis.rows(query, analysis.rpartition("/")[2])[0]


@contextmanager
def file_limit(size, pid=0):
    """Let a process make no file longer than this, as on a full disk."""
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


def damage_a_page(file):
    pages = file.stat().st_size // 4096
    assert pages > 20
    with file.open("r+b") as opened:
        opened.seek(pages // 2 * 4096)
        opened.write(b"\xaa" * 4096)


def cut_to(size):
    def cut(file):
        os.truncate(file, size if size > 0 else file.stat().st_size + size)

    return cut


def make_no_database(file):
    file.write_bytes(b"This is no database, but it is long enough to be taken for one." * 99)


DAMAGES = {
    "no database": make_no_database,
    "a damaged page": damage_a_page,
    "cut to a few bytes": cut_to(50),
    "cut to its first page": cut_to(4096),
    "cut by a page": cut_to(-4096),
}
FOREIGN = {
    "a newer version's": (
        lambda file: execute(file, NEWER),
        "a newer version of Precis has written it (0999_later); "
        "run that version, or restore a backup that this one has made.",
    ),
    "another program's": (
        lambda file: execute(file, "DROP TABLE schema_migration"),
        "it is no database of Precis; name another file.",
    ),
}


def leave_as_after_a_kill(file):
    """Leave a transaction in the log, as a process does that dies."""
    storage.connect(f"sqlite:///{file}")
    with storage.connected():
        save("in the log")
        for suffix in ("", "-wal"):
            shutil.copy(f"{file}{suffix}", f"{file}{suffix}.now")
    storage.database.close_idle()
    for suffix in ("", "-wal"):
        os.replace(f"{file}{suffix}.now", f"{file}{suffix}")
