"""Texts and table cells of OLE files by their records: DOC (piece table), PPT (text atoms), XLS (BIFF 8 strings),
HWP 5 (paragraph records, distribution documents too), MSG (properties).

Each reader gives None where the file has a password, or is of a kind that it does not know.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import olefile

__all__ = ["Found", "doc_text", "hwp_text", "msg_text", "ppt_text", "xls_text"]

Found = tuple[str, list[str]]
"""The text, and the text of every table cell."""


def doc_text(path: Path) -> Found | None:
    """Word 97-2003: the pieces in their order, codes of fields left out; of a cell, its last paragraph."""
    with olefile.OleFileIO(path) as ole:
        main = ole.openstream("WordDocument").read()
        (flags,) = struct.unpack_from("<H", main, 10)
        if flags & 0x100:
            return None
        table = ole.openstream("1Table" if flags & 0x200 else "0Table").read()
    start, size = struct.unpack_from("<II", main, 0x1A2)
    text = "".join(_pieces(main, table[start : start + size]))
    text = re.sub(r"\x13[^\x13-\x15]*\x14?([^\x13-\x15]*)\x15", r"\1", text)
    cells = [part.rpartition("\r")[2] for part in text.split("\x07")[:-1]]
    return re.sub(r"[\x00-\x08\x0b-\x1f]", "\n", text), cells


def _pieces(main: bytes, clx: bytes) -> Iterator[str]:
    at = 0
    while clx[at] == 1:
        at += 3 + struct.unpack_from("<H", clx, at + 1)[0]
    (size,) = struct.unpack_from("<I", clx, at + 1)
    table = clx[at + 5 : at + 5 + size]
    count = (size - 4) // 12
    places = struct.unpack_from(f"<{count + 1}I", table)
    for number in range(count):
        (where,) = struct.unpack_from("<I", table, 4 * (count + 1) + 8 * number + 2)
        length = places[number + 1] - places[number]
        if where & 0x40000000:
            start = (where & 0x3FFFFFFF) // 2
            yield main[start : start + length].decode("cp1252", "replace")
        else:
            yield main[where : where + 2 * length].decode("utf-16-le", "replace")


_SLIDE, _NOTES, _LIST, _CHARS, _BYTES = 1006, 1008, 4080, 4000, 4008


def ppt_text(path: Path) -> Found | None:
    """PowerPoint 97-2003: the text atoms of slides, notes and their outlines; masters are left out."""
    with olefile.OleFileIO(path) as ole:
        data = ole.openstream("PowerPoint Document").read()
    return "\n".join(_atoms(data, 0, len(data), is_wanted=False)).replace("\x0b", "\n").replace("\r", "\n"), []


def _atoms(data: bytes, at: int, end: int, *, is_wanted: bool) -> Iterator[str]:
    while at + 8 <= end:
        head, kind, size = struct.unpack_from("<HHI", data, at)
        at += 8
        if head & 15 == 15:
            is_master = kind == _NOTES and data[at + 11] & 0x80 != 0  # notes of no slide
            is_one = (kind in (_SLIDE, _NOTES) and not is_master) or (kind == _LIST and head >> 4 != 1)
            yield from _atoms(data, at, min(end, at + size), is_wanted=is_wanted or is_one)
        elif is_wanted and kind == _CHARS:
            yield data[at : at + size].decode("utf-16-le", "replace")
        elif is_wanted and kind == _BYTES:
            yield data[at : at + size].decode("latin-1")
        at += size


_SST, _CONTINUE, _LABEL_SST = 0xFC, 0x3C, 0xFD


def xls_text(path: Path) -> Found | None:
    """Excel 97-2003: the strings of cells; numbers are left out, as they are shown by their formats."""
    with olefile.OleFileIO(path) as ole:
        name = next((name for name in ("Workbook", "Book") if ole.exists(name)), None)
        if name is None:
            return None
        data = ole.openstream(name).read()
    strings: list[str] = []
    cells: list[str] = []
    records = [*_biff(data)]
    for number, (kind, body) in enumerate(records):
        if kind == _SST:
            parts = [body]
            for other, more in records[number + 1 :]:
                if other != _CONTINUE:
                    break
                parts.append(more)
            strings = [*_shared(parts)]
        elif kind == _LABEL_SST:
            cells.append(strings[struct.unpack_from("<I", body, 6)[0]])
    return "\n".join(cells), cells


def _biff(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(data):
        kind, size = struct.unpack_from("<HH", data, at)
        yield kind, data[at + 4 : at + 4 + size]
        at += 4 + size


def _shared(parts: list[bytes]) -> Iterator[str]:
    """The table of strings; one that runs over into the next record says there anew how wide its letters are."""
    (count,) = struct.unpack_from("<I", parts[0], 4)
    part, at = 0, 8
    for _ in range(count):
        if at >= len(parts[part]):
            part, at = part + 1, 0
        length, flags = struct.unpack_from("<HB", parts[part], at)
        at += 3
        runs = struct.unpack_from("<H", parts[part], at)[0] if flags & 8 else 0
        at += 2 if flags & 8 else 0
        extra = struct.unpack_from("<I", parts[part], at)[0] if flags & 4 else 0
        at += 4 if flags & 4 else 0
        text = ""
        while len(text) < length:
            if at >= len(parts[part]):
                part, at = part + 1, 1
                flags = parts[part][0]
            width = 2 if flags & 1 else 1
            piece = parts[part][at : at + (length - len(text)) * width]
            text += piece.decode("utf-16-le" if width == 2 else "latin-1", "replace")
            at += len(piece)
        at += 4 * runs + extra
        yield text


_ARCHAIC_HAN = "\uf53a"  # Hancom's private code for the old spelling of 한 in 한글
_CTRL, _LIST_HEADER, _TEXT, _TABLE, _SEALED = 71, 72, 67, 77, 28


class _List(NamedTuple):
    """Paragraphs that belong together; ``cell`` only inside a table."""

    level: int
    is_table: bool
    cell: list[str]


def hwp_text(path: Path) -> Found | None:
    """HWP 5: paragraph records of all sections, each under the cell that it stands in."""
    with olefile.OleFileIO(path) as ole:
        (flags,) = struct.unpack_from("<I", ole.openstream("FileHeader").read(), 36)
        if flags & 2:
            return None
        folder = "ViewText" if flags & 4 else "BodyText"
        names = sorted(name for name in ole.listdir() if name[0] == folder)
        sections = [ole.openstream(name).read() for name in names]
    texts: list[str] = []
    cells: list[str] = []
    for data in sections:
        opened = _opened(data) if flags & 4 else data
        _walk(zlib.decompress(opened, -15) if flags & 1 else opened, texts, cells)
    return "\n".join(texts), cells


def _walk(data: bytes, texts: list[str], cells: list[str]) -> None:
    open_lists: list[_List] = []
    for tag, level, body in _records(data):
        while open_lists and level <= open_lists[-1].level:
            cells.append("\n".join(open_lists.pop().cell))
        if tag == _CTRL:
            open_lists.append(_List(level, body[:4] == b" lbt", []))
        elif tag == _LIST_HEADER and open_lists and open_lists[-1].is_table:
            cells.append("\n".join(open_lists[-1].cell))
            open_lists[-1].cell.clear()
        elif tag == _TABLE and open_lists:
            open_lists[-1].cell.clear()  # what came before is the caption
        elif tag == _TEXT:
            text = _paragraph(body)
            texts.append(text)
            if open_lists and open_lists[-1].is_table:
                open_lists[-1].cell.append(text)
    cells.extend("\n".join(each.cell) for each in open_lists)


def _records(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    at = 0
    while at + 4 <= len(data):
        (head,) = struct.unpack_from("<I", data, at)
        at += 4
        size = head >> 20
        if size == 0xFFF:
            (size,) = struct.unpack_from("<I", data, at)
            at += 4
        yield head & 0x3FF, head >> 10 & 0x3FF, data[at : at + size]
        at += size


def _paragraph(body: bytes) -> str:
    """The letters; controls of eight units are left out, but for the tab and the break of a line."""
    units = struct.unpack(f"<{len(body) // 2}H", body[: len(body) // 2 * 2])
    kept = bytearray()
    at = 0
    while at < len(units):
        unit = units[at]
        if unit >= 32:
            kept += struct.pack("<H", unit)
        elif unit in (9, 10, 13, 30, 31):
            kept += b" \0"
        at += 1 if unit >= 32 or unit in (0, 10, 13) or unit >= 24 else 8
    return kept.decode("utf-16-le", "replace").replace(_ARCHAIC_HAN, "한")


def _opened(data: bytes) -> bytes:
    """The section of a distribution document: AES with a key that the section itself carries."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    (head,) = struct.unpack_from("<I", data)
    assert head & 0x3FF == _SEALED
    sealed = bytearray(data[4:260])
    (seed,) = struct.unpack_from("<I", sealed)
    state, left, mask = seed, 0, 0
    for at in range(256):
        if left == 0:
            state = (state * 214013 + 2531011) & 0xFFFFFFFF
            mask = state >> 16 & 0x7FFF & 0xFF
            state = (state * 214013 + 2531011) & 0xFFFFFFFF
            left = (state >> 16 & 0x7FFF & 0xF) + 1
        if at >= 4:
            sealed[at] ^= mask
        left -= 1
    start = 4 + (seed & 0xF)
    opener = Cipher(algorithms.AES(bytes(sealed[start : start + 16])), modes.ECB()).decryptor()
    rest = data[260:]
    return opener.update(rest[: len(rest) // 16 * 16]) + opener.finalize()


_SUBJECT, _BODY = "0037", "1000"


def msg_text(path: Path) -> Found | None:
    """Outlook: subject and plain body; attachments are left out."""
    texts = []
    with olefile.OleFileIO(path) as ole:
        for tag in (_SUBJECT, _BODY):
            for suffix, charset in (("001F", "utf-16-le"), ("001E", "cp1252")):
                if ole.exists(f"__substg1.0_{tag}{suffix}"):
                    texts.append(ole.openstream(f"__substg1.0_{tag}{suffix}").read().decode(charset, "replace"))
                    break
    return "\n".join(texts), []
