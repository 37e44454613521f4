"""Opens files that are ZIP archives inside, after a look at what they would unpack to."""

import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator

from s3_to_milvus.domain.charsets import clean_text
from s3_to_milvus.domain.documents import Attachment, scanned_pages
from s3_to_milvus.errors import EncryptedDocument, UnreadableDocument
from s3_to_milvus.ports import ParserInput

__all__ = ["member_name", "member_pieces", "open_zip", "pictures_in", "read_member"]

_PIECE_BYTES = 1 << 18
_IS_ENCRYPTED, _IS_UTF8 = 0x1, 0x800
_UNICODE_PATH = 0x7075
# What the library raises for damage: of the archive itself, of packed data, and for numbers no file can have.
_DAMAGE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, OSError, OverflowError, ValueError)
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
    except (*_DAMAGE, NotImplementedError) as exc:
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
    entry = archive.getinfo(name) if isinstance(name, str) else name
    try:
        with archive.open(entry) as member:
            while piece := member.read(_PIECE_BYTES):
                yield piece
    except RuntimeError as exc:  # the library's only sign of a member with a password
        if isinstance(exc, NotImplementedError) and not entry.flag_bits & _IS_ENCRYPTED:
            raise UnreadableDocument(
                f"The {what} is packed in a way that is not read (method {entry.compress_type}).",
                hint="Pack it once more by the usual method (Deflate), or upload the files themselves.",
            ) from exc
        raise EncryptedDocument(f"The {what} is protected by a password.") from exc
    except _DAMAGE as exc:
        raise UnreadableDocument(f"The {what} is damaged: a part of it cannot be unpacked.") from exc


def member_name(member: zipfile.ZipInfo) -> str:
    """The name as people wrote it, in NFC: by the flag, by the extra field, else UTF-8 or cp949.

    For people and for comparing; the archive itself is asked by the member, not by this.
    """
    if member.flag_bits & _IS_UTF8:
        return _clean(member.filename)
    raw = member.orig_filename.encode("cp437", "replace")
    if (named := _unicode_path(member.extra, raw)) is not None:
        return _clean(named)
    for charset in ("utf-8", "cp949"):
        try:
            return _clean(raw.decode(charset))
        except UnicodeDecodeError:
            continue
    return _clean(member.filename)


def _unicode_path(extra: bytes, raw: bytes) -> str | None:
    """The name in Info-ZIP's field (APPNOTE.TXT 4.6.9): version, checksum of the other name, then UTF-8.

    None where the checksum is wrong: somebody renamed the member later and knew nothing of the field.
    """
    while len(extra) >= 4:
        kind, size = int.from_bytes(extra[:2], "little"), int.from_bytes(extra[2:4], "little")
        if kind == _UNICODE_PATH and size > 5:
            if int.from_bytes(extra[5:9], "little") != zlib.crc32(raw):
                return None
            try:
                return extra[9 : 4 + size].decode()
            except UnicodeDecodeError:
                return None
        extra = extra[4 + size :]
    return None


def _clean(name: str) -> str:
    return clean_text(name.replace("\\", "/")).strip()
