"""Word documents (.docx), read from their XML as they are shown: what was inserted, not what was deleted.

Footnotes follow the paragraph that refers to them, so that no note is far from what it is about. Headers
stand once at the beginning, footers at the end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from lxml import etree  # type: ignore[import-untyped]

from extraction import Reason, Unreadable
from extraction.numbering import Numbering
from extraction.numerals import integer, numeral
from extraction.packing import Package, attribute, child, is_on, local, named, value
from extraction.paragraphs import Grid, Paragraphs, lowered, raised
from extraction.signs import FONTS, sign
from extraction.telling import Tell

_HEADING = re.compile(r"(?:heading ([1-9])|title)", re.IGNORECASE)
_BODY = 9  # the outline level of what is no heading
_WRAPPERS = {"sdt", "sdtContent", "customXml", "smartTag", "ins", "moveTo", "AlternateContent", "Choice"}
_DELETED = {"del", "moveFrom"}
_INSERTED = {"ins", "moveTo"}
_UNSEEN = {"pPr", "rPr", "sdtPr", "sdtEndPr", "customXmlPr", "smartTagPr", "Fallback"}
_DRAWINGS = {"drawing", "pict", "object"}
_SIGNS = {"tab": "\t", "ptab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "‑"}
# Where fonts that are pictures have their letters.
_PRIVATE = re.compile("[\uf020-\uf0ff]")
_BULLET = "•"


class Style(NamedTuple):
    """What a style says that matters to reading, itself or by those it is based on."""

    level: int = 0  # as a heading, from 1; 0 for text
    number: str = ""
    depth: int = 0
    is_hidden: bool = False


def read(data: bytes, tell: Tell) -> None:
    """Tell the paragraphs, tables and notes of a Word document; raises Unreadable."""
    package = Package(data)
    related = package.related("")
    main = (related.get("officeDocument") or ["word/document.xml"])[0]
    for properties in related.get("core-properties", []):
        if (core := package.xml(properties)) is not None:
            tell.title(" ".join(part.text or "" for part in named(core, "title")).strip())
    out = Paragraphs(tell)
    _Document(package, main, out).read()
    out.close()


class _Document:
    def __init__(self, package: Package, name: str, out: Paragraphs) -> None:
        self._package = package
        self._related = package.related(name)
        self._root = package.xml(name)
        self._out = out
        self._place: Paragraphs | Grid = out
        self._numbering = Numbering(self._part("numbering"))
        self._styles = _Styles(self._part("styles"), self._numbering)
        self._notes: dict[str, dict[str, str]] = {"footnote": {}, "endnote": {}}
        self._told = dict.fromkeys(self._notes, 0)
        # Of the paragraph that is being read: its letters, and what will follow it.
        self._text: list[str] = []
        self._following: list[str] = []
        self._boxes: list[etree._Element] = []
        self._fields: list[bool] = []

    def read(self) -> None:
        """Put out all there is."""
        body = child(self._root, "body")
        if body is None:
            raise Unreadable(Reason.DAMAGED)
        self._notes = {kind: self._read_notes(kind) for kind in self._notes}
        self._out.add(self._margins("header"))
        self._blocks(body)
        self._out.add(self._margins("footer"))
        comments = self._part("comments")
        self._out.notes["comments"] += 0 if comments is None else len(comments)

    def _part(self, kind: str) -> etree._Element | None:
        names = self._related.get(kind)
        return self._package.xml(names[0]) if names else None

    def _blocks(self, parent: etree._Element) -> None:
        joined: list[str] = []
        for element in _unwrapped(parent):
            name = local(element)
            if name == "p" and (joined or len(element)):
                self._paragraph(element, joined)
            elif name == "tbl":
                self._end(joined)
                self._table(element)
            elif name in ("altChunk", "subDoc"):
                self._out.notes["embedded"] += 1
        self._end(joined)

    def _end(self, joined: list[str]) -> None:
        """Put out what was to be joined to a paragraph, where none comes."""
        if text := "".join(joined).strip():
            self._place.add(text)
            if self._place is self._out:
                self._tell_notes()
        joined.clear()

    def _paragraph(self, element: etree._Element, joined: list[str]) -> None:
        """Put out a paragraph, after what those before it left in `joined`, or join it to the next."""
        properties = child(element, "pPr")
        mark = child(properties, "rPr")
        style = self._styles.of(properties)
        text, boxes = self._line(element), self._boxes
        if style.is_hidden:
            self._out.notes["hidden"] += len(text.strip())
            text = ""
        joined.append(text)
        if is_deleted := child(mark, "del") is not None or child(mark, "moveFrom") is not None:
            self._out.notes["changes"] += local(element[-1]) not in _DELETED
        else:
            text = "".join(joined).strip()
            joined.clear()
            is_unseen = not text and (style.is_hidden or self._styles.hides(mark))
            self._put(text, style, is_counted=not is_unseen)
        for box in boxes:
            self._blocks(box)
        if self._place is self._out and not is_deleted:
            self._tell_notes()

    def _put(self, text: str, style: Style, *, is_counted: bool) -> None:
        label = self._numbering.label(style.number, style.depth) if is_counted else ""
        if text and label:
            text = f"{label} {text}"
        is_bullet = label == "-" and not style.level
        self._place.add(text, style.level, style.number if is_bullet else None, style.depth)

    def _line(self, element: etree._Element) -> str:
        """Return the text of a paragraph; its text boxes are then in `_boxes`."""
        self._text, self._boxes, self._fields = [], [], []
        self._inline(element)
        return "".join(self._text)

    def _tell_notes(self) -> None:
        for note in self._following:
            self._out.add(note)
        self._following = []

    def _table(self, element: etree._Element) -> None:
        around = self._place
        if isinstance(around, Grid):
            around.dissolve()
        self._place = grid = Grid(self._out)
        for row in _unwrapped(element):
            properties = child(row, "trPr")
            if local(row) != "tr" or is_on(properties, "del"):
                continue
            grid.row()
            for _ in range(min(integer(value(properties, "gridBefore")), 50)):
                grid.cell()
            for cell in _unwrapped(row):
                if local(cell) == "tc":
                    self._cell(cell, grid)
        grid.end()
        self._place = around
        if around is self._out:
            self._tell_notes()

    def _cell(self, cell: etree._Element, grid: Grid) -> None:
        properties = child(cell, "tcPr")
        grid.cell(integer(value(properties, "gridSpan"), 1))
        merge = child(properties, "vMerge")
        # It goes on with the cell above, and whatever it holds is not shown.
        if merge is None or attribute(merge, "val") == "restart":
            self._blocks(cell)

    def _inline(self, parent: etree._Element) -> None:
        for element in parent:
            name = local(element)
            if name == "r":
                self._run(element)
            elif name in _DELETED:
                self._out.notes["changes"] += 1
            elif name == "oMath":
                self._out.notes["formulas"] += 1
                self._text.extend(part.text or "" for part in element.iter() if local(part) == "t")
            elif name not in _UNSEEN or (name == "Fallback" and child(parent, "Choice") is None):
                self._out.notes["changes"] += name in _INSERTED
                self._inline(element)

    def _run(self, run: etree._Element) -> None:
        properties = child(run, "rPr")
        start = len(self._text)
        self._content(run)
        if properties is None or start == len(self._text):
            return
        text = "".join(self._text[start:])
        if self._styles.hides(properties):
            self._out.notes["hidden"] += len(text)
            text = ""
        elif (shift := value(properties, "vertAlign")) and "[^" not in text:
            text = {"superscript": raised, "subscript": lowered}.get(shift, str)(text)
        elif (is_on(properties, "strike") or is_on(properties, "dstrike")) and text.strip():
            text = f"~~{text}~~"
        self._text[start:] = [text]

    def _content(self, run: etree._Element) -> None:
        for element in run:
            name = local(element)
            if name == "fldChar":
                self._field(element)
            elif name in _DRAWINGS:
                self._drawing(element)
            elif name == "AlternateContent":
                for chosen in _unwrapped(element):
                    self._drawing(chosen) if local(chosen) in _DRAWINGS else self._content(chosen)
            elif not all(self._fields):
                continue
            elif name == "t":
                self._text.append(self._letters(element.text or "", run))
            elif name in _SIGNS:
                self._text.append(_SIGNS[name])
            elif name == "sym":
                self._text.append(self._sign(element))
            elif name in ("footnoteReference", "endnoteReference"):
                self._refer(name.removesuffix("Reference"), attribute(element, "id"))
            elif name == "ruby" and (base := child(element, "rubyBase")) is not None:
                self._inline(base)

    def _letters(self, text: str, run: etree._Element) -> str:
        if not _PRIVATE.search(text):
            return text
        fonts = child(child(run, "rPr"), "rFonts")
        font = "" if fonts is None else attribute(fonts, "ascii") or attribute(fonts, "hAnsi")
        return _PRIVATE.sub(lambda found: self._letter(ord(found[0]), font), text)

    def _sign(self, element: etree._Element) -> str:
        """Return a letter of a font that is named beside it."""
        font = attribute(element, "font")
        try:
            code = int(attribute(element, "char")[:8], 16)
        except ValueError:
            return ""
        if 0xF000 <= code <= 0xF0FF or font.lower() in FONTS:
            return self._letter(code, font)
        return chr(code) if 0 <= code < 0x110000 else ""

    def _letter(self, code: int, font: str) -> str:
        """Return what a letter of a font that is pictures says, or a bullet, and count it."""
        letter = sign(code, font)
        self._out.notes["signs"] += not letter
        return letter or _BULLET

    def _field(self, element: etree._Element) -> None:
        """Follow a field, whose code stands before `separate` and what it shows after it."""
        kind = attribute(element, "fldCharType")
        if kind == "begin":
            self._fields.append(False)
            data = child(element, "ffData")
            if (box := child(data, "checkBox")) is not None:
                is_ticked = is_on(box, "checked" if child(box, "checked") is not None else "default")
                self._text.append("☒" if is_ticked else "☐")
            elif (choices := child(data, "ddList")) is not None:
                chosen = integer(value(choices, "result") or value(choices, "default"))
                entries = [attribute(entry, "val") for entry in named(choices, "listEntry")]
                self._text += entries[chosen : chosen + 1]
        elif self._fields and kind == "separate":
            self._fields[-1] = True
        elif self._fields:
            self._fields.pop()

    def _drawing(self, parent: etree._Element) -> None:
        images = self._out.notes["images"]
        for element in parent:
            name = local(element)
            if name == "txbxContent":
                self._boxes.append(element)
            elif name != "Fallback" or child(parent, "Choice") is None:
                self._out.notes["images"] += name in ("pic", "imagedata", "chart", "relIds")
                self._drawing(element)
        if child(parent, "OLEObject") is not None:
            self._out.notes["embedded"] += 1
            # The picture shows what is embedded.
            self._out.notes["images"] = images

    def _refer(self, kind: str, name: str) -> None:
        if text := self._notes[kind].get(name):
            self._told[kind] += 1
            mark = numeral(self._told[kind], "decimal" if kind == "footnote" else "lowerRoman")
            self._text.append(f"[^{mark}]")
            self._following.append(f"[^{mark}]: {text}")

    def _read_notes(self, kind: str) -> dict[str, str]:
        root = self._part(f"{kind}s")
        notes = [] if root is None else named(root, kind)
        return {attribute(note, "id"): " ".join(self._lines(note)) for note in notes}

    def _margins(self, kind: str) -> str:
        """Return the lines of all headers or footers, each once."""
        parts = map(self._package.xml, self._related.get(kind, []))
        lines = dict.fromkeys(line for part in parts if part is not None for line in self._lines(part))
        # A number alone is that of the page on which the file was last seen.
        return "\n".join(line for line in lines if not line.strip(" -–—/|.").isdecimal())

    def _lines(self, root: etree._Element) -> Iterator[str]:
        for element in root.iter():
            if local(element) == "p" and (line := self._line(element).strip()):
                yield line


class _Styles:
    """The styles of a document, each with what it has from the ones it is based on."""

    def __init__(self, root: etree._Element | None, numbering: Numbering) -> None:
        styles = [] if root is None else named(root, "style")
        self._styles = {attribute(style, "styleId"): style for style in styles}
        self._numbering = numbering
        self._named = cache(self._resolve)

    def of(self, properties: etree._Element | None) -> Style:
        """Return what holds for a paragraph: its own properties, else its style's."""
        style = self._named(value(properties, "pStyle"))
        return style if properties is None else self._over(style, properties)

    def hides(self, properties: etree._Element | None) -> bool:
        """Return whether what has these properties, a run or a paragraph's mark, is not shown."""
        if child(properties, "vanish") is not None:
            return is_on(properties, "vanish")
        return self._named(value(properties, "rStyle")).is_hidden

    def _resolve(self, name: str) -> Style:
        chain: list[str] = []
        while name in self._styles and name not in chain:
            chain.append(name)
            name = value(self._styles[name], "basedOn")
        style = Style()
        for name in reversed(chain):
            style = self._with(style, name)
        return style

    def _with(self, style: Style, name: str) -> Style:
        element = self._styles[name]
        if heading := _HEADING.fullmatch(value(element, "name")):
            style = style._replace(level=int(heading[1] or 1))
        if listed := self._numbering.by_style(name):
            style = style._replace(number=listed[0], depth=listed[1])
        runs = child(element, "rPr")
        if child(runs, "vanish") is not None:
            style = style._replace(is_hidden=is_on(runs, "vanish"))
        properties = child(element, "pPr")
        return style if properties is None else self._over(style, properties)

    def _over(self, style: Style, properties: etree._Element) -> Style:
        if outline := value(properties, "outlineLvl"):
            level = integer(outline, _BODY)
            style = style._replace(level=0 if level >= _BODY else level + 1)
        if (listed := child(properties, "numPr")) is not None:
            depth = value(listed, "ilvl")
            style = style._replace(
                number=value(listed, "numId") or style.number, depth=integer(depth, style.depth)
            )
        return style


def _unwrapped(parent: etree._Element) -> Iterator[etree._Element]:
    """Yield the children, and those of what only wraps them: content controls, insertions."""
    for element in parent:
        name = local(element)
        if name in _WRAPPERS or (name == "Fallback" and child(parent, "Choice") is None):
            yield from _unwrapped(element)
        elif name not in _DELETED and name not in _UNSEEN:
            yield element
