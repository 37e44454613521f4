"""Files made to hurt a parser, one maker for each kind; `bench.mutations` damages good ones."""

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

__all__ = ["BOMBS"]

_MIB = 1 << 20
_DEEP = 200_000
_WORD = b'<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body>'
_WORD_END = b"</w:body></w:document>"
_WORD_LINE = b"<w:p><w:r><w:t>the harbour office counts the ships</w:t></w:r></w:p>"
_HWPX_LINE = b"<hp:p><hp:run><hp:t>the harbour office counts</hp:t></hp:run></hp:p>"
_HANCOM = b"http://www.hancom.co.kr/hwpml/2011/"
_HWPX = b'<hs:sec xmlns:hs="%ssection" xmlns:hp="%sparagraph">' % (_HANCOM, _HANCOM)
_SHEET = b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
_SHEET_END = b"</sheetData></worksheet>"
_TYPES = (
    b'<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    b'<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    b'<Default Extension="xml" ContentType="application/xml"/><Override PartName="/%s" ContentType="application/vnd.'
    b'openxmlformats-officedocument.%s.main+xml"/></Types>'
)
_RELS = (
    b'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="r1" Type='
    b'"http://schemas.openxmlformats.org/officeDocument/2006/relationships/%s" Target="%s"/></Relationships>'
)
_LAUGHS = b"<!DOCTYPE l [<!ENTITY a0 'ha'>%s]>" % b"".join(
    b"<!ENTITY a%d '%s'>" % (level, b"&a%d;" % (level - 1) * 10) for level in range(1, 11)
)

Maker = Callable[[Path], None]


def _zipped(
    path: Path, members: dict[str, bytes], repeated: tuple[str, bytes, bytes, int, bytes] | None = None
) -> None:
    """An archive; ``repeated``: name, start, a piece, how many bytes of it, and the end of one more member."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
        if repeated:
            name, start, piece, size, end = repeated
            block = piece * max(1, _MIB // len(piece))
            with archive.open(name, "w", force_zip64=False) as member:
                member.write(start)
                for _ in range(size // len(block)):
                    member.write(block)
                member.write(end)


def _lie(path: Path, name: str) -> None:
    """Make an archive declare 1,000 bytes for a member that has more."""
    data = bytearray(path.read_bytes())
    raw = name.encode()
    for magic, size_at, name_at in ((b"PK\3\4", 22, 30), (b"PK\1\2", 24, 46)):
        at = data.find(magic)
        while at >= 0:
            if data[at + name_at : at + name_at + len(raw)] == raw:
                struct.pack_into("<I", data, at + size_at, 1_000)
            at = data.find(magic, at + 4)
    path.write_bytes(data)


def _package(part: str, kind: str) -> dict[str, bytes]:
    return {
        "[Content_Types].xml": _TYPES % (part.encode(), kind.encode()),
        "_rels/.rels": _RELS % (b"officeDocument", part.encode()),
    }


def _docx(path: Path, body: bytes = b"", head: bytes = b"", size: int = 0, piece: bytes = _WORD_LINE) -> None:
    members = _package("word/document.xml", "wordprocessingml.document")
    _zipped(path, members, ("word/document.xml", head + _WORD + body, piece, size, _WORD_END))


def _xlsx(path: Path, rows: bytes = b"", size: int = 0, piece: bytes = b" ") -> None:
    members = _package("xl/workbook.xml", "spreadsheetml.sheet") | {
        "xl/workbook.xml": b'<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="http://'
        b'schemas.openxmlformats.org/officeDocument/2006/relationships"><sheets><sheet name="a" sheetId="1" r:id="r1"/>'
        b"</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": _RELS % (b"worksheet", b"worksheets/sheet1.xml"),
    }
    _zipped(path, members, ("xl/worksheets/sheet1.xml", _SHEET + rows, piece, size, _SHEET_END))


def _hwpx(path: Path, head: bytes = b"", size: int = 0) -> None:
    members = {
        "mimetype": b"application/hwp+zip",
        "Contents/content.hpf": b'<opf:package xmlns:opf="http://www.idpf.org/2007/opf/"><opf:manifest>'
        b'<opf:item id="s" href="Contents/section0.xml" media-type="application/xml"/></opf:manifest>'
        b'<opf:spine><opf:itemref idref="s"/></opf:spine></opf:package>',
    }
    _zipped(path, members, ("Contents/section0.xml", head + _HWPX, _HWPX_LINE, size, b"</hs:sec>"))


def _odt(path: Path, head: bytes = b"", size: int = 0) -> None:
    start = (
        b'<office:document-content xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0" xmlns:text='
        b'"urn:oasis:names:tc:opendocument:xmlns:text:1.0"><office:body><office:text>'
    )
    end = b"</office:text></office:body></office:document-content>"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("mimetype", b"application/vnd.oasis.opendocument.text", zipfile.ZIP_STORED)
        with archive.open("content.xml", "w") as member:
            member.write(head + start)
            for _ in range(size // _MIB):
                member.write(b"<text:p>the harbour office counts</text:p>" * (_MIB // 42))
            member.write(end)


def _lying(maker: Callable[..., None], name: str, size: int) -> Maker:
    def make(path: Path) -> None:
        maker(path, size=size)
        _lie(path, name)

    return make


def _sized(maker: Callable[..., None], **given: int | bytes) -> Maker:
    return lambda path: maker(path, **given)


def _bytes(data: Callable[[], bytes]) -> Maker:
    def make(path: Path) -> None:
        path.write_bytes(data())

    return make


def _members(path: Path) -> None:
    """Thirty thousand parts."""
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(30_000):
            archive.writestr(f"word/{number}.xml", b"")


def _pdf(*objects: bytes) -> bytes:
    out = bytearray(b"%PDF-1.4\n")
    places = []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    out += b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)
    return bytes(out)


def _one_page(content: bytes, filters: bytes = b"", box: bytes = b"0 0 595 842", kids: bytes = b"3 0 R") -> bytes:
    return _pdf(
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [%s] /Count 1 >>" % kids,
        b"<< /Type /Page /Parent 2 0 R /MediaBox [%s] /Contents 4 0 R /Resources << /Font << /F1 << /Type /Font"
        b" /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>" % box,
        b"<< /Length %d %s >>\nstream\n%s\nendstream" % (len(content), filters, content),
    )


def _deflated(piece: bytes, size: int, times: int = 1) -> bytes:
    packer = zlib.compressobj(9)
    out = bytearray()
    for _ in range(size // len(piece)):
        out += packer.compress(piece)
    data = bytes(out + packer.flush())
    for _ in range(times - 1):
        data = zlib.compress(data, 9)
    return data


def _png(width: int, height: int, rows: int) -> bytes:
    """A grey picture of one bit; of its rows, only some are there."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    line = bytes(1 + (width + 7) // 8)
    packed = _deflated(line, len(line) * rows) if rows else b""
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def _gif() -> bytes:
    """Five thousand frames."""
    from PIL import Image

    frames = [Image.new("L", (40, 40), number % 256) for number in range(5_000)]
    out = io.BytesIO()
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:])
    return out.getvalue()


