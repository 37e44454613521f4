"""Word, PowerPoint and Excel, new and old, by office-oxide's structured result; passwords by msoffcrypto-tool."""

import io
import zipfile
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel, ConfigDict

from s3_to_milvus.adapters.zipped import open_zip, pictures_in
from s3_to_milvus.domain.charsets import clean_text
from s3_to_milvus.domain.documents import Attachment, Block, BlockKind, Document
from s3_to_milvus.domain.formats import Format, media_types_of
from s3_to_milvus.domain.markdown import markdown_blocks
from s3_to_milvus.domain.plain import bounded, lines_of
from s3_to_milvus.domain.recipe import fingerprint_of
from s3_to_milvus.domain.tables import table_blocks
from s3_to_milvus.errors import EncryptedDocument, UnreadableDocument
from s3_to_milvus.ports import ParserInput

__all__ = ["OfficeParser"]

_OPEN = "application/vnd.openxmlformats-officedocument."
_PPTX, _XLSX = _OPEN + "presentationml.presentation", _OPEN + "spreadsheetml.sheet"
_PPT, _XLS = "application/vnd.ms-powerpoint", "application/vnd.ms-excel"
_ENCRYPTED = "application/x-ole-encrypted"
_NAMES = {
    _OPEN + "wordprocessingml.document": "docx",
    _PPTX: "pptx",
    _XLSX: "xlsx",
    "application/msword": "doc",
    _PPT: "ppt",
    _XLS: "xls",
}
_MAX_DEPTH = 40
_CONTAINERS = ("content", "elements", "items", "nested", "rows", "cells", "notes", "body", "children")


class OfficeParser:
    """Headings, paragraphs, list items and tables; slides as pages, sheets under a heading with their name."""

    kind = "office"

    class Options(BaseModel):
        """Nothing to choose."""

        model_config = ConfigDict(extra="forbid")

    fingerprint = fingerprint_of("office-3", version("office-oxide"))
    formats: tuple[Format, ...] = (
        Format("Word", _OPEN + "wordprocessingml.document", ("docx",), has_tables=True, has_headings=True),
        Format("PowerPoint", _PPTX, ("pptx",), has_tables=True, has_headings=True, has_pages=True),
        Format("Excel", _XLSX, ("xlsx",), has_tables=True, has_headings=True),
        Format("Word 97-2003", "application/msword", ("doc",), has_headings=True, limits="tables as text"),
        Format("PowerPoint 97-2003", _PPT, ("ppt",), has_headings=True, has_pages=True),
        Format("Excel 97-2003", _XLS, ("xls",), has_tables=True, has_headings=True),
        Format("Office with a password", _ENCRYPTED, ("docx", "pptx", "xlsx"), has_tables=True, has_headings=True),
    )
    media_types = media_types_of(formats)
    page_media_types: frozenset[str] = frozenset()
    preload = ("office_oxide", "msoffcrypto")

    def __init__(self, options: Options | None = None) -> None:
        import office_oxide

        self._options = options or self.Options()
        self._oxide: Any = office_oxide

    def parse(self, source: ParserInput) -> Document:
        """The whole file is held in memory. Raises `EncryptedDocument` where no password fits."""
        data, name = source.read(), _NAMES.get(source.media_type, "")
        if source.media_type == _ENCRYPTED:
            data = _decrypted(data, source.passwords)
            name = _name_of(data)
        if data.startswith(b"PK"):
            open_zip(source, f"{(name or 'Office').upper()} file", data).close()
        tree = self._tree(data, name, source.passwords)
        sections = tree.get("sections") or ()
        if name in ("xlsx", "xls") and any(_is_cut(section) for section in sections):
            return Document(self._long_sheets(data, name), source.media_type)
        is_paged = name in ("pptx", "ppt")
        blocks: list[Block] = []
        for number, section in enumerate(sections, 1):
            blocks += _Walk(number if is_paged else None, name).section(section)
        pictures = _pictures(source, data) if not blocks and data.startswith(b"PK") else ()
        title = clean_text(str((tree.get("metadata") or {}).get("title") or "")).strip()
        pages = len(sections) if is_paged else None
        return Document(blocks, source.media_type, title=title, page_count=pages, attachments=pictures)

    def check(self) -> str:
        """Says which libraries stand behind it."""
        return f"Office: office-oxide {version('office-oxide')}, msoffcrypto-tool {version('msoffcrypto-tool')}"

    def _long_sheets(self, data: bytes, name: str) -> Iterator[Block]:
        """Workbooks with more rows than the library's structured result holds: its Markdown holds all of them."""
        text = clean_text(self._oxide.Document.from_bytes(data, name).to_markdown())
        return markdown_blocks(lines_of((text,)))

    def _tree(self, data: bytes, name: str, passwords: tuple[str, ...]) -> dict[str, Any]:
        """What office-oxide makes of the file; an old binary file with a password is opened first."""
        try:
            tree: dict[str, Any] = self._oxide.Document.from_bytes(data, name).to_ir()
        except self._oxide.OfficeOxideError as exc:
            if name in ("doc", "xls", "ppt") and _is_encrypted(data):
                return self._tree(_decrypted(data, passwords), name, ())
            raise UnreadableDocument(f"The {name.upper()} file is damaged or not what it claims to be.") from exc
        if name in ("doc", "xls", "ppt") and not tree.get("sections") and _is_encrypted(data):
            return self._tree(_decrypted(data, passwords), name, ())
        return tree


