"""What crosses the border between the service and a parsing child: frames through two pipes of each child's own.

A frame is its kind (a byte), the length of what follows (four bytes), and JSON, or bytes of a file. An answer begins
as soon as the job was read: lines of blocks, then for each attachment a head and its bytes in pieces, then the end.
The service trusts nothing of it: see `answers`. What the service sends, a child may trust.
"""

import json
import struct
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from s3_to_milvus.domain.document_limits import DocumentLimits
from s3_to_milvus.domain.documents import Attachment, Block
from s3_to_milvus.errors import S3ToMilvusError
from s3_to_milvus.ports import ParserInput

__all__ = [
    "ATTACHMENT",
    "BEGUN",
    "BLOCKS",
    "END",
    "HEAD",
    "INLINE_BYTES",
    "MAX_FRAME_BYTES",
    "MAX_LINE_BLOCKS",
    "PIECE",
    "PIECE_BYTES",
    "PLAN",
    "READY",
    "STATUS",
    "Ending",
    "Job",
    "Plan",
    "decode_job",
    "encode_attachment",
    "encode_blocks",
    "encode_ending",
    "encode_job",
]

INLINE_BYTES = 32_768
"""A smaller file goes through the pipe (half of what a pipe holds), a larger one lies in a folder."""

MAX_FRAME_BYTES = 4 << 20
"""The largest frame that a child may send: the service holds one in memory at a time."""

MAX_LINE_BLOCKS = 64
"""The most blocks in a line."""

PIECE_BYTES = 262_144
"""An attachment comes in pieces of this size; only the last one is smaller."""

HEAD = struct.Struct("<cI")
STATUS = "<i"
PLAN, READY, BEGUN, BLOCKS, ATTACHMENT, PIECE, END = b"S", b"R", b"J", b"B", b"A", b"P", b"E"

_JOB = b"J"


@dataclass(frozen=True, slots=True)
class Plan:
    """What all children of a service have in common. ``given``: the folder with files to parse.

    ``targets``: parsers "module:Class" with their options.
    """

    preload: list[str]
    memory_mb: int
    given: str
    targets: dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Job:
    """One document for a child; ``source`` None: only check the parser."""

    target: str
    options: dict[str, Any]
    source: ParserInput | None
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Ending:
    """The last frame of an answer: what is known of the document, or ``error``: code, message, hint."""

    media_type: str = ""
    title: str = ""
    language: str = ""
    page_count: int | None = None
    warnings: tuple[str, ...] = ()
    unread_pages: tuple[int, ...] = ()
    error: tuple[str, str, str] | None = None
    traceback: str = field(default="", repr=False)


def encode_job(job: Job) -> bytes:
    """A job as a frame; the data of a small file stand behind its JSON line."""
    source, data = job.source, b""
    described = None
    if source is not None:
        data = source.data or b""
        described = {
            "media_type": source.media_type,
            "file_name": source.file_name,
            "size_bytes": source.size_bytes,
            "path": source.path and str(source.path),
            "passwords": source.passwords,
            "pages": source.pages,
            "limits": asdict(source.limits),
        }
    line = _dump([job.target, job.options, job.cpu_s, described]).encode()
    content = line + b"\n" + data
    return HEAD.pack(_JOB, len(content)) + content


def decode_job(content: bytes) -> Job:
    """The job of a frame."""
    line, _, data = content.partition(b"\n")
    target, options, cpu_s, described = json.loads(line)
    if described is None:
        return Job(target, options, None, cpu_s)
    path, pages = described["path"], described["pages"]
    fields = {
        **described,
        "path": path and Path(path),
        "data": None if path else data,
        "passwords": tuple(described["passwords"]),
        "pages": None if pages is None else tuple(pages),
        "limits": DocumentLimits(**described["limits"]),
    }
    return Job(target, options, ParserInput(**fields), cpu_s)


def encode_blocks(blocks: list[Block]) -> bytes:
    """Some blocks as a line."""
    rows = [
        (
            block.kind.value,
            block.text,
            min(max(block.level, 0), 6),
            block.rows,
            block.has_header,
            block.page or None,
            block.box and (block.box.left, block.box.top, block.box.right, block.box.bottom),
        )
        for block in blocks
    ]
    return json.dumps(rows, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass") + b"\n"


def encode_attachment(attachment: Attachment) -> bytes:
    """The name of an attachment, and why it could not be taken out."""
    return _dump([attachment.name, _error(attachment.error)]).encode()


def encode_ending(ending: Ending) -> bytes:
    """The last frame of an answer."""
    return _dump(asdict(ending)).encode()


def _error(error: S3ToMilvusError | None) -> tuple[str, str, str] | None:
    return None if error is None else (error.code, error.message, error.hint)


def _dump(value: object) -> str:
    """Names of files may hold lone surrogates: escaped they survive."""
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"))