def _tiff() -> bytes:
    """A directory that follows itself."""
    entries = ((256, 3, 1, 40), (257, 3, 1, 40), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8))
    table = b"".join(
        struct.pack("<HHII", *entry) for entry in (*entries, (277, 3, 1, 1), (278, 3, 1, 40), (279, 4, 1, 1600))
    )
    return b"II*\0" + struct.pack("<I", 1_608) + bytes(1_600) + struct.pack("<H", 9) + table + struct.pack("<I", 1_608)


def _mail(*parts: bytes) -> bytes:
    head = b"From: a@example.com\r\nTo: b@example.com\r\nSubject: s\r\nMIME-Version: 1.0\r\nMessage-ID: <1>\r\n"
    return (
        head
        + b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n'
        + b"".join(b"--b\r\n%s\r\n" % part for part in parts)
        + b"--b--\r\n"
    )


def _nested_parts(depth: int) -> bytes:
    inner = b"".join(
        b'Content-Type: multipart/mixed; boundary="x%d"\r\n\r\n--x%d\r\n' % (level, level) for level in range(depth)
    )
    return _mail(inner + b"Content-Type: text/plain\r\n\r\nthe end\r\n")


def _nested_mails(depth: int) -> bytes:
    head = b"From: a@example.com\r\nTo: b@example.com\r\nSubject: s\r\nMIME-Version: 1.0\r\n"
    return (head + b"Content-Type: message/rfc822\r\n\r\n") * depth + head + b"\r\nthe end\r\n"


def _ole(fat: bytes, directory: int = 1) -> bytes:
    """A compound file whose allocation table says what is wanted."""
    head = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16) + struct.pack("<HHHHH", 0x3E, 3, 0xFFFE, 9, 6)
    head += bytes(10) + struct.pack("<IIIIIIII", 1, directory, 0, 4096, 0xFFFFFFFE, 0, 0xFFFFFFFE, 0)
    head = (head + struct.pack("<I", 0) + b"\xff" * 432)[:512]
    name = "WordDocument".encode("utf-16-le")
    entry = name.ljust(64, b"\0") + struct.pack("<HBB", len(name) + 2, 2, 1) + b"\xff" * 12 + bytes(36)
    return head + fat[:512].ljust(512, b"\xff") + (entry + struct.pack("<IQ", 2, 1 << 30)) * 4 + bytes(512) * 8


