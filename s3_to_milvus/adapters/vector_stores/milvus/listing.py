"""Every row of a collection of Milvus Lite, without its vector and text."""

from collections.abc import Iterable
from typing import Any

from s3_to_milvus.adapters.vector_stores.milvus.vendor import load_pyarrow
from s3_to_milvus.domain.rows import RowIdentity

__all__ = ["count_after", "identities", "owners"]

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


def owners(engine: Any, ids: Iterable[int]) -> dict[int, tuple[str, int]]:
    """By id, the object and run of each row that has one of these ids, deleted or not. With the gate held."""
    wanted = set(ids)
    memory, segments = engine._memtable, engine._segments_snapshot()
    newest: dict[int, tuple[int, Any, int]] = {}  # by id: sequence number, table, row
    for row_id in wanted & memory._pk_index.keys():
        batch, row, seq = memory._pk_index[row_id]
        newest[row_id] = (seq, memory._insert_batches[batch], row)
    for segment in segments:
        for row_id in wanted & segment.pk_to_row.keys():
            row = segment.pk_to_row[row_id]
            seq = int(segment.seqs[row])
            if row_id not in newest or newest[row_id][0] < seq:
                newest[row_id] = (seq, segment.table, row)
    return {
        row_id: (table.column("object_id")[int(row)].as_py(), table.column("run")[int(row)].as_py())
        for row_id, (_, table, row) in newest.items()
    }


def count_after(engine: Any, after_id: int) -> int:
    """How many living rows have a greater id. With the gate held."""
    return sum(row.id > after_id for row in identities(engine))
