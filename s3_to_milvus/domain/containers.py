"""What lies inside zip and OLE containers: the member names, read with a handful of small, bounded reads.

Neither reader unpacks anything, so a bomb costs no more than an honest file.
"""

import struct
from collections.abc import Callable, Iterator

__all__ = ["OLE_MAGIC", "ReadAt", "ole_names", "zip_names"]

ReadAt = Callable[[int, int], bytes]
"""``read_at(offset, size)``: the bytes there, fewer at the end of the file."""

OLE_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"

_NAMES_LIMIT = 512
_DIRECTORY_BYTES = 1 << 17
_OLE_SECTORS = 32
_END_RECORD = struct.Struct("<4sHHHHIIH")
_CENTRAL_ENTRY = struct.Struct("<4s6H3I5H2I")
_LOCAL_ENTRY = struct.Struct("<4s5H3I2H")


def zip_names(read_at: ReadAt, size_bytes: int) -> tuple[str, ...]:
    """Names of the first members of a zip file, some hundred at most; without a directory, those of local headers."""
    tail_size = min(size_bytes, 65_557)
    tail = read_at(size_bytes - tail_size, tail_size)
    found = tail.rfind(b"PK\x05\x06")
    if 0 <= found <= len(tail) - _END_RECORD.size:
        *_, directory_size, offset, _comment = _END_RECORD.unpack_from(tail, found)
        names = tuple(_central_names(read_at(offset, min(directory_size, _DIRECTORY_BYTES))))
        if names:
            return names
    return tuple(_local_names(read_at(0, _DIRECTORY_BYTES)))


def _central_names(directory: bytes) -> Iterator[str]:
    """Names in the central directory."""
    position = 0
    for _ in range(_NAMES_LIMIT):
        if position + _CENTRAL_ENTRY.size > len(directory):
            return
        entry = _CENTRAL_ENTRY.unpack_from(directory, position)
        if entry[0] != b"PK\x01\x02":
            return
        name_size, extra_size, comment_size = entry[10:13]
        start = position + _CENTRAL_ENTRY.size
        yield directory[start : start + name_size].decode("utf-8", "replace")
        position = start + name_size + extra_size + comment_size


def _local_names(head: bytes) -> Iterator[str]:
    """Names in the headers before each member, as far as the sizes are known: for files cut short."""
    position = 0
    for _ in range(_NAMES_LIMIT):
        if position + _LOCAL_ENTRY.size > len(head):
            return
        entry = _LOCAL_ENTRY.unpack_from(head, position)
        if entry[0] != b"PK\x03\x04":
            return
        packed_size, name_size, extra_size = entry[7], entry[9], entry[10]
        start = position + _LOCAL_ENTRY.size
        yield head[start : start + name_size].decode("utf-8", "replace")
        position = start + name_size + extra_size + packed_size


def ole_names(read_at: ReadAt) -> tuple[str, ...]:
    """Names of the streams and storages of an OLE compound file, as far as a bounded walk finds them."""
    header = read_at(0, 512)
    if len(header) < 512 or not header.startswith(OLE_MAGIC):
        return ()
    shift = int.from_bytes(header[30:32], "little")
    if shift not in (9, 12):
        return ()
    table_sectors = struct.unpack_from("<109I", header, 76)
    sector: int = struct.unpack_from("<I", header, 48)[0]
    names: list[str] = []
    for _ in range(_OLE_SECTORS):
        if sector >= 0xFFFFFFFA:
            break
        names.extend(_ole_entries(read_at((sector + 1) << shift, 1 << shift)))
        sector = _next_sector(read_at, table_sectors, sector, shift)
    return tuple(names)


def _next_sector(read_at: ReadAt, table_sectors: tuple[int, ...], sector: int, shift: int) -> int:
    """The sector that follows in the allocation table; an end mark where the table does not say."""
    table, index = divmod(sector, 1 << (shift - 2))
    if table >= len(table_sectors) or table_sectors[table] >= 0xFFFFFFFA:
        return 0xFFFFFFFE
    entry = read_at(((table_sectors[table] + 1) << shift) + index * 4, 4)
    return int.from_bytes(entry, "little") if len(entry) == 4 else 0xFFFFFFFE


def _ole_entries(sector: bytes) -> Iterator[str]:
    """Names in one sector of the directory."""
    for position in range(0, len(sector) - 127, 128):
        size = int.from_bytes(sector[position + 64 : position + 66], "little")
        if 2 < size <= 64:
            yield sector[position : position + size - 2].decode("utf-16-le", "replace")
