"""Zip packages of XML, such as Word's, of which nothing is believed: not their sizes, names or entities."""

from __future__ import annotations

import posixpath
import zlib
from collections import defaultdict
from collections.abc import Iterator
from io import BytesIO
from itertools import pairwise
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from lxml import etree  # type: ignore[import-untyped]

from extraction import Reason, Unreadable

MAX_ENTRIES = 2000
MAX_UNPACKED = 100_000_000
MAX_RATIO = 100
# A short text over and over packs better than any ratio tells, and harms nobody.
HARMLESS = 10_000_000
# What an entry's own header takes, without its name.
_HEADER_SIZE = 30


class Package:
    """A zip file whose parts are XML, read one by one when asked for; nothing is unpacked to a disk.

    Raises Unreadable: DAMAGED, TOO_LARGE, TOO_MUCH_WORK, PASSWORD.
    """

    def __init__(self, data: bytes) -> None:
        try:
            self._zip = ZipFile(BytesIO(data))
        # Beside its own error the library lets out what it stumbles over.
        except (BadZipFile, NotImplementedError, ValueError, OSError, EOFError):
            raise Unreadable(Reason.DAMAGED) from None
        entries = self._zip.infolist()
        unpacked = sum(entry.file_size for entry in entries)
        if len(entries) > MAX_ENTRIES or unpacked > min(MAX_UNPACKED, max(HARMLESS, MAX_RATIO * len(data))):
            raise Unreadable(Reason.TOO_LARGE)
        _refuse_overlaps(entries, self._zip.start_dir)
        self._names = {entry.filename.lower(): entry for entry in entries}

    def xml(self, name: str) -> etree._Element | None:
        """Return the root of a part, or None if there is no such part."""
        if not (entry := self._names.get(name.lower())):
            return None
        parser = etree.XMLParser(
            resolve_entities=False,
            no_network=True,
            load_dtd=False,
            huge_tree=False,
            remove_comments=True,
            remove_pis=True,
        )
        try:
            root = etree.fromstring(self._read(entry), parser)
        except etree.XMLSyntaxError as error:
            # Too deep, a text too long, entities of entities.
            is_limit = error.code == etree.ErrorTypes.ERR_RESOURCE_LIMIT
            raise Unreadable(Reason.TOO_MUCH_WORK if is_limit else Reason.DAMAGED) from None
        # No office program writes one: it is there to read other files, or to grow.
        if root.getroottree().docinfo.internalDTD is not None:
            raise Unreadable(Reason.DAMAGED)
        return root

    def related(self, name: str) -> dict[str, list[str]]:
        """Return the names of the parts that a part relates to (the package itself is ``), by kind."""
        folder, file = posixpath.split(name)
        related = defaultdict(list)
        root = self.xml(posixpath.join(folder, "_rels", f"{file}.rels"))
        for relation in root if root is not None else []:
            if relation.get("TargetMode") != "External":
                target = posixpath.join("/", folder, relation.get("Target", ""))
                kind = relation.get("Type", "").rpartition("/")[2]
                related[kind].append(posixpath.normpath(target).lstrip("/"))
        return related

    def _read(self, entry: ZipInfo) -> bytes:
        if entry.flag_bits & 1:
            raise Unreadable(Reason.PASSWORD)
        if entry.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
            raise Unreadable(Reason.DAMAGED)
        try:
            with self._zip.open(entry) as part:
                # Asked for all, the library would unpack all that is there before it looks at the size.
                return part.read(entry.file_size)
        except (BadZipFile, NotImplementedError, ValueError, OSError, EOFError, zlib.error):
            raise Unreadable(Reason.DAMAGED) from None


# Elements go by their names alone: Word's strict format has other namespaces, and the same names.


def local(element: etree._Element) -> str:
    """Return an element's name without its namespace."""
    name: str = element.tag
    return name[name.rfind("}") + 1 :]


def named(parent: etree._Element, *names: str) -> Iterator[etree._Element]:
    """Yield the children that have one of the names."""
    return (child for child in parent if local(child) in names)


def child(parent: etree._Element | None, name: str) -> etree._Element | None:
    """Return the first child of a name, or None; there is none of None."""
    return None if parent is None else next(named(parent, name), None)


def attribute(element: etree._Element, name: str) -> str:
    """Return an attribute from the element's own namespace, empty if there is none."""
    tag: str = element.tag
    found: str = element.get(tag[: tag.rfind("}") + 1] + name, "")
    return found


def value(parent: etree._Element | None, name: str) -> str:
    """Return the `val` of the first child of a name, empty if there is none."""
    found = child(parent, name)
    return "" if found is None else attribute(found, "val")


def is_on(parent: etree._Element | None, name: str) -> bool:
    """Return whether a property is there, and is not there to say no."""
    found = child(parent, name)
    return found is not None and attribute(found, "val") not in ("0", "false", "off", "none")


def _refuse_overlaps(entries: list[ZipInfo], end: int) -> None:
    """Refuse entries that share their bytes, by which a small file becomes a huge one."""
    spans = sorted((entry.header_offset, entry.compress_size + _HEADER_SIZE) for entry in entries)
    for (start, size), (following, _) in pairwise([*spans, (end, 0)]):
        if start + size > following:
            raise Unreadable(Reason.DAMAGED)
