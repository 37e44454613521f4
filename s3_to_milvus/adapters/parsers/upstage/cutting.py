"""Makes files fit for the service: pages cut out, passwords taken off, large PDFs in parts, large pictures reduced.

It opens hostile files by PDFium and Pillow, so it runs in a parsing child, as if it were a parser; what it makes are
attachments. None: the file may be sent as it is.
"""

import io
import math
import re
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from s3_to_milvus.adapters.parsers.upstage.pictures import reduced_frames
from s3_to_milvus.domain.documents import Attachment, Document
from s3_to_milvus.domain.formats import Format
from s3_to_milvus.domain.media import PDF
from s3_to_milvus.errors import EncryptedDocument, UnreadableDocument
from s3_to_milvus.ports import ParserInput

__all__ = ["PDFIUM", "UpstageCutter"]

_MIB = 1 << 20
_SCAN_DPIS = (200, 150)  # below that OCR suffers, and the service takes far larger files
_CUT_MB = 100  # of a file that must be cut: PDFium holds a part several times while it is made
_MIN_TOKENS = 8
_MAX_PAGE_PIXELS = 40_000_000
# What PDFium writes of the moment: without it, the same pages are the same bytes, and a request is found again.
_MOMENT = re.compile(rb"(?<=/CreationDate\(D:)\d{14}|(?<=/ID\[<)[0-9A-F]{32}(?=>)|(?<=><)[0-9A-F]{32}(?=>\]>>)")


PDFIUM = threading.Lock()  # PDFium is not safe to enter from two threads at once


class UpstageCutter:
    """Gives ``page_count`` and, where the file cannot be sent as it is, the parts to send in their order.

    ``unread_pages``: all of them, where a file of that size, or what was made of it, is nothing but pictures.
    """

    kind = "upstage-cutter"

    class Options(BaseModel):
        """``image_mb``: pictures are reduced to about that.

        PDFs of more than ``part_pages`` or ``part_mb`` come in parts; a page is reduced only if it alone is larger.
        """

        model_config = ConfigDict(extra="forbid", frozen=True)

        part_pages: int = Field(default=1_000, ge=1)
        part_mb: int = Field(default=450, ge=1)
        image_mb: int = Field(default=40, ge=1)

    fingerprint = "upstage-cutter-2"
    formats: tuple[Format, ...] = ()
    media_types = frozenset({PDF, "image/jpeg", "image/png", "image/bmp", "image/tiff", "image/heic"})
    page_media_types: frozenset[str] = frozenset()
    preload = ("pypdfium2", "PIL.Image", "pi_heif")

    def __init__(self, options: Options | None = None) -> None:
        self._options = options or self.Options()
        self._part_bytes = self._options.part_mb * _MIB

    def parse(self, source: ParserInput) -> Document:
        """Raises `UnreadableDocument`, `EncryptedDocument`, `DocumentTooLarge`."""
        if source.media_type == PDF:
            with PDFIUM:
                return self._pdf(source)
        most_bytes = self._options.image_mb * _MIB
        if source.size_bytes <= most_bytes:
            return Document((), source.media_type)
        reduced = reduced_frames(source, most_bytes)
        count = len(reduced)
        if count == 1:
            return Document((), source.media_type, page_count=1, attachments=[Attachment("reduced.jpg", reduced[0])])
        with PDFIUM:
            part = Attachment(f"{count}-reduced.pdf", _bound(reduced))
        pages = tuple(range(1, count + 1))
        return Document((), source.media_type, page_count=count, unread_pages=pages, attachments=[part])

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
            is_scan = source.size_bytes > self._options.image_mb * _MIB and _is_scan(document)
            pictures = tuple(range(1, count + 1)) if is_scan else ()
            is_large = source.size_bytes > self._part_bytes or count > self._options.part_pages
            parts: list[Attachment] = []
            if is_locked or is_large or source.pages is not None:
                step = self._step(source.size_bytes, count)
                parts += (
                    part
                    for start in range(0, len(pages), step)
                    for part in self._parts(document, pages[start : start + step])
                )
        except pypdfium2.PdfiumError as exc:
            raise UnreadableDocument("A page of the PDF is damaged: it cannot be cut out.") from exc
        finally:
            document.close()
        return Document((), PDF, page_count=count, unread_pages=pictures, attachments=parts)

    def _step(self, size_bytes: int, count: int) -> int:
        """How many pages one part should have, if all are of the same size."""
        by_size = count * min(_CUT_MB * _MIB, self._part_bytes) // max(1, size_bytes)
        return max(1, min(self._options.part_pages, by_size))

    def _parts(self, document: Any, pages: Sequence[int]) -> Iterator[Attachment]:
        """Halves of halves, until each is below the limit. The name of each says how many pages it has."""
        data = _cut(document, pages)
        if len(data) <= self._part_bytes:
            yield Attachment(f"{len(pages)}-cut.pdf", data)
        elif len(pages) > 1:
            for half in (pages[: len(pages) // 2], pages[len(pages) // 2 :]):
                yield from self._parts(document, half)
        else:
            yield Attachment("1-reduced.pdf", _rendered(document, pages[0], self._part_bytes))


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


def _cut(document: Any, pages: Sequence[int]) -> bytes:
    """These pages as a PDF of their own."""
    import pypdfium2

    part = pypdfium2.PdfDocument.new()
    try:
        part.import_pages(document, pages=[number - 1 for number in pages])
        return _saved(part)
    finally:
        part.close()


def _saved(part: Any) -> bytes:
    """The file; the same pages give the same bytes whenever they are saved."""
    held = io.BytesIO()
    part.save(held)
    with held.getbuffer() as data:  # in place: it may be large
        for start, end in [found.span() for found in _MOMENT.finditer(data)]:
            data[start:end] = b"0" * (end - start)
    return held.getvalue()


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


def _rendered(document: Any, number: int, most_bytes: int) -> bytes:
    """This page as a grey picture in a PDF of its own."""
    page = document[number - 1]
    try:
        return _bound([_picture(page, most_bytes)], [page.get_size()])
    finally:
        page.close()


def _picture(page: Any, most_bytes: int) -> bytes:
    """A page as a JPEG, at the first resolution that makes it small enough, else at the last one."""
    width, height = page.get_size()
    data = b""
    for dpi in _SCAN_DPIS:
        scale = min(dpi / 72, math.sqrt(_MAX_PAGE_PIXELS / max(1.0, width * height)))
        held = io.BytesIO()
        page.render(scale=scale, grayscale=True).to_pil().save(held, "JPEG", quality=75)
        data = held.getvalue()
        if len(data) <= most_bytes:
            break
    return data


def _bound(pictures: Sequence[bytes], sizes: Sequence[tuple[float, float]] = ()) -> bytes:
    """JPEGs as the pages of a PDF; without sizes, as if scanned at 200 dots per inch."""
    import pypdfium2

    part = pypdfium2.PdfDocument.new()
    try:
        for index, data in enumerate(pictures):
            image = pypdfium2.PdfImage.new(part)
            image.load_jpeg(io.BytesIO(data), inline=True)
            width, height = sizes[index] if sizes else (side * 72 / 200 for side in image.get_px_size())
            image.set_matrix(pypdfium2.PdfMatrix().scale(width, height))
            page = part.new_page(width, height)
            page.insert_obj(image)
            page.gen_content()
            page.close()
        return _saved(part)
    finally:
        part.close()
