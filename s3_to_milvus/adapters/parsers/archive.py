"""ZIP archives: every file inside is read by the parser of its own kind. Not used unless the settings name it."""

import zipfile
from collections.abc import Iterator
from pathlib import PurePosixPath

from pydantic import BaseModel, ConfigDict

from s3_to_milvus.adapters.zipped import member_name, open_zip, read_member
from s3_to_milvus.domain.documents import Attachment, Document
from s3_to_milvus.domain.formats import Format, media_types_of
from s3_to_milvus.errors import EncryptedDocument, PermanentError, UnreadableDocument
from s3_to_milvus.ports import ParserInput

__all__ = ["ArchiveParser"]

_ZIP = "application/zip"
_WHAT = "ZIP archive"
_IS_ENCRYPTED = 0x1
_AES = 99
_LITTER = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})


class ArchiveParser:
    """No text of its own; the members are attachments, unpacked one at a time as they are asked for."""

    kind = "zip"

    class Options(BaseModel):
        """Nothing to choose."""

        model_config = ConfigDict(extra="forbid")

    # Raise it whenever the same file would give other members.
    fingerprint = "zip-2"
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
        for number, member in enumerate(archive.infolist(), 1):
            name = member_name(member) or f"file-{number}"
            if name.endswith("/") or _is_litter(name):
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
