"""PDF files written by hand, byte by byte: ordinary ones, and those that somebody would send to do harm."""

import hashlib
import zlib

PAGE = b"[0 0 595 842]"
HELVETICA = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"
PADDING = bytes.fromhex("28BF4E5E4E758A4164004E56FFFA01082E2E00B6D0683E802F0CA9FE6453697A")


def line(text, x=72, y=770, size=11, font="F1"):
    """Return what draws a line of text with its first letter at a place, counted from the bottom left."""
    words = text if isinstance(text, bytes) else b"(" + _escaped(text) + b")"
    return b"BT /%s %g Tf 1 0 0 1 %g %g Tm %s Tj ET\n" % (font.encode(), size, x, y, words)


def block(*lines, x=72, y=770, size=11, leading=14):
    """Return what draws lines of text below each other."""
    return b"".join(line(text, x, y - number * leading, size) for number, text in enumerate(lines))


def _escaped(text):
    return text.encode("cp1252").replace(b"\\", rb"\\").replace(b"(", rb"\(").replace(b")", rb"\)")


class Pdf:
    """A file that is put together object by object; `data` is what it comes to."""

    def __init__(self, *pages, title=None, annotations=b""):
        self.objects = [b"", b"", HELVETICA]
        self.trailer = b""
        self.kids = [self.add_page(page, annotations) for page in pages]
        if title is not None:
            self.trailer += b"/Info %s " % self.add(b"<< /Title (%s) >>" % _escaped(title))
        self.catalog = b""
        self.fonts = b"/F1 3 0 R"

    def add(self, body):
        """Add an object; returns what refers to it."""
        self.objects.append(body)
        return b"%d 0 R" % len(self.objects)

    def stream(self, content, entries=b""):
        """Add a stream; returns what refers to it."""
        return self.add(b"<< /Length %d %s >>\nstream\n%s\nendstream" % (len(content), entries, content))

    def add_page(self, content, annotations=b"", entries=b""):
        """Add a page with a content, or with what refers to one."""
        content = content if content.endswith(b" R") else self.stream(content)
        head = b"<< /Type /Page /Parent 2 0 R /MediaBox %s /Contents %s " % (PAGE, content)
        return self.add(head + b"/Annots [%s] %s >>" % (annotations, entries))

    @property
    def data(self):
        """The file."""
        if not self.objects[0]:
            self.objects[0] = b"<< /Type /Catalog /Pages 2 0 R %s >>" % self.catalog
        if not self.objects[1]:
            resources = b"/Resources << /Font << %s >> >>" % self.fonts
            pages = b"<< /Type /Pages /Count %d /Kids [%s] %s >>"
            self.objects[1] = pages % (len(self.kids), b" ".join(self.kids), resources)
        out, places = bytearray(b"%PDF-1.7\n"), []
        for number, body in enumerate(self.objects, 1):
            places.append(len(out))
            out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
        start = len(out)
        out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(places) + 1)
        out += b"".join(b"%010d 00000 n \n" % place for place in places)
        out += b"trailer\n<< /Size %d /Root 1 0 R %s >>\n" % (len(places) + 1, self.trailer)
        return bytes(out + b"startxref\n%d\n%%%%EOF\n" % start)


def book(pages):
    """Return a file of so many pages, each with its number and ten lines in two paragraphs."""
    words = "The supplier shall deliver the goods within four weeks of the day on which they were ordered"
    return Pdf(
        *(
            line(f"This is page {number}", y=780)
            + block(*[f"{words}."] * 5, y=750)
            + block(*[f"{words} again."] * 5, y=650)
            for number in range(1, pages + 1)
        )
    ).data


def scan(*pages):
    """Return a file whose first page is a picture, followed by others."""
    file = Pdf()
    picture = file.stream(
        zlib.compress(bytes(64)),
        b"/Type /XObject /Subtype /Image /Width 8 /Height 8 /BitsPerComponent 8"
        b" /ColorSpace /DeviceGray /Filter /FlateDecode",
    )
    resources = b"/Resources << /XObject << /I %s >> >>" % picture
    file.kids = [file.add_page(b"500 0 0 700 50 50 cm /I Do", entries=resources)]
    file.kids += [file.add_page(page) for page in pages]
    return file.data


