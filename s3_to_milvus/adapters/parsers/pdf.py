"""PDF with text: pdf-inspector's Markdown for structure, checked page by page against PDFium's text.

The page rule: the Markdown, if at least 85 % of PDFium's words are in it (lines it lost follow), else PDFium's own
text; a page with neither is left to a reader of pictures. Hostile files can take gigabytes or crash PDFium: run it in a
child process.
"""

import re
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel, ConfigDict

from s3_to_milvus.domain.charsets import clean_text
from s3_to_milvus.domain.documents import Block, BlockKind, Document
from s3_to_milvus.domain.formats import Format, media_types_of
from s3_to_milvus.domain.markdown import markdown_blocks
from s3_to_milvus.domain.media import PDF
from s3_to_milvus.domain.pages import page_list
from s3_to_milvus.domain.plain import paragraphs
from s3_to_milvus.domain.recipe import fingerprint_of
from s3_to_milvus.errors import EncryptedDocument, UnreadableDocument
from s3_to_milvus.ports import ParserInput

__all__ = ["PdfParser"]

_RULES = "pdf-3"  # raise it whenever the same file would give other blocks
_RECALL = 0.85
_MIN_TOKENS = 8
# A line counts as lost by the inspector where it has at least so many words and most of them are missing.
_MIN_LINE_TOKENS, _LOST_SHARE = 3, 0.7
_EDGE_LINES, _REPEATED_PAGES = 3, 3
_DIGITS = re.compile(r"\d+")
_TOKEN = re.compile(r"\w+")
_BROKEN_WORD = re.compile(r"\b([^\W\d_]{2,})- ([^\W\d_]{2,})\b")
# PDFium marks a hyphen that a line break made with U+FFFE (or U+0002); the word goes on in the next line.
_SOFT_HYPHEN = re.compile("[\ufffe\x02][ \t]*\r?\n?")
_PLACEHOLDER_TITLES = {"", "untitled", "(anonymous)", "anonymous"}

_lock = threading.Lock()


class PdfParser:
    """Pages as blocks, numbered from 1; tables where pdf-inspector sees them."""

    kind = "pdf"

    class Options(BaseModel):
        """Nothing to choose."""

        model_config = ConfigDict(extra="forbid")

    fingerprint = fingerprint_of(_RULES, version("pdf-inspector"), version("pypdfium2"))
    formats: tuple[Format, ...] = (Format("PDF", PDF, ("pdf",), has_tables=True, has_headings=True, has_pages=True),)
    media_types = media_types_of(formats)
    page_media_types: frozenset[str] = frozenset()
    preload = ("pdf_inspector", "pypdfium2")

    def __init__(self, options: Options | None = None) -> None:
        import pdf_inspector
        import pypdfium2

        self._options = options or self.Options()
        self._inspector: Any = pdf_inspector
        self._pdfium: Any = pypdfium2

    def parse(self, source: ParserInput) -> Document:
        """The whole document is read; a password raises `EncryptedDocument`, too many pages `DocumentTooLarge`."""
        # PDFium is not safe to enter from two threads at once.
        with _lock:
            document = self._open(source)
            try:
                page_count = len(document)
                if not page_count:
                    raise UnreadableDocument("The PDF has no pages that can be read.")
                source.limits.check_pages(page_count)
                title = clean_text(str(document.get_metadata_value("Title") or "")).strip()
                pages, needs_ocr, warnings = self._markdown(source, page_count)
                texts = [self._page_text(document, index) for index in range(page_count)]
            finally:
                document.close()
        repeated = _repeated_lines(texts)
        blocks: list[Block] = []
        for index, text in enumerate(texts):
            blocks.extend(_page_blocks(pages.get(index, ""), text or "", index + 1, repeated))
        bare = [at + 1 for at in sorted(needs_ocr) if _token_count(texts[at] or "") < _MIN_TOKENS]
        damaged = [at + 1 for at, text in enumerate(texts) if text is None]
        if damaged:
            warnings.append(f"{_pages_are(damaged)} damaged")
        is_named = title.lower() not in _PLACEHOLDER_TITLES
        return Document(
            blocks,
            PDF,
            title=title if is_named else "",
            page_count=page_count,
            warnings=tuple(warnings),
            unread_pages=tuple(bare),
        )

    def check(self) -> str:
        """Says which libraries stand behind it."""
        return f"PDF: pdf-inspector {version('pdf-inspector')}, pypdfium2 {version('pypdfium2')}"

    def _open(self, source: ParserInput) -> Any:
        """The document by PDFium."""
        given = source.data if source.data is not None else source.path
        for password in (None, *source.passwords):
            try:
                return self._pdfium.PdfDocument(given, password=password)
            except self._pdfium.PdfiumError as exc:
                if "password" not in str(exc).lower() and "security" not in str(exc).lower():
                    raise UnreadableDocument("The PDF is damaged or cut short: it cannot be opened.") from exc
        raise EncryptedDocument("The PDF is protected by a password.")

    def _markdown(self, source: ParserInput, page_count: int) -> tuple[dict[int, str], set[int], list[str]]:
        """Markdown by page index, the indices of pages that look like scans, warnings.

        No pages where the inspector fails.
        """
        try:
            if source.data is not None:
                result = self._inspector.extract_pages_markdown_bytes(source.data)
            else:
                result = self._inspector.extract_pages_markdown(str(source.path))
        except ValueError:
            return {}, set(), ["the layout could not be analysed: plain page text only"]
        except BaseException as exc:
            # A panic of the Rust library arrives as a BaseException of its own.
            if type(exc).__name__ != "PanicException":
                raise
            return {}, set(), ["the layout could not be analysed: plain page text only"]
        pages = {page.page: page for page in result.pages if 0 <= page.page < page_count}
        return (
            {at: page.markdown for at, page in pages.items()},
            {at for at, page in pages.items() if page.needs_ocr},
            [],
        )

    def _page_text(self, document: Any, index: int) -> str | None:
        """PDFium's text of one page; None for a page that cannot be loaded."""
        try:
            page = document[index]
        except self._pdfium.PdfiumError:
            return None
        try:
            text_page = page.get_textpage()
            try:
                return _SOFT_HYPHEN.sub("", text_page.get_text_range())
            finally:
                text_page.close()
        except self._pdfium.PdfiumError:
            return None
        finally:
            page.close()


