"""Reads the few pieces of a file that tell what it is, and asks `domain.media`."""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path

from s3_to_milvus.domain.containers import OLE_MAGIC, ReadAt, ole_names, zip_names
from s3_to_milvus.domain.formats import Format
from s3_to_milvus.domain.media import BINARY, PLAIN, detect

__all__ = ["sniff", "sniffer"]

_HEAD_BYTES = 1 << 16
_TAIL_BYTES = 1 << 11
_GENERAL = frozenset({PLAIN, BINARY, "application/zip", "application/x-ole-storage", "application/xml"})


def sniffer(formats: Iterable[Format]) -> Callable[[bytes | None, Path | None, str], str]:
    """As `sniff`, which these formats with a signature of their own refine: what was general is one of them then."""
    own = [each for each in formats if each.signature is not None]

    def refined(data: bytes | None, path: Path | None, file_name: str) -> str:
        found = sniff(data, path, file_name)
        if found not in _GENERAL or not own:
            return found
        suffix = file_name.rpartition(".")[2].lower() if "." in file_name else ""
        head = data[:_HEAD_BYTES] if data is not None else _head(path)
        for each in own:
            if each.signature and head.startswith(each.signature):
                return each.media_type
            if each.signature == b"" and found == PLAIN and suffix in each.extensions:
                return each.media_type
        return found

    return refined


def _head(path: Path | None) -> bytes:
    if path is None:
        return b""
    with path.open("rb") as file:
        return file.read(_HEAD_BYTES)


def sniff(data: bytes | None, path: Path | None, file_name: str) -> str:
    """The media type of a file given in memory or by path; ``file_name`` only decides between kinds of plain text."""
    with ExitStack() as stack:
        if data is not None:
            held = data
            size_bytes = len(held)

            def read_at(offset: int, size: int) -> bytes:
                return held[offset : offset + size] if offset >= 0 and size > 0 else b""

        elif path is not None:
            file = stack.enter_context(path.open("rb"))
            size_bytes = path.stat().st_size

            def read_at(offset: int, size: int) -> bytes:
                if offset < 0 or size <= 0:
                    return b""
                file.seek(offset)
                return file.read(size)

        else:
            raise ValueError("sniff needs data or a path")
        return _sniff(read_at, size_bytes, file_name)


def _sniff(read_at: ReadAt, size_bytes: int, file_name: str) -> str:
    """As `sniff`, by reads at any place."""
    head = read_at(0, _HEAD_BYTES)
    members: tuple[str, ...] = ()
    if head.startswith(b"PK"):
        members = zip_names(read_at, size_bytes)
    elif head.startswith(OLE_MAGIC):
        members = ole_names(read_at)
    tail = read_at(max(0, size_bytes - _TAIL_BYTES), _TAIL_BYTES) if b"%PDF-" in head[:_TAIL_BYTES] else b""
    return detect(head, size_bytes, file_name, tail, members)
