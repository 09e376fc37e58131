"""A backup or a restore that ends at any of its steps leaves what was there, or what was to be."""

import subprocess
import sys

import pytest

from storage import DatabaseRefused, backups, sqlite
from tests.database_files import fill, leave_as_after_a_kill, make_no_database, names, titles
from tests.precis import ROOT

# Each step in a process of its own that ends, or whose call fails, right there; all begin in the same state.
STEPS = """
import os, shutil, sys
from itertools import count
from pathlib import Path
from storage import backups

how, what, start, file = sys.argv[1:]

def stop():
    if how == "dies":
        os._exit(9)
    raise OSError("the disk says no")

def stepping(call, left):
    def step(*args, **kwargs):
        if left[0] == 0:
            stop()
        left[0] -= 1
        return call(*args, **kwargs)
    return step

for number in count():
    folder = Path(f"{start}-{number}")
    shutil.copytree(start, folder)
    if os.fork() == 0:
        left = [number]
        for name in ("replace", "link", "fsync", "unlink"):
            setattr(os, name, stepping(getattr(os, name), left))
        sys.stderr = open(os.devnull, "w")
        getattr(backups, what)(folder / "precis.db", folder / file)
        os._exit(0)
    if os.wait()[1] == 0:
        break
"""


def each_step(how, what, start, file):
    """Yield the folders that are left when restore or backup ends at its first, second, … last step."""
    command = [sys.executable, "-c", STEPS, how, what, start, file]
    subprocess.run(command, cwd=ROOT, check=True, timeout=60)
    folders = sorted(start.parent.glob(f"{start.name}-*"), key=lambda folder: int(folder.name.split("-")[1]))
    assert len(folders) > 6
    yield from folders[:-1]


@pytest.fixture
def start(tmp_path):
    """A folder with a database and a backup of another one."""
    start = tmp_path / "start"
    start.mkdir()
    fill(start / "precis.db", 20)
    fill(tmp_path / "other.db", 3)
    backups.back_up(tmp_path / "other.db", start / "backup.db")
    return start


@pytest.mark.parametrize("how", ["dies", "fails"])
@pytest.mark.parametrize("left", ["in order", "by a kill", "damaged"])
def test_a_restore_that_ends_at_any_step_leaves_the_old_database_or_the_new_one(start, how, left):
    file = start / "precis.db"
    new = titles(start / "backup.db")
    old = titles(file)
    if left == "by a kill":
        leave_as_after_a_kill(file)
        old |= {"in the log"}
    elif left == "damaged":
        make_no_database(file)
    found = []
    for folder in each_step(how, "restore", start, "backup.db"):
        file = folder / "precis.db"
        try:
            sqlite.SQLite(f"sqlite:///{file}").check()
            found.append(titles(file))
        except DatabaseRefused:
            found.append(None)

        backups.restore(file, folder / "backup.db")
        assert titles(file) == new
        if left != "damaged":
            assert titles(f"{file}.replaced-1") == old
        assert not names(folder) & {"precis.db.part", "precis.db.part-journal", "precis.db-wal"}

    before = None if left == "damaged" else old
    assert found[0] == before
    assert found[-1] == new
    assert all(content in (before, new) for content in found)


@pytest.mark.parametrize("how", ["dies", "fails"])
def test_a_backup_that_ends_at_any_step_is_not_there_or_whole(start, how):
    old = titles(start / "precis.db")
    found = []
    for folder in each_step(how, "back_up", start, "new.db"):
        made = (folder / "new.db").exists()
        found.append(made)
        if made:
            assert titles(folder / "new.db") == old
        else:
            backups.back_up(folder / "precis.db", folder / "new.db")
        assert titles(folder / "precis.db") == old
        assert not names(folder) & {"new.db.part", "new.db.part-journal"} or made
    # Two to clear the place, one to have the copy on the disk; the fourth gives it its name.
    assert found == [False] * 4 + [True] * 3
