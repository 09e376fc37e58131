"""What a person takes along: all that is theirs, as a zip that is written while it is sent."""

from __future__ import annotations

import io
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

from hub import let_others_run
from models import Analysis, Document, Event, Expense, Original, Share, Sought, User, now
from storage import connected

AT_ONCE = 100
# What is compressed while nobody else runs: a few milliseconds' worth.
SLICE = 65_536
# What Windows takes in no name, and white space that is none.
UNSAFE = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]|[^\S ]')


def pack(person: User) -> Iterator[bytes]:
    """Yield the zip of all that is a person's, holding one text or file at a time.

    It has a folder for each document, with its text, its file and its analyses, each text exactly as it is
    stored, and index.json, which says all else. Lets others run meanwhile.
    """
    target = _Target()
    with ZipFile(target, "w") as archive:
        for id in _ids(person):
            yield from _pack_document(archive, target, person, id)
        yield from _write(archive, target, "index.json", _index(person))
    yield target.taken()


class _Target(io.RawIOBase):
    """What a zip is written to, to be taken away at once; that it cannot be sought in, the zip allows for."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def taken(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)


def _pack_document(archive: ZipFile, target: _Target, person: User, id: int) -> Iterator[bytes]:
    with connected():
        document = Document.find(person, id)
        text = document.read() if document else None
    # Deleted meanwhile.
    if document is None or text is None:
        return
    folder = folder_of(document)
    yield from _write(archive, target, f"{folder}/document.txt", _slices(text.encode()))
    del text
    with connected():
        original = Original.of(document)
        analyses = Analysis.ids_of(document)
    if original:
        name = f"{folder}/original {safe(original.name)}"
        # What it came as is compressed already, nearly always.
        yield from _write(archive, target, name, _slices(bytes(original.data)), ZIP_STORED)
    for number in analyses:
        with connected():
            saved = Analysis.saved(number)
        if saved:
            yield from _write(archive, target, f"{folder}/analysis-{number}.md", _slices(saved[1].encode()))


def _write(
    archive: ZipFile, target: _Target, name: str, parts: Iterable[bytes], how: int = ZIP_DEFLATED
) -> Iterator[bytes]:
    info = ZipInfo(name, now().timetuple()[:6])
    info.compress_type = how
    with archive.open(info, "w") as file:
        for part in parts:
            file.write(part)
            yield target.taken()
            let_others_run()
    yield target.taken()


def _slices(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), SLICE):
        yield data[start : start + SLICE]


def _ids(person: User) -> Iterator[int]:
    after = 0
    while True:
        with connected():
            ids = Document.ids_of(person, after, AT_ONCE)
        yield from ids
        if len(ids) < AT_ONCE:
            return
        after = ids[-1]


def folder_of(document: Document) -> str:
    """Return the name of a document's folder: no other one's, and safe everywhere."""
    # With its number in front it is no name that Windows keeps for itself.
    return f"{document.id} {safe(document.title)[:60]}".rstrip(". ")


def safe(name: str) -> str:
    """Return a name in which nothing means anything to a file system, and nothing turns its direction."""
    plain = UNSAFE.sub("_", unicodedata.normalize("NFC", name))
    return "".join(c for c in plain if unicodedata.category(c) not in {"Cf", "Cs"}).rstrip(". ")


# What is in no text


def _index(person: User) -> Iterator[bytes]:
    """Yield index.json, some rows at a time: of the events alone there may be many thousands."""
    about = {"name": person.name, "shown_name": person.shown_name, "since": person.created_at}
    yield f'{{"person": {_json(about)}'.encode()
    with connected():
        received = Share.received_by(person)
    lists = {
        "documents": _documents(person),
        "shared_with_me": (_facts(share, "document", "created_at") for share in received),
        "expenses": map(_expense, Expense.each_of(person)),
        "events": map(_event, Event.each(Sought(user_id=person.id), most=1_000_000)),
    }
    for name, rows in lists.items():
        yield f',\n"{name}": ['.encode()
        separator = "\n"
        while some := list(islice(rows, AT_ONCE)):
            yield (separator + ",\n".join(map(_json, some))).encode()
            separator = ",\n"
        yield b"]"
    yield b"}\n"


def _documents(person: User) -> Iterator[dict[str, Any]]:
    fields = ("id", "title", "created_at", "format", "characters", "words", "paragraphs", "page_count")
    for id in _ids(person):
        with connected():
            document = Document.find(person, id)
            if document is None:
                continue
            facts = _facts(document, *fields) | {"folder": folder_of(document)}
            facts["shared_with"] = [share.user.name if share.user else None for share in Share.of(document)]
            facts["analyses"] = [_analysis(each) for each in Analysis.of(document, limit=None)]
        yield facts
        let_others_run()


def _analysis(analysis: Analysis) -> dict[str, Any]:
    return _facts(
        analysis,
        *("id", "recipe", "question", "model", "status", "stop_reason", "error", "words", "continues"),
        *("created_at", "started_at", "first_text_at", "ended_at", "sections"),
        *("input_tokens", "output_tokens", "cached_tokens", "usage_is_estimate", "price"),
    )


def _expense(expense: Expense) -> dict[str, Any]:
    fields = ("analysis_id", "model", "day", "amount", "is_settled", "input_tokens", "output_tokens")
    return _facts(expense, *fields)


def _event(event: Event) -> dict[str, Any]:
    return _facts(event, "at", "action", "document_id", "analysis_id", "detail", "address")


def _facts(row: Any, *fields: str) -> dict[str, Any]:
    return {field: row.__data__[field] for field in fields}


def _json(value: object) -> str:
    # Times and prices, as they are written.
    return json.dumps(value, ensure_ascii=False, default=str)
