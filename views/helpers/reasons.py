"""Why a file cannot be read, and what of it was not, in words that say what to do next."""

from __future__ import annotations

import re
from pathlib import PurePath

from flask import Flask

from extraction import Reason
from models import Document, Reading
from views.helpers.formats import ranges

READABLE = "PDF, DOCX, HTML, EML, CSV, TSV, TXT or MD"
ACCEPTED = ".pdf,.docx,.html,.htm,.eml,.csv,.tsv,.txt,.md,.markdown"

SENTENCES = {
    Reason.UNKNOWN: f"The selected file must be a {READABLE} file. Save it as one of these and try again.",
    Reason.EMPTY: "The selected file holds no text. "
    "If it shows some, save it as a PDF file and try again; else select another one.",
    Reason.NOT_TEXT: "The selected file is not plain text in UTF-8. "
    "Save it as UTF-8 text, or as a PDF or DOCX file, and try again.",
    Reason.PASSWORD: "The selected file is password protected. "
    "Save a copy without the password and try again.",
    Reason.NO_TEXT: "No text found in this file: it may be a scan. "
    "Have its text recognised (OCR) and try again, or paste the text.",
    Reason.DAMAGED: "The selected file is damaged and cannot be read. "
    "Open it in the program that made it, save it anew and try again.",
    Reason.TOO_MANY_PAGES: "The selected file must have 1,000 pages or fewer. "
    "Split it and bring the parts one by one.",
    Reason.TOO_LONG: "The selected file must hold 2,000,000 characters or fewer. "
    "Split it and bring the parts one by one.",
    Reason.TOO_LARGE: "The selected file must be smaller than 10 MB, and than 100 MB when it is unpacked. "
    "Split it, or make its pictures smaller, and try again.",
    Reason.TOO_MUCH_WORK: "The selected file took too much time or memory to read. "
    "Save it as plain text or as a new PDF and try again, or paste the text.",
    Reason.INTERRUPTED: "Precis was interrupted while it read this file. "
    "Nothing of it was kept: select the file again.",
    Reason.NOT_SAVED: "This file could not be saved: storage is full, or the database does not answer. "
    "Nothing of it was kept: tell whoever runs Precis, then select it again.",
}
CANCELLED = "You cancelled this. Nothing of the file was kept."

# What people try, and what becomes of it a file that can be read.
SAVE_AS = {
    "Save it as DOCX or PDF and try again.": ".doc .dot .odt .rtf .pages .wpd .wps",
    "Save the sheet as CSV and try again.": ".xls .xlsx .xlsm .xlsb .ods .numbers",
    "Save it as PDF and try again.": ".ppt .pptx .odp .key .epub .xps .ps",
    "Save the message as EML and try again.": ".msg .oft",
    "A picture holds no text: have it recognised (OCR), save that as PDF and try again.": ".png .jpg .jpeg "
    ".gif .tif .tiff .bmp .webp .heic",
    "Unpack it and select one of its files.": ".zip .7z .rar .tar .gz .tgz",
}
ADVICE = {ending: advice for advice, endings in SAVE_AS.items() for ending in endings.split()}

# What is not read, by the code of its note; the detail is a number, or names.
UNREAD = {
    "attachments": "Attachments are not read: {}. Select them one by one.",
    "images": "Pictures are not read: {}.",
    "comments": "Comments are not read: {}.",
    "changes": "Tracked changes: {}. They are read as if all were accepted.",
    "formulas": "Formulas: {}. Of them letters and figures are read, without powers and fractions.",
    "form": "This form is drawn by Adobe's programs only and was not read: print it to PDF and select that.",
    "tables": "Tables that are read cell by cell, without their rows and columns: {}.",
    "embedded": "Embedded files are not read: {}.",
    "hidden": "Hidden text is not read: {} characters.",
    "outside": "Menus and what else stands around the text are not read: {} characters.",
    "guessed": "Letters beyond English were read as windows-1252, since the file does not say its encoding: "
    "{}. Look whether they are right.",
    "lost": "Characters that are lost, in the file or in its encoding, and shown as �: {}.",
    "signs": "Signs that only their font explains: {}. They are read as •.",
    "damaged": "Pages that are damaged and were not read: {}.",
    "tags": "Invisible characters, which can hide instructions: {}. Look at the text before you rely on it.",
}


def register(app: Flask) -> None:
    """Give the templates these words."""
    app.add_template_filter(outcome)
    app.add_template_filter(gaps)
    app.jinja_env.globals |= {"accepted": ACCEPTED, "readable": READABLE}


def explain(reason: str, name: str) -> str:
    """Return why a file of this name cannot be read, and what to do."""
    advice = ADVICE.get(PurePath(name).suffix.lower())
    if reason == Reason.UNKNOWN and advice:
        return f"The selected file must be a {READABLE} file. {advice}"
    return SENTENCES[Reason(reason)]


def outcome(reading: Reading) -> str:
    """Return how a reading ended without a document."""
    return CANCELLED if reading.stop_requested else explain(reading.reason, reading.name)


def gaps(document: Document) -> list[str]:
    """Return what a document lacks of its file, a sentence each."""
    empty = [number for number, count in enumerate(document.read_pages(), 1) if not count]
    found = [_empty(empty)] if empty else []
    return found + [_unread(code, detail) for code, detail in document.unread]


def _unread(code: str, detail: str) -> str:
    # A file may be named with a number.
    is_count = code != "attachments" and re.fullmatch("[0-9]{1,9}", detail)
    return UNREAD.get(code, f"Not read: {code}, {{}}.").format(f"{int(detail):,}" if is_count else detail)


def _empty(pages: list[int]) -> str:
    if len(pages) == 1:
        return f"Page {pages[0]} holds no text: it may be a scan."
    return f"Pages {ranges(pages)} hold no text: they may be scans."
