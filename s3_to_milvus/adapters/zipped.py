"""Opens files that are ZIP archives inside, after a look at what they would unpack to."""

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator

from s3_to_milvus.domain.documents import Attachment, scanned_pages
from s3_to_milvus.errors import EncryptedDocument, UnreadableDocument
from s3_to_milvus.ports import ParserInput

__all__ = ["member_pieces", "open_zip", "pictures_in", "read_member"]

_PIECE_BYTES = 1 << 18
_PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp")


def open_zip(source: ParserInput, what: str, data: bytes | None = None) -> zipfile.ZipFile:
    """The archive, to be closed by the caller. ``what`` names its kind to people: "EPUB book".

    ``data`` in place of the source's own bytes: what a password opened. Raises `UnreadableDocument`,
    `DocumentTooLarge` where the members declare more than ``source.limits`` allow; no member can then unpack to more
    than it declared (`zipfile` stops there).
    """
    place = io.BytesIO(data) if data is not None else source.path or io.BytesIO(source.read())
    try:
        archive = zipfile.ZipFile(place)
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError, struct.error) as exc:
        raise UnreadableDocument(f"The {what} is damaged or cut short: its table of contents is missing.") from exc
    members = archive.infolist()
    try:
        source.limits.check_container(sum(member.file_size for member in members), len(members))
    except BaseException:
        archive.close()
        raise
    return archive


def pictures_in(archive: zipfile.ZipFile, what: str) -> list[Attachment]:
    """The pictures of a document that has no text of its own: it may be a scan. Icons and lines are left out."""
    return scanned_pages(
        (member.filename.rpartition("/")[2], read_member(archive, member, what))
        for member in archive.infolist()
        if member.filename.lower().endswith(_PICTURES) and not member.flag_bits & 1
    )


def read_member(archive: zipfile.ZipFile, name: str | zipfile.ZipInfo, what: str) -> bytes:
    """All bytes of a member. Raises as `member_pieces`."""
    return b"".join(member_pieces(archive, name, what))


def member_pieces(archive: zipfile.ZipFile, name: str | zipfile.ZipInfo, what: str) -> Iterator[bytes]:
    """The bytes of a member, piece by piece.

    Raises `UnreadableDocument`, `EncryptedDocument`, KeyError where there is no such name.
    """
    try:
        with archive.open(name) as member:
            while piece := member.read(_PIECE_BYTES):
                yield piece
    except RuntimeError as exc:  # the library's only sign of a member with a password
        raise EncryptedDocument(f"The {what} is protected by a password.") from exc
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, ValueError) as exc:
        raise UnreadableDocument(f"The {what} is damaged: a part of it cannot be unpacked.") from exc
