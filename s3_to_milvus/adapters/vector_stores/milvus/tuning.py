"""Faster ways for what Milvus Lite 3.2 does value by value in Python, and silence where it is noisy.

What is stored and answered stays the same: each way takes only the plain case (one partition, no nulls, the types of
our schema) and leaves every other to the engine's own code.
"""

import importlib
from functools import cache
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from s3_to_milvus.adapters.vector_stores.milvus.logs import read_log, sync_files
from s3_to_milvus.adapters.vector_stores.milvus.vendor import load_lite, load_pyarrow

__all__ = ["tune"]

_FAISS_MODULES = ("faiss_ivf_flat", "faiss_ivf_sq8", "faiss_hnsw", "faiss_hnsw_sq")


@cache
def tune() -> None:
    """Put the faster ways in their places, once for the process."""
    load_lite()
    faiss = _Faiss(importlib.import_module("faiss"))
    faiss.omp_set_num_threads(1)  # its threads wait for each other by spinning, and collections of Lite are small
    for name in _FAISS_MODULES:
        _module(f"index.{name}").faiss = faiss
    for name in ("data_file", "delta_file"):
        files = _module(f"storage.{name}")
        files.pq = _Parquet(files.pq)
    _module("storage.wal")._read_wal_file = read_log
    memtable = type("MemTable", (_Columns, _module("storage.memtable").MemTable), {})
    for name in ("collection", "recovery"):
        _module(f"engine.{name}").MemTable = memtable


def _module(name: str) -> Any:
    return importlib.import_module(f"milvus_lite.{name}")


class _Faiss:
    """faiss, but it does not warn on stderr about small collections, and never leaves half an index file."""

    def __init__(self, faiss: Any) -> None:
        self._faiss = faiss

    def __getattr__(self, name: str) -> Any:
        return getattr(self._faiss, name)

    def IndexIVFFlat(self, *arguments: Any) -> Any:
        """As faiss' own."""
        index = self._faiss.IndexIVFFlat(*arguments)
        index.cp.min_points_per_centroid = 1
        return index

    def write_index(self, index: Any, path: str) -> None:
        """As faiss' own, in one step: a killed process leaves the whole file or none."""
        unfinished = f"{path}.unfinished"
        self._faiss.write_index(index, unfinished)
        Path(unfinished).replace(path)


class _Parquet:
    """pyarrow.parquet, but it looks for repeated values in texts only (vectors have none), brings each file to the
    disk before its name stands in a manifest, and knows by checksums when it was damaged."""

    def __init__(self, parquet: Any) -> None:
        self._parquet = parquet

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parquet, name)

    def write_table(self, table: Any, path: str) -> None:
        """As pyarrow's own."""
        texts = [field.name for field in table.schema if str(field.type) == "string"]
        self._parquet.write_table(table, path, use_dictionary=texts, write_page_checksum=True)
        folder = Path(path).parent  # it and the two above it may be new, too
        sync_files(Path(path), folder, folder.parent, folder.parent.parent)

    def read_table(self, path: str) -> Any:
        """As pyarrow's own."""
        return self._parquet.read_table(path, page_checksum_verification=True)


class _Columns:
    """Reads the rows that are not flushed yet by columns: put before the engine's own class."""

    _insert_batches: list[Any]
    _pk_index: dict[int, tuple[int, int, int]]
    _data_schema: Any
    _lock: Any

    def to_search_snapshot(
        self, vector_field: str | None, partition_names: list[str] | None = None, include_table: bool = False
    ) -> Any:
        """As the engine's own."""
        with self._lock:
            columns = [batch.column(vector_field) for batch in self._insert_batches] if vector_field else []
            if not self._pk_index or partition_names or any(column.null_count for column in columns) or not columns:
                engine: Any = super()
                return engine.to_search_snapshot(vector_field, partition_names, include_table)
            places = list(self._pk_index.values())
            seqs = np.fromiter((place[2] for place in places), dtype=np.uint64, count=len(places))
            table = self._take(self._rows(places)) if include_table else None
            return list(self._pk_index), seqs, _vectors(columns, places), [place[:2] for place in places], table

    def _build_data_table(self, rows: list[tuple[int, int]]) -> Any:
        return self._take(self._rows(rows))

    def _rows(self, places: Any) -> Any:
        starts = np.cumsum([0, *(batch.num_rows for batch in self._insert_batches)])
        count = len(places)
        batches = np.fromiter((place[0] for place in places), dtype=np.int64, count=count)
        return starts[batches] + np.fromiter((place[1] for place in places), dtype=np.int64, count=count)

    def _take(self, rows: Any) -> Any:
        pa = load_pyarrow()

        table = pa.Table.from_batches(self._insert_batches).select(self._data_schema.names)
        return table.take(pa.array(rows, pa.int64())).cast(self._data_schema)


def _vectors(columns: list[Any], places: list[tuple[int, int, int]]) -> Any:
    """The vectors at these places, one per row. Batches that hold no living row are not touched."""
    vectors = np.empty((len(places), columns[0].type.list_size), dtype=np.float32)
    start = 0
    for batch, group in groupby(places, key=itemgetter(0)):
        rows = [place[1] for place in group]
        whole = columns[batch].flatten().to_numpy(zero_copy_only=False).reshape(-1, vectors.shape[1])
        vectors[start : start + len(rows)] = whole if len(rows) == len(whole) else whole[rows]
        start += len(rows)
    return vectors
