"""docs/reliability.md tells of each fault what the tests prove and what the product says.

python -m tests.test_reliability        writes the column of the tests anew
"""

import ast
import re
from collections import defaultdict
from html import unescape
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "docs" / "reliability.md"
ROW = re.compile(r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \| ([^|]*) ?\|$", re.MULTILINE)
# What a sentence holds that is not always the same.
VARYING = re.compile(r"\{[^}]*\}|\d+(?:\.\d+)?[Mk]?")


def rows():
    """Return the table's rows, without its head and without the other table."""
    table = TABLE.read_text().partition("|---|---|---|---|\n")[2].partition("\n\n")[0] + "\n"
    return {fault: (done, read, tests) for fault, done, read, tests in ROW.findall(table)}


def proofs():
    """Return the names of the tests of each fault, by the marks on them and on their parameters."""
    found = defaultdict(set)
    for file in sorted((ROOT / "tests").glob("test_*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                for decorator in node.decorator_list:
                    for name in marks(decorator):
                        found[name].add(node.name)
    return found


def marks(decorator):
    """Return the faults that a decorator names, be it the mark itself or a parameter's."""
    for call in ast.walk(decorator):
        if isinstance(call, ast.Call):
            called = getattr(call.func, "attr", getattr(call.func, "id", ""))
            if called == "fault" and isinstance(call.args[0], ast.Constant):
                yield call.args[0].value


def product_words():
    """Return all that the product says, in one string, what varies as a dot."""
    texts = [file.read_text() for file in sorted((ROOT / "templates").rglob("*.*"))]
    for file in sorted((ROOT / "views").rglob("*.py")):
        texts += [node.value for node in ast.walk(ast.parse(file.read_text())) if is_text(node)]
    # One by one: a brace that is alone in one text would take all up to another's with it.
    return " ".join(plain(re.sub(r"<[^>]+>|\{[{%#].*?[}%#]\}", "", unescape(text))) for text in texts)


def is_text(node):
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def plain(text):
    return VARYING.sub(".", " ".join(text.split()))


def test_each_fault_is_a_row_and_each_row_has_its_tests():
    told, proven = rows(), proofs()
    assert len(told) > 30
    assert set(told) == set(proven)
    for fault, (_, _, tests) in told.items():
        assert tests.strip() == listed(proven[fault]), fault


@pytest.mark.parametrize("fault", rows())
def test_what_a_row_quotes_is_what_the_product_says(fault):
    words = product_words()
    for quoted in re.findall(r"“([^”]+)”", rows()[fault][1]):
        for sentence in re.findall(r"[^.:;!?]+[.:;!?]?", plain(quoted).replace("..", ".")):
            if len(sentence.strip(" .:;")) > 3:
                assert sentence.strip(" .:;") in words, sentence


def listed(tests):
    return "<br>".join(f"`{name}`" for name in sorted(tests))


def main():
    proven = proofs()

    def written(row):
        fault, done, read, _ = row.groups()
        return f"| {fault} | {done} | {read} | {listed(proven[fault])} |" if fault in proven else row[0]

    TABLE.write_text(ROW.sub(written, TABLE.read_text()))


if __name__ == "__main__":
    main()
