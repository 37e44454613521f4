"""Makes files fit for the service: pages cut out, passwords taken off, long PDFs in parts, large pictures reduced.

It opens hostile files by PDFium and Pillow, so it runs in a parsing child, as if it were a parser; what it makes are
attachments. None: the file may be sent as it is.
"""

import io
import math
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from s3_to_milvus.domain.documents import Attachment, Document
from s3_to_milvus.domain.formats import Format
from s3_to_milvus.domain.media import PDF
from s3_to_milvus.errors import DocumentTooLarge, EncryptedDocument, UnreadableDocument
from s3_to_milvus.ports import ParserInput

__all__ = ["PDFIUM", "UpstageCutter"]

_MIB = 1 << 20
_QUALITIES = (85, 75, 60, 45)
_SCAN_DPIS = (200, 150, 100, 72)
_MIN_TOKENS = 8
_MAX_PIXELS = 200_000_000


PDFIUM = threading.Lock()  # PDFium is not safe to enter from two threads at once


class UpstageCutter:
    """Gives ``page_count`` and, where the file cannot be sent as it is, the parts to send in their order."""

    kind = "upstage-cutter"

    class Options(BaseModel):
        """``image_mb``: pictures, and PDFs that are only pictures, are reduced below that."""

        model_config = ConfigDict(extra="forbid", frozen=True)

        part_pages: int = Field(default=1_000, ge=1)
        image_mb: int = Field(default=40, ge=1)

    fingerprint = "upstage-cutter-1"
    formats: tuple[Format, ...] = ()
    media_types = frozenset({PDF, "image/jpeg", "image/png", "image/bmp", "image/tiff", "image/heic"})
    page_media_types: frozenset[str] = frozenset()
    preload = ("pypdfium2", "PIL.Image", "pi_heif")

    def __init__(self, options: Options | None = None) -> None:
        self._options = options or self.Options()

    def parse(self, source: ParserInput) -> Document:
        """Raises `UnreadableDocument`, `EncryptedDocument`, `DocumentTooLarge`."""
        if source.media_type == PDF:
            with PDFIUM:
                return self._pdf(source)
        if source.size_bytes <= self._options.image_mb * _MIB:
            return Document((), source.media_type, page_count=1)
        reduced = _reduced(_image(source), self._options.image_mb * _MIB)
        return Document((), source.media_type, page_count=1, attachments=[Attachment("reduced.jpg", reduced)])

    def check(self) -> str:
        """Nothing is needed from outside."""
        return "ready"

    def _pdf(self, source: ParserInput) -> Document:
        import pypdfium2

        document, is_locked = _opened(pypdfium2, source)
        try:
            count = len(document)
            source.limits.check_pages(count)
            pages = [number for number in source.pages or range(1, count + 1) if 1 <= number <= count]
            is_large = source.size_bytes > self._options.image_mb * _MIB and _is_scan(document)
            if not (is_locked or is_large or source.pages is not None or count > self._options.part_pages):
                return Document((), PDF, page_count=count)
            parts = list(self._parts(pypdfium2, document, pages, is_large=is_large))
        except pypdfium2.PdfiumError as exc:
            raise UnreadableDocument("A page of the PDF is damaged: it cannot be cut out.") from exc
        finally:
            document.close()
        return Document((), PDF, page_count=count, attachments=parts)

    def _parts(self, pdfium: Any, document: Any, pages: Sequence[int], *, is_large: bool) -> Iterator[Attachment]:
        step = self._options.part_pages
        for start in range(0, len(pages), step):
            chosen = pages[start : start + step]
            data = (
                _rendered(document, chosen, self._options.image_mb * _MIB)
                if is_large
                else _cut(pdfium, document, chosen)
            )
            yield Attachment(f"{chosen[0]}-{chosen[-1]}.pdf", data)


def _opened(pdfium: Any, source: ParserInput) -> tuple[Any, bool]:
    """The document, and whether a password opened it."""
    given = source.data if source.data is not None else source.path
    for password in (None, *source.passwords):
        try:
            return pdfium.PdfDocument(given, password=password), password is not None
        except pdfium.PdfiumError as exc:
            if "password" not in str(exc).lower():
                raise UnreadableDocument("The PDF is damaged or cut short: it cannot be opened.") from exc
    raise EncryptedDocument("The PDF is protected by a password.")


def _cut(pdfium: Any, document: Any, pages: Sequence[int]) -> bytes:
    """These pages as a PDF of their own."""
    part = pdfium.PdfDocument.new()
    try:
        part.import_pages(document, pages=[number - 1 for number in pages])
        held = io.BytesIO()
        part.save(held)
        return held.getvalue()
    finally:
        part.close()


def _is_scan(document: Any) -> bool:
    """Whether the first pages have no text to speak of."""
    words = 0
    for index in range(min(len(document), 10)):
        page = document[index]
        text_page = page.get_textpage()
        words += len(text_page.get_text_range().split())
        text_page.close()
        page.close()
    return words < _MIN_TOKENS


def _rendered(document: Any, pages: Sequence[int], most_bytes: int) -> bytes:
    """These pages as grey pictures in a PDF of their own, at the first resolution that makes it small enough."""
    data = b""
    for dpi in _SCAN_DPIS:
        images = [_picture(document[number - 1], dpi) for number in pages]
        held = io.BytesIO()
        images[0].save(held, "PDF", save_all=True, append_images=images[1:], resolution=dpi, quality=75)
        data = held.getvalue()
        if len(data) <= most_bytes:
            break
    return data


def _picture(page: Any, dpi: int) -> Any:
    width, height = page.get_size()
    scale = min(dpi / 72, math.sqrt(_MAX_PIXELS / max(1.0, width * height)))
    picture = page.render(scale=scale, grayscale=True).to_pil()
    page.close()
    return picture


def _image(source: ParserInput) -> Any:
    from pi_heif import register_heif_opener
    from PIL import Image

    register_heif_opener()
    Image.MAX_IMAGE_PIXELS = None  # checked here, with words of our own
    try:
        image = Image.open(io.BytesIO(source.read()))
        if image.width * image.height > _MAX_PIXELS:
            raise DocumentTooLarge(f"The image has {image.width} x {image.height} pixels.")
        return image.convert("RGB")
    except DocumentTooLarge:
        raise
    except Exception as exc:  # Pillow raises whatever a damaged file makes it meet
        raise UnreadableDocument("The image is damaged or cut short.") from exc


def _reduced(image: Any, most_bytes: int) -> bytes:
    """A JPEG below the size: first of less quality, then of fewer pixels."""
    while True:
        for quality in _QUALITIES:
            held = io.BytesIO()
            image.save(held, "JPEG", quality=quality)
            if held.tell() <= most_bytes:
                return held.getvalue()
        image = image.resize((max(1, image.width // 2), max(1, image.height // 2)))
