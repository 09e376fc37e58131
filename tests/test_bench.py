"""What the bench's README and its plot say is what was measured, and its locks name no address."""

import json
import re

from bench import plot, report, results

LOCK = results.FILE.parent / "peers/package-lock.json"


def test_the_tables_and_the_plot_are_made_of_the_figures_that_are_kept():
    kept = results.read()
    text = report.README.read_text()
    assert report.filled(text, kept) == text
    assert report.PLOT.read_text() == plot.draw(report.series(kept), report.IN_TIME)


def test_the_plot_is_small_and_holds_no_script():
    image = report.PLOT.read_text()
    assert len(image.encode()) < 20_000
    assert not re.search(r"<script|\son[a-z]+=|<foreignObject|(?<!xmlns=\")https?:", image)


def test_the_lock_of_the_peers_on_node_names_each_package_by_its_hash_and_no_address():
    packages = json.loads(LOCK.read_text())["packages"]
    assert len(packages) > 5
    for name, package in packages.items():
        assert not name or package["integrity"].startswith("sha512-"), name
        assert "resolved" not in package
