"""The side of a parsing child: it enters the sandbox once, then turns jobs into answers."""

import contextlib
import errno
import signal
import traceback
from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

from s3_to_milvus.adapters.parsers.isolated import sandbox
from s3_to_milvus.adapters.parsers.isolated.wire import INLINE_BYTES, Answer, Job, attachment_head, encode_blocks
from s3_to_milvus.domain.document_limits import DocumentLimits
from s3_to_milvus.domain.documents import Attachment, Block, Document
from s3_to_milvus.errors import DocumentTooLarge, S3ToMilvusError, Unavailable
from s3_to_milvus.ports import Parser

__all__ = ["run", "start"]

_BATCH_BLOCKS = 64
_BATCH_CHARS = 65_536
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
_NO_ROOM_HINT = "Free some space in the data folder; the file is tried again by itself."

_parsers: dict[str, Parser] = {}
_isolation: list[str] = []


def start(memory_mb: int, places: sandbox.Places, targets: Mapping[str, Mapping[str, Any]]) -> None:
    """Called once in each new child: load the parsers while everything may be read, then lock the door.

    Folders that a parser names in ``folders`` can still be read.
    """
    # The pool stops children by SIGTERM; a handler in Python would never run while C code hangs.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    sandbox.die_with_parent()
    sandbox.be_silent()
    for target, options in targets.items():
        try:
            _parser(target, options)
        except Exception:  # noqa: BLE001, S112 - the job that needs it reports it
            continue
    folders = [str(folder) for parser in _parsers.values() for folder in getattr(parser, "folders", ())]
    _isolation[:] = [sandbox.enter(memory_mb, places, folders)]


def run(job: Job) -> Answer:
    """Parse one document, check the parser (no source), or tell how isolated this process is (no target).

    Failures come back as answers, so that they cross the border whole.
    """
    sandbox.allow_cpu_s(job.cpu_s)
    try:
        if not job.target:
            return Answer(title="".join(_isolation))
        parser = _parser(job.target, job.options)
        if job.source is None:
            return Answer(title=parser.check())
        return _answer(parser.parse(job.source), Path(job.spool), job.source.limits)
    except S3ToMilvusError as exc:
        return Answer(error=(exc.code, exc.message, exc.hint))
    except MemoryError:
        return Answer(error=("memory", "", ""))
    except OSError as exc:
        if exc.errno not in _NO_ROOM:
            return _defect(exc)
        return Answer(error=(Unavailable.code, f"No room to parse the file in: {exc.strerror}", _NO_ROOM_HINT))
    except BaseException as exc:  # noqa: BLE001 - also panics of Rust, which no other process could even unpickle
        return _defect(exc)


def _defect(exc: BaseException) -> Answer:
    message = f"The parser failed: {type(exc).__name__}: {str(exc)[:500]}"
    return Answer(error=("defect", message, ""), traceback=traceback.format_exc()[-8000:])


def _parser(target: str, options: Mapping[str, Any]) -> Parser:
    """The parser of a target "module:Class", made once."""
    if target not in _parsers:
        module, _, name = target.partition(":")
        made = getattr(import_module(module), name)
        parser: Parser = made(made.Options.model_validate(dict(options)))
        _parsers[target] = parser
    return _parsers[target]


def _answer(document: Document, spool: Path, limits: DocumentLimits) -> Answer:
    """The document with its blocks inline, or in the spool where there are many; attachments always there."""
    with contextlib.closing(_Spool(spool)) as out:
        try:
            for batch in _batches(document.blocks, limits):
                out.write(encode_blocks(batch))
            blocks = out.inline()
            start = out.add_attachments(document.attachments, limits)
        except OSError as exc:
            if exc.errno in _NO_ROOM:
                raise  # the disk's fault, not the document's
            raise DocumentTooLarge(
                f"The text of the document does not fit into the scratch folder: {exc.strerror}"
            ) from exc
    return Answer(
        media_type=document.media_type,
        title=document.title,
        language=document.language,
        page_count=document.page_count,
        warnings=document.warnings,
        blocks=blocks,
        unread_pages=document.unread_pages,
        attachments_at=start,
    )


class _Spool:
    """What is small stays in memory, the rest goes to the file that the service made for it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held = bytearray()
        self._file: BinaryIO | None = None

    def write(self, line: bytes) -> None:
        """Add a line of blocks."""
        self._held += line
        if self._file is not None or len(self._held) > INLINE_BYTES:
            self._opened().write(self._held)
            self._held.clear()

    def inline(self) -> bytes | None:
        """All blocks, if they are few enough for the pipe; None: they are in the file."""
        return bytes(self._held) if self._file is None else None

    def add_attachments(self, attachments: Iterable[Attachment], limits: DocumentLimits) -> int | None:
        """Write them behind the blocks; where they begin, None without any."""
        start: int | None = None
        for count, each in enumerate(attachments, 1):
            data = each.data if each.data is not None else each.path.read_bytes() if each.path else b""
            file = self._opened()
            start = file.tell() if start is None else start
            limits.check_container(file.tell() - start + len(data), count)
            file.write(attachment_head(each, len(data)))
            file.write(data)
        return start

    def close(self) -> None:
        """Close the file, if there is one."""
        if self._file is not None:
            self._file.close()

    def _opened(self) -> BinaryIO:
        if self._file is None:
            self._file = self._path.open("r+b")
        return self._file


def _batches(blocks: Iterable[Block], limits: DocumentLimits) -> Iterable[list[Block]]:
    """Blocks in lists of bounded size. Raises `DocumentTooLarge`."""
    batch: list[Block] = []
    size = total = 0
    for block in blocks:
        batch.append(block)
        chars = len(block.text) + sum(len(cell) for row in block.rows for cell in row)
        size, total = size + chars, total + chars
        limits.check_text(total)
        if len(batch) >= _BATCH_BLOCKS or size >= _BATCH_CHARS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