def _page_blocks(markdown: str, text: str, page: int, repeated: frozenset[str]) -> Iterator[Block]:
    """The blocks of one page by the page rule."""
    words = Counter(_TOKEN.findall(text))
    if markdown:
        # PDFium knows which hyphens only break a line: where it sees one word, the Markdown gets one.
        if "- " in markdown:
            markdown = _BROKEN_WORD.sub(
                lambda found: found[1] + found[2] if found[1] + found[2] in words else found[0], markdown
            )
        found = Counter(_TOKEN.findall(markdown))
        if (words & found).total() >= _RECALL * words.total():
            yield from markdown_blocks(clean_text(markdown).split("\n"), page=page)
            for line in _left_out(text, words - found, repeated):
                yield Block(BlockKind.PARAGRAPH, line, page=page)
            return
    for part in paragraphs((clean_text(text),)):
        yield Block(BlockKind.PARAGRAPH, part, page=page)


def _left_out(text: str, missing: Counter[str], repeated: frozenset[str]) -> Iterator[str]:
    """Lines of PDFium's text most of whose words the Markdown lacks; headers and footers are left out on purpose."""
    if missing.total() < _MIN_LINE_TOKENS:
        return
    for line in text.splitlines():
        tokens = Counter(_TOKEN.findall(line))
        lacking = tokens & missing
        is_lost = tokens.total() >= _MIN_LINE_TOKENS and lacking.total() >= _LOST_SHARE * tokens.total()
        if is_lost and _without_numbers(line) not in repeated:
            missing = missing - lacking
            yield clean_text(line).strip()


def _repeated_lines(texts: Sequence[str | None]) -> frozenset[str]:
    """Running headers and footers: lines near the edge of several pages that differ in numbers only."""
    counts: Counter[str] = Counter()
    for text in texts:
        lines = (text or "").splitlines()
        edges = lines if len(lines) <= 2 * _EDGE_LINES else lines[:_EDGE_LINES] + lines[-_EDGE_LINES:]
        counts.update({_without_numbers(line) for line in edges})
    return frozenset(line for line, count in counts.items() if count >= _REPEATED_PAGES)


def _without_numbers(line: str) -> str:
    return _DIGITS.sub("0", " ".join(line.split()))


def _token_count(text: str) -> int:
    """How many words."""
    return len(_TOKEN.findall(text))


def _pages_are(numbers: list[int]) -> str:
    """Pages with their verb."""
    return f"{page_list(numbers)} {'is' if len(numbers) == 1 else 'are'}"