def written(codes):
    """Return a file with one line of a font of its own, in which each code stands for what a reader sees.

    `codes` are texts, their places from the left and, if they like, from the bottom, as they are written.
    """
    file = Pdf()
    maps = b"".join(
        b"<%02x> <%s>\n" % (i, t.encode("utf-16-be").hex().encode()) for i, (t, *_) in enumerate(codes, 65)
    )
    unicode = file.stream(
        b"/CIDInit /ProcSet findresource begin 12 dict begin begincmap\n/CMapType 2 def\n"
        b"1 begincodespacerange <00> <ff> endcodespacerange\n"
        b"%d beginbfchar\n%sendbfchar\nendcmap end end" % (len(codes), maps)
    )
    widths = b" ".join([b"500"] * len(codes))
    font = file.add(
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /FirstChar 65 /LastChar %d /Widths [%s]"
        b" /ToUnicode %s >>" % (64 + len(codes), widths, unicode)
    )
    file.fonts += b" /F2 " + font
    content = b"".join(
        line(b"<%02x>" % i, *[*place, 700][:2], 10, "F2") for i, (_, *place) in enumerate(codes, 65)
    )
    file.kids = [file.add_page(content)]
    return file.data


def locked(content, user=b"", owner=b"owner"):
    """Return a file that opens with a password: with none at all if the user's is empty."""
    key_of = lambda word: (word + PADDING)[:32]  # noqa: E731
    identity, rights = b"0123456789abcdef", -44
    sealed = _rc4(hashlib.md5(key_of(owner)).digest()[:5], key_of(user))
    seed = key_of(user) + sealed + rights.to_bytes(4, "little", signed=True) + identity
    key = hashlib.md5(seed).digest()[:5]
    file = Pdf()
    number = len(file.objects) + 1
    salted = hashlib.md5(key + number.to_bytes(3, "little") + b"\0\0").digest()[:10]
    file.kids = [file.add_page(file.stream(_rc4(salted, content)))]
    encrypt = b"<< /Filter /Standard /V 1 /R 2 /O <%s> /U <%s> /P %d >>"
    check = encrypt % (sealed.hex().encode(), _rc4(key, PADDING).hex().encode(), rights)
    file.trailer = b"/ID [<%s> <%s>] /Encrypt %s" % (*[identity.hex().encode()] * 2, file.add(check))
    return file.data


def _rc4(key, data):
    state, j = list(range(256)), 0
    for i in range(256):
        j = (j + state[i] + key[i % len(key)]) % 256
        state[i], state[j] = state[j], state[i]
    out, i, j = bytearray(), 0, 0
    for byte in data:
        i = (i + 1) % 256
        j = (j + state[i]) % 256
        state[i], state[j] = state[j], state[i]
        out.append(byte ^ state[(state[i] + state[j]) % 256])
    return bytes(out)


def form(catalog=b"", fields=b"", **values):
    """Return a page with fields that are filled; a value in bytes says all that its field does."""
    file = Pdf()
    held = [
        file.add(
            b"<< /Type /Annot /Subtype /Widget /Rect [72 %d 300 %d] /T (%s) %s >>"
            % (
                *(700 - 30 * row, 720 - 30 * row, name.encode()),
                value if isinstance(value, bytes) else b"/FT /Tx /V (%s)" % _escaped(value),
            )
        )
        for row, (name, value) in enumerate(values.items())
    ]
    file.catalog = b"/AcroForm << /Fields [%s] %s >> %s" % (b" ".join(held), fields, catalog)
    file.kids = [file.add_page(line("An application form"), b" ".join(held))]
    return file.data


def with_attachments(*names):
    """Return a file with other files inside."""
    file = Pdf(line("See what is attached."))
    specs = b""
    for name in names:
        held = file.stream(b"hidden words", b"/Type /EmbeddedFile")
        spec = file.add(b"<< /Type /Filespec /F (%s) /EF << /F %s >> >>" % (_escaped(name), held))
        specs += b"(%s) %s " % (_escaped(name), spec)
    file.catalog = b"/Names << /EmbeddedFiles << /Names [%s] >> >>" % specs
    return file.data


# Those that do harm


def flate_bomb(megabytes):
    """Return a small file with a page whose content unpacks, twice, to so many megabytes."""
    packer = zlib.compressobj(9)
    head = packer.compress(bytes(1_000_000)) + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(bytes(1_000_000)) + packer.flush(zlib.Z_FULL_FLUSH)
    once = head + again * (megabytes - 1) + packer.flush()
    file = Pdf()
    content = file.stream(zlib.compress(once, 9), b"/Filter [/FlateDecode /FlateDecode]")
    file.kids = [file.add_page(content)]
    return file.data


