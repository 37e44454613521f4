"""Upstage Document Parse as a parser. It runs in the service, which alone has a network; files are cut in a child."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from s3_to_milvus.adapters.parsers.upstage.answers import Answers, Sent
from s3_to_milvus.adapters.parsers.upstage.client import UpstageClient
from s3_to_milvus.adapters.parsers.upstage.cutting import UpstageCutter
from s3_to_milvus.adapters.parsers.upstage.elements import blocks_of, page_of
from s3_to_milvus.adapters.parsers.upstage.versions import Versions
from s3_to_milvus.adapters.tickets import MemoryTickets
from s3_to_milvus.domain.documents import Attachment, Block, Document
from s3_to_milvus.domain.formats import Format, media_types_of
from s3_to_milvus.domain.media import PDF
from s3_to_milvus.domain.pages import page_list
from s3_to_milvus.domain.recipe import fingerprint_of
from s3_to_milvus.domain.usage import Usage
from s3_to_milvus.ports import Limits, Parser, ParserInput, Tickets, spend

__all__ = ["UpstageParser"]

_OPEN = "application/vnd.openxmlformats-officedocument."
_MIB = 1 << 20
_PICTURES = ("figure", "chart")
_HOME = "api.upstage.ai"
# US dollars. Which pages ``auto`` reads as ``enhanced`` no answer says: it is at most this.
_PER_PAGE = {"standard": 0.01, "enhanced": 0.03, "auto": 0.03}
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


@dataclass(frozen=True, slots=True)
class _Part:
    """A file to send. ``pages``: the pages of the document that it has, where they are known."""

    name: str
    read: Callable[[], bytes]
    pages: tuple[int, ...]
    fields: Mapping[str, str]


@dataclass(slots=True)
class _Read:
    """What was read of a part. ``known``: pages that had text, were read as pictures already, or cannot be read."""

    blocks: list[Block]
    warnings: list[str]
    known: set[int]
    pages: int = 0


class UpstageParser:
    """Headings, paragraphs, lists, tables, captions, with page and box. ``pages_used`` counts what is to be paid."""

    kind = "upstage"

    class Options(BaseModel):
        """The service's parameters by its own names, its limits, and its price.

        A submitted document is asked for every ``poll_s`` at first, every ``patience_s`` in the end.
        """

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
        price_per_page: float | None = Field(
            default=None,
            ge=0,
            description="US dollars. None: 0.01 in the mode `standard`, 0.03 in `enhanced` and (at most) in `auto`; 0 "
            "at addresses that are not Upstage's own.",
        )
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

    def __init__(
        self,
        options: Options,
        cutter: Parser | None = None,
        tickets: Tickets | None = None,
        limits: Limits | None = None,
        *,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        given = options
        self._options = options
        self._cutter = cutter or UpstageCutter(
            UpstageCutter.Options(part_pages=given.part_pages, image_mb=given.image_mb)
        )
        key = given.api_key.get_secret_value()
        self._client = UpstageClient(given.api_url, key, given.timeout_s, given.requests_per_second, limits)
        self._fields = {
            "model": given.model,
            "mode": given.mode,
            "ocr": given.ocr,
            "output_formats": "['html']",
            "coordinates": "true",
            "chart_recognition": str(given.chart_recognition).lower(),
            "merge_multipage_tables": str(given.merge_multipage_tables).lower(),
        }
        # Pages without text are pictures, and ``auto`` reads the text of a PDF only.
        self._with_ocr = {**self._fields, "ocr": "force"}
        kept = MemoryTickets() if tickets is None else tickets
        self._versions = Versions(given.model, kept)
        self._answers = Answers(self._client, kept, given.poll_s, given.patience_s, now, sleep)
        self._price = _price_of(given.api_url, given.mode) if given.price_per_page is None else given.price_per_page
        self.fingerprint = fingerprint_of("upstage-2", *self._fields.values(), str(given.keep_headers))
        self._lock = threading.Lock()
        self.pages_used = 0

    def parse(self, source: ParserInput) -> Document:
        """See `Parser.parse`. Raises `Unauthorized`, `QuotaExhausted`, `RateLimited`, `Unavailable` besides."""
        page_count, parts = self._parts(source)
        blocks: list[Block] = []
        warnings: list[str] = []
        seen = 0
        known: set[int] = set()
        for part in parts:
            read = self._part(part)
            blocks += read.blocks
            warnings += read.warnings
            seen += read.pages
            known |= read.known
        known.update(block.page for block in blocks if block.page)
        bare: tuple[int, ...] = ()
        if source.media_type == PDF and source.pages is None and self._options.ocr == "auto":
            bare = tuple(page for page in range(1, (page_count or 0) + 1) if page not in known)
        return Document(
            blocks,
            source.media_type,
            page_count=page_count or max(seen, *known, 1),
            warnings=tuple(warnings),
            unread_pages=bare,
        )

    def _parts(self, source: ParserInput) -> tuple[int | None, Iterable[_Part]]:
        """How many pages the document has, where that is known, and what is sent of it: each before the next."""
        fields = self._fields if source.pages is None else self._with_ocr
        if source.media_type not in UpstageCutter.media_types:
            return None, [_Part(_NAMES[source.media_type], source.read, (), fields)]
        cut = self._cutter.parse(source)
        return cut.page_count, self._made_of(source, cut, self._with_ocr if cut.unread_pages else fields)

    def _made_of(self, source: ParserInput, cut: Document, fields: Mapping[str, str]) -> Iterator[_Part]:
        """What the cutter made; nothing: the file as it is."""
        count = cut.page_count or 0
        left = [page for page in source.pages or range(1, count + 1) if 1 <= page <= count]
        is_whole = source.pages is None
        for each in cut.attachments:
            is_whole = False
            held, kind = each.name.partition("-")[0], each.name.rpartition(".")[2]
            size = int(held) if held.isdecimal() else 1
            pages, left = tuple(left[:size]), left[size:]
            yield _Part("document.pdf" if kind == "pdf" else "image.jpg", _reader(each), pages, fields)
        if is_whole:
            yield _Part(_NAMES[source.media_type], source.read, tuple(left), fields)

    def check(self) -> str:
        """Ask for a request that is not there: the key is proved, nothing is read or paid."""
        self._client.check()
        return f"Upstage Document Parse ({self._options.model}) takes the key"

    def _part(self, part: _Part) -> _Read:
        """What one file that is sent gives."""
        read = _Read([], [], set(part.pages if part.fields is self._with_ocr else ()))
        data = part.read()
        is_small = len(part.pages) <= self._options.sync_pages and len(data) <= self._options.sync_mb * _MIB
        answers, is_paid = self._answers.of(Sent(part.name, data, part.fields, is_small=is_small))
        read.pages = sum(_pages_charged(answer) for _, _, answer in answers)
        if is_paid:
            for _, _, answer in answers:
                self._versions.heard(answer and answer.get("model"))
            with self._lock:
                self.pages_used += read.pages
            spend(Usage.of(pages=read.pages, usd=read.pages * self._price))
        for first, last, answer in answers:
            if answer is None:
                missing = [_page_in(part.pages, number) for number in range(first, last + 1)]
                read.warnings.append(f"{page_list(missing)} could not be read by Upstage")
                read.known.update(missing)
                continue
            offset = first - 1 if _is_relative(answer, first) else 0
            elements = [each for each in answer.get("elements") or () if isinstance(each, dict)]
            numbers = {number: _page_in(part.pages, number + offset) for number in set(map(page_of, elements))}
            read.known.update(numbers[page_of(each)] for each in elements if each.get("category") not in _PICTURES)
            if "elements" not in answer:
                read.known.update(part.pages)
            read.blocks += blocks_of(answer, numbers, keep_margins=self._options.keep_headers)
        return read


def _price_of(url: str, mode: str) -> float:
    """Of a page; 0 where somebody else answers."""
    return _PER_PAGE[mode] if urlsplit(url.strip() or f"https://{_HOME}").hostname == _HOME else 0.0


def _pages_charged(answer: dict[str, Any] | None) -> int:
    """As an answer says it."""
    usage = answer.get("usage") if answer else None
    count = usage.get("pages") if isinstance(usage, dict) else None
    return count if isinstance(count, int) and count > 0 else 0


def _reader(each: Attachment) -> Callable[[], bytes]:
    """Reads what the cutter made when it is sent."""
    data, path = each.data, each.path
    return path.read_bytes if data is None and path is not None else lambda: data or b""


def _page_in(pages: Sequence[int], number: int) -> int:
    """The page of the document that is page ``number`` of what was sent."""
    return pages[number - 1] if 1 <= number <= len(pages) else number


def _is_relative(answer: dict[str, Any], first: int) -> bool:
    """Whether pages of a batch are counted from its own first page."""
    elements = [each for each in answer.get("elements") or [] if isinstance(each, dict)]
    return first > 1 and bool(elements) and min(map(page_of, elements)) < first
