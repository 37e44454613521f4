"""Reads a whole file by the parsers of the registry, in this process: text and tables, pages of scans and attachments.

As the engine reads it, but without child processes and limits, so that parsing is measured alone.
"""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from s3_to_milvus import registry
from s3_to_milvus.adapters.sniff import sniff
from s3_to_milvus.domain.documents import Attachment, Block
from s3_to_milvus.errors import PermanentError, UnsupportedFormat
from s3_to_milvus.ports import Parser, ParserInput

__all__ = ["Whole", "our_parsers", "parser_kinds", "read_whole"]

_OURS = "s3_to_milvus.adapters.parsers."
_PAID = ("upstage",)


@dataclass(frozen=True, slots=True)
class Whole:
    """Everything that was found in a file."""

    text: str
    cells: tuple[str, ...]
    media_type: str


def parser_kinds() -> tuple[str, ...]:
    """Every built-in parser that needs no key and no network, in the order of the registry."""
    found = [kind for kind in registry.kinds("parser") if registry.target("parser", kind).startswith(_OURS)]
    return tuple(kind for kind in found if kind not in _PAID)


def our_parsers() -> list[Parser]:
    """These parsers with their defaults."""
    adapters = [registry.load("parser", kind) for kind in parser_kinds()]
    return [cast("Parser", adapter(adapter.Options())) for adapter in adapters]


def read_whole(parsers: Sequence[Parser], path: Path) -> Whole:
    """Texts and cells of a file. Raises what its parser raises."""
    media_type = sniff(None, path, path.name)
    texts: list[str] = []
    cells: list[str] = []
    for block in _blocks(parsers, ParserInput(media_type, path.name, path.stat().st_size, path=path)):
        texts.append(_text_of(block))
        cells += [cell for row in block.rows for cell in row]
    return Whole("\n".join(texts), tuple(cells), media_type)


def _blocks(parsers: Sequence[Parser], source: ParserInput) -> Iterator[Block]:
    """The blocks of a file, then those of its scanned pages, then those of its attachments."""
    parser = next((each for each in parsers if source.media_type in each.media_types), None)
    if parser is None:
        raise UnsupportedFormat(source.media_type)
    document = parser.parse(source)
    yield from document.blocks
    reader = next((each for each in parsers if source.media_type in each.page_media_types), None)
    for page in document.unread_pages if reader else ():
        assert reader is not None
        yield from reader.parse(replace(source, pages=(page,))).blocks
    yield from _attached(parsers, document.attachments)


def _attached(parsers: Sequence[Parser], attachments: Iterable[Attachment]) -> Iterator[Block]:
    """What can be read of the files inside a file."""
    for each in attachments:
        if each.error is not None:
            continue
        size = len(each.data) if each.data is not None else each.path.stat().st_size if each.path else 0
        media_type = sniff(each.data, each.path, each.name)
        with contextlib.suppress(PermanentError):
            yield from _blocks(parsers, ParserInput(media_type, each.name, size, each.data, each.path))


def _text_of(block: Block) -> str:
    rows = "\n".join("\t".join(row) for row in block.rows)
    return f"{block.text}\n{rows}" if rows else block.text
