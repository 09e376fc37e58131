"""PDF, by PDFium: the lines of its pages, where they stand, what fills its forms, what else it holds."""

from __future__ import annotations

import encodings.utf_16_le  # noqa: F401  # Python would load it when it first decodes, and then can open nothing
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from ctypes import c_double, c_ushort
from itertools import chain, groupby, pairwise
from math import atan2, hypot, pi
from operator import itemgetter
from typing import Any

import pypdfium2_raw as pdfium  # type: ignore[import-untyped]

from extraction import Reason, Unreadable
from extraction.layout import CELL, GAP, Line, Style, compose, downwards
from extraction.limits import MAX_CHARACTERS
from extraction.paragraphs import lowered, raised
from extraction.telling import Tell

# PDFium keeps a pointer to it.
_FORM_INFO = pdfium.FPDF_FORMFILLINFO(version=2)
# So many pages tell what is usual in a document.
SAMPLES = 12
# So many letters tell how a page lies.
TURN_SAMPLES = 50
# A line this wide, in em a character, may have gaps as wide as those between the cells of a table.
WIDE = 0.5
# So wide at most is the gap after a bullet or an item's number.
MARKER_GAP = 3.0
# PDFium marks a hyphen that only parts a word over two lines, and then leaves out the line's end.
_HYPHENS = ("\x02", "\ufffe")
_LINE = re.compile("\\s*([^\r\n\x02\ufffe]+)(\r\n|[\r\n\x02\ufffe]|$)")
_WORD = re.compile(r"\S+")
# A word with figures, and the end of the line before if it begins one.
_FIGURED = re.compile(r"(?:(?<=\S)\r\n)?[^\s0-9]{,30}[0-9]\S*")
_FIGURES = re.compile(r"[+−-]?[0-9]+")
_SHIFTED = re.compile("[\0\\s⁰¹²³⁴-ⁿ₀-₎]")
_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")
_LEFT_TO_RIGHT = re.compile("[A-Za-z]")
# What runs from left to right within a word that does not.
_INSERTED = re.compile(r"[0-9A-Za-zÀ-ɏ](?:[!-~À-ɏ]*[0-9A-Za-zÀ-ɏ%])?")
_ANY = re.compile("")
_LAM_ALEF = ("لا", "لأ", "لإ", "لآ")
# Ligatures, and the shapes that Arabic letters take beside each other.
_SHAPES = re.compile("[\ufb00-\ufdff\ufe70-\ufefc]+")
_MARKER = re.compile(r"[^\w\s]|\(?\w{1,4}[.)]|\d+(?:\.\d+)*")
_UNSEEN = re.compile("[\x00-\x1f\x7f\xad\uffff]")


def read(data: bytes, tell: Tell) -> None:
    """Tell a file's pages. Raises Unreadable: PASSWORD, DAMAGED, TOO_MANY_PAGES, TOO_LONG."""
    pdfium.FPDF_InitLibrary()
    document = pdfium.FPDF_LoadMemDocument64(data, len(data), None)
    if not document:
        locks = (pdfium.FPDF_ERR_PASSWORD, pdfium.FPDF_ERR_SECURITY)
        is_locked = pdfium.FPDF_GetLastError() in locks
        raise Unreadable(Reason.PASSWORD if is_locked else Reason.DAMAGED)
    count = pdfium.FPDF_GetPageCount(document)
    if not count:
        raise Unreadable(Reason.DAMAGED)
    tell.pages(count)
    if title := _title(document):
        tell.title(title)
    _tell_pages(document, count, tell)
    if pdfium.FPDF_GetFormType(document) == pdfium.FORMTYPE_XFA_FULL:
        tell.note("form", "1")
    if names := list(_attachments(document)):
        tell.note("attachments", ", ".join(names))