_TAG = b"<c r='%s%d' t='inlineStr'><is><t>x</t></is></c>"

BOMBS: dict[str, tuple[str, Maker]] = {
    "docx of 1 GB": ("a.docx", _sized(_docx, size=1_000 * _MIB, piece=b" " * 4096)),
    "docx of 900 MB of paragraphs": ("a.docx", _sized(_docx, size=900 * _MIB)),
    "docx of 1 GB that says 1 KB": ("a.docx", _lying(_docx, "word/document.xml", 1_000 * _MIB)),
    "docx of 1.9 GB": ("a.docx", _sized(_docx, size=1_900 * _MIB, piece=b" " * 4096)),
    "xlsx of 1 GB that says 1 KB": ("a.xlsx", _lying(_xlsx, "xl/worksheets/sheet1.xml", 1_000 * _MIB)),
    "hwpx of 600 MB": ("a.hwpx", _sized(_hwpx, size=600 * _MIB)),
    "hwpx of 600 MB that says 1 KB": ("a.hwpx", _lying(_hwpx, "Contents/section0.xml", 600 * _MIB)),
    "odt of 600 MB": ("a.odt", _sized(_odt, size=600 * _MIB)),
    "odt of 600 MB that says 1 KB": ("a.odt", _lying(_odt, "content.xml", 600 * _MIB)),
    "archive of 30,000 parts": ("a.docx", _members),
    "docx, entities in entities": (
        "a.docx",
        _sized(_docx, head=_LAUGHS, body=b"<w:p><w:r><w:t>&a10;</w:t></w:r></w:p>"),
    ),
    "hwpx, entities in entities": ("a.hwpx", _sized(_hwpx, head=_LAUGHS)),
    "odt, entities in entities": ("a.odt", _sized(_odt, head=_LAUGHS)),
    "docx, 200,000 deep": ("a.docx", _sized(_docx, body=b"<w:p>" * _DEEP)),
    "docx, 20,000 tables in tables": ("a.docx", _sized(_docx, body=b"<w:tbl><w:tr><w:tc>" * 20_000)),
    "sheet with a far corner": (
        "a.xlsx",
        _sized(
            _xlsx, rows=b"<row r='1'>%s</row><row r='1048576'>%s</row>" % (_TAG % (b"A", 1), _TAG % (b"XFD", 1048576))
        ),
    ),
    "sheet of 400,000 rows": (
        "a.xlsx",
        _sized(_xlsx, size=60 * _MIB, piece=b"<row><c><v>1</v></c><c><v>2</v></c></row>"),
    ),
    "xml, entities in entities": ("a.xml", _bytes(lambda: b"<?xml version='1.0'?>%s<l>&a10;</l>" % _LAUGHS)),
    "xml, a file outside": (
        "a.xml",
        _bytes(lambda: b"<?xml version='1.0'?><!DOCTYPE l [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><l>&x;</l>"),
    ),
    "xml, 200,000 deep": ("a.xml", _bytes(lambda: b"<?xml version='1.0'?>" + b"<a>" * _DEEP + b"x" + b"</a>" * _DEEP)),
    "json, 200,000 deep": ("a.json", _bytes(lambda: b"[" * _DEEP + b"1" + b"]" * _DEEP)),
    "json, a number of 1 MB": ("a.json", _bytes(lambda: b'{"a": ' + b"9" * _MIB + b"}")),
    "html, 200,000 deep": ("a.html", _bytes(lambda: b"<html><body>" + b"<div>" * _DEEP + b"x")),
    "html, 50,000 tables in tables": ("a.html", _bytes(lambda: b"<html><body>" + b"<table><tr><td>x" * 50_000)),
    "html, lists 100,000 deep": ("a.html", _bytes(lambda: b"<html><body>" + b"<ul><li>x" * 100_000)),
    "html, a cell over a million columns": (
        "a.html",
        _bytes(lambda: b"<html><body><table>" + b"<tr><td colspan=1000000 rowspan=65534>x" * 2_000),
    ),
    "html, an attribute of 40 MB": ("a.html", _bytes(lambda: b"<html><body><p title='" + b"x" * 40 * _MIB + b"'>y")),
    "pdf, a page of 1 GB": (
        "a.pdf",
        _bytes(lambda: _one_page(_deflated(b"(x) Tj 0 -9 Td " * 65_536, 1_000 * _MIB), b"/Filter /FlateDecode")),
    ),
    "pdf, packed three times": (
        "a.pdf",
        _bytes(
            lambda: _one_page(
                _deflated(bytes(_MIB), 1_000 * _MIB, 3), b"/Filter [/FlateDecode /FlateDecode /FlateDecode]"
            )
        ),
    ),
    "pdf, a page as large as a field": ("a.pdf", _bytes(lambda: _one_page(b"", box=b"0 0 200000000 200000000"))),
    "pdf, a page that is its own parent": ("a.pdf", _bytes(lambda: _one_page(b"", kids=b"2 0 R 2 0 R"))),
    "pdf, a million pages that are one": ("a.pdf", _bytes(lambda: _one_page(b"", kids=b"3 0 R " * 1_000_000))),
    "pdf, 1,000,000 words": (
        "a.pdf",
        _bytes(lambda: _one_page(b"BT /F1 9 Tf " + b"(x y) Tj 0 1 Td " * 1_000_000 + b"ET")),
    ),
    "pdf, arrays 100,000 deep": ("a.pdf", _bytes(lambda: _pdf(b"[" * 100_000, b"<<" * 100_000))),
    "png, 60,000 x 60,000 without rows": ("a.png", _bytes(lambda: _png(60_000, 60_000, 0))),
    "png, 40,000 x 40,000": ("a.png", _bytes(lambda: _png(40_000, 40_000, 40_000))),
    "png, 13,000 x 13,000 of black": ("a.png", _bytes(lambda: _png(13_000, 13_000, 13_000))),
    "png, 1 x 60,000,000": ("a.png", _bytes(lambda: _png(1, 60_000_000, 60_000))),
    "gif of 5,000 frames": ("a.gif", _bytes(_gif)),
    "tiff that follows itself": ("a.tif", _bytes(_tiff)),
    "bmp, 60,000 x 60,000": (
        "a.bmp",
        _bytes(
            lambda: b"BM" + bytes(8) + struct.pack("<IIiiHHIIiiII", 54, 40, 60_000, 60_000, 1, 24, 0, 0, 0, 0, 0, 0)
        ),
    ),
    "ole of 512 bytes": ("a.doc", _bytes(lambda: _ole(b"")[:512])),
    "ole that goes in circles": ("a.doc", _bytes(lambda: _ole(struct.pack("<III", 0xFFFFFFFD, 1, 2)))),
    "ole, its directory outside": ("a.hwp", _bytes(lambda: _ole(b"", directory=0x7FFFFFF0))),
    "mail of 10,000 parts": ("a.eml", _bytes(lambda: _mail(*[b"Content-Type: text/plain\r\n\r\npart"] * 10_000))),
    "mail, parts 3,000 deep": ("a.eml", _bytes(lambda: _nested_parts(3_000))),
    "mail, mails 500 deep": ("a.eml", _bytes(lambda: _nested_mails(500))),
    "mail, a header of 20 MB": (
        "a.eml",
        _bytes(
            lambda: (
                b"From: a@example.com\r\nMessage-ID: <1>\r\nSubject: " + b"=?utf-8?q?x?= " * 1_500_000 + b"\r\n\r\nx"
            )
        ),
    ),
    "csv, a line of 30 MB": ("a.csv", _bytes(lambda: b"a,b\n" + b"x," * 15_000_000)),
    "csv, a quote that never ends": ("a.csv", _bytes(lambda: b'a,b\n"' + b"x,y\n" * 7_000_000)),
    "rtf, 200,000 groups": ("a.rtf", _bytes(lambda: b"{\\rtf1 " + b"{\\b x" * _DEEP)),
    "rtf, 4 GB said to follow": (
        "a.rtf",
        _bytes(lambda: b"{\\rtf1 \\bin4294967295 " + b"x" * 1_000 + b"\\u99999999 \\'zz}"),
    ),
    "text, 30 MB without an end of line": ("a.txt", _bytes(lambda: b"harbour " * (30 * _MIB // 8))),
    "text, 3 million marks on a letter": ("a.txt", _bytes(lambda: ("a" + "\u0301" * 3_000_000).encode())),
    "markdown, quotes 50,000 deep": ("a.md", _bytes(lambda: b"> " * 50_000 + b"x\n" + b"- " * 50_000 + b"x\n")),
    "markdown, brackets": (
        "a.md",
        _bytes(lambda: b"[" * 100_000 + b"*a_ " * 100_000 + b"`" * 100_001 + b"|" * 100_000),
    ),
    "zeros named as a page": ("a.html", _bytes(lambda: bytes(10 * _MIB))),
}
