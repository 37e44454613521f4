"""Writes documents of Hancom's Hangul: HWP 3, HWP 5 and HWPX, as small as they can be."""

import struct
import zlib
from collections.abc import Sequence

from tests.support.compound import compound_file
from tests.support.made.packages import zipped

__all__ = ["hwp3", "hwp5", "hwpx"]

_PARA_HEADER, _PARA_TEXT = 66, 67
_SPACE = "http://www.hancom.co.kr/hwpml/2011"


def hwp3(paragraphs: Sequence[str], title: str = "", *, is_packed: bool = True, is_locked: bool = False) -> bytes:
    """A document of HWP 3: text in Hancom's own code, as its published format lays it out."""
    body = struct.pack("<7H", *[0] * 7) + struct.pack("<H", 0)
    body += b"".join(map(_hwp3_paragraph, paragraphs)) + struct.pack("<BH", 0, 0) + bytes(40)
    if is_packed:
        body = _packed(body)
    info = bytes(96) + struct.pack("<H", is_locked) + bytes(26) + struct.pack("<BBH", is_packed, 0, 0)
    summary = _codes(title).ljust(112, b"\0") + bytes(8 * 112)
    return b"HWP Document File V3.00 \x1a\1\2\3\4\5".ljust(30, b"\0") + info + summary + body


def hwp5(paragraphs: Sequence[str]) -> bytes:
    """A document of HWP 5, packed, with one section."""
    header = b"HWP Document File".ljust(32, b"\0") + bytes((0, 3, 0, 5)) + struct.pack("<I", 1)
    section = b"".join(map(_hwp5_paragraph, paragraphs))
    streams = {"FileHeader": header.ljust(256, b"\0"), "DocInfo": _packed(b"")}
    return compound_file({**streams, "BodyText": {"Section0": _packed(section)}})


def hwpx(paragraphs: Sequence[str], rows: Sequence[Sequence[str]] = ()) -> bytes:
    """An HWPX document: paragraphs, then a table."""
    body = "".join(f"<hp:p><hp:run><hp:t>{text}</hp:t></hp:run></hp:p>" for text in paragraphs)
    if rows:
        lines = "".join(
            f"<hp:tr>{''.join(_hwpx_cell(text, at, column) for column, text in enumerate(row))}</hp:tr>"
            for at, row in enumerate(rows)
        )
        table = f'<hp:tbl rowCnt="{len(rows)}" colCnt="{len(rows[0])}">{lines}</hp:tbl>'
        body += f"<hp:p><hp:run>{table}</hp:run></hp:p>"
    section = f'<hs:sec xmlns:hs="{_SPACE}/section" xmlns:hp="{_SPACE}/paragraph">{body}</hs:sec>'
    package = (
        '<opf:package xmlns:opf="http://www.idpf.org/2007/opf/"><opf:manifest><opf:item id="s" href='
        '"Contents/section0.xml" media-type="application/xml"/></opf:manifest><opf:spine><opf:itemref idref="s"/>'
        "</opf:spine></opf:package>"
    )
    members = {"Contents/content.hpf": package, "Contents/section0.xml": section}
    return zipped(members, mimetype="application/hwp+zip")


def _packed(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def _codes(text: str) -> bytes:
    """Hangul in the combining code (johab), two bytes each; ASCII as it is."""
    units = (ord(char) if char.isascii() else int.from_bytes(char.encode("johab"), "big") for char in text)
    return b"".join(struct.pack("<H", unit) for unit in units)


def _hwp3_paragraph(text: str) -> bytes:
    codes = _codes(text) + struct.pack("<H", 13)
    head = struct.pack("<BHHBBIB", 0, len(codes) // 2, 0, 0, 0, 0, 0) + bytes(31) + bytes(187)
    return head + codes


def _hwp5_paragraph(text: str) -> bytes:
    data = f"{text}\r".encode("utf-16-le")
    head = struct.pack("<IIHBBHHHI", len(data) // 2, 0, 0, 0, 0, 0, 0, 0, 0)
    return _hwp5_record(_PARA_HEADER, 0, head) + _hwp5_record(_PARA_TEXT, 1, data)


def _hwp5_record(tag: int, level: int, data: bytes) -> bytes:
    return struct.pack("<I", tag | level << 10 | len(data) << 20) + data


def _hwpx_cell(text: str, row: int, column: int) -> str:
    return (
        f"<hp:tc><hp:subList><hp:p><hp:run><hp:t>{text}</hp:t></hp:run></hp:p></hp:subList>"
        f'<hp:cellAddr colAddr="{column}" rowAddr="{row}"/><hp:cellSpan colSpan="1" rowSpan="1"/></hp:tc>'
    )
