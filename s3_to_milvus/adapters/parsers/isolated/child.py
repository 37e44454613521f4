"""The side of a parsing child: it enters the sandbox once, then turns jobs into answers."""

import errno
import os
import traceback
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from importlib import import_module
from typing import Any

from s3_to_milvus.adapters.parsers.isolated import sandbox
from s3_to_milvus.adapters.parsers.isolated.wire import (
    ATTACHMENT,
    BEGUN,
    BLOCKS,
    END,
    HEAD,
    MAX_FRAME_BYTES,
    MAX_LINE_BLOCKS,
    PIECE,
    PIECE_BYTES,
    READY,
    Ending,
    Job,
    Plan,
    decode_job,
    encode_attachment,
    encode_blocks,
    encode_ending,
)
from s3_to_milvus.domain.document_limits import DocumentLimits
from s3_to_milvus.domain.documents import Attachment, Block, Document
from s3_to_milvus.domain.plain import bounded
from s3_to_milvus.errors import DocumentTooLarge, S3ToMilvusError, Unavailable
from s3_to_milvus.ports import Parser

__all__ = ["serve"]

_BATCH_CHARS = 65_536
_MOST_CHARS = 131_072
_HELD_BYTES = 32_768
# What the service would refuse as too long to be true.
_TITLE_CHARS, _WARNING_CHARS, _MOST_WARNINGS, _NAME_CHARS, _LANGUAGE_CHARS = 2_000, 2_000, 1_000, 2_000, 100
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
_NO_ROOM_HINT = "Free some space in the data folder; the file is tried again by itself."

_parsers: dict[str, Parser] = {}


def serve(server: int, plan: Plan, jobs: int, answers: int) -> None:
    """Do the jobs that come through one pipe and answer through the other, until the service closes them.

    ``server`` is the process that forked this one.
    """
    sandbox.die_with(server)
    sandbox.be_silent()
    out = _Answers(answers)
    out.send(READY, _start(plan).encode())
    out.flush()
    with open(jobs, "rb") as stream:
        while head := stream.read(HEAD.size):
            _, size = HEAD.unpack(head)
            content = stream.read(size)
            out.send(BEGUN, b"")
            out.flush()  # from now on this document is to blame
            ending = _run(decode_job(content), out)
            out.send(END, encode_ending(ending))
            out.flush()


def _start(plan: Plan) -> str:
    """Load the parsers while everything may be read, then lock the door; how far this process is shut off.

    Folders that a parser names in ``folders`` can still be read.
    """
    for target, options in plan.targets.items():
        try:
            _parser(target, options)
        except Exception:  # noqa: BLE001, S112 - the job that needs it reports it
            continue
    folders = [str(folder) for parser in _parsers.values() for folder in getattr(parser, "folders", ())]
    return sandbox.enter(plan.memory_mb, plan.given, folders)


def _run(job: Job, out: "_Answers") -> Ending:
    """Parse one document, or check the parser (no source).

    Failures come back as endings, so that they cross the border whole.
    """
    sandbox.allow_cpu_s(job.cpu_s)
    try:
        parser = _parser(job.target, job.options)
        if job.source is None:
            return Ending(title=parser.check())
        return _answer(parser.parse(job.source), out, job.source.limits)
    except S3ToMilvusError as exc:
        return Ending(error=(exc.code, exc.message[:_TITLE_CHARS], exc.hint[:_TITLE_CHARS]))
    except MemoryError:
        return Ending(error=("memory", "", ""))
    except BrokenPipeError:
        os._exit(0)
    except OSError as exc:
        if exc.errno not in _NO_ROOM:
            return _defect(exc)
        return Ending(error=(Unavailable.code, f"No room to parse the file in: {exc.strerror}", _NO_ROOM_HINT))
    except BaseException as exc:  # noqa: BLE001 - also panics of Rust, which know no Exception
        return _defect(exc)


def _defect(exc: BaseException) -> Ending:
    message = f"The parser failed: {type(exc).__name__}: {str(exc)[:500]}"
    return Ending(error=("defect", message, ""), traceback=traceback.format_exc()[-8000:])


