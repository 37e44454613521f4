"""An answer as it comes from a child, and the document it becomes: what is long lies in files without names.

The files belong to the service; no child can open them.
"""

import tempfile
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from secrets import token_hex
from typing import IO, NamedTuple

from s3_to_milvus.adapters.parsers.isolated.answers import (
    checked_attachment,
    checked_ending,
    decode_blocks,
    error_of,
    untrue,
)
from s3_to_milvus.adapters.parsers.isolated.wire import (
    ATTACHMENT,
    BLOCKS,
    END,
    INLINE_BYTES,
    PIECE,
    PIECE_BYTES,
    Ending,
)
from s3_to_milvus.domain.document_limits import DocumentLimits
from s3_to_milvus.domain.documents import Attachment, Block, Document
from s3_to_milvus.errors import DocumentTooLarge, PermanentError, S3ToMilvusError

__all__ = ["receive"]

_MAX_BLOCKS_BYTES = 1 << 30
_MAX_LINES = 200_000  # of 64 blocks, or of many characters
_HELD_BYTES = 1 << 20


def receive(frames: Iterable[tuple[bytes, bytes]], limits: DocumentLimits, folder: Path) -> Document | S3ToMilvusError:
    """The document of an answer, or the error that it tells. ``folder``: where long ones are kept.

    Raises `ParserCrashed` or `DocumentTooLarge` for an answer that breaks the limits, OSError, and what ``frames`` do.
    """
    answer = _Answer(limits, folder)
    try:
        for kind, content in frames:
            if kind == END:
                ending = checked_ending(content, limits)
                if ending.error is None:
                    return answer.document(ending)
                answer.close()
                return error_of(*ending.error, ending.traceback)
            answer.add(kind, content)
        raise untrue("no end")
    except BaseException:
        answer.close()
        raise


class _Entry(NamedTuple):
    """An attachment: where its bytes lie."""

    name: str
    error: S3ToMilvusError | None
    start: int


class _Answer:
    """What came so far, never more than is allowed."""

    def __init__(self, limits: DocumentLimits, folder: Path) -> None:
        self._limits = limits
        self._folder = folder
        self._lines: list[bytes] = []
        self._blocks: IO[bytes] | None = None
        self._blocks_bytes = self._line_count = 0
        self._attached: IO[bytes] | None = None
        self._attached_bytes = 0
        self._entries: list[_Entry] = []
        self._is_more = False

    def add(self, kind: bytes, content: bytes) -> None:
        """One frame."""
        if kind == BLOCKS and not self._entries:
            self._add_line(content)
        elif kind == ATTACHMENT:
            self._limits_of_container(len(self._entries) + 1)
            self._entries.append(_Entry(*checked_attachment(content), self._attached_bytes))
            self._is_more = True
        elif kind == PIECE and self._is_more and content:
            self._is_more = len(content) == PIECE_BYTES  # a shorter one is the last, so that pieces can be counted
            self._attached_bytes += len(content)
            self._limits_of_container(len(self._entries))
            if self._attached is None:
                self._attached = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - closed with the document
            self._attached.write(content)
        else:
            raise untrue("a frame out of place")

    def document(self, ending: Ending) -> Document:
        """All of it."""
        return Document(
            self._all_blocks(),
            ending.media_type,
            ending.title,
            ending.language,
            ending.page_count,
            ending.warnings,
            ending.unread_pages,
            _StoredAttachments(self._attached, self._entries, self._attached_bytes, self._folder)
            if self._entries
            else (),
        )

    def close(self) -> None:
        """Forget it."""
        for file in (self._blocks, self._attached):
            if file is not None:
                file.close()

    def _add_line(self, line: bytes) -> None:
        self._blocks_bytes += len(line)
        self._line_count += 1
        if self._blocks_bytes > _MAX_BLOCKS_BYTES or self._line_count > _MAX_LINES:
            raise DocumentTooLarge(
                "The text of the document has more than 1,024 MiB or 12,800,000 parts.", hint="Split the document."
            )
        if self._blocks is None and self._blocks_bytes > INLINE_BYTES:
            self._blocks = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - closed with the document
            self._blocks.writelines(self._lines)
            self._lines.clear()
        if self._blocks is None:
            self._lines.append(line)
            return
        if line.find(b"\n") != len(line) - 1:
            raise untrue("a line that is none")
        self._blocks.write(line)

    def _all_blocks(self) -> Iterable[Block]:
        if self._blocks is None:
            return tuple(block for line in self._lines for block in decode_blocks(line))
        return _StoredBlocks(self._blocks)

    def _limits_of_container(self, count: int) -> None:
        self._limits.check_container(self._attached_bytes, count)


class _StoredBlocks:
    """Blocks in a file without a name: read as often as wanted, closed with this object."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._finalizer = weakref.finalize(self, file.close)

    def __iter__(self) -> Iterator[Block]:
        """Every block, a line of the file in memory at a time."""
        position = 0
        while True:
            self._file.seek(position)
            line = self._file.readline()
            if not line:
                return
            position += len(line)
            yield from decode_blocks(line)


class _StoredAttachments:
    """Attachments in a file without a name; a large one is copied beside it while it is asked for."""

    def __init__(self, file: IO[bytes] | None, entries: list[_Entry], size: int, folder: Path) -> None:
        self._file = file
        self._entries = entries
        self._ends = [*(entry.start for entry in entries[1:]), size]
        self._folder = folder
        self._finalizer = weakref.finalize(self, _close, file)

    def __iter__(self) -> Iterator[Attachment]:
        """One after the other; each is there until the next one is asked for."""
        for entry, end in zip(self._entries, self._ends, strict=True):
            size = end - entry.start
            if entry.error is not None:
                if not isinstance(entry.error, PermanentError):
                    raise entry.error
                yield Attachment(entry.name, error=entry.error)
            elif size <= _HELD_BYTES:
                yield Attachment(entry.name, b"".join(self._pieces(entry.start, size)))
            else:
                copy = self._folder / token_hex(16)
                try:
                    with copy.open("xb") as out:
                        out.writelines(self._pieces(entry.start, size))
                    yield Attachment(entry.name, path=copy)
                finally:
                    copy.unlink(missing_ok=True)

    def _pieces(self, start: int, size: int) -> Iterator[bytes]:
        if self._file is None:
            return
        self._file.seek(start)
        while size > 0 and (piece := self._file.read(min(size, _HELD_BYTES))):
            size -= len(piece)
            yield piece


def _close(file: IO[bytes] | None) -> None:
    if file is not None:
        file.close()
