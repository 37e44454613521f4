"""EPUB books chapter by chapter, and Jupyter notebooks cell by cell."""

import contextlib
import json
import posixpath
import re
import unicodedata
import zipfile
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from pydantic import BaseModel, ConfigDict

from s3_to_milvus.adapters.charset_guess import guess_charset
from s3_to_milvus.adapters.html_pages import decode_html, read_html
from s3_to_milvus.adapters.zipped import member_name, open_zip, pictures_in, read_member
from s3_to_milvus.domain.charsets import charset_of, clean_text
from s3_to_milvus.domain.documents import Block, BlockKind, Document
from s3_to_milvus.domain.formats import Format, media_types_of
from s3_to_milvus.domain.markdown import markdown_blocks
from s3_to_milvus.domain.plain import bounded
from s3_to_milvus.errors import EncryptedDocument, UnreadableDocument
from s3_to_milvus.ports import ParserInput

__all__ = ["BookParser"]

_EPUB, _IPYNB = "application/epub+zip", "application/x-ipynb+json"
_WHAT = "EPUB book"
_PAGES = frozenset({"application/xhtml+xml", "text/html", "application/x-dtbook+xml", "text/x-oeb1-document"})
# How fonts are disguised (EPUB 3.3, 4.3.1, and Adobe's way): no text is hidden by it.
_FONTS = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")
# Colours, cursor movements, links and titles of terminals (ECMA-48, 5.4 and 5.6).
_TERMINAL_CODES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_])")
_INLINE_PICTURE = re.compile(r"data:[\w.+-]{1,60}/[\w.+-]{1,60};base64,[A-Za-z0-9+/=]*")
_MAX_CHAPTERS = 20_000


