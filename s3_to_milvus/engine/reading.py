"""Reads a whole document: its blocks, pages that only a reader of pictures can read, and the files inside it."""

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from contextvars import copy_context
from dataclasses import replace

from s3_to_milvus.domain.documents import Attachment, Block, BlockKind, Document
from s3_to_milvus.domain.pages import page_list
from s3_to_milvus.engine.observe import CountedMeter
from s3_to_milvus.engine.parts import Parts
from s3_to_milvus.engine.readers import Readers
from s3_to_milvus.errors import PermanentError
from s3_to_milvus.ports import Meter, Parser, ParserInput, metered

__all__ = ["Reading"]

_MAX_DEPTH = 3
_MAX_ATTACHMENTS = 2_000


class Reading:
    """One document being read. ``warnings`` names what could not be read; it is complete when the blocks are taken.

    A page or an attachment that fails for good fails alone. Where nothing else gave any text, its error is raised.
    """

    def __init__(self, parts: Parts, readers: Readers, source: ParserInput, meter: Meter | None = None) -> None:
        """Parses the file itself. Raises what the parser raises, `UnsupportedFormat`.

        ``meter`` adds up what that costs, and the taking of the blocks.
        """
        self._parts = parts
        self._readers = readers
        self._meter = CountedMeter() if meter is None else meter
        self._source = replace(source, passwords=readers.passwords, limits=parts.config.limits)
        with metered(self._meter):
            self._document = readers.require(source.media_type).parse(self._source)
        self._failures: list[PermanentError] = []
        self._attachments = 0
        self.warnings: list[str] = list(self._document.warnings)

    @property
    def document(self) -> Document:
        """The document with everything in its blocks; they can be taken once."""
        return replace(self._document, blocks=self._metered(), unread_pages=(), attachments=())

    def _metered(self) -> Iterator[Block]:
        """The blocks; the meter is at work while one is being made, and not while it is used."""
        with closing(self._blocks()) as blocks:
            while True:
                with metered(self._meter):
                    block = next(blocks, None)
                if block is None:
                    return
                yield block

    def _blocks(self) -> Generator[Block]:
        chars, limits = 0, self._source.limits
        for block in self._whole(self._source, self._document, depth=0):
            chars += len(block.text) + sum(len(cell) for row in block.rows for cell in row)
            limits.check_text(chars)
            yield block
        if not chars and self._failures:
            raise self._failures[0]

    def _whole(self, source: ParserInput, document: Document, *, depth: int) -> Iterator[Block]:
        """Blocks and pages in the order of the pages, then the attachments."""
        yield from self._pages(source, document)
        for attachment in document.attachments:
            self._attachments += 1
            if depth >= _MAX_DEPTH or self._attachments > _MAX_ATTACHMENTS:
                self.warnings.append(f"{attachment.name}: too many files inside files")
                return
            yield from self._attached(attachment, source, depth=depth + 1)

    def _pages(self, source: ParserInput, document: Document) -> Iterator[Block]:
        reader = self._readers.page_reader_for(source.media_type) if document.unread_pages else None
        if reader is None:
            if pages := document.unread_pages:
                self.warnings.append(f"{page_list(pages)} {'has' if len(pages) == 1 else 'have'} no text (a scan?)")
            yield from document.blocks
            return
        pictures = _Pictures(reader, source, document.unread_pages, self._parts.config.page_workers)
        try:
            for block in document.blocks:
                while pictures.next_page is not None and block.page is not None and pictures.next_page < block.page:
                    yield from self._picture(pictures)
                yield block
            while pictures.next_page is not None:
                yield from self._picture(pictures)
        finally:
            pictures.close()

    def _picture(self, pictures: "_Pictures") -> Iterator[Block]:
        page = pictures.next_page
        try:
            document = pictures.take()
        except PermanentError as error:
            self._note(f"page {page}", error)
        else:
            yield from document.blocks

    def _attached(self, attachment: Attachment, source: ParserInput, *, depth: int) -> Iterator[Block]:
        is_named = False
        try:
            if attachment.error is not None:
                raise attachment.error
            inner = self._input(attachment, source)
            document = self._readers.require(inner.media_type).parse(inner)
            self.warnings += [f"{attachment.name}: {warning}" for warning in document.warnings]
            for block in self._whole(inner, document, depth=depth):
                if not is_named and attachment.name.strip():
                    yield Block(BlockKind.HEADING, " ".join(attachment.name.split())[:500], level=2)
                is_named = True
                yield block
        except PermanentError as error:
            self._note(attachment.name, error)

    def _input(self, attachment: Attachment, source: ParserInput) -> ParserInput:
        media_type = self._parts.sniff(attachment.data, attachment.path, attachment.name)
        size = len(attachment.data) if attachment.data is not None else 0
        if attachment.path is not None:
            size = attachment.path.stat().st_size
        return replace(
            source,
            media_type=media_type,
            file_name=attachment.name,
            size_bytes=size,
            data=attachment.data,
            path=attachment.path,
        )

    def _note(self, what: str, error: PermanentError) -> None:
        self._failures.append(error)
        if (warning := f"{what}: {error.message}") not in self.warnings:
            self.warnings.append(warning)


class _Pictures:
    """Pages read as pictures, a few ahead and at the same time, taken in their order."""

    def __init__(self, reader: Parser, source: ParserInput, pages: tuple[int, ...], workers: int) -> None:
        self._reader, self._source = reader, source
        self._left = deque(pages)
        self._running: deque[tuple[int, Future[Document]]] = deque()
        self._executor = ThreadPoolExecutor(workers, thread_name_prefix="s2m-page")
        self._ahead = 2 * workers

    @property
    def next_page(self) -> int | None:
        """The page that `take` gives next; None: all are taken."""
        if self._running:
            return self._running[0][0]
        return self._left[0] if self._left else None

    def take(self) -> Document:
        """The next page. Raises what its parser raised."""
        while self._left and len(self._running) < self._ahead:
            page = self._left.popleft()
            wanted = replace(self._source, pages=(page,))
            self._running.append((page, self._executor.submit(copy_context().run, self._reader.parse, wanted)))
        return self._running.popleft()[1].result()

    def close(self) -> None:
        """Wait for pages under way; forget the others."""
        self._executor.shutdown(wait=True, cancel_futures=True)
