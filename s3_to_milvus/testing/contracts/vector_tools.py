"""What the vector store's contracts have in common: short ways to make rows, and to read them all."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from s3_to_milvus.domain.objects import object_id_of
from s3_to_milvus.domain.rows import IdRanges, Row, RowSet, StoredRow
from s3_to_milvus.ports import VectorStore

__all__ = ["DIM", "all_rows", "make_row", "make_vector", "rows_of"]

DIM = 8


def make_vector(*head: float, dim: int = DIM) -> NDArray[np.float32]:
    """The given values, then zeros."""
    vector = np.zeros(dim, dtype=np.float32)
    vector[: len(head)] = head
    return vector


def make_row(key: str, run: int = 1, number: int = 0, text: str = "", vector: NDArray[np.float32] | None = None) -> Row:
    """A row of the object with this key in the bucket ``bucket``."""
    return Row(
        vector=make_vector(float(number)) if vector is None else vector,
        text=text or f"{key} {run} {number}",
        file_name=key.rpartition("/")[2],
        file_date="2026-11-23",
        object_id=object_id_of("bucket", key),
        run=run,
        chunk_no=number,
        bucket="bucket",
        file_key=key,
        page=number + 1,
        meta={"heading": ["장", key], "number": number},
    )


def rows_of(key: str, run: int, ids: Iterable[int]) -> RowSet:
    """The rows with these ids, of this run of the object with this key in the bucket ``bucket``."""
    return RowSet(object_id_of("bucket", key), run, IdRanges.of(ids))


def all_rows(store: VectorStore, collection: str) -> list[StoredRow]:
    """Every row of a collection, whosever it is."""
    owners: dict[tuple[str, int], list[int]] = {}
    for row in store.identities(collection):
        owners.setdefault((row.object_id, row.run), []).append(row.id)
    wanted = [RowSet(object_id, run, IdRanges.of(ids)) for (object_id, run), ids in owners.items()]
    return [row for each in wanted for row in store.fetch(collection, each)]
