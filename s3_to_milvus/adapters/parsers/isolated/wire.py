"""What crosses the border between the service and a parsing child: jobs, answers, blocks as lines of JSON.

The spool of an answer holds lines of blocks, then each attachment as a line with its name and size before its bytes.
"""

import json
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from s3_to_milvus import errors
from s3_to_milvus.domain.documents import Attachment, Block, BlockKind, Box
from s3_to_milvus.errors import ParserCrashed, PermanentError, S3ToMilvusError
from s3_to_milvus.ports import ParserInput

__all__ = [
    "INLINE_BYTES",
    "Answer",
    "Job",
    "StoredAttachments",
    "StoredBlocks",
    "attachment_head",
    "decode_blocks",
    "encode_blocks",
    "error_of",
]

INLINE_BYTES = 32_768
"""What is smaller goes through the pipe (half of what a pipe holds), the rest through a file."""

_HELD_BYTES = 1 << 20
_BY_CODE: dict[str, type[S3ToMilvusError]] = {
    each.code: each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, S3ToMilvusError)
}
_KINDS = {kind.value: kind for kind in BlockKind}


@dataclass(frozen=True, slots=True)
class Job:
    """One document for a child. ``spool`` is where it may write blocks; ``source`` None: only check the parser."""

    target: str
    options: dict[str, Any]
    source: ParserInput | None
    spool: str
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a job: a document (``blocks`` None: they lie in the spool; ``attachments_at``: where
    attachments begin there) or ``error``: code, message, hint."""

    media_type: str = ""
    title: str = ""
    language: str = ""
    page_count: int | None = None
    warnings: tuple[str, ...] = ()
    blocks: bytes | None = b""
    unread_pages: tuple[int, ...] = ()
    attachments_at: int | None = None
    error: tuple[str, str, str] | None = None
    traceback: str = field(default="", repr=False)


def encode_blocks(blocks: list[Block]) -> bytes:
    """Some blocks as one line."""
    rows = [
        (
            block.kind.value,
            block.text,
            block.level,
            block.rows,
            block.has_header,
            block.page,
            block.box and (block.box.left, block.box.top, block.box.right, block.box.bottom),
        )
        for block in blocks
    ]
    return json.dumps(rows, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass") + b"\n"


def decode_blocks(line: bytes) -> Iterator[Block]:
    """The blocks of one line."""
    for kind, text, level, rows, has_header, page, box in json.loads(line.decode("utf-8", "surrogatepass")):
        cells = tuple(tuple(row) for row in rows) if rows else ()
        yield Block(_KINDS[kind], text, level, cells, has_header, page, Box(*box) if box else None)


def error_of(code: str, message: str, hint: str) -> S3ToMilvusError:
    """The error that was raised on the other side."""
    return _BY_CODE.get(code, ParserCrashed)(message, hint=hint)


def attachment_head(attachment: Attachment, size_bytes: int) -> bytes:
    """The line that stands before the bytes of an attachment."""
    error = attachment.error and (attachment.error.code, attachment.error.message, attachment.error.hint)
    return json.dumps({"name": attachment.name, "size": size_bytes, "error": error}).encode() + b"\n"


class StoredBlocks:
    """Blocks in a file that may be unlinked meanwhile: read as often as wanted, closed with this object."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._finalizer = weakref.finalize(self, self._file.close)

    def __iter__(self) -> Iterator[Block]:
        """Every block, a line of the file in memory at a time."""
        position = 0
        while True:
            self._file.seek(position)
            line = self._file.readline()
            if not line.startswith(b"["):
                return
            position += len(line)
            yield from decode_blocks(line)


class StoredAttachments:
    """Attachments in a file that may be unlinked meanwhile; a large one is copied beside it while it is asked for."""

    def __init__(self, path: Path, start: int) -> None:
        self._path, self._start = path, start
        self._file = path.open("rb")
        self._finalizer = weakref.finalize(self, self._file.close)

    def __iter__(self) -> Iterator[Attachment]:
        """One after the other; each is there until the next one is asked for."""
        position = self._start
        number = 0
        while True:
            self._file.seek(position)
            head = self._file.readline()
            if not head:
                return
            fields = json.loads(head)
            position += len(head) + fields["size"]
            number += 1
            if fields["error"]:
                error = error_of(*fields["error"])
                if not isinstance(error, PermanentError):
                    raise error
                yield Attachment(fields["name"], error=error)
                continue
            if fields["size"] <= _HELD_BYTES:
                yield Attachment(fields["name"], self._file.read(fields["size"]))
                continue
            copy = self._path.with_name(f"{self._path.name}.{number}")
            try:
                self._copy(copy, fields["size"])
                yield Attachment(fields["name"], path=copy)
            finally:
                copy.unlink(missing_ok=True)

    def _copy(self, copy: Path, size: int) -> None:
        with copy.open("xb") as out:
            while size > 0 and (piece := self._file.read(min(size, _HELD_BYTES))):
                out.write(piece)
                size -= len(piece)
