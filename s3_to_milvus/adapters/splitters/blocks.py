"""The default splitter: keeps paragraphs, rows and headings together, and cuts where the content says so."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple
from zlib import crc32

from pydantic import BaseModel, ConfigDict, Field, model_validator

from s3_to_milvus.domain.chunking import (
    HeadingPath,
    cell_pieces,
    common_path,
    content_sum,
    page_spans,
    row_line,
    sentence_pieces,
)
from s3_to_milvus.domain.documents import Block, BlockKind, Chunk, Document
from s3_to_milvus.domain.limits import TEXT_BYTES, storable_text
from s3_to_milvus.domain.recipe import fingerprint_of

__all__ = ["BlocksSplitter"]

# Ranks decide where to cut: the smallest one wins. Block borders first, then borders inside a block (sentences,
# rows), then inside a row; the content's checksum among equals. After a heading or a header row there is no cut.
_INSIDE_BLOCK = 1 << 32
_INSIDE_ROW = 2 << 32
_WORST = 4 << 32
_NEVER = -1


class _Unit(NamedTuple):
    """What is never cut again. ``joint`` stands before it unless it opens a chunk; ``header`` if it does."""

    text: str
    joint: str
    rank: int
    path: tuple[str, ...]
    block: Block
    header: str = ""
    is_heading: bool = False


class BlocksSplitter:
    """Structure-aware and streaming; holds about one chunk of a document at a time.

    - A chunk ends at the border with the smallest checksum of the text before it, between ``min_chars`` and
      ``max_chars``: a small edit changes the chunks it touches and, rarely, their neighbour. No overlap.
    - A heading opens a chunk, unless the one before is still tiny, and never ends one.
    - Tables are cut between rows, and the header row is repeated. Only a row that alone is larger than a chunk is
      cut, between its cells.
    - ``heading`` is the path shared by everything in the chunk. Nothing positional stands in the text.
    """

    kind = "blocks"

    class Options(BaseModel):
        """Sizes in characters. Small chunks find better (500: nDCG .84, whole pages: .77, Korean PDF) and cost
        more rows; with these, chunks have about 700, and with file name and headings most fit the local
        model's one window.
        """

        model_config = ConfigDict(extra="forbid", frozen=True)

        max_chars: int = Field(default=1_000, ge=100, le=TEXT_BYTES // 4)
        min_chars: int = Field(default=400, ge=1)

        @model_validator(mode="after")
        def _sizes_fit(self) -> "BlocksSplitter.Options":
            if not self.max_chars <= self.min_chars * 8 <= self.max_chars * 4:
                raise ValueError("min_chars must lie between an eighth and a half of max_chars")
            return self

    def __init__(self, options: Options) -> None:
        self._max = options.max_chars
        self._min = options.min_chars
        self._piece = self._max - self._min  # whatever is held below the minimum, one more piece fits
        self.fingerprint = fingerprint_of("blocks", "1", str(self._max), str(self._min))
        self.own_fingerprints: Mapping[str, str] = {}

    def split(self, document: Document, collection: str) -> Iterator[Chunk]:
        """See `ports.Splitter`; ``collection`` makes no difference."""
        for number, units in enumerate(self._groups(document.blocks)):
            yield _chunk(number, units)

    def check(self) -> str:
        """Nothing outside is needed."""
        return f"Cuts at block borders, {self._min}-{self._max} characters."

    def _groups(self, blocks: Iterable[Block]) -> Iterator[list[_Unit]]:
        """Units that make up a chunk together: never none, never more than ``max_chars``."""
        held: list[_Unit] = []
        size, best, best_rank = 0, 0, _WORST
        for unit in self._units(blocks):
            text, joint, rank = unit[:3]
            added = len(text) + len(joint)
            while held:
                if unit.is_heading and held[-1].rank >= 0 and size * 2 >= self._min:
                    cut = len(held)
                elif size + added > self._max:
                    cut = best or _last_resort(held)
                else:
                    break
                yield held[:cut]
                held = held[cut:]
                size, best, best_rank = self._measure(held)
            if not held:
                size = len(unit.header) + 1
            held.append(unit)
            size += added
            if size >= self._min and _NEVER < rank < best_rank:
                best, best_rank = len(held), rank
        if held:
            yield held

    def _measure(self, held: list[_Unit]) -> tuple[int, int, int]:
        """Size, best cut and its rank of what is carried into the next chunk."""
        best, best_rank = 0, _WORST
        size = len(held[0].header) + 1 if held else 0
        for number, unit in enumerate(held, 1):
            size += len(unit.text) + len(unit.joint)
            if size >= self._min and _NEVER < unit.rank < best_rank:
                best, best_rank = number, unit.rank
        return size, best, best_rank

    def _units(self, blocks: Iterable[Block]) -> Iterator[_Unit]:
        headings = HeadingPath()
        path = headings.current
        for block in blocks:
            if block.rows:
                yield from self._rows(block, path)
            text = storable_text(block.text).strip()
            if not text:
                continue
            if block.kind is BlockKind.HEADING:
                above = headings.enter(text, block.level)
                path = headings.current
                for number, (piece, joint) in enumerate(sentence_pieces(text, self._piece)):
                    yield _Unit(piece, joint if number else "\n", _NEVER, above, block, "", number == 0)
            elif len(text) <= self._piece:
                yield _Unit(text, "\n", crc32(text.encode()), path, block)  # content_sum, where it counts
            else:
                yield from self._sentences(text, path, block)

    def _sentences(self, text: str, path: tuple[str, ...], block: Block) -> Iterator[_Unit]:
        """The units of a long block; only after the last one lies the border of the block."""
        held: _Unit | None = None
        for piece, joint in sentence_pieces(text, self._piece):
            if held:
                yield held
            held = _Unit(piece, joint if held else "\n", content_sum(piece) | _INSIDE_BLOCK, path, block)
        if held:
            yield held._replace(rank=content_sum(held.text))

    def _rows(self, block: Block, path: tuple[str, ...]) -> Iterator[_Unit]:
        lines = [line for cells in block.rows if (line := storable_text(row_line(cells)))]
        header = lines[0] if block.has_header and len(lines) > 1 and len(lines[0]) * 3 <= self._max else ""
        room = self._max - len(header) - 2
        for number, line in enumerate(lines, 1):
            is_last = number == len(lines)
            if number == 1 and header:
                yield _Unit(line, "\n", _NEVER, path, block)
            elif len(line) <= room:
                rank = content_sum(line) if is_last else content_sum(line) | _INSIDE_BLOCK
                yield _Unit(line, "\n", rank, path, block, header)
            else:
                for piece_number, (piece, joint) in enumerate(cell_pieces(line, self._piece)):
                    rank = content_sum(piece) | _INSIDE_ROW
                    yield _Unit(piece, joint if piece_number else "\n", rank, path, block)


def _last_resort(held: list[_Unit]) -> int:
    """After the last unit that may end a chunk, however small that makes it; else after all (nothing but headings)."""
    return next((number for number in range(len(held), 0, -1) if held[number - 1].rank >= 0), len(held))


def _chunk(number: int, units: list[_Unit]) -> Chunk:
    first = units[0]
    opening = f"{first.header}\n{first.text}" if first.header else first.text
    text = opening + "".join([unit.joint + unit.text for unit in units[1:]])
    last = units[-1]
    if first.path is last.path:  # the usual case: one section
        heading = first.path
    else:
        heading = common_path([unit.path for unit in units if unit.rank >= 0] or [unit.path for unit in units])
    return Chunk(number, text, heading, page_spans([unit.block for unit in units]))