def operator_bomb(pages=40):
    """Return a small file whose pages are to be drawn in 25 million steps each, with nothing to be seen."""
    file = Pdf()
    content = file.stream(zlib.compress(b"q Q\n" * 12_500_000, 9), b"/Filter /FlateDecode")
    file.kids = [file.add_page(content) for _ in range(pages)]
    return file.data


def form_bomb():
    """Return a page that draws a form that draws a form ten times, nine deep, and at its end a letter."""
    file = Pdf()
    drawn = b""
    for depth in range(9):
        inner = line("a") if depth == 0 else b"/X Do\n" * 10
        entries = (
            b"/Type /XObject /Subtype /Form /BBox [0 0 595 842] /Resources << /Font << /F1 3 0 R >> %s >>"
        )
        drawn = file.stream(inner, entries % (b"/XObject << /X %s >>" % drawn if drawn else b""))
    file.kids = [file.add_page(b"/X Do\n" * 10, entries=b"/Resources << /XObject << /X %s >> >>" % drawn)]
    return file.data


def text_bomb(pages):
    """Return a small file with pages of 100,000 letters each."""
    file = Pdf()
    rows = b"BT /F1 1 Tf 2 TL 0 842 Td " + b"(%s) ' " % (b"abcdefghij" * 100) * 100 + b"ET"
    content = file.stream(zlib.compress(rows, 9), b"/Filter /FlateDecode")
    file.kids = [file.add_page(content) for _ in range(pages)]
    return file.data


def page_bomb(levels):
    """Return a tree of pages each of whose branches is the next level, ten times: 10 ** levels pages."""
    file = Pdf()
    below = file.add_page(line("A page"))
    for level in range(levels):
        kids = b" ".join([below] * 10)
        below = file.add(b"<< /Type /Pages /Count %d /Kids [%s] >>" % (10 ** (level + 1), kids))
    file.catalog = b""
    file.objects[1] = b"<< /Type /Pages /Count %d /Kids [%s] >>" % (10**levels, below)
    return file.data


def page_loop():
    """Return a file whose tree of pages is its own branch."""
    file = Pdf()
    file.objects[1] = b"<< /Type /Pages /Count 3 /Kids [2 0 R 2 0 R 2 0 R] >>"
    return file.data


def object_loop():
    """Return a page whose content, and that content's length, are themselves."""
    file = Pdf()
    number = len(file.objects) + 1
    file.add(b"<< /Length %d 0 R >>\nstream\nBT ET\nendstream" % number)
    file.kids = [file.add_page(b"%d 0 R" % (number + 1)), file.add_page(b"[%d 0 R]" % number)]
    file.objects.append(b"[%d 0 R %d 0 R]" % (number, len(file.objects) + 1))
    return file.data


def form_loop():
    """Return a page that draws a form that draws itself."""
    file = Pdf()
    number = len(file.objects) + 1
    entries = (
        b"/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << /X %d 0 R >> >>" % number
    )
    drawn = file.stream(b"/X Do /X Do", entries)
    resources = b"/Resources << /XObject << /X %s >> /Font << /F1 3 0 R >> >>" % drawn
    file.kids = [file.add_page(line("Before the loop") + b"/X Do", entries=resources)]
    return file.data


def outline_bomb(items):
    """Return a page with an outline of so many items, the last of which leads back to the first."""
    file = Pdf(line("A page with a long outline"))
    first = len(file.objects) + 1
    for number in range(first, first + items):
        after = number + 1 if number + 1 < first + items else first
        file.add(b"<< /Title (%d) /Next %d 0 R /First %d 0 R /Count 9 >>" % (number, after, first))
    file.catalog = b"/Outlines << /First %d 0 R /Last %d 0 R /Count %d >>" % (first, first, items)
    return file.data


def pointing_at(path):
    """Return a page whose content, font, picture and attachment are said to be in a file of this machine."""
    file = Pdf()
    where = b"<< /Type /Filespec /F (%s) >>" % path.encode()
    content = file.stream(b"", b"/F %s /FFilter /ASCIIHexDecode" % where)
    image = file.stream(b"", b"/Type /XObject /Subtype /Image /Width 1 /Height 1 /F %s" % where)
    resources = b"/Resources << /Font << /F1 3 0 R >> /XObject << /I %s >> >>" % image
    file.kids = [file.add_page(content), file.add_page(line("Nothing else") + b"/I Do", entries=resources)]
    file.catalog = b"/OpenAction << /S /Launch /F (%s) >>" % path.encode()
    return file.data