def _parser(target: str, options: Mapping[str, Any]) -> Parser:
    """The parser of a target "module:Class", made once."""
    if target not in _parsers:
        module, _, name = target.partition(":")
        made = getattr(import_module(module), name)
        parser: Parser = made(made.Options.model_validate(dict(options)))
        _parsers[target] = parser
    return _parsers[target]


def _answer(document: Document, out: "_Answers", limits: DocumentLimits) -> Ending:
    """Send the blocks, then the attachments. Raises `DocumentTooLarge`."""
    for batch in _batches(document.blocks, limits):
        line = encode_blocks(batch)
        if len(line) > MAX_FRAME_BYTES:  # one row of a table; all else was cut
            raise DocumentTooLarge("A table of the document has a row that is too large.", hint="Split the row.")
        out.send(BLOCKS, line)
    _send_attachments(document.attachments, out, limits)
    return Ending(
        media_type=document.media_type,
        title=document.title[:_TITLE_CHARS],
        language=document.language[:_LANGUAGE_CHARS],
        page_count=document.page_count,
        warnings=tuple(text[:_WARNING_CHARS] for text in document.warnings[:_MOST_WARNINGS]),
        unread_pages=tuple(document.unread_pages),
    )


def _send_attachments(attachments: Iterable[Attachment], out: "_Answers", limits: DocumentLimits) -> None:
    total = 0
    for count, each in enumerate(attachments, 1):
        data = each.data if each.data is not None else each.path.read_bytes() if each.path else b""
        total += len(data)
        limits.check_container(total, count)
        out.send(ATTACHMENT, encode_attachment(replace(each, name=each.name[:_NAME_CHARS])))
        for start in range(0, len(data), PIECE_BYTES):
            out.send(PIECE, data[start : start + PIECE_BYTES])


class _Answers:
    """The pipe to the service; small frames wait for one another."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._held = bytearray()

    def send(self, kind: bytes, content: bytes) -> None:
        """Add a frame."""
        self._held += HEAD.pack(kind, len(content))
        if len(content) > _HELD_BYTES:
            self.flush()
            self._write(content)
            return
        self._held += content
        if len(self._held) > _HELD_BYTES:
            self.flush()

    def flush(self) -> None:
        """Send what waits."""
        self._write(bytes(self._held))
        self._held.clear()

    def _write(self, data: bytes) -> None:
        with memoryview(data) as left:
            sent = 0
            while sent < len(left):
                sent += os.write(self._descriptor, left[sent:])


def _batches(blocks: Iterable[Block], limits: DocumentLimits) -> Iterator[list[Block]]:
    """Blocks in lists of bounded size. Raises `DocumentTooLarge`."""
    batch: list[Block] = []
    size = total = 0
    for whole in blocks:
        chars = len(whole.text) + sum(len(cell) for row in whole.rows for cell in row)
        total += chars
        limits.check_text(total)
        for block, weight in _cut(whole, chars):
            batch.append(block)
            size += weight
            if len(batch) >= MAX_LINE_BLOCKS or size >= _BATCH_CHARS:
                yield batch
                batch, size = [], 0
    if batch:
        yield batch


def _cut(block: Block, chars: int) -> Iterator[tuple[Block, int]]:
    """The block and its weight in characters and cells, or where that is too much several blocks."""
    weight = chars + sum(map(len, block.rows))
    if weight <= _MOST_CHARS:
        yield block, weight
        return
    for part in bounded(block.text):
        yield replace(block, text=part, rows=()), len(part)
    top = block.rows[:1] if block.has_header and len(block.rows) > 1 else ()
    held: list[tuple[str, ...]] = []
    size = 0
    for row in block.rows[len(top) :]:
        length = len(row) + sum(map(len, row))
        if held and size + length > _BATCH_CHARS:
            yield replace(block, text="", rows=(*top, *held)), size
            held, size = [], 0
        held.append(row)
        size += length
    if held:
        yield replace(block, text="", rows=(*top, *held)), size
