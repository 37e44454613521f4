"""A vector store in memory, with the refusals of a real one."""

import math
import re
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from s3_to_milvus.domain import limits
from s3_to_milvus.domain.rows import CollectionSpec, Hit, Row, RowIdentity, RowSet, StoredRow
from s3_to_milvus.errors import Rejected, SchemaMismatch
from s3_to_milvus.ports import Incident
from s3_to_milvus.testing.fakes.originals import MemoryOriginals

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

__all__ = ["MemoryVectorStore", "StoreCopy"]

_TEXTS = (
    ("text", limits.TEXT_BYTES),
    ("file_name", limits.FILE_NAME_BYTES),
    ("file_date", limits.FILE_DATE_BYTES),
    ("file_key", limits.FILE_KEY_BYTES),
    ("bucket", limits.BUCKET_BYTES),
    ("object_id", 64),
)
_OBJECT_ID = re.compile(r"[0-9a-f]{1,64}")


@dataclass(frozen=True, slots=True)
class StoreCopy:
    """A copy of everything that a store keeps on its disk."""

    specs: dict[str, CollectionSpec] = field(default_factory=dict)
    rows: dict[str, dict[int, Row]] = field(default_factory=dict)
    marks: dict[str, str] = field(default_factory=dict)


class MemoryVectorStore:
    """Exact search by squared L2 distance; ids count up over all collections.

    ``rows`` shows what is stored; ``housekeeping`` counts the calls of ``tend``; ``originals.fill`` makes a
    collection of the original system. `copy`, `put_back` and `cut_power` do what befalls a store on a disk.
    """

    kind = "memory"
    folder: Path | None = None

    def __init__(self) -> None:
        self._specs: dict[str, CollectionSpec] = {}
        self._rows: dict[str, dict[int, Row]] = {}
        self._synced: dict[str, dict[int, Row]] = {}
        self._marks: dict[str, str] = {}
        self._incidents: list[Incident] = []
        self._next_id = 1
        self._lock = threading.Lock()
        self.housekeeping = 0
        self.is_closed = False
        self.originals = MemoryOriginals(self.ensure, self._specs)

    def rows(self, collection: str) -> Mapping[int, Row]:
        """Every row of a collection by id, live and not to be changed; empty for a collection that is not there."""
        return self._rows.get(collection, {})

    def copy(self) -> "StoreCopy":
        """What a copy of its files holds."""
        with self._lock:
            return StoreCopy(
                dict(self._specs), {name: dict(rows) for name, rows in self._rows.items()}, dict(self._marks)
            )

    def put_back(self, copy: "StoreCopy") -> None:
        """Another state of the files is found when the store is opened again: ids begin after the highest in it."""
        with self._lock:
            self._specs.clear()
            self._specs.update(copy.specs)
            self._rows = {name: dict(rows) for name, rows in copy.rows.items()}
            self._synced = {name: dict(rows) for name, rows in copy.rows.items()}
            self._marks = dict(copy.marks)
            self._next_id = 1 + max((each for rows in self._rows.values() for each in rows), default=0)

    def cut_power(self) -> None:
        """What was not synced is gone. The torn logs are noticed when the store is opened again."""
        with self._lock:
            copy = StoreCopy(dict(self._specs), self._synced, dict(self._marks))
            self._incidents += [
                Incident(name, "its log was torn") for name in self._rows if self._rows[name] != self._synced.get(name)
            ]
        self.put_back(copy)

    def ensure(self, spec: CollectionSpec, after_id: int = 0) -> None:
        """See `ports.VectorStore`."""
        if spec.name in self.originals.names:
            raise SchemaMismatch(
                f"The collection {spec.name} was made by the original system.",
                hint=f"Take it over: s3-to-milvus adopt --collection {spec.name}",
            )
        with self._lock:
            known = self._specs.setdefault(spec.name, spec)
            if (known.dim, known.embedder) != (spec.dim, spec.embedder):
                raise SchemaMismatch(
                    f"The collection {spec.name} holds {known.dim} dimensions of embedder {known.embedder}, "
                    f"not {spec.dim} of {spec.embedder}."
                )
            self._rows.setdefault(spec.name, {})
            self._synced.setdefault(spec.name, {})
            self._next_id = max(self._next_id, after_id + 1)

    def insert(self, collection: str, rows: Sequence[Row]) -> list[int]:
        """See `ports.VectorStore`."""
        if not rows:
            return []
        with self._lock:
            if collection not in self._rows:
                raise SchemaMismatch(f"There is no collection {collection}.")
            dim = self._specs[collection].dim
            for place, row in enumerate(rows):
                _check(place, row, dim)
            first = self._next_id
            self._next_id += len(rows)
            ids = list(range(first, self._next_id))
            self._rows[collection].update(zip(ids, rows, strict=True))
            return ids

    def sync(self, collections: Collection[str]) -> None:
        """See `ports.VectorStore`."""
        with self._lock:
            for name in collections:
                if name in self._rows:
                    self._synced[name] = dict(self._rows[name])

    def delete(self, collection: str, rows: Sequence[RowSet]) -> None:
        """See `ports.VectorStore`."""
        with self._lock:
            stored = self._rows.get(collection, {})
            for each in rows:
                for row_id in _ids_of(stored, each):
                    del stored[row_id]

    def delete_other_runs(self, collection: str, object_id: str, keep_run: int, before_run: int) -> None:
        """See `ports.VectorStore`."""
        if not _OBJECT_ID.fullmatch(object_id):
            raise ValueError(f"not an object id: {object_id!r}")
        with self._lock:
            rows = self._rows.get(collection, {})
            old = [
                each
                for each, row in rows.items()
                if row.object_id == object_id and row.run < before_run and row.run != keep_run
            ]
            for each in old:
                del rows[each]

    def fetch(self, collection: str, rows: RowSet, *, with_vectors: bool = False) -> list[StoredRow]:
        """See `ports.VectorStore`."""
        with self._lock:
            stored = self._rows.get(collection, {})
            return [_stored(each, stored[each], with_vectors) for each in _ids_of(stored, rows)]

    def search(self, collection: str, vector: "NDArray[float32]", limit: int) -> list[Hit]:
        """See `ports.VectorStore`."""
        wanted = [float(value) for value in vector]
        with self._lock:
            rows = list(self._rows.get(collection, {}).items())
        found = sorted((_distance(wanted, row), each, row) for each, row in rows)[:limit] if limit > 0 else []
        return [_hit(collection, distance, each, row) for distance, each, row in found]

    def identities(self, collection: str) -> Iterator[RowIdentity]:
        """See `ports.VectorStore`."""
        with self._lock:
            rows = list(self._rows.get(collection, {}).items())
        return (RowIdentity(each, row.object_id, row.run) for each, row in rows)

    def count(self, collection: str, after_id: int = -1) -> int:
        """See `ports.VectorStore`."""
        with self._lock:
            return sum(each > after_id for each in self._rows.get(collection, {}))

    def mark(self, collection: str) -> str:
        """See `ports.VectorStore`."""
        return self._marks.get(collection, "") if collection in self._rows else ""

    def put_mark(self, collection: str, mark: str) -> None:
        """See `ports.VectorStore`."""
        if collection in self._rows:
            self._marks[collection] = mark

    def incidents(self) -> list[Incident]:
        """See `ports.VectorStore`."""
        found, self._incidents = self._incidents, []
        return found

    def collections(self) -> list[str]:
        """See `ports.VectorStore`."""
        return sorted([*self._rows, *self.originals.names])

    def drop(self, collection: str) -> None:
        """See `ports.VectorStore`."""
        with self._lock:
            self._rows.pop(collection, None)
            self._specs.pop(collection, None)
            self._synced.pop(collection, None)
            self._marks.pop(collection, None)
            self.originals.drop(collection)

    def tend(self, *, is_idle: bool) -> bool:
        """Nothing ever is due."""
        self.housekeeping += 1
        return False

    def check(self) -> str:
        """Always well."""
        return f"in memory, {len(self._rows)} collections"

    def freeze(self, meanwhile: Callable[[], None]) -> None:
        """See `ports.VectorStore`. What lies in memory is no more copied than what lies on a server."""
        meanwhile()

    def close(self) -> None:
        """Keeps its rows, so that a test can look at them."""
        self.is_closed = True


