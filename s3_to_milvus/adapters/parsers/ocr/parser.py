"""Images, and pages of PDFs that have no text, by OCR. Korean and English unless the settings say otherwise."""

import os
import threading
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from s3_to_milvus.adapters.parsers.ocr.engine import Engine, data_folder
from s3_to_milvus.adapters.parsers.ocr.pictures import frame_count, frames, rendered
from s3_to_milvus.domain.charsets import clean_text
from s3_to_milvus.domain.documents import Block, BlockKind, Document
from s3_to_milvus.domain.formats import Format, media_types_of
from s3_to_milvus.domain.media import PDF
from s3_to_milvus.domain.plain import bounded
from s3_to_milvus.domain.recipe import fingerprint_of
from s3_to_milvus.ports import ParserInput

__all__ = ["OcrParser"]

_PAGED = ("image/tiff", "image/gif")

_lock = threading.Lock()  # neither PDFium nor one tesseract may be entered twice


class OcrParser:
    """Paragraphs with page and box; a picture without text gives no blocks."""

    kind = "ocr"

    class Options(BaseModel):
        """How pictures are read."""

        model_config = ConfigDict(extra="forbid", frozen=True)

        languages: tuple[str, ...] = Field(default=("kor", "eng"), min_length=1)
        dpi: int = Field(default=300, ge=72, le=600)
        page_timeout_s: float = Field(default=60.0, gt=0)
        data_dir: str = ""

    fingerprint = fingerprint_of("ocr-3", version("tesserocr"))
    formats: tuple[Format, ...] = (
        Format("PNG", "image/png", ("png",), is_ocr=True),
        Format("JPEG", "image/jpeg", ("jpg", "jpeg"), is_ocr=True),
        Format("TIFF", "image/tiff", ("tif", "tiff"), has_pages=True, is_ocr=True),
        Format("BMP", "image/bmp", ("bmp",), is_ocr=True),
        Format("WEBP", "image/webp", ("webp",), is_ocr=True),
        Format("GIF", "image/gif", ("gif",), has_pages=True, is_ocr=True),
        Format("HEIC", "image/heic", ("heic",), is_ocr=True),
    )
    media_types = media_types_of(formats)
    page_media_types: frozenset[str] = frozenset({PDF, *_PAGED})
    preload = ("PIL.Image", "PIL.ImageOps", "pi_heif", "pypdfium2", "tesserocr")

    def __init__(self, options: Options | None = None) -> None:
        self._options = options or self.Options()
        os.environ["OMP_THREAD_LIMIT"] = "1"
        given = self._options
        self._engine = Engine(given.languages, given.data_dir, given.page_timeout_s)
        found = data_folder(given.data_dir, given.languages)
        self.folders = () if found is None else (found[0],)  # may be read though the process is shut off

    def parse(self, source: ParserInput) -> Document:
        """Raises `UnsupportedFormat` where OCR is not installed, `ParserTimeout` naming the page.

        An image of several pages names them as unread: each is then asked for alone, several at a time.
        """
        with _lock:
            self._engine.start()
            if source.pages is None and source.media_type in _PAGED and (pages := frame_count(source)) > 1:
                return Document((), source.media_type, page_count=pages, unread_pages=tuple(range(1, pages + 1)))
            pictures = rendered(source, self._options.dpi) if source.media_type == PDF else frames(source)
            count = 0
            blocks: list[Block] = []
            for number, picture in pictures:
                count = max(count, number)
                blocks += self._blocks(picture, number)
        return Document(blocks, source.media_type, page_count=count or None)

    def check(self) -> str:
        """Loads the data. Raises `UnsupportedFormat` with what to install."""
        return f"OCR: {self._engine.start()}"

    def _blocks(self, picture: Any, page: int) -> Iterator[Block]:
        for text, box in self._engine.read(picture, page):
            for part in bounded(clean_text(text)):
                yield Block(BlockKind.PARAGRAPH, part, page=page, box=box)
