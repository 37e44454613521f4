"""Tables as blocks of bounded size: a huge one becomes several, each with the header repeated."""

from collections.abc import Iterable, Iterator, Sequence

from s3_to_milvus.domain.documents import Block, BlockKind

__all__ = ["BLOCK_CHARS", "table_blocks"]

BLOCK_CHARS = 16_000
"""The most text in one block: within 64 KiB of UTF-8 whatever the characters."""

_ROWS = 2_000
_HEADER_CHARS = BLOCK_CHARS // 4


def table_blocks(rows: Iterable[Sequence[str]], *, has_header: bool, page: int | None = None) -> Iterator[Block]:
    """One table block, or several for a table that is too large for one. Rows without any text are left out.

    The rows are read as a stream; with ``has_header`` the first one stands on top of every block, unless it is too
    long for that. A row that is too long for one block comes in several, each cell going on in its column.
    """
    header: tuple[str, ...] | None = None
    held: list[tuple[str, ...]] = []
    size, room, is_first = 0, BLOCK_CHARS, True
    for row in filter(any, map(tuple, rows)):
        length = sum(map(len, row))
        if has_header and is_first and length <= _HEADER_CHARS:
            header, room, is_first = row, BLOCK_CHARS - length, False
            continue
        is_first = False
        for part in _parts(row, room):
            length = sum(map(len, part))
            if held and (size + length > room or len(held) >= _ROWS):
                yield _table(header, held, page)
                held, size = [], 0
            held.append(part)
            size += length
    if held or header is not None:
        yield _table(header, held, page)


def _parts(cells: tuple[str, ...], room: int) -> Iterator[tuple[str, ...]]:
    """The row, or where it is too long several of the same width, none longer than ``room``."""
    if sum(map(len, cells)) <= room:
        yield cells
        return
    share = max(1, room // len(cells))
    starts = [0] * len(cells)
    while any(start < len(cell) for cell, start in zip(cells, starts, strict=True)):
        ends = [_end(cell, start, share) for cell, start in zip(cells, starts, strict=True)]
        part = tuple(cell[start:end].strip() for cell, start, end in zip(cells, starts, ends, strict=True))
        if any(part):
            yield part
        starts = ends


def _end(cell: str, start: int, share: int) -> int:
    """Where the next piece of a cell ends: behind a space, if there is one in its second half."""
    end = start + share
    return len(cell) if len(cell) <= end else cell.rfind(" ", start + share // 2, end) + 1 or end


def _table(header: tuple[str, ...] | None, rows: list[tuple[str, ...]], page: int | None) -> Block:
    """One block."""
    top = () if header is None else (header,)
    return Block(BlockKind.TABLE, rows=(*top, *rows), has_header=header is not None, page=page)
