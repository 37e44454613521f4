"""Collections of the original system: read, and succeeded by one of ours under the same name."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any

import numpy as np

from s3_to_milvus.adapters.vector_stores.milvus import schema
from s3_to_milvus.adapters.vector_stores.milvus.connection import Connection
from s3_to_milvus.adapters.vector_stores.milvus.errors import translated
from s3_to_milvus.adapters.vector_stores.milvus.vendor import grpc_errors
from s3_to_milvus.domain.adopting import OriginalRow
from s3_to_milvus.domain.rows import CollectionSpec, IdRanges, StoredRow
from s3_to_milvus.errors import SchemaMismatch
from s3_to_milvus.ports.originals import OriginalCollection

__all__ = ["MilvusOriginals"]

_PAGE_ROWS = 1_000  # with texts: a server gives at most 100 MB at once
_LOAD_S = 600.0
_NO_PARAMS = {
    *("index_type", "metric_type", "field_name", "index_name", "state"),
    *("total_rows", "indexed_rows", "pending_index_rows"),
}


class MilvusOriginals:
    """``make`` makes a collection of ours; ``forget`` is told the names whose collections changed."""

    def __init__(
        self,
        connection: Connection,
        make: Callable[[CollectionSpec, schema.VectorIndex], None],
        forget: Callable[[str], None],
    ) -> None:
        self._connection = connection
        self._make = make
        self._forget = forget
        self._loaded: set[str] = set()

    def describe(self, name: str) -> OriginalCollection | None:
        """See `ports.Originals`."""
        with self._connection.gate() as client, translated(f"describing {name}"):
            if not client.has_collection(name, **self._connection.once):
                return None
            described = client.describe_collection(name, **self._connection.once)
        is_ours = schema.is_ours(described)
        if not is_ours:
            schema.verify_original(name, described)
        return OriginalCollection(described["collection_name"], schema.dim_of(described), is_ours)

    def prepare(self, spec: CollectionSpec, like: str) -> None:
        """See `ports.Originals`."""
        with self._connection.gate() as client, translated(f"reading the index of {like}"):
            index = _vector_index(client, like)
        self._make(spec, index)

    def rows(self, collection: str) -> Iterator[OriginalRow]:
        """See `ports.Originals`."""
        last = -1  # Milvus gives no negative ids
        while page := self._page(collection, last):
            for each in page:
                yield OriginalRow(each["id"], each["file_name"], each["file_date"], each["text"])
            last = page[-1]["id"]

    def fetch(self, collection: str, ids: IdRanges, *, with_vectors: bool = False) -> list[StoredRow]:
        """See `ports.Originals`."""
        fields = ["id", "text", *(["vector"] if with_vectors else [])]
        remaining, found = iter(ids), list[StoredRow]()
        while batch := list(islice(remaining, _PAGE_ROWS)):
            condition = f"id in [{','.join(map(str, batch))}]"
            # Rows that do not change need not be waited for (200 ms each time), unless one seems to be missing.
            rows = self._query(collection, condition, fields, "Eventually")
            if len(rows) < len(batch):
                rows = self._query(collection, condition, fields)
            found += [_stored(each) for each in rows]
        return found

    def succeed(self, collection: str, kept: str, successor: str) -> None:
        """See `ports.Originals`."""
        connection = self._connection
        with connection.undisturbed(collection), connection.gate() as client, translated(f"renaming {collection}"):
            for name in (collection, kept):
                self._forget(name)
                self._loaded.discard(name)
            found = self.describe(collection)
            if found is not None and not found.is_ours:
                client.rename_collection(collection, kept, **connection.once)
                found = None
            if found is None:
                client.create_alias(successor, collection, **connection.once)
                if connection.lite is not None:
                    connection.lite.renamed()
            with suppress(*grpc_errors()):  # it needs no memory any more
                client.release_collection(kept, **connection.once)

    def _page(self, collection: str, after: int) -> list[Mapping[str, Any]]:
        """The rows with the smallest ids after this one."""
        fields = ["id", "file_name", "file_date", "text"]
        found = self._query(collection, f"id > {after}", fields, limit=_PAGE_ROWS, reduce_stop_for_best=True)
        return sorted(found, key=lambda each: int(each["id"]))

    def _query(
        self, collection: str, condition: str, fields: Sequence[str], consistency: str = "Strong", **options: Any
    ) -> Sequence[Mapping[str, Any]]:
        options |= self._connection.once
        with self._connection.gate() as client, translated(f"reading rows of {collection}"):
            if collection not in self._loaded:
                client.load_collection(collection, timeout=_LOAD_S)
                self._loaded.add(collection)
            rows: Sequence[Mapping[str, Any]] = client.query(
                collection, filter=condition, output_fields=fields, consistency_level=consistency, **options
            )
            return rows


def _vector_index(client: Any, collection: str) -> schema.VectorIndex:
    names = client.list_indexes(collection, field_name="vector")
    index: Mapping[str, Any] | None = client.describe_index(collection, names[0]) if names else None
    if not index:
        raise SchemaMismatch(
            f"The collection {collection} has no index on vector, so that Milvus can't load it.",
            hint="Create the index that the original system makes (IVF_FLAT, L2), then try again.",
        )
    # Made by pymilvus' ORM, the parameters are one value; made by MilvusClient, they stand among the rest, as texts.
    given = index["params"] if isinstance(index.get("params"), Mapping) else index
    params = {name: int(value) if str(value).isdecimal() else value for name, value in given.items()}
    return schema.VectorIndex(
        index["index_type"],
        index["metric_type"],
        {name: value for name, value in params.items() if name not in _NO_PARAMS},
    )


def _stored(row: Mapping[str, Any]) -> StoredRow:
    vector = row.get("vector")
    return StoredRow(
        id=row["id"],
        object_id="",
        run=0,
        chunk_no=0,
        text=row["text"],
        page=0,
        meta={},
        vector=None if vector is None else np.asarray(vector, dtype=np.float32),
    )