def _tell_pages(document: Any, count: int, tell: Tell) -> None:
    form = _form(document)
    samples = {index: _Page(document, index, form) for index in range(0, count, -(-count // SAMPLES))}
    style = Style.of(page.lines for page in samples.values())
    comments, damaged = 0, []
    for index in range(count):
        page = samples.pop(index, None) or _Page(document, index, form)
        comments += page.comments
        if page.is_damaged:
            damaged.append(str(index + 1))
        tell.part("\n\n".join(filter(None, [compose(page.lines, style), *page.fields])), index + 1)
    if len(damaged) == count:
        raise Unreadable(Reason.DAMAGED)
    if damaged:
        tell.note("damaged", ", ".join(damaged))
    if comments:
        tell.note("comments", str(comments))


class _Page:
    """One page: its lines, the fields and notes that were put on it, and how many comments it has."""

    def __init__(self, document: Any, index: int, form: Any) -> None:
        self.lines: list[Line] = []
        self.fields: list[str] = []
        self.comments = 0
        page = pdfium.FPDF_LoadPage(document, index)
        text = page and pdfium.FPDFText_LoadPage(page)
        if text and (turns := _turns(text)) != pdfium.FPDFPage_GetRotation(page):
            # PDFium takes the lines of a page as they would be shown, and those of one on its side backwards.
            pdfium.FPDFText_ClosePage(text)
            pdfium.FPDFPage_SetRotation(page, turns)
            text = pdfium.FPDFText_LoadPage(page)
        self.is_damaged = not text
        if text:
            self.lines = downwards(_Text(text).lines())
            pdfium.FPDFText_ClosePage(text)
        if page:
            self._read_annotations(page, form)
            pdfium.FPDF_ClosePage(page)

    def _read_annotations(self, page: Any, form: Any) -> None:
        for index in range(pdfium.FPDFPage_GetAnnotCount(page)):
            annotation = pdfium.FPDFPage_GetAnnot(page, index)
            kind = pdfium.FPDFAnnot_GetSubtype(annotation)
            if kind == pdfium.FPDF_ANNOT_WIDGET and form:
                if field := _field(form, annotation):
                    self.fields.append(field)
            elif kind not in (pdfium.FPDF_ANNOT_LINK, pdfium.FPDF_ANNOT_WIDGET, pdfium.FPDF_ANNOT_POPUP):
                words = _string(pdfium.FPDFAnnot_GetStringValue, annotation, b"Contents")
                # What was typed onto the page is seen there, other notes are seen when asked for.
                if words and kind == pdfium.FPDF_ANNOT_FREETEXT:
                    self.fields.append(words)
                elif words:
                    self.comments += 1
            pdfium.FPDFPage_CloseAnnot(annotation)


def _turns(text: Any) -> int:
    """Return by how many quarters a page would have to be turned for most of its text to stand upright."""
    matrix, count = pdfium.FS_MATRIX(), pdfium.FPDFText_CountChars(text)
    turns: Counter[int] = Counter()
    for at in range(0, count, -(-count // TURN_SAMPLES) or 1):
        if not pdfium.FPDFText_IsGenerated(text, at) and pdfium.FPDFText_GetMatrix(text, at, matrix):
            turns[round(atan2(matrix.b, matrix.a) / (pi / 2)) % 4] += 1
    return max(turns, key=turns.__getitem__, default=0)


class _Text:
    """A page's characters, in the order in which they were written, and where each stands."""

    def __init__(self, page: Any) -> None:
        self._page = page
        self._numbers = c_double(), c_double(), c_double(), c_double()
        self._matrix = pdfium.FS_MATRIX()
        count = pdfium.FPDFText_CountChars(page)
        if count > MAX_CHARACTERS:
            raise Unreadable(Reason.TOO_LONG)
        units = (c_ushort * (max(0, count) + 1))()
        written = max(0, pdfium.FPDFText_GetText(page, 0, count, units) - 1)
        text = bytes(units)[: written * 2].decode("utf-16-le", "replace")
        # Whoever counts here counts as PDFium does, to whom half a surrogate pair is a character.
        self._text = text if len(text) == written else "".join(map(chr, units[:written]))
        self._is_all = count == written
        # The direction in which the line at hand runs.
        self._cos, self._sin = 1.0, 0.0
        self._text = _FIGURED.sub(self._with_shifts, self._text)

    def lines(self) -> Iterator[Line]:
        """Yield the lines, from the first to the last that was written."""
        for found in _LINE.finditer(self._text):
            words = found[1].rstrip()
            start, end = found.start(1), found.start(1) + len(words)
            if not _clean(words).strip():
                continue
            # PDFium knows one kind of hyphen, and typesetters two.
            is_parted = words[-1] in "\u2010\xad" and words[-2:-1].isalpha()
            yield self._line(start, end - is_parted, is_broken=is_parted or found[2] in _HYPHENS)

    def _line(self, start: int, end: int, *, is_broken: bool) -> Line:
        text = self._text[start:end]
        middle = start + (end - start) // 2
        places = chain(range(middle, end), range(start, middle))
        y, size = self._measure(next((at for at in places if not _SHIFTED.match(self._text[at])), start))
        left, right = self._span(start, end - 1)
        right_to_left = len(_RIGHT_TO_LEFT.findall(text))
        is_turned = right_to_left > len(_LEFT_TO_RIGHT.findall(text))
        is_wide = right - left > size * WIDE * len(text) and not is_broken
        if right_to_left or is_wide:
            pattern = _ANY if is_turned else _RIGHT_TO_LEFT
            text = "".join(self._words(start, end, size, pattern))
        else:
            text = " ".join(text.split())
        if is_turned:
            left, right = -right, -left
        return Line(_clean(text), left, right, y, size, is_broken)

    def _with_shifts(self, word: re.Match[str]) -> str:
        """Return a word, with what stands above or below its line in letters that do: 10² is not 102."""
        start, end = word.span()
        letters = word[0].lstrip()
        first = end - len(letters)
        # PDFium begins a line with what stands high enough.
        is_cut = first > start and self._touch(start - 1, first)
        height = self._origin(start - 1 if is_cut else first)[1]
        ends = (found.end() - 1 for found in _FIGURES.finditer(letters))
        if all(abs(self._origin(first + at)[1] - height) < 0.1 for at in ends):
            return word[0]
        measures = [self._measure(at) for at in range(first, end)]
        if is_cut:
            measures.insert(0, self._measure(start - 1))
        y, size = max(measures, key=itemgetter(1))
        shifts = [
            0.45 < its_size / size < 0.9
            and (size * 0.15 < its_y - y < size) - (size * 0.08 < y - its_y < size)
            for its_y, its_size in measures[is_cut:]
        ]
        text = word[0][: -len(letters)]
        if is_cut and shifts[0] > 0:
            text = "\0" * len(text)
        for shift, group in groupby(zip(letters, shifts, strict=True), key=itemgetter(1)):
            part = "".join(letter for letter, _ in group)
            text += _shifted(part, raised if shift > 0 else lowered) if shift else part
        return text

    def _touch(self, before: int, after: int) -> bool:
        """Return whether a character begins where another ends, along that one's line."""
        _, size = self._measure(before)
        return abs(self._span(after, after)[0] - self._span(before, before)[1]) < size * 0.3

    def _words(self, start: int, end: int, size: float, turned: re.Pattern[str]) -> Iterator[str]:
        """Yield a line's words and what is between them: a space, or the gap between two cells.

        Words in which `turned` is found are read from right to left.
        """
        spans = [found.span() for found in _WORD.finditer(self._text, start, end)]
        edges = [self._span(start, end - 1) for start, end in spans]
        gaps = [max(b[0] - a[1], a[0] - b[1]) / size for a, b in pairwise(edges)]
        least = min(gaps, default=0.0)
        if gaps and gaps[0] < MARKER_GAP and _MARKER.fullmatch(self._text, *spans[0]):
            gaps[0] = 0.0
        for (start, end), gap in zip(spans, [0.0, *gaps], strict=True):
            if start > spans[0][0]:
                yield CELL if gap > GAP and (gap > 3 * least or least > GAP) else " "
            is_turned = turned.search(self._text, start, end)
            yield self._in_order(start, end) if is_turned else self._text[start:end]

    def _in_order(self, start: int, end: int) -> str:
        """Return a word as it is read, by where its letters stand: PDFium turns some words and not others."""
        shapes: list[tuple[float, str]] = []
        for at in range(start, end):
            letter = self._text[at]
            place = -self._origin(at)[0]
            if shapes and (place == shapes[-1][0] or unicodedata.combining(letter)):
                place, letter = shapes[-1][0], shapes.pop()[1] + letter
            shapes.append((place, letter))
        if shapes[0][0] <= shapes[-1][0]:
            # One that it has turned, and with it the letters that share a shape.
            shapes = [(place, _turned(letters)) for place, letters in shapes]
        word = "".join(letters for _, letters in sorted(shapes, key=itemgetter(0)))
        return _INSERTED.sub(lambda found: found[0][::-1], word)

    def _measure(self, at: int) -> tuple[float, float]:
        """Return how high a character's line stands, and its size; from here on, lines run as this one."""
        index, matrix = self._index(at), self._matrix
        pdfium.FPDFText_GetMatrix(self._page, index, matrix)
        length = hypot(matrix.a, matrix.b) or 1.0
        self._cos, self._sin = matrix.a / length, matrix.b / length
        size = pdfium.FPDFText_GetFontSize(self._page, index) * hypot(matrix.c, matrix.d)
        return self._origin(at)[1], max(size, 1.0)

    def _origin(self, at: int) -> tuple[float, float]:
        """Return where a character stands: along its line, and how high that is."""
        x, y, *_ = self._numbers
        pdfium.FPDFText_GetCharOrigin(self._page, self._index(at), x, y)
        along = x.value * self._cos + y.value * self._sin
        return along, y.value * self._cos - x.value * self._sin

    def _span(self, first: int, last: int) -> tuple[float, float]:
        """Return from where to where some characters go, along their line."""
        ends: list[float] = []
        left, right, bottom, top = self._numbers
        for at in {first, last}:
            pdfium.FPDFText_GetCharBox(self._page, self._index(at), left, right, bottom, top)
            ends.append(left.value * self._cos + bottom.value * self._sin)
            ends.append(right.value * self._cos + top.value * self._sin)
        return min(ends), max(ends)

    def _index(self, at: int) -> int:
        """Return PDFium's number of a character: it counts those, too, for which it has no letter."""
        index: int = at if self._is_all else pdfium.FPDFText_GetCharIndexFromTextIndex(self._page, at)
        return index


def _shifted(text: str, into: Callable[[str], str]) -> str:
    """Return what stands off its line in letters that do, or at least its figures."""
    return _FIGURES.sub(lambda found: into(found[0]), into(text))


def _turned(letters: str) -> str:
    """Return the letters of one shape the other way round; one letter with its marks stays."""
    # It turns them too, but not those that it found out itself, nearly always this one.
    is_done = letters.startswith(_LAM_ALEF) or unicodedata.combining(letters[-1])
    return letters if is_done else letters[::-1]


def _clean(text: str) -> str:
    text = _SHAPES.sub(lambda found: unicodedata.normalize("NFKC", found[0]), _UNSEEN.sub("", text))
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _form(document: Any) -> Any:
    """Return PDFium's way to a document's fields, nothing if it has none."""
    if pdfium.FPDF_GetFormType(document) == pdfium.FORMTYPE_NONE:
        return None
    return pdfium.FPDFDOC_InitFormFillEnvironment(document, _FORM_INFO)


def _field(form: Any, annotation: Any) -> str:
    """Return a field's name and what fills it, nothing if it is empty."""
    kind = pdfium.FPDFAnnot_GetFormFieldType(form, annotation)
    name = _string(pdfium.FPDFAnnot_GetFormFieldAlternateName, form, annotation)
    name = name or _string(pdfium.FPDFAnnot_GetFormFieldName, form, annotation)
    if kind in (pdfium.FPDF_FORMFIELD_CHECKBOX, pdfium.FPDF_FORMFIELD_RADIOBUTTON):
        value = _string(pdfium.FPDFAnnot_GetFormFieldExportValue, form, annotation)
        value = value if pdfium.FPDFAnnot_IsChecked(form, annotation) else ""
    elif kind in (pdfium.FPDF_FORMFIELD_COMBOBOX, pdfium.FPDF_FORMFIELD_LISTBOX):
        options = range(pdfium.FPDFAnnot_GetOptionCount(form, annotation))
        chosen = (at for at in options if pdfium.FPDFAnnot_IsOptionSelected(form, annotation, at))
        value = ", ".join(_string(pdfium.FPDFAnnot_GetOptionLabel, form, annotation, at) for at in chosen)
        # What was typed is none of them.
        value = value or _string(pdfium.FPDFAnnot_GetFormFieldValue, form, annotation)
    elif kind != pdfium.FPDF_FORMFIELD_PUSHBUTTON:
        value = _string(pdfium.FPDFAnnot_GetFormFieldValue, form, annotation)
    else:
        value = ""
    return f"{name}: {value}" if value else ""


def _title(document: Any) -> str:
    return _string(pdfium.FPDF_GetMetaText, document, b"Title")


def _attachments(document: Any) -> Iterator[str]:
    for index in range(pdfium.FPDFDoc_GetAttachmentCount(document)):
        attachment = pdfium.FPDFDoc_GetAttachment(document, index)
        yield _string(pdfium.FPDFAttachment_GetName, attachment) if attachment else "?"


def _string(get: Callable[..., int], *of: Any) -> str:
    """Return a text that PDFium writes where it is told, once it has said how long it is."""
    size = get(*of, None, 0)
    if size <= 2:
        return ""
    units = (c_ushort * (size // 2 + 1))()
    get(*of, units, size)
    return bytes(units)[: size - 2].decode("utf-16-le", "replace").strip()
