"""Writes Word, PowerPoint and Excel files of 1997-2003, as small as they can be: [MS-DOC], [MS-PPT], [MS-XLS]."""

import struct
from collections.abc import Sequence

from tests.support.compound import compound_file

__all__ = ["doc", "ppt", "xls"]

_TEXT_AT = 1_024
_CLX_AT = 33  # the place of (fcClx, lcbClx) among the pairs of FibRgFcLcb97


def doc(paragraphs: Sequence[str]) -> bytes:
    """A Word document: its text as one piece of UTF-16, and the table of pieces."""
    text = "".join(f"{paragraph}\r" for paragraph in paragraphs)
    pieces = struct.pack("<IIHIH", 0, len(text), 0, _TEXT_AT, 0)
    clx = b"\x02" + struct.pack("<I", len(pieces)) + pieces
    base = struct.pack("<HHHHHHHIBBHHII", 0xA5EC, 0xC1, 0, 0x412, 0, 0x1200, 0xC1, 0, 0, 0, 0, 0, _TEXT_AT, 0)
    counts = [0] * 22
    counts[3] = len(text)  # ccpText
    places = [0] * 186
    places[2 * _CLX_AT : 2 * _CLX_AT + 2] = 0, len(clx)
    fib = base.ljust(32, b"\0") + struct.pack("<H28x", 14) + struct.pack("<H22I", 22, *counts)
    fib += struct.pack("<H186I", 93, *places) + struct.pack("<H", 0)
    stream = fib.ljust(_TEXT_AT, b"\0") + text.encode("utf-16-le")
    return compound_file({"WordDocument": stream.ljust(4_096, b"\0"), "1Table": clx.ljust(4_096, b"\0")})


def ppt(slides: Sequence[Sequence[str]]) -> bytes:
    """A presentation: the texts of each slide, the first of them its title."""
    listed = b""
    for number, (title, *texts) in enumerate(slides):
        listed += _record(0x03F3, struct.pack("<IIiII", number + 2, 0, len(texts) + 1, 256 + number, 0))
        for kind, text in ((0, title), *((1, each) for each in texts)):
            listed += _record(0x0F9F, struct.pack("<I", kind)) + _record(0x0FA0, text.encode("utf-16-le"))
    document = _record(0x03E8, _record(0x03E9, bytes(40)) + _record(0x0FF0, listed, 0xF), 0xF)
    places, stream = [0], document
    for _ in slides:
        places.append(len(stream))
        stream += _record(0x03EE, _record(0x03EF, bytes(24)), 0xF)
    directory = len(stream)
    stream += _record(0x1772, struct.pack(f"<I{len(places)}I", 1 | len(places) << 20, *places))
    edit = len(stream)
    stream += _record(0x0FF5, struct.pack("<IIIIIIHH", 256, 0x03000000, 0, directory, 1, len(places), 0, 0))
    user = struct.pack("<IIIHHBBH", 20, 0xE391C05F, edit, 4, 0x3F4, 3, 0, 0) + b"test" + struct.pack("<I", 8)
    return compound_file({"Current User": _record(0x0FF6, user), "PowerPoint Document": stream.ljust(4_096, b"\0")})


def xls(name: str, rows: Sequence[Sequence[str | float]]) -> bytes:
    """A workbook with one sheet: [MS-XLS] with a table of shared texts."""
    texts = [cell for row in rows for cell in row if isinstance(cell, str)]
    shared = _biff(0x00FC, struct.pack("<II", len(texts), len(texts)) + b"".join(map(_biff_text, texts)))
    begin, end = _biff(0x0809, struct.pack("<HHHHII", 0x0600, 5, 0x0DBB, 1996, 0, 6)), _biff(0x000A, b"")
    label = name.encode("utf-16-le")
    sheet_head = struct.pack("<HBB", 0, len(name), 1) + label
    size = len(begin) + 4 + 4 + len(sheet_head) + len(shared) + len(end)
    book = begin + _biff(0x0085, struct.pack("<I", size) + sheet_head) + shared + end
    sheet = _biff(0x0809, struct.pack("<HHHHII", 0x0600, 16, 0x0DBB, 1996, 0, 6))
    number = 0
    for at, row in enumerate(rows):
        for column, cell in enumerate(row):
            if isinstance(cell, str):
                sheet += _biff(0x00FD, struct.pack("<HHHI", at, column, 0, number))
                number += 1
            else:
                sheet += _biff(0x0203, struct.pack("<HHHd", at, column, 0, cell))
    return compound_file({"Workbook": (book + sheet + end).ljust(4_096, b"\0")})


def _record(kind: int, data: bytes, version: int = 0) -> bytes:
    return struct.pack("<HHI", version, kind, len(data)) + data


def _biff(kind: int, data: bytes) -> bytes:
    return struct.pack("<HH", kind, len(data)) + data


def _biff_text(text: str) -> bytes:
    return struct.pack("<HB", len(text), 1) + text.encode("utf-16-le")
