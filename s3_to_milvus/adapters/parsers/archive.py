"""ZIP archives: every file inside is read by the parser of its own kind. Not used unless the settings name it."""

import unicodedata
import zipfile
from collections.abc import Iterator
from pathlib import PurePosixPath

from pydantic import BaseModel, ConfigDict

from s3_to_milvus.adapters.zipped import open_zip, read_member
from s3_to_milvus.domain.charsets import clean_text
from s3_to_milvus.domain.documents import Attachment, Document
from s3_to_milvus.domain.formats import Format, media_types_of
from s3_to_milvus.errors import EncryptedDocument, PermanentError, UnreadableDocument
from s3_to_milvus.ports import ParserInput

__all__ = ["ArchiveParser"]

_ZIP = "application/zip"
_WHAT = "ZIP archive"
_IS_ENCRYPTED, _IS_UTF8 = 0x1, 0x800
_AES = 99
_UNICODE_PATH = 0x7075
_LITTER = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})


class ArchiveParser:
    """No text of its own; the members are attachments, unpacked one at a time as they are asked for."""

    kind = "zip"

    class Options(BaseModel):
        """Nothing to choose."""

        model_config = ConfigDict(extra="forbid")

    # Raise it whenever the same file would give other members.
    fingerprint = "zip-1"
    formats: tuple[Format, ...] = (
        Format("ZIP archive", _ZIP, ("zip",), limits="only where `zip` is among the parsers; no AES encryption"),
    )
    media_types = media_types_of(formats)
    page_media_types: frozenset[str] = frozenset()
    preload = ("zipfile",)

    def __init__(self, options: Options | None = None) -> None:
        self._options = options or self.Options()

    def parse(self, source: ParserInput) -> Document:
        """Raises `UnreadableDocument`, `DocumentTooLarge` by what the archive declares; a bad member fails alone."""
        return Document((), source.media_type, attachments=_members(open_zip(source, _WHAT), source.passwords))

    def check(self) -> str:
        """Nothing is needed from outside."""
        return "ZIP archives: ready"


def _members(archive: zipfile.ZipFile, passwords: tuple[str, ...]) -> Iterator[Attachment]:
    """The files inside in their order; closes the archive at the end."""
    with archive:
        for member in archive.infolist():
            name = _name(member)
            if member.is_dir() or _is_litter(name):
                continue
            try:
                yield Attachment(name, _unpacked(archive, member, passwords))
            except PermanentError as error:
                yield Attachment(name, error=error)


def _unpacked(archive: zipfile.ZipFile, member: zipfile.ZipInfo, passwords: tuple[str, ...]) -> bytes:
    """The bytes of a member, by the first password that fits where it asks for one."""
    if not member.flag_bits & _IS_ENCRYPTED:
        return read_member(archive, member, "file in the archive")
    if member.compress_type == _AES:
        raise EncryptedDocument(
            "The file in the archive is encrypted with AES, which is not read.", hint="Upload the file itself."
        )
    for password in passwords:
        for charset in ("utf-8", "cp949"):  # archivers of Korean Windows use its own
            archive.setpassword(password.encode(charset, "replace"))
            try:
                return read_member(archive, member, "file in the archive")
            except (EncryptedDocument, UnreadableDocument):  # one byte in 256 passes the library's own check
                continue
    raise EncryptedDocument("The file in the archive is protected by a password.")


def _is_litter(name: str) -> bool:
    """What systems leave in archives beside the files of people."""
    path = PurePosixPath(name)
    return path.name in _LITTER or "__MACOSX" in path.parts


def _name(member: zipfile.ZipInfo) -> str:
    """The name as people wrote it: by the flag, by the extra field, else UTF-8 or the charset of Korean Windows."""
    if member.flag_bits & _IS_UTF8:
        return _clean(member.filename)
    raw = member.orig_filename.encode("cp437", "replace")
    if (named := _unicode_path(member.extra)) is not None:
        return _clean(named)
    for charset in ("utf-8", "cp949"):
        try:
            return _clean(raw.decode(charset))
        except UnicodeDecodeError:
            continue
    return _clean(member.filename)


def _unicode_path(extra: bytes) -> str | None:
    """The name in Info-ZIP's field (APPNOTE.TXT 4.6.9): version, checksum of the other name, then UTF-8."""
    while len(extra) >= 4:
        kind, size = int.from_bytes(extra[:2], "little"), int.from_bytes(extra[2:4], "little")
        if kind == _UNICODE_PATH and size > 5:
            try:
                return extra[9 : 4 + size].decode()
            except UnicodeDecodeError:
                return None
        extra = extra[4 + size :]
    return None


def _clean(name: str) -> str:
    return unicodedata.normalize("NFC", clean_text(name.replace("\\", "/"))).strip()