class BookParser:
    """Chapters of an EPUB in reading order; text, code and outputs of a notebook. Pictures say nothing."""

    kind = "book"

    class Options(BaseModel):
        """Nothing to choose."""

        model_config = ConfigDict(extra="forbid")

    # Raise it whenever the same file would give other blocks.
    fingerprint = "book-2"
    formats: tuple[Format, ...] = (
        Format("EPUB", _EPUB, ("epub",), has_tables=True, has_headings=True, limits="not with DRM"),
        Format("Jupyter notebook", _IPYNB, ("ipynb",), has_tables=True, has_headings=True),
    )
    media_types = media_types_of(formats)
    page_media_types: frozenset[str] = frozenset()
    preload = ("lxml.etree",)

    def __init__(self, options: Options | None = None) -> None:
        from lxml import etree

        self._options = options or self.Options()
        self._etree: Any = etree

    def parse(self, source: ParserInput) -> Document:
        """A chapter, or the notebook, is held in memory. Raises `UnreadableDocument`, `EncryptedDocument`."""
        if source.media_type == _IPYNB:
            return _notebook(source)
        with open_zip(source, _WHAT) as archive:
            return self._book(archive)

    def check(self) -> str:
        """Says which parser stands behind it."""
        return f"EPUB: lxml {'.'.join(map(str, self._etree.LXML_VERSION[:3]))}; notebooks: ready"

    def _book(self, archive: zipfile.ZipFile) -> Document:
        names = {member_name(member): member for member in archive.infolist()}
        self._refuse_locked(archive, names)
        place = self._package(archive, names)
        package = self._tree(archive, names[place])
        warnings: list[str] = []
        blocks: list[Block] = []
        for name in dict.fromkeys(_place_of(href, place) for href in _chapters(package)):
            if name not in names:
                warnings.append(f"the chapter {name[:200]} is missing")
                continue
            try:
                blocks += read_html(decode_html(read_member(archive, names[name], _WHAT))).blocks
            except UnreadableDocument:
                warnings.append(f"the chapter {name[:200]} is damaged")
        if warnings and not blocks:
            raise UnreadableDocument(f"The EPUB book is damaged: {warnings[0]}.")
        title, language = _text_of(package, "title"), _text_of(package, "language").partition("-")[0].lower()
        return Document(
            blocks,
            _EPUB,
            title=title[:500],
            language=language[:8],
            warnings=tuple(warnings),
            attachments=() if blocks else pictures_in(archive, _WHAT),
        )

    def _package(self, archive: zipfile.ZipFile, names: dict[str, zipfile.ZipInfo]) -> str:
        """Where the package document lies, which says in what order chapters are read."""
        if "META-INF/container.xml" in names:
            for each in self._tree(archive, names["META-INF/container.xml"]).iter("{*}rootfile"):
                if (path := _place_of(each.get("full-path", ""), "")) in names:
                    return path
        found = next((name for name in names if name.lower().endswith(".opf")), None)
        if found is None:
            raise UnreadableDocument("The EPUB book is damaged: nothing says in which order its chapters are read.")
        return found

    def _refuse_locked(self, archive: zipfile.ZipFile, names: dict[str, zipfile.ZipInfo]) -> None:
        """Raise `EncryptedDocument` where anything but fonts is encrypted."""
        if "META-INF/encryption.xml" not in names:
            return
        for method in self._tree(archive, names["META-INF/encryption.xml"]).iter("{*}EncryptionMethod"):
            above = method.getparent()
            is_of_data = above is not None and above.tag.endswith("EncryptedData")
            if is_of_data and method.get("Algorithm") not in _FONTS:
                raise EncryptedDocument(
                    "The EPUB book is protected by a rights management (DRM) program.",
                    hint="Upload a copy without protection.",
                )

    def _tree(self, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Any:
        name = member_name(member)[:200]
        parser = self._etree.XMLParser(resolve_entities=False, no_network=True, recover=True)
        try:
            root = self._etree.fromstring(read_member(archive, member, _WHAT), parser)
        except (self._etree.LxmlError, ValueError) as exc:
            raise UnreadableDocument(f"The EPUB book is damaged: its part {name} cannot be read.") from exc
        if root is None:
            raise UnreadableDocument(f"The EPUB book is damaged: its part {name} is empty.")
        return root


def _chapters(package: Any) -> Iterator[str]:
    """The addresses of chapters in reading order; a page that navigates only where there is no other.

    Raises `UnreadableDocument` where the package lists nothing at all.
    """
    items = [item for item in package.iter("{*}item") if item.get("href")]
    if not items:
        raise UnreadableDocument("The EPUB book is damaged: its list of parts is missing.")
    listed = [item for item in items if item.get("media-type", "") in _PAGES]
    texts = [item for item in listed if "nav" not in item.get("properties", "").split()]
    pages = {item.get("id"): item.get("href") for item in texts or listed}
    order = dict.fromkeys(each.get("idref") for each in package.iter("{*}itemref"))
    chapters = [pages[name] for name in order if name in pages] or list(pages.values())
    yield from chapters[:_MAX_CHAPTERS]


def _place_of(href: str, package: str) -> str:
    """The name of the member that an address in the package document means."""
    path = posixpath.join(posixpath.dirname(package), unquote(href.partition("#")[0]))
    return unicodedata.normalize("NFC", posixpath.normpath(path))


def _text_of(package: Any, name: str) -> str:
    return " ".join(clean_text(package.findtext(f".//{{http://purl.org/dc/elements/1.1/}}{name}") or "").split())


def _notebook(source: ParserInput) -> Document:
    """Cells of format 4, and of format 3, where they stand in worksheets."""
    try:
        notebook = json.loads(_decoded(source.read()))
    except (ValueError, RecursionError) as exc:
        raise UnreadableDocument("The notebook is damaged: it is no JSON.") from exc
    if not isinstance(notebook, dict):
        raise UnreadableDocument("The notebook is damaged: it has no cells.")
    sheets = notebook.get("worksheets")
    cells = notebook.get("cells")
    if not isinstance(cells, list) and isinstance(sheets, list):
        cells = [cell for sheet in sheets if isinstance(sheet, dict) for cell in _listed(sheet.get("cells"))]
    if not isinstance(cells, list):
        raise UnreadableDocument("The notebook is damaged: it has no cells.")
    blocks = [block for cell in cells if isinstance(cell, dict) for block in _cell(cell)]
    about = notebook.get("metadata")
    title = about.get("title") if isinstance(about, dict) else None
    return Document(blocks, _IPYNB, title=clean_text(title).strip()[:500] if isinstance(title, str) else "")


def _decoded(data: bytes) -> str:
    """UTF-8 as the format says, else what the bytes prove to be."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode(charset_of(data, guess_charset), "replace")


def _cell(cell: dict[str, Any]) -> Iterator[Block]:
    """A cell's text, then what its code printed."""
    kind, text = cell.get("cell_type"), _INLINE_PICTURE.sub("", _joined(cell.get("source", cell.get("input"))))
    if kind == "heading":
        level = cell.get("level")
        for part in bounded(" ".join(text.split())):
            yield Block(BlockKind.HEADING, part, level=min(6, max(1, level)) if isinstance(level, int) else 1)
    elif kind in ("code", "raw"):
        yield from _code(text)
    else:
        yield from markdown_blocks(text.split("\n"))
    for output in _listed(cell.get("outputs")):
        if isinstance(output, dict):
            yield from _output(output)


def _output(output: dict[str, Any]) -> Iterator[Block]:
    """HTML (tables of data frames) that says something, else Markdown, else plain text; errors as they were shown."""
    shown = output.get("data") if isinstance(output.get("data"), dict) else output
    page = _joined(shown.get("text/html", shown.get("html")) if isinstance(shown, dict) else None)
    blocks: list[Block] = []
    with contextlib.suppress(UnreadableDocument):
        blocks = read_html(page).blocks
    if blocks:
        yield from blocks
        return
    if isinstance(shown, dict) and (text := _joined(shown.get("text/markdown"))).strip():
        yield from markdown_blocks(_INLINE_PICTURE.sub("", text).split("\n"))
        return
    plain = _joined(shown.get("text/plain", shown.get("text")) if isinstance(shown, dict) else None)
    trace = output.get("traceback")
    if isinstance(trace, list):
        plain = "\n".join(map(_joined, trace))
    yield from _code(plain)


def _code(text: str) -> Iterator[Block]:
    for part in bounded(clean_text(text)):
        yield Block(BlockKind.CODE, part)


def _joined(value: object) -> str:
    """A text, or the lines of one, without codes for terminals."""
    if isinstance(value, list):
        value = "".join(each for each in value if isinstance(each, str))
    return clean_text(_TERMINAL_CODES.sub("", value)) if isinstance(value, str) else ""


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
