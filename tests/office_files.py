"""Files as staff have them, made on the spot: Word, mail and zip packages, ordinary and hostile."""

import io
import struct
import zipfile
import zlib

from extraction import Extraction, process

W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
STRICT = "http://purl.oclc.org/ooxml/wordprocessingml/main"
KINDS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
RELATED = "http://schemas.openxmlformats.org/package/2006/relationships"
NAMESPACES = (
    'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006" '
    'xmlns:wps="http://schemas.microsoft.com/office/word/2010/wordprocessingShape" '
    'xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math" '
    'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" '
    'xmlns:v="urn:schemas-microsoft-com:vml"'
)


def read(data, name):
    """Read a file through the real child; returns its text, and what else is known of it."""
    extraction = Extraction(data, name)
    return "\n\n".join(part.text for part in extraction), extraction


def hurry(monkeypatch):
    """Give children one second of work, where a file takes whatever it gets."""
    hurried = "import extraction.limits; extraction.limits.CPU_SECONDS = 1; main()"
    monkeypatch.setattr(process, "PROGRAM", process.PROGRAM.removesuffix("main()") + hurried)


def paragraph(text, properties=""):
    """Return a paragraph in Word's XML."""
    return f"<w:p><w:pPr>{properties}</w:pPr>{run(text)}</w:p>"


def run(text, properties=""):
    """Return a run of letters in Word's XML."""
    return f'<w:r><w:rPr>{properties}</w:rPr><w:t xml:space="preserve">{text}</w:t></w:r>'


def table(*rows):
    """Return a table in Word's XML, from rows of cells' content; a cell may be a pair with its properties."""
    pairs = [[cell if isinstance(cell, tuple) else (cell, "") for cell in row] for row in rows]
    cells = [
        "".join(f"<w:tc><w:tcPr>{properties}</w:tcPr>{content}</w:tc>" for content, properties in row)
        for row in pairs
    ]
    return f"<w:tbl>{''.join(f'<w:tr>{row}</w:tr>' for row in cells)}</w:tbl>"


def word(body, parts=None, *, head="", namespace=W, files=None):
    """Return a Word file: its body's XML, and by their kind the parts that it relates to."""
    parts = parts or {}

    def wrapped(name, inner):
        return f'<w:{name} xmlns:w="{namespace}" {NAMESPACES}>{inner}</w:{name}>'

    relations = "".join(
        f'<Relationship Id="r{kind}" Type="{KINDS}/{kind.rstrip("0123456789")}" Target="{kind}.xml"/>'
        for kind in parts
    )
    held = {
        "word/document.xml": head + wrapped("document", f"<w:body>{body}</w:body>"),
        "word/_rels/document.xml.rels": f'<Relationships xmlns="{RELATED}">{relations}</Relationships>',
        **{f"word/{kind}.xml": wrapped("part", inner) for kind, inner in parts.items()},
        **(files or {}),
    }
    return packed(held)


def packed(files, compression=zipfile.ZIP_DEFLATED):
    """Return a zip file of names and contents."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression, compresslevel=1) as package:
        for name, content in files.items():
            package.writestr(name, content)
    return out.getvalue()


def with_listed(data, offset, form, number):
    """Return a zip file whose list says something else of its last entry, at an offset in its record."""
    changed = bytearray(data)
    struct.pack_into(form, changed, data.rfind(b"PK\x01\x02") + offset, number)
    return bytes(changed)


def bomb(name, megabytes, listed):
    """Return a zip file of one entry, of zeros, whose size is listed as another."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    # Flushed in full, a block depends on none before it, and can be had any number of times.
    block = packer.compress(bytes(1_000_000)) + packer.flush(zlib.Z_FULL_FLUSH)
    held, name = block * megabytes + packer.flush(), name.encode()
    about = struct.pack("<HHHHHIIIHH", 20, 0, 8, 0, 33, 0, len(held), listed, len(name), 0)
    first = b"PK\x03\x04" + about + name + held
    entry = b"PK\x01\x02" + struct.pack("<H", 20) + about + bytes(14) + name
    return first + entry + b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(entry), len(first), 0)


def mail(headers, *parts, kind="mixed"):
    """Return a mail of parts, each its own headers, a blank line and content."""
    boundary = f"=={kind}=="
    held = "".join(f"--{boundary}\n{part}\n" for part in parts)
    return f'{headers}\nContent-Type: multipart/{kind}; boundary="{boundary}"\n\n{held}--{boundary}--\n'
