"""The original system's way: LangChain's RecursiveCharacterTextSplitter, with sizes per collection."""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field, model_validator

from s3_to_milvus.domain.chunking import HeadingPath, common_path, cut_bytes, page_spans, row_line, whole_character_cut
from s3_to_milvus.domain.documents import Block, BlockKind, Chunk, Document
from s3_to_milvus.domain.limits import TEXT_BYTES, storable_text
from s3_to_milvus.domain.recipe import fingerprint_of
from s3_to_milvus.errors import ConfigError

__all__ = ["ChunkParams", "RecursiveSplitter", "load_params"]

_LINE = re.compile(r"(\S.*?)\s*\|\s*([0-9]{1,9})\s*\|\s*([0-9]{1,9})\s*(?:#.*)?")
_BETWEEN_BLOCKS = "\n\n"
_SEGMENT_CHARS = 1 << 20


class ChunkParams(NamedTuple):
    """Characters in a chunk, and how many of them it shares with the one before."""

    size: int
    overlap: int


def _fingerprint(params: ChunkParams) -> str:
    return fingerprint_of("recursive", "1", str(params))


def load_params(text: str) -> dict[str, ChunkParams]:
    """Sizes by collection from lines ``name|size|overlap``; blank lines and lines with ``#`` in front say nothing.

    Raises `ConfigError` that names the line it can't read, or that contradicts an earlier one.
    """
    params: dict[str, ChunkParams] = {}
    for number, raw in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        name, found = _params_line(number, line)
        if params.setdefault(name, found) != found:
            raise ConfigError(f"Chunk parameters, line {number}: {name!r} stands there twice with different sizes.")
    return params


def _params_line(number: int, line: str) -> tuple[str, ChunkParams]:
    found = _LINE.fullmatch(line)
    if found:
        params = ChunkParams(int(found[2]), int(found[3]))
        if params.overlap < params.size:
            return unicodedata.normalize("NFC", found[1]), params
    raise ConfigError(
        f"Chunk parameters, line {number}: {line[:100]!r} is not `name|size|overlap` with overlap smaller than size.",
        hint="For example: reports|3000|300",
    )


class RecursiveSplitter:
    """Chunks of about ``chunk_size`` characters, cut at the coarsest border that fits; neighbours overlap.

    Blocks are joined by blank lines, tables row by row. Large documents go through in segments of 1 MiB of text,
    cut between blocks; there is no overlap across that border.
    """

    kind = "recursive"

    class Options(BaseModel):
        """``params_file`` and ``params`` (its content, which wins) give single collections their own sizes."""

        model_config = ConfigDict(extra="forbid", frozen=True)

        chunk_size: int = Field(default=3_000, ge=1)
        chunk_overlap: int = Field(default=300, ge=0)
        params_file: Path | None = None
        params: str = ""

        @model_validator(mode="after")
        def _overlap_fits(self) -> "RecursiveSplitter.Options":
            if self.chunk_overlap >= self.chunk_size:
                raise ValueError("chunk_overlap must be smaller than chunk_size")
            return self

    def __init__(self, options: Options) -> None:
        self._default = ChunkParams(options.chunk_size, options.chunk_overlap)
        self._params = {**_file_params(options.params_file), **load_params(options.params)}
        self._cutters: dict[ChunkParams, Callable[[str], list[str]]] = {}
        self.fingerprint = _fingerprint(self._default)
        self.own_fingerprints: Mapping[str, str] = {name: _fingerprint(params) for name, params in self._params.items()}

    def split(self, document: Document, collection: str) -> Iterator[Chunk]:
        """See `ports.Splitter`."""
        params = self._params.get(unicodedata.normalize("NFC", collection), self._default)
        number = 0
        for segment in _segments(document.blocks):
            for text, start in self._pieces(segment.text, params):
                inside = segment.blocks_between(start, start + len(text))
                content = [path for block, path in inside if block.kind is not BlockKind.HEADING]
                heading = common_path(content or [path for _, path in inside])
                pages = page_spans([block for block, _ in inside])
                for part in filter(None, map(str.strip, cut_bytes(text, TEXT_BYTES))):
                    yield Chunk(number, part, heading, pages)
                    number += 1

    def check(self) -> str:
        """LangChain's splitter can be imported and cuts."""
        self._cutter(self._default)("check")
        return f"{self._default.size} characters, overlap {self._default.overlap}; {len(self._params)} own sizes."

    def _pieces(self, text: str, params: ChunkParams) -> Iterator[tuple[str, int]]:
        """LangChain's chunks with where they start; each is a part of the text."""
        start, length = 0, 0
        for piece in self._cutter(params)(text):
            start = max(text.find(piece, max(start + length - params.overlap, 0)), 0)
            length = len(piece)
            yield from ((part, start + at) for part, at in _solid_parts(piece, params))

    def _cutter(self, params: ChunkParams) -> Callable[[str], list[str]]:
        if params not in self._cutters:
            from langchain_text_splitters import RecursiveCharacterTextSplitter  # heavy

            # Without the last separator, "": character by character the library takes time in the square of the size.
            separators = ["\n\n", "\n", " "]
            splitter = RecursiveCharacterTextSplitter(
                separators, chunk_size=params.size, chunk_overlap=params.overlap, keep_separator=True
            )
            self._cutters[params] = splitter.split_text
        return self._cutters[params]


def _solid_parts(piece: str, params: ChunkParams) -> Iterator[tuple[str, int]]:
    """A piece within the size as it is; one without any separator cut as the library would; and where they start."""
    at = 0
    while len(piece) - at > params.size:
        end = whole_character_cut(piece, at + params.size)
        if end - params.overlap <= at:
            end = at + params.size
        yield piece[at:end], at
        at = end - params.overlap
    yield piece[at:], at


class _Segment(NamedTuple):
    """Blocks joined to one text, with where each one starts and the headings above it."""

    text: str
    starts: list[int]
    blocks: list[tuple[Block, tuple[str, ...]]]

    def blocks_between(self, first: int, last: int) -> list[tuple[Block, tuple[str, ...]]]:
        return self.blocks[max(bisect_right(self.starts, first) - 1, 0) : bisect_right(self.starts, last - 1)]


def _segments(blocks: Iterable[Block]) -> Iterator[_Segment]:
    headings = HeadingPath()
    texts: list[str] = []
    starts: list[int] = []
    placed: list[tuple[Block, tuple[str, ...]]] = []
    size = 0
    for block in blocks:
        text = storable_text(_block_text(block))
        if not text:
            continue
        is_heading = block.kind is BlockKind.HEADING
        path = headings.enter(text, block.level) if is_heading else headings.current
        texts.append(text)
        starts.append(size)
        placed.append((block, path))
        size += len(text) + len(_BETWEEN_BLOCKS)
        if size >= _SEGMENT_CHARS:
            yield _Segment(_BETWEEN_BLOCKS.join(texts), starts, placed)
            texts, starts, placed, size = [], [], [], 0
    if texts:
        yield _Segment(_BETWEEN_BLOCKS.join(texts), starts, placed)


def _block_text(block: Block) -> str:
    rows = [line for cells in block.rows if (line := row_line(cells))]
    return "\n".join(filter(None, [*rows, block.text.strip()]))


def _file_params(path: Path | None) -> dict[str, ChunkParams]:
    if path is None:
        return {}
    try:
        return load_params(path.read_text("utf-8-sig"))
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"The file of chunk parameters {path} can't be read: {exc}.") from exc
    except ConfigError as exc:
        raise ConfigError(f"{path}: {exc.message}", hint=exc.hint) from exc
