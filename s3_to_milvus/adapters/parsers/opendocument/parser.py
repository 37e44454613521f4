"""OpenDocument files, read from their parts as a stream of XML events; with a password, too."""

import zipfile
from typing import Any

from pydantic import BaseModel, ConfigDict

from s3_to_milvus.adapters.package_passwords import decrypted_package
from s3_to_milvus.adapters.parsers.opendocument.content import Content
from s3_to_milvus.adapters.zipped import member_pieces, open_zip, pictures_in, read_member
from s3_to_milvus.domain.charsets import clean_text
from s3_to_milvus.domain.documents import Block, Document
from s3_to_milvus.domain.formats import Format, media_types_of
from s3_to_milvus.errors import UnreadableDocument
from s3_to_milvus.ports import ParserInput

__all__ = ["OpenDocumentParser"]

_OPEN = "application/vnd.oasis.opendocument."
_ODT, _ODS, _ODP = _OPEN + "text", _OPEN + "spreadsheet", _OPEN + "presentation"
_WHAT = {_ODT: "ODT document", _ODS: "ODS spreadsheet", _ODP: "ODP presentation"}
_DUBLIN_CORE = "{http://purl.org/dc/elements/1.1/}"
_MAX_OBJECTS = 1_000


class OpenDocumentParser:
    """Headings, paragraphs, lists, tables, notes, text boxes, data of charts; slides as pages, sheets by name."""

    kind = "opendocument"

    class Options(BaseModel):
        """Nothing to choose."""

        model_config = ConfigDict(extra="forbid")

    # Raise it whenever the same file would give other blocks.
    fingerprint = "opendocument-2"
    formats: tuple[Format, ...] = (
        Format("OpenDocument text", _ODT, ("odt",), has_tables=True, has_headings=True),
        Format("OpenDocument spreadsheet", _ODS, ("ods",), has_tables=True, has_headings=True),
        Format("OpenDocument presentation", _ODP, ("odp",), has_tables=True, has_headings=True, has_pages=True),
    )
    media_types = media_types_of(formats)
    page_media_types: frozenset[str] = frozenset()
    preload = ("lxml.etree", "cryptography.hazmat.primitives.ciphers")

    def __init__(self, options: Options | None = None) -> None:
        from lxml import etree

        self._options = options or self.Options()
        self._etree: Any = etree

    def parse(self, source: ParserInput) -> Document:
        """Parts are read as streams. Raises `EncryptedDocument`, `UnreadableDocument`."""
        what = _WHAT[source.media_type]
        with open_zip(source, what) as archive:
            plain = decrypted_package(archive, source.passwords, what, source.limits)
            if plain is None:
                return self._document(archive, source, what)
        with open_zip(source, what, plain) as archive:
            return self._document(archive, source, what)

    def check(self) -> str:
        """Says which parser stands behind it."""
        return f"OpenDocument: lxml {'.'.join(map(str, self._etree.LXML_VERSION[:3]))}"

    def _document(self, archive: zipfile.ZipFile, source: ParserInput, what: str) -> Document:
        names = set(archive.namelist())
        if "content.xml" not in names:
            raise UnreadableDocument(f"The {what} is damaged: its content is missing.")
        seen: set[str] = set()
        warnings: list[str] = []

        def embedded(name: str) -> list[Block]:
            """What a chart or another object inside says, once; objects in objects are left out."""
            part = f"{name}/content.xml"
            if part not in names or part in seen or len(seen) >= _MAX_OBJECTS:
                return []
            seen.add(part)
            inside = Content(is_chart=True)
            try:
                self._read(archive, part, what, inside)
            except UnreadableDocument:
                inside.close()
                warnings.append(f"the object {clean_text(name)[:200]} is damaged")
            return inside.blocks

        content = Content(is_sheets=source.media_type == _ODS, embedded=embedded)
        self._read(archive, "content.xml", what, content)
        title, language = self._about(archive, names, what)
        pages = content.page if source.media_type == _ODP else None
        return Document(
            content.blocks,
            source.media_type,
            title=title,
            language=language,
            page_count=pages,
            warnings=tuple(warnings),
            attachments=() if content.blocks else pictures_in(archive, what),
        )

    def _read(self, archive: zipfile.ZipFile, part: str, what: str, content: Content) -> Content:
        """Feed a part to ``content``, as a stream. Entities are never followed."""
        parser = self._etree.XMLParser(target=content, resolve_entities=False, no_network=True, huge_tree=True)
        try:
            for piece in member_pieces(archive, part, what):
                parser.feed(piece)
            parser.close()
        except self._etree.LxmlError as exc:
            raise UnreadableDocument(f"The {what} is damaged: its content breaks off.") from exc
        return content

    def _about(self, archive: zipfile.ZipFile, names: set[str], what: str) -> tuple[str, str]:
        """Title and language as the document tells them; nothing where that part is missing or damaged."""
        if "meta.xml" not in names:
            return "", ""
        try:
            parser = self._etree.XMLParser(resolve_entities=False, no_network=True)
            root = self._etree.fromstring(read_member(archive, "meta.xml", what), parser)
        except (self._etree.LxmlError, UnreadableDocument):
            return "", ""
        title, language = (root.findtext(f".//{_DUBLIN_CORE}{name}") or "" for name in ("title", "language"))
        return " ".join(clean_text(title).split())[:500], language.partition("-")[0].strip().lower()[:8]
