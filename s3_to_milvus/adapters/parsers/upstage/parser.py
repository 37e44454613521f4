"""Upstage Document Parse as a parser. It runs in the service, which alone has a network; files are cut in a child."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from s3_to_milvus.adapters.parsers.upstage.client import Forgotten, UpstageClient
from s3_to_milvus.adapters.parsers.upstage.cutting import UpstageCutter
from s3_to_milvus.adapters.parsers.upstage.elements import blocks_of, page_of
from s3_to_milvus.adapters.tickets import MemoryTickets
from s3_to_milvus.domain.documents import Block, Document
from s3_to_milvus.domain.formats import Format, media_types_of
from s3_to_milvus.domain.media import PDF
from s3_to_milvus.domain.recipe import fingerprint_of
from s3_to_milvus.errors import DocumentTooLarge, UnreadableDocument
from s3_to_milvus.ports import Parser, ParserInput, Tickets

__all__ = ["UpstageParser"]

_OPEN = "application/vnd.openxmlformats-officedocument."
_MIB = 1 << 20
_NAMES = {
    PDF: "document.pdf",
    "image/jpeg": "image.jpg",
    "image/png": "image.png",
    "image/bmp": "image.bmp",
    "image/tiff": "image.tiff",
    "image/heic": "image.heic",
    _OPEN + "wordprocessingml.document": "document.docx",
    _OPEN + "presentationml.presentation": "document.pptx",
    _OPEN + "spreadsheetml.sheet": "document.xlsx",
    "application/x-hwp": "document.hwp",
    "application/hwp+zip": "document.hwpx",
}


class UpstageParser:
    """Headings, paragraphs, lists, tables, captions, with page and box. ``pages_used`` counts what is to be paid."""

    kind = "upstage"

    class Options(BaseModel):
        """The service's parameters by its own names, and its limits."""

        model_config = ConfigDict(extra="forbid", frozen=True)

        api_key: SecretStr = SecretStr("")
        api_url: str = "https://api.upstage.ai/v1/document-digitization"
        model: str = "document-parse"
        mode: Literal["standard", "enhanced", "auto"] = "standard"
        ocr: Literal["auto", "force"] = "auto"
        chart_recognition: bool = True
        merge_multipage_tables: bool = False
        keep_headers: bool = False
        sync_pages: int = Field(default=100, ge=1)
        sync_mb: int = Field(default=50, ge=1)
        part_pages: int = Field(default=1_000, ge=1)
        image_mb: int = Field(default=40, ge=1)
        requests_per_second: float = Field(default=2.0, gt=0)
        timeout_s: float = Field(default=300.0, gt=0)
        patience_s: float = Field(default=60.0, gt=0)
        poll_s: float = Field(default=5.0, gt=0)

    formats: tuple[Format, ...] = (
        Format("PDF", PDF, ("pdf",), has_tables=True, has_headings=True, has_pages=True, is_ocr=True),
        Format(
            "Word", _OPEN + "wordprocessingml.document", ("docx",), has_tables=True, has_headings=True, has_pages=True
        ),
        Format(
            "PowerPoint",
            _OPEN + "presentationml.presentation",
            ("pptx",),
            has_tables=True,
            has_headings=True,
            has_pages=True,
        ),
        Format("Excel", _OPEN + "spreadsheetml.sheet", ("xlsx",), has_tables=True, has_headings=True, has_pages=True),
        Format("HWP 5", "application/x-hwp", ("hwp",), has_tables=True, has_headings=True, has_pages=True),
        Format("HWPX", "application/hwp+zip", ("hwpx",), has_tables=True, has_headings=True, has_pages=True),
        *(
            Format(name, f"image/{name.lower()}", (suffix,), has_tables=True, has_headings=True, is_ocr=True)
            for name, suffix in (("PNG", "png"), ("JPEG", "jpg"), ("TIFF", "tiff"), ("BMP", "bmp"), ("HEIC", "heic"))
        ),
    )
    media_types = media_types_of(formats)
    page_media_types: frozenset[str] = frozenset({PDF})

    def __init__(self, options: Options, cutter: Parser | None = None, tickets: Tickets | None = None) -> None:
        given = options
        self._options = options
        self._cutter = cutter or UpstageCutter(
            UpstageCutter.Options(part_pages=given.part_pages, image_mb=given.image_mb)
        )
        self._tickets: Tickets = MemoryTickets() if tickets is None else tickets
        self._client = UpstageClient(
            given.api_url, given.api_key.get_secret_value(), given.timeout_s, given.requests_per_second
        )
        self._fields = {
            "model": given.model,
            "mode": given.mode,
            "ocr": given.ocr,
            "output_formats": "['html']",
            "coordinates": "true",
            "chart_recognition": str(given.chart_recognition).lower(),
            "merge_multipage_tables": str(given.merge_multipage_tables).lower(),
        }
        self.fingerprint = fingerprint_of("upstage-1", *self._fields.values(), str(given.keep_headers))
        self._lock = threading.Lock()
        self.pages_used = 0

    def parse(self, source: ParserInput) -> Document:
        """See `Parser.parse`. Raises `Unauthorized`, `QuotaExhausted`, `RateLimited`, `Unavailable` besides."""
        page_count: int | None = None
        parts: list[tuple[str, Callable[[], bytes], list[int]]] = []
        if source.media_type in UpstageCutter.media_types:
            cut = self._cutter.parse(source)
            page_count = cut.page_count
            pages = list(source.pages or range(1, (page_count or 1) + 1))
            for number, each in enumerate(cut.attachments):
                data = each.data if each.data is not None else each.path.read_bytes() if each.path else b""
                step = self._options.part_pages
                name = "document.pdf" if source.media_type == PDF else "image.jpg"
                parts.append((name, lambda data=data: data, pages[number * step : (number + 1) * step]))  # type: ignore[misc]
            if not parts:
                parts = [(_NAMES[source.media_type], source.read, pages)]
        else:
            parts = [(_NAMES[source.media_type], source.read, [])]
        blocks: list[Block] = []
        seen = 0
        for name, read, pages in parts:
            found, used = self._part(name, read(), pages)
            blocks += found
            seen += used
        return Document(blocks, source.media_type, page_count=page_count or seen or None)

    def check(self) -> str:
        """Ask for a request that is not there: the key is proved, nothing is read or paid."""
        self._client.check()
        return f"Upstage Document Parse ({self._options.model}) takes the key"

    def _part(self, name: str, data: bytes, pages: list[int]) -> tuple[list[Block], int]:
        """Blocks of one file that is sent, and how many pages were read. ``pages``: its pages in the document."""
        numbers = dict(enumerate(pages, 1))
        blocks: list[Block] = []
        used = 0
        for first, answer in self._answers(name, data, len(pages)):
            offset = first - 1 if _is_relative(answer, first) else 0
            shifted = {number - offset: page for number, page in numbers.items()} if numbers else {}
            if not numbers and offset:
                shifted = {number: number + offset for number in range(1, 1_001)}
            blocks += blocks_of(answer, shifted, keep_margins=self._options.keep_headers)
            usage = answer.get("usage")
            count = usage.get("pages") if isinstance(usage, dict) else None
            used += count if isinstance(count, int) else 0
        with self._lock:
            self.pages_used += used
        return blocks, used

    def _answers(self, name: str, data: bytes, page_count: int) -> Iterator[tuple[int, dict[str, Any]]]:
        """At once where the limits allow that, else submitted; (first page, answer) of each batch."""
        given = self._options
        if page_count <= given.sync_pages and len(data) <= given.sync_mb * _MIB:
            try:
                yield 1, self._client.parse(name, data, self._fields)
                return
            except DocumentTooLarge:
                pass
        yield from self._submitted(name, data)

    def _submitted(self, name: str, data: bytes) -> Iterator[tuple[int, dict[str, Any]]]:
        key = hashlib.sha256(data + self.fingerprint.encode()).hexdigest()
        request_id = self._tickets.ticket(key)
        if request_id is None:
            request_id = self._client.submit(name, data, self._fields)
            self._tickets.put_ticket(key, request_id)
        try:
            # The ticket stays: until the rows stand, a crash would ask for the same document again.
            yield from list(self._client.results(request_id, self._options.patience_s, self._options.poll_s))
        except (Forgotten, UnreadableDocument):
            self._tickets.drop_ticket(key)
            raise


def _is_relative(answer: dict[str, Any], first: int) -> bool:
    """Whether pages of a batch are counted from its own first page."""
    elements = [each for each in answer.get("elements") or [] if isinstance(each, dict)]
    return first > 1 and bool(elements) and min(map(page_of, elements)) < first