def _ids_of(stored: Mapping[int, Row], rows: RowSet) -> list[int]:
    """The ids of those that are there and are theirs."""
    return [
        each
        for each in rows.ids
        if (row := stored.get(each)) is not None and (row.object_id, row.run) == (rows.object_id, rows.run)
    ]


def _check(place: int, row: Row, dim: int) -> None:
    for name, limit in _TEXTS:
        value: str = getattr(row, name)
        if len(value) * 4 <= limit and value.isascii():
            continue
        try:
            size = len(value.encode())
        except UnicodeEncodeError as exc:
            raise Rejected(f"Row {place}: {name} is no valid Unicode text.") from exc
        if size > limit:
            raise Rejected(f"Row {place}: {name} has {size} bytes, more than {limit}.")
    if len(row.vector) != dim:
        raise Rejected(f"Row {place}: the vector has {len(row.vector)} dimensions, not {dim}.")
    if not math.isfinite(row.vector.sum()):
        raise Rejected(f"Row {place}: the vector holds a value that is no finite number.")


def _distance(wanted: list[float], row: Row) -> float:
    return sum((left - float(right)) ** 2 for left, right in zip(wanted, row.vector, strict=True))


def _stored(each: int, row: Row, with_vectors: bool) -> StoredRow:
    vector = row.vector if with_vectors else None
    meta = dict(row.meta)
    return StoredRow(
        each, row.object_id, row.run, row.chunk_no, row.text, row.page, meta, vector, row.bucket, row.file_key
    )


def _hit(collection: str, distance: float, each: int, row: Row) -> Hit:
    stored = _stored(each, row, with_vectors=False)
    return Hit(1.0 / (1.0 + distance), distance, collection, stored, row.bucket, row.file_key, row.file_name)
