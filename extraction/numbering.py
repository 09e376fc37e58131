"""The numbers that Word gives to paragraphs: they are nowhere in the text, and contracts refer to them."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import NamedTuple

from lxml import etree  # type: ignore[import-untyped]

from extraction.numerals import integer, numeral
from extraction.packing import attribute, named, value

_PLACE = re.compile(r"%([1-9])")
LEVELS = 9


class Level(NamedTuple):
    """How one level of a list counts."""

    start: int = 1
    style: str = "decimal"  # Word's names: decimal, lowerLetter, upperRoman, bullet, none …
    pattern: str = ""  # like `%1.%2`
    is_legal: bool = False  # the levels above are shown in digits
    restarts: bool = True


class Numbering:
    """The lists of one document, which count on from paragraph to paragraph."""

    def __init__(self, root: etree._Element | None) -> None:
        self._levels: dict[str, dict[int, Level]] = {}
        self._lists: dict[str, str] = {}
        self._changed: dict[str, dict[int, Level]] = defaultdict(dict)
        self._restarts: dict[tuple[str, int], int] = {}
        self._counts: dict[str, dict[int, int]] = defaultdict(dict)
        self._by_style: dict[str, tuple[str, int]] = {}
        if root is not None:
            self._read(root)

    def by_style(self, style: str) -> tuple[str, int] | None:
        """Return the list and level that a paragraph style stands for in a list's own words."""
        return self._by_style.get(style)

    def label(self, number: str, level: int) -> str:
        """Return what stands before the next paragraph of a level: `-`, `1.`, `4.2`, `(a)` or nothing."""
        base = self._lists.get(number, "")
        levels = self._levels.get(base, {}) | self._changed[number]
        if level not in levels:
            return ""
        counts = self._counts[base]
        if (start := self._restarts.pop((number, level), None)) is not None:
            counts[level] = start - 1
        counts[level] = counts.get(level, levels[level].start - 1) + 1
        for deeper in range(level + 1, LEVELS):
            if deeper in levels and levels[deeper].restarts:
                counts.pop(deeper, None)
        style, pattern, is_legal = levels[level].style, levels[level].pattern, levels[level].is_legal
        if style == "bullet":
            return "-"

        def shown(place: re.Match[str]) -> str:
            at = int(place[1]) - 1
            of = levels.get(at, Level())
            return numeral(counts.setdefault(at, of.start), "decimal" if is_legal else of.style)

        return _PLACE.sub(shown, pattern).strip()

    def _read(self, root: etree._Element) -> None:
        linked: dict[str, str] = {}
        links: dict[str, str] = {}
        for base in named(root, "abstractNum"):
            name = attribute(base, "abstractNumId")
            self._levels[name] = {}
            for level in named(base, "lvl"):
                self._levels[name][integer(attribute(level, "ilvl"))] = _level(level)
            linked[value(base, "styleLink")] = name
            links[name] = value(base, "numStyleLink")
        for number in named(root, "num"):
            name = attribute(number, "numId")
            base_name = value(number, "abstractNumId")
            # A list that only names a style is the list which that style is of.
            self._lists[name] = linked.get(links.get(base_name) or "-", base_name)
            for change in named(number, "lvlOverride"):
                at = integer(attribute(change, "ilvl"))
                for level in named(change, "lvl"):
                    self._changed[name][at] = _level(level)
                if start := value(change, "startOverride"):
                    self._restarts[name, at] = integer(start, 1)
        users = {base: number for number, base in reversed(self._lists.items())}
        for base in named(root, "abstractNum"):
            user = users.get(attribute(base, "abstractNumId"))
            for level in named(base, "lvl"):
                if user and (style := value(level, "pStyle")):
                    self._by_style[style] = (user, integer(attribute(level, "ilvl")))


def _level(level: etree._Element) -> Level:
    return Level(
        start=integer(value(level, "start"), 1),
        style=value(level, "numFmt") or "decimal",
        pattern=value(level, "lvlText"),
        is_legal=next(named(level, "isLgl"), None) is not None,
        restarts=value(level, "lvlRestart") != "0",
    )
