"""Brings an object's bytes near: small ones into memory, large ones into a scratch file; hashed on the way."""

import hashlib
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from s3_to_milvus.engine.parts import Parts
from s3_to_milvus.engine.readers import Readers
from s3_to_milvus.errors import DocumentTooLarge, Unavailable
from s3_to_milvus.ports import Content, ParserInput

__all__ = ["Download", "download"]

_HEAD_BYTES = 65_536
_PIECE_BYTES = 1 << 20
_RESERVE_BYTES = 8 << 20
_NO_ROOM_S = 10.0
_CONTAINERS = frozenset({"application/zip", "application/x-ole-storage"})


@dataclass(slots=True)
class Download:
    """An object's bytes: ``data`` or ``path``, never both. Close it to remove the scratch file."""

    media_type: str
    content_hash: str
    size_bytes: int
    data: bytes | None = None
    path: Path | None = None

    def as_input(self, file_name: str) -> ParserInput:
        """The same, as parsers want it."""
        return ParserInput(self.media_type, file_name, self.size_bytes, self.data, self.path)

    def close(self) -> None:
        """Forget the bytes."""
        self.data = None
        if self.path is not None:
            self.path.unlink(missing_ok=True)


def download(parts: Parts, readers: Readers, content: Content, file_name: str) -> Download:
    """Read all of ``content`` (which stays open).

    Raises `UnsupportedFormat` after the first bytes where no parser will want the rest, `DocumentTooLarge`, and
    what `Content.read` raises.
    """
    config = parts.config
    size = content.version.size_bytes
    if size > config.max_object_bytes:
        limit_mb = config.max_object_bytes >> 20
        raise DocumentTooLarge(f"The file has {size >> 20} MiB; S2M_ENGINE__MAX_OBJECT_MB allows {limit_mb}.")
    if size <= config.inline_bytes:
        data = _read_all(content)
        media_type = parts.sniff(data, None, file_name)
        return Download(media_type, hashlib.sha256(data).hexdigest(), len(data), data)
    head = _read_exactly(content, _HEAD_BYTES)
    media_type = parts.sniff(head, None, file_name)
    if media_type not in _CONTAINERS:
        readers.require(media_type)
    return _spool(parts, content, head, file_name)


def _spool(parts: Parts, content: Content, head: bytes, file_name: str) -> Download:
    path = parts.scratch / parts.clock.token()
    digest = hashlib.sha256(head)
    size = len(head)
    try:
        _expect_room(parts.scratch, content.version.size_bytes)
        with path.open("wb") as out:
            out.write(head)
            while piece := content.read(_PIECE_BYTES):
                digest.update(piece)
                size += len(piece)
                out.write(piece)
        return Download(parts.sniff(None, path, file_name), digest.hexdigest(), size, path=path)
    except BaseException as error:
        with suppress(OSError):
            path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _no_room(parts.scratch, str(error.strerror)) from error
        raise


def _expect_room(folder: Path, size_bytes: int) -> None:
    """A file that doesn't fit waits by itself, before it fills the disk of everybody else."""
    free = shutil.disk_usage(folder).free
    if free < size_bytes + _RESERVE_BYTES:
        raise _no_room(folder, f"{free >> 20} MiB are free, the file has {size_bytes >> 20}")


def _no_room(folder: Path, why: str) -> Unavailable:
    return Unavailable(
        f"The scratch folder {folder} can't hold the file: {why}.",
        hint="Free some space there; the file is tried again by itself.",
        retry_after_s=_NO_ROOM_S,
    )


def _read_all(content: Content) -> bytes:
    pieces = []
    while piece := content.read(_PIECE_BYTES):
        pieces.append(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _read_exactly(content: Content, size: int) -> bytes:
    data = b""
    while len(data) < size and (piece := content.read(size - len(data))):
        data += piece
    return data
