"""HWP 5 and HWPX by the blocks of hwp2md, HWP 3 by skdconv; Hancom's private characters become readable ones."""

from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel, ConfigDict

from s3_to_milvus.adapters.package_passwords import decrypted_package
from s3_to_milvus.adapters.zipped import open_zip
from s3_to_milvus.domain.charsets import clean_text
from s3_to_milvus.domain.documents import Block, BlockKind, Document, scanned_pages
from s3_to_milvus.domain.formats import Format, media_types_of
from s3_to_milvus.domain.korean import hancom_text
from s3_to_milvus.domain.plain import bounded
from s3_to_milvus.domain.recipe import fingerprint_of
from s3_to_milvus.domain.tables import table_blocks
from s3_to_milvus.errors import EncryptedDocument, UnreadableDocument
from s3_to_milvus.ports import ParserInput

__all__ = ["HwpParser"]

_HWP, _HWPX = "application/x-hwp", "application/hwp+zip"
_HWPX_NAME = "HWPX document"
_HWP3_HINT = "Open it with Hancom Office and save it as HWP 5 or HWPX, then upload it once more."
_HWP3_MAGIC = b"HWP Document File V3.00"


class HwpParser:
    """Headings, paragraphs, lists, tables and notes in reading order; distribution documents too."""

    kind = "hwp"

    class Options(BaseModel):
        """Nothing to choose."""

        model_config = ConfigDict(extra="forbid")

    fingerprint = fingerprint_of("hwp-3", version("hwp2markdown"), version("skdconv"))
    formats: tuple[Format, ...] = (
        Format(
            "HWP 3, HWP 5",
            _HWP,
            ("hwp",),
            has_tables=True,
            has_headings=True,
            limits="HWP 3: text only; not with a password",
        ),
        Format("HWPX", _HWPX, ("hwpx",), has_tables=True, has_headings=True),
    )
    media_types = media_types_of(formats)
    page_media_types: frozenset[str] = frozenset()
    preload = ("hwp2md.convert", "skdconv.hwp3.parser")

    def __init__(self, options: Options | None = None) -> None:
        from hwp2md import errors
        from hwp2md.convert import read_blocks

        self._options = options or self.Options()
        self._read: Callable[[bytes], list[Any]] = read_blocks
        self._errors: Any = errors

    def parse(self, source: ParserInput) -> Document:
        """The whole file is held in memory. Raises `EncryptedDocument`, `UnreadableDocument`, `DocumentTooLarge`."""
        data = source.read()
        if data.startswith(_HWP3_MAGIC):
            return _hwp3(data, source.media_type)
        if data.startswith(b"PK"):
            with open_zip(source, _HWPX_NAME) as archive:
                data = decrypted_package(archive, source.passwords, _HWPX_NAME, source.limits) or data
        found = self._blocks(data)
        blocks = list(_converted(found))
        if not blocks and source.media_type == _HWP and len(data) % 512:
            raise UnreadableDocument("The HWP document is cut short: no text could be read.")
        pictures = scanned_pages(_pictures(found)) if not blocks else ()
        return Document(blocks, source.media_type, attachments=pictures)

    def check(self) -> str:
        """Says which library stands behind it."""
        return f"HWP, HWPX: hwp2markdown {version('hwp2markdown')}, skdconv {version('skdconv')}"

    def _blocks(self, data: bytes) -> list[Any]:
        """What hwp2md reads, its errors made ours."""
        try:
            return self._read(data)
        except self._errors.DrmProtectedError as exc:
            raise EncryptedDocument("The document is protected by a rights management (DRM) program.") from exc
        except self._errors.EncryptedDocumentError as exc:
            raise EncryptedDocument(
                "The document is protected by a password.", hint="Upload a copy without a password."
            ) from exc
        except self._errors.Hwp2mdError as exc:
            raise UnreadableDocument("The HWP document is damaged or not what it claims to be.") from exc
        except MemoryError:
            raise
        except Exception as exc:
            raise UnreadableDocument(f"The HWP document is damaged: it cannot be read ({type(exc).__name__}).") from exc


def _pictures(found: list[Any]) -> Iterator[tuple[str, bytes]]:
    return ((each.file_name, each.data) for each in found if hasattr(each, "file_name") and each.data)


def _hwp3(data: bytes, media_type: str) -> Document:
    """A document of HWP 3 (before 2000): its text, paragraph by paragraph, by skdconv."""
    from skdconv.hwp3.parser import parse_hwp3_document

    try:
        found = parse_hwp3_document(data)
    except MemoryError:
        raise
    except Exception as exc:
        if getattr(exc, "code", "") == "ENCRYPTED":
            hint = "Upload a copy without a password."
            raise EncryptedDocument("The document is protected by a password.", hint=hint) from exc
        raise UnreadableDocument("The HWP 3 document is damaged or cut short.", hint=_HWP3_HINT) from exc
    texts = (_clean((each.text or "").replace("\ufffc", "")) for each in found.blocks)
    blocks = [Block(BlockKind.PARAGRAPH, part) for text in texts for part in bounded(text)]
    is_cut = any(each.code == "PARTIAL_PARSE" for each in found.warnings or ())
    if is_cut and not blocks:
        raise UnreadableDocument("No text of the HWP 3 document could be read.", hint=_HWP3_HINT)
    title = clean_text((found.metadata.title if found.metadata else "") or "").strip()
    warnings = ("the HWP 3 document could not be read to its end",) if is_cut else ()
    return Document(blocks, media_type, title=title[:500], warnings=warnings)


def _converted(found: list[Any]) -> Iterator[Block]:
    """Blocks of hwp2md as ours; pictures say nothing, notes stand where they are listed."""
    for each in found:
        if hasattr(each, "rows"):
            yield from _table(each.rows)
        elif hasattr(each, "paragraphs"):
            text = "\n".join(paragraph.text for paragraph in each.paragraphs)
            yield from _texts(BlockKind.PARAGRAPH, f"{each.number}) {text}" if text.strip() else "")
        elif hasattr(each, "text"):
            yield from _paragraph(each)


def _paragraph(paragraph: Any) -> Iterator[Block]:
    """A heading, a list item or plain text."""
    level = int(paragraph.level)
    if level:
        yield from _texts(BlockKind.HEADING, " ".join(paragraph.text.split()), level=min(level, 6))
    elif paragraph.list_info is not None:
        yield from _texts(BlockKind.LIST_ITEM, f"{paragraph.list_info.label} {paragraph.text}".strip())
    else:
        yield from _texts(BlockKind.PARAGRAPH, paragraph.text)


def _table(rows: list[list[str]]) -> Iterator[Block]:
    """A table; with a single column it is a frame around paragraphs."""
    grid = [[" ".join(_clean(cell).split()) for cell in row] for row in rows]
    if max(map(len, grid), default=0) <= 1:
        for row in rows:
            for cell in row:
                yield from _texts(BlockKind.PARAGRAPH, cell)
    else:
        yield from table_blocks(grid, has_header=len(grid) > 1)


def _texts(kind: BlockKind, text: str, level: int = 0) -> Iterator[Block]:
    for part in bounded(_clean(text)):
        yield Block(kind, part, level=level)


def _clean(text: str) -> str:
    return clean_text(hancom_text(text))
