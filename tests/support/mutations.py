"""Damages good files: flipped bits, cuts, doubled and emptied ranges, also inside the parts of archives."""

import io
import random
import zipfile
from collections.abc import Callable

__all__ = ["mutated"]


def mutated(data: bytes, chance: random.Random) -> tuple[bytes, str]:
    """A damaged copy, and how it was damaged. Of archives, half of the copies are damaged in one of their parts."""
    if data.startswith(b"PK\3\4") and chance.random() < 0.5:
        return _inside(data, chance)
    how = chance.choice(_WAYS)
    return how(bytearray(data), chance), how.__name__.strip("_").replace("_", " ")


def _inside(data: bytes, chance: random.Random) -> tuple[bytes, str]:
    """The archive with one part damaged, and its sums right again."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as archive, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as copy:
        members = archive.infolist()
        parts = [each for each in members if each.filename.endswith((".xml", ".rels", ".hpf", ".xhtml", ".html"))]
        hurt = chance.choice(parts or members)
        how = chance.choice(_WAYS)
        for member in members:
            part = archive.read(member)
            kind = zipfile.ZIP_STORED if member.filename == "mimetype" else zipfile.ZIP_DEFLATED
            copy.writestr(member.filename, how(bytearray(part), chance) if member is hurt else part, kind)
    return out.getvalue(), f"{how.__name__.strip('_').replace('_', ' ')} in {hurt.filename}"


def _range(data: bytearray, chance: random.Random) -> slice:
    start = chance.randrange(len(data) or 1)
    return slice(start, start + chance.choice((1, 4, 64, 1_024, len(data) // 4)))


def _flipped_bits(data: bytearray, chance: random.Random) -> bytes:
    for _ in range(chance.choice((1, 4, 16, 256)) if data else 0):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(data)


def _cut(data: bytearray, chance: random.Random) -> bytes:
    return bytes(data[: chance.randrange(len(data) or 1)])


def _doubled(data: bytearray, chance: random.Random) -> bytes:
    where = _range(data, chance)
    return bytes(data[: where.stop] + data[where] * chance.choice((1, 1, 50)) + data[where.stop :])


def _emptied(data: bytearray, chance: random.Random) -> bytes:
    where = _range(data, chance)
    data[where] = bytes(len(data[where]))
    return bytes(data)


def _left_out(data: bytearray, chance: random.Random) -> bytes:
    del data[_range(data, chance)]
    return bytes(data)


def _large_numbers(data: bytearray, chance: random.Random) -> bytes:
    """Digits become nines, bytes become 255: sizes, counts and offsets that are far too large."""
    for _ in range(chance.choice((1, 4, 16)) if data else 0):
        at = chance.randrange(len(data))
        while at < len(data) and chance.random() < 0.9:
            data[at] = 57 if 48 <= data[at] <= 57 else 255 if data[at] < 32 else data[at]
            at += 1
    return bytes(data)


_WAYS: tuple[Callable[[bytearray, random.Random], bytes], ...] = (
    _flipped_bits,
    _cut,
    _doubled,
    _emptied,
    _left_out,
    _large_numbers,
)
