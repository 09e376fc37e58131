"""docs/security.md maps two yardsticks and the holes of others line by line to tests, or to a reason."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TABLES = (ROOT / "docs" / "security.md").read_text().partition("## Holes that others had\n")[2]
ROW = re.compile(r"^\| ([^|]+) \| (.+) \| ([^|]+) \|$", re.MULTILINE)
# OWASP ASVS 5.0: all of level 1; of level 2 encoding, headers, files, sessions and logging.
# Of each section so many.
SECTIONS = (
    "1.1 2, 1.2 9, 1.3 11, 1.5 1, 2.1 1, 2.2 2, 2.3 1, 3.2 2, 3.3 4, 3.4 6, 3.5 3, 4.1 1, 4.4 1, 5.1 1, "
    "5.2 3, 5.3 2, 5.4 3, 6.1 1, 6.2 8, 6.3 2, 6.4 2, 7.1 3, 7.2 4, 7.3 2, 7.4 5, 7.5 2, 7.6 2, 8.1 1, "
    "8.2 2, 8.3 1, 9.1 3, 9.2 1, 10.4 5, 11.3 2, 11.4 1, 12.1 1, 12.2 2, 13.4 1, 14.2 1, 14.3 1, 15.1 1, "
    "15.2 1, 15.3 1, 16.1 1, 16.2 5, 16.3 4, 16.4 3, 16.5 3"
)
ASVS = [
    f"{section}.{number + 1}"
    for section, count in (each.split(" ") for each in SECTIONS.split(", "))
    for number in range(int(count))
] + ["4.1.3"]
LLM = [f"LLM{number:02}" for number in range(1, 11)]
TESTS = {
    name
    for file in (ROOT / "tests").rglob("test_*.py")
    for name in re.findall(r"^def (test_\w+)", file.read_text(), re.MULTILINE)
}


def rows():
    """Return the tables' lines: what is asked for, what is done, what holds it."""
    return [row for row in ROW.findall(TABLES) if row[2] != "held by"]


def asked(head):
    """Yield the single requirements of a line, of which one may stand for several: 6.2.1–6.2.8."""
    first, _, last = head.split(" ")[0].partition("–")
    if not last:
        yield first
        return
    section, begin = first.rsplit(".", 1)
    yield from (f"{section}.{number}" for number in range(int(begin), int(last.rsplit(".", 1)[1]) + 1))


def test_every_requirement_has_its_line_and_only_one():
    found = [each for head, _, _ in rows() for each in asked(head)]
    yardsticks = [each for each in found if re.fullmatch(r"[\d.]+|LLM\d\d", each)]
    assert sorted(yardsticks) == sorted([*ASVS, *LLM])


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_a_line_names_tests_that_there_are_or_gives_a_reason(row):
    _, done, held = row
    names = re.findall(r"`(test_\w+)`", held)
    assert set(names) <= TESTS
    assert names or (held.strip() == "–" and len(done) > 15)