def _pictures(source: ParserInput, data: bytes) -> list[Attachment]:
    """The pictures of a document without text."""
    with open_zip(source, "Office file", data) as archive:
        return pictures_in(archive, "Office file")


def _is_cut(section: Any) -> bool:
    """Whether the library left out rows of a sheet; it says so in a last paragraph."""
    elements = (section.get("elements") or ()) if isinstance(section, dict) else ()
    last = elements[-1] if elements else None
    return isinstance(last, dict) and last.get("type") == "paragraph" and "rows not shown" in _text(last)


def _name_of(data: bytes) -> str:
    """What a decrypted package holds."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile as exc:
        raise UnreadableDocument("The file is damaged: nothing readable was under its password.") from exc
    folders = {"word/": "docx", "ppt/": "pptx", "xl/": "xlsx"}
    return next((kind for folder, kind in folders.items() if any(each.startswith(folder) for each in names)), "docx")


def _is_encrypted(data: bytes) -> bool:
    """True for a file that asks for a password."""
    import msoffcrypto

    try:
        return bool(msoffcrypto.OfficeFile(io.BytesIO(data)).is_encrypted())
    except Exception:  # noqa: BLE001 - whatever it is, it is nothing that a password opens
        return False


def _decrypted(data: bytes, passwords: Iterable[str]) -> bytes:
    """The file without its password. Raises `EncryptedDocument` where none fits."""
    import msoffcrypto

    for password in passwords:
        try:
            file = msoffcrypto.OfficeFile(io.BytesIO(data))
            file.load_key(password=password)
            plain = io.BytesIO()
            file.decrypt(plain)
        except Exception:  # noqa: BLE001, S112 - a wrong password shows as any of a dozen errors; the next is tried
            continue
        return plain.getvalue()
    raise EncryptedDocument("The Office document is protected by a password.")


class _Walk:
    """The blocks of one section of the tree: a slide, a sheet, a part of a text."""

    def __init__(self, page: int | None, name: str) -> None:
        self._page, self._name = page, name

    def section(self, section: dict[str, Any]) -> Iterator[Block]:
        """Its name, header, elements, notes and footer."""
        title = section.get("title")
        elements = section.get("elements") or ()
        has_heading = self._page is None or any(each.get("type") == "heading" for each in elements[:3])
        if title and (self._name in ("xlsx", "xls") or not has_heading):
            yield from self._texts(BlockKind.HEADING, title, level=2)
        parts = (section.get("header"), elements, section.get("speaker_notes"), section.get("footer"))
        for part in parts:
            for element in _listed(part):
                yield from self._element(element, 0)

    def _element(self, element: Any, depth: int) -> Iterator[Block]:
        kind = element.get("type") if isinstance(element, dict) else None
        if depth > _MAX_DEPTH or not isinstance(element, dict):
            yield from self._texts(BlockKind.PARAGRAPH, _text(element))
        elif kind == "heading":
            level = min(6, max(1, int(element.get("level") or 1)))
            yield from self._texts(BlockKind.HEADING, " ".join(_text(element).split()), level=level)
        elif kind == "list" or (kind is None and "items" in element):
            yield from self._list(element, depth)
        elif kind == "table":
            yield from self._table(element)
        elif kind == "image":
            yield from self._texts(BlockKind.FIGURE, str(element.get("alt_text") or element.get("alt") or ""))
        elif kind in ("paragraph", "code_block"):
            yield from self._texts(BlockKind.CODE if kind == "code_block" else BlockKind.PARAGRAPH, _text(element))
            yield from self._inside(element, depth)
        elif any(isinstance(element.get(name), list | dict) for name in _CONTAINERS):
            for name in _CONTAINERS:
                for inner in _listed(element.get(name)):
                    yield from self._element(inner, depth + 1)
        else:
            yield from self._texts(BlockKind.PARAGRAPH, _text(element))

    def _inside(self, element: dict[str, Any], depth: int) -> Iterator[Block]:
        """Boxes and tables that hang in a paragraph."""
        for inner in _listed(element.get("content")):
            if isinstance(inner, dict) and inner.get("type") in ("text_box", "table", "list", "image"):
                yield from self._element(inner, depth + 1)

    def _list(self, element: dict[str, Any], depth: int) -> Iterator[Block]:
        for item in _listed(element.get("items")):
            content = _listed(item.get("content")) if isinstance(item, dict) else [item]
            plain = [each for each in content if not (isinstance(each, dict) and each.get("type") in ("table", "list"))]
            yield from self._texts(BlockKind.LIST_ITEM, "\n".join(filter(None, map(_text, plain))))
            for each in content:
                if each not in plain:
                    yield from self._element(each, depth + 1)
            if isinstance(item, dict) and item.get("nested"):
                yield from self._element(item["nested"], depth + 1)

    def _table(self, element: dict[str, Any]) -> Iterator[Block]:
        rows = _listed(element.get("rows"))
        grid = [_cells(row) for row in rows]
        if max(map(len, grid), default=0) <= 1:
            for row in grid:
                for cell in row:
                    yield from self._texts(BlockKind.PARAGRAPH, cell)
            return
        yield from table_blocks(grid, has_header=len(grid) > 1, page=self._page)

    def _texts(self, kind: BlockKind, text: str, level: int = 0) -> Iterator[Block]:
        for part in bounded(clean_text(text)):
            yield Block(kind, part, level=level, page=self._page)


def _cells(row: Any) -> list[str]:
    """The cells of one row; one that covers several columns leaves the others empty."""
    line: list[str] = []
    for cell in _listed(row.get("cells") if isinstance(row, dict) else row):
        parts = [_text(each) for each in _listed(cell.get("content") if isinstance(cell, dict) else cell)]
        line.append(" ".join(clean_text(" ".join(filter(None, parts))).split()))
        span = int(cell.get("col_span") or 1) if isinstance(cell, dict) else 1
        line += [""] * min(span - 1, 255)
    return line


def _listed(value: Any) -> list[Any]:
    """A list of elements, whatever the tree has there."""
    if isinstance(value, dict):
        return _listed(value["content"]) if "content" in value and "type" not in value else [value]
    return list(value) if isinstance(value, list | tuple) else [] if value is None else [value]


def _text(element: Any, depth: int = 0) -> str:
    """All text of an element, boxes and tables in a paragraph left to `_Walk`."""
    if isinstance(element, str):
        return element
    if isinstance(element, list | tuple):
        return "".join(_text(each, depth + 1) for each in element)
    if not isinstance(element, dict) or depth > _MAX_DEPTH:
        return ""
    kind = element.get("type")
    if kind in ("line_break", "page_break", "column_break"):
        return "\n"
    if kind == "image" or (kind in ("text_box", "table", "list") and depth):
        return "" if depth and kind != "table" else _joined(element, depth)
    if isinstance(element.get("text"), str):
        return str(element["text"])
    return _joined(element, depth)


def _joined(element: dict[str, Any], depth: int) -> str:
    """The texts of everything inside, each row, cell and paragraph apart."""
    parts = []
    for name in _CONTAINERS:
        inner = element.get(name)
        is_inline = name == "content" and element.get("type") in ("paragraph", "heading", "hyperlink", "link", "span")
        if inner is not None:
            parts.append(("" if is_inline else " ").join(_text(each, depth + 1) for each in _listed(inner)))
    return " ".join(filter(None, parts))
