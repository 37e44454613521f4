"""What crosses the border between the service and a parsing child: jobs, answers, blocks as lines of JSON."""

import json
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from s3_to_milvus.domain.documents import Block, BlockKind, Box
from s3_to_milvus.ports import ParserInput

__all__ = ["INLINE_BYTES", "Answer", "Job", "StoredBlocks", "decode_blocks", "encode_blocks"]

INLINE_BYTES = 32_768
"""What is smaller goes through the pipe (half of what a pipe holds), the rest through a file."""

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
    """What came of a job: a document (``blocks`` None: they lie in the spool) or ``error``: code, message, hint."""

    media_type: str = ""
    title: str = ""
    language: str = ""
    page_count: int | None = None
    warnings: tuple[str, ...] = ()
    blocks: bytes | None = b""
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


class StoredBlocks:
    """Blocks in a file that has no name any more: read as often as wanted, gone with this object or the process."""

    def __init__(self, path: Path) -> None:
        file = path.open("rb")
        path.unlink()
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
