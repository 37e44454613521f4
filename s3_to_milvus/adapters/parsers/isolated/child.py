"""The side of a parsing child: it enters the sandbox once, then turns jobs into answers."""

import signal
import traceback
from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

from s3_to_milvus.adapters.parsers.isolated import sandbox
from s3_to_milvus.adapters.parsers.isolated.wire import INLINE_BYTES, Answer, Job, encode_blocks
from s3_to_milvus.domain.documents import Block, Document
from s3_to_milvus.errors import DocumentTooLarge, S3ToMilvusError
from s3_to_milvus.ports import Parser

__all__ = ["run", "start"]

_BATCH_BLOCKS = 64
_BATCH_CHARS = 65_536

_parsers: dict[str, Parser] = {}
_measures: list[str] = []


def start(memory_mb: int, folder: Path, targets: Mapping[str, Mapping[str, Any]]) -> None:
    """Called once in each new child: load the parsers while everything may be read, then lock the door."""
    # The pool stops children by SIGTERM; a handler in Python would never run while C code hangs.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    sandbox.die_with_parent()
    for target, options in targets.items():
        try:
            _parser(target, options)
        except Exception:  # noqa: BLE001, S112 - the job that needs it reports it
            continue
    _measures.extend(sandbox.enter(memory_mb, folder))


def run(job: Job) -> Answer:
    """Parse one document (or check the parser). Failures come back as answers, so that they cross the border whole."""
    sandbox.allow_cpu_s(job.cpu_s)
    try:
        parser = _parser(job.target, job.options)
        if job.source is None:
            return Answer(title=f"{parser.check()}; child process with {', '.join(_measures)}")
        return _answer(parser.parse(job.source), Path(job.spool))
    except S3ToMilvusError as exc:
        return Answer(error=(exc.code, exc.message, exc.hint))
    except MemoryError:
        return Answer(error=("memory", "", ""))
    except BaseException as exc:  # noqa: BLE001 - also panics of Rust, which no other process could even unpickle
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


def _answer(document: Document, spool: Path) -> Answer:
    """The document with its blocks inline, or in the spool where there are many."""
    inline = bytearray()
    file: BinaryIO | None = None
    try:
        for batch in _batches(document.blocks):
            inline += encode_blocks(batch)
            if file is None and len(inline) > INLINE_BYTES:
                file = spool.open("xb")
            if file is not None:
                file.write(inline)
                inline.clear()
    except OSError as exc:
        raise DocumentTooLarge(
            f"The text of the document does not fit into the scratch folder: {exc.strerror}"
        ) from exc
    finally:
        if file is not None:
            file.close()
    return Answer(
        media_type=document.media_type,
        title=document.title,
        language=document.language,
        page_count=document.page_count,
        warnings=document.warnings,
        blocks=None if file is not None else bytes(inline),
    )


def _batches(blocks: Iterable[Block]) -> Iterable[list[Block]]:
    """Blocks in lists of bounded size."""
    batch: list[Block] = []
    size = 0
    for block in blocks:
        batch.append(block)
        size += len(block.text) + sum(len(cell) for row in block.rows for cell in row)
        if len(batch) >= _BATCH_BLOCKS or size >= _BATCH_CHARS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
