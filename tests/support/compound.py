"""Writes compound files (OLE, [MS-CFB]) and Outlook messages, for tests."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Union

__all__ = ["Properties", "compound_file", "outlook_message"]

Tree = Mapping[str, Union[bytes, "Tree"]]

_SECTOR, _MINI, _CUTOFF = 512, 64, 4_096
_FREE, _END, _FAT = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD


@dataclass
class _Entry:
    name: str
    kind: int
    data: bytes = b""
    child: int = _FREE
    right: int = _FREE
    start: int = _END


@dataclass
class _Chains:
    """Sectors of one size, and the table that says which one follows which."""

    size: int
    table: list[int] = field(default_factory=list)
    data: bytearray = field(default_factory=bytearray)

    def add(self, data: bytes) -> int:
        if not data:
            return _END
        start, count = len(self.table), -(-len(data) // self.size)
        self.table += [*range(start + 1, start + count), _END]
        self.data += data.ljust(count * self.size, b"\0")
        return start


def compound_file(tree: Tree) -> bytes:
    """A file with these streams and folders."""
    entries = [_Entry("Root Entry", 5)]
    _collect(tree, entries, 0)
    mini, large = _Chains(_MINI), _Chains(_SECTOR)
    for entry in entries[1:]:
        if entry.kind == 2:
            entry.start = (mini if len(entry.data) < _CUTOFF else large).add(entry.data)
    root = entries[0]
    root.data = bytes(mini.data)
    root.start = large.add(root.data)
    mini_table = b"".join(struct.pack("<I", each) for each in mini.table).ljust(
        -(-len(mini.table) // 128) * 512, b"\xff"
    )
    mini_start = large.add(mini_table)
    directory = large.add(b"".join(map(_packed, entries)))
    return _joined(large, directory, mini_start, len(mini_table) // _SECTOR)


def _joined(large: _Chains, directory: int, mini_start: int, mini_sectors: int) -> bytes:
    """Header, sectors, and the table of sectors, which lists itself."""
    fat_count = 1
    while fat_count * 128 < len(large.table) + fat_count:
        fat_count += 1
    fat_start = len(large.table)
    table = [*large.table, *[_FAT] * fat_count]
    fat = b"".join(struct.pack("<I", each) for each in table).ljust(fat_count * _SECTOR, b"\xff")
    magic = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
    numbers = (0, fat_count, directory, 0, _CUTOFF, mini_start, mini_sectors, _END, 0)
    header = struct.pack("<8s16xHHHHH6x9I", magic, 0x3E, 3, 0xFFFE, 9, 6, *numbers)
    places = b"".join(struct.pack("<I", fat_start + at) for at in range(fat_count))
    return (header + places).ljust(_SECTOR, b"\xff") + bytes(large.data) + fat


def _collect(tree: Tree, entries: list[_Entry], parent: int) -> None:
    """A folder's members as a chain of right neighbours."""
    before = None
    for name, value in tree.items():
        at = len(entries)
        entries.append(_Entry(name, 2, value) if isinstance(value, bytes) else _Entry(name, 1))
        if before is None:
            entries[parent].child = at
        else:
            entries[before].right = at
        before = at
        if not isinstance(value, bytes):
            _collect(value, entries, at)


def _packed(entry: _Entry) -> bytes:
    name = entry.name.encode("utf-16-le")
    return struct.pack(
        "<64sHBBIII16xI16xIQ",
        name,
        len(name) + 2,
        entry.kind,
        1,
        _FREE,
        entry.right,
        entry.child,
        0,
        entry.start,
        len(entry.data),
    )


Properties = Mapping[int, str | bytes | int]
"""Property id to a Unicode text, bytes (a text in a code page, or binary for `0x1009`, `0x1013`), or a number."""

_BINARY = (0x1009, 0x1013, 0x3701)


def outlook_message(
    properties: Properties, attachments: list[Properties | Tree] | None = None, *, header: int = 32
) -> Tree:
    """The folder of a message. An attachment is its properties, or the folder of a message inside."""
    tree: dict[str, bytes | Tree] = dict(_streams(properties, header))
    for number, each in enumerate(attachments or ()):
        if "__properties_version1.0" in each:
            inside: dict[str, bytes | Tree] = {"__properties_version1.0": bytes(8), "__substg1.0_3701000D": each}  # type: ignore[dict-item]
        else:
            inside = dict(_streams(each, 8))  # type: ignore[arg-type]
        tree[f"__attach_version1.0_#{number:08X}"] = inside
    return tree


def _streams(properties: Properties, header: int) -> Mapping[str, bytes]:
    table, streams = bytes(header), {}
    for number, value in properties.items():
        if isinstance(value, int):
            table += struct.pack("<HHIQ", 0x0040 if value > 1 << 32 else 0x0003, number, 6, value)
            continue
        kind = 0x001F if isinstance(value, str) else 0x0102 if number in _BINARY else 0x001E
        data = value.encode("utf-16-le") if isinstance(value, str) else value
        streams[f"__substg1.0_{number:04X}{kind:04X}"] = data
        table += struct.pack("<HHIII", kind, number, 6, len(data), 0)
    return {"__properties_version1.0": table, **streams}
