"""Every row of a collection of Milvus Lite, without its vector and text."""

from typing import Any

from s3_to_milvus.adapters.vector_stores.milvus.vendor import load_pyarrow
from s3_to_milvus.domain.rows import RowIdentity

__all__ = ["identities"]

_FIELDS = ["id", "_seq", "object_id", "run"]


def identities(engine: Any) -> list[RowIdentity]:
    """The living rows: the newest state of each id, unless it was deleted later. With the gate held."""
    pa = load_pyarrow()
    segments, delta = engine._read_snapshot()
    memory = engine._memtable
    tables = [segment.table.select(_FIELDS) for segment in segments]
    if memory._insert_batches:
        tables.append(pa.Table.from_batches(memory._insert_batches).select(_FIELDS))
    newest: dict[int, tuple[int, str, int]] = {}
    for table in tables:
        columns = [table.column(name).to_pylist() for name in _FIELDS]
        for row_id, seq, object_id, run in zip(*columns, strict=True):
            if row_id not in newest or newest[row_id][0] < seq:
                newest[row_id] = (seq, object_id, run)
    deleted = memory.delete_index_snapshot()
    return [
        RowIdentity(row_id, object_id, run)
        for row_id, (seq, object_id, run) in newest.items()
        if not delta.is_deleted(row_id, seq) and deleted.get(row_id, (-1,))[0] < seq
    ]
