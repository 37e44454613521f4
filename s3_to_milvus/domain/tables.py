"""Tables as blocks of bounded size: a huge one becomes several, each with the header repeated."""

from collections.abc import Iterable, Iterator, Sequence

from s3_to_milvus.domain.documents import Block, BlockKind

__all__ = ["BLOCK_CHARS", "table_blocks"]

BLOCK_CHARS = 16_000
"""The most text in one block: within 64 KiB of UTF-8 whatever the characters."""

_ROWS = 2_000


def table_blocks(rows: Iterable[Sequence[str]], *, has_header: bool, page: int | None = None) -> Iterator[Block]:
    """One table block, or several for a table that is too large for one. Rows without any text are left out.

    The rows are read as a stream; with ``has_header`` the first one stands on top of every block.
    """
    header: tuple[str, ...] | None = None
    held: list[tuple[str, ...]] = []
    size = 0
    for row in rows:
        cells = tuple(row)
        if not any(cells):
            continue
        if has_header and header is None:
            header = cells
            continue
        length = sum(map(len, cells))
        if held and (size + length > BLOCK_CHARS or len(held) >= _ROWS):
            yield _table(header, held, page)
            held, size = [], 0
        held.append(cells)
        size += length
    if held or header is not None:
        yield _table(header, held, page)


def _table(header: tuple[str, ...] | None, rows: list[tuple[str, ...]], page: int | None) -> Block:
    """One block."""
    top = () if header is None else (header,)
    return Block(BlockKind.TABLE, rows=(*top, *rows), has_header=header is not None, page=page)
