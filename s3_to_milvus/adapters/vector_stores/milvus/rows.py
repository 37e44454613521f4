"""Rows on their way in (checked, then as Milvus takes them) and on their way out."""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from s3_to_milvus.domain import limits
from s3_to_milvus.domain.rows import Hit, Row, StoredRow
from s3_to_milvus.errors import Rejected

__all__ = [
    "HIT_FIELDS",
    "REQUEST_BYTES",
    "STORED_FIELDS",
    "entities",
    "hit_of",
    "object_filter",
    "score_of",
    "stored_of",
]

REQUEST_BYTES = 60 * 2**20  # a server refuses requests over 64 MiB
STORED_FIELDS = ["object_id", "run", "chunk_no", "text", "page", "meta", "bucket", "file_key"]
HIT_FIELDS = [*STORED_FIELDS, "file_name"]
_TEXTS = (
    ("text", limits.TEXT_BYTES),
    ("file_name", limits.FILE_NAME_BYTES),
    ("file_date", limits.FILE_DATE_BYTES),
    ("object_id", 64),
    ("bucket", limits.BUCKET_BYTES),
    ("file_key", limits.FILE_KEY_BYTES),
)
_INTEGERS = ("run", "chunk_no", "page")
_INT64 = 2**63
_META_BYTES = 65_536  # of a JSON field on a server
_OBJECT_ID = re.compile(r"[0-9a-f]{1,64}")


class _Whole(str):
    """A text whose only item is itself.

    pymilvus 3.0 checks a VARCHAR by iterating over it as if it were a list of texts, so that every character costs
    as much as a row (`convert_to_str_array`). With this it checks the text once.
    """

    __slots__ = ()

    def __iter__(self) -> Iterator[str]:
        yield str(self)


class _Vector(np.ndarray[Any, np.dtype[np.float32]]):
    """A vector that gives Python numbers, which pymilvus packs faster than numpy's, and only while it is packed."""

    def __iter__(self) -> Iterator[Any]:
        return iter(self.tolist())


def entities(rows: Sequence[Row], dim: int) -> list[dict[str, Any]]:
    """The rows as `MilvusClient.insert` takes them. Raises `Rejected` for what a server would refuse, naming the row.

    Milvus Lite counts characters where a server counts bytes, and takes NaN: so we check for both.
    """
    vectors = _matrix(rows, dim)
    size = vectors.nbytes
    found = []
    for place, (row, vector) in enumerate(zip(rows, vectors, strict=True)):
        entity: dict[str, Any] = {"vector": vector.view(_Vector)}
        for name, limit in _TEXTS:
            value = getattr(row, name)
            size += _text_bytes(place, name, value, limit)
            entity[name] = _Whole(value)
        for name in _INTEGERS:
            entity[name] = _integer(place, name, getattr(row, name))
        entity["meta"] = _meta(place, row.meta)
        found.append(entity)
    if size > REQUEST_BYTES:
        raise Rejected(f"{len(rows)} rows of together {size} bytes are too large for one request to Milvus.")
    return found


def _matrix(rows: Sequence[Row], dim: int) -> Any:
    for place, row in enumerate(rows):
        shape = np.shape(row.vector)
        if shape != (dim,):
            raise Rejected(f"Row {place}: the vector has the shape {shape}, the collection has {dim} dimensions.")
    vectors = np.asarray([row.vector for row in rows], dtype=np.float32)
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        raise Rejected(f"Row {int(np.argmin(finite))}: the vector holds a value that is no finite number.")
    return vectors


def _text_bytes(place: int, name: str, value: str, limit: int) -> int:
    if value.isascii():
        size = len(value)
    else:
        try:
            size = len(value.encode())
        except UnicodeEncodeError as exc:
            raise Rejected(f"Row {place}: {name} is no valid Unicode text.") from exc
    if size > limit:
        raise Rejected(f"Row {place}: {name} has {size} bytes, more than {limit}.")
    return size


def _integer(place: int, name: str, value: int) -> int:
    if not -_INT64 <= value < _INT64:
        raise Rejected(f"Row {place}: {name} is no 64 bit integer.")
    return value


def _meta(place: int, meta: Mapping[str, Any]) -> dict[str, Any]:
    if not meta:
        return {}
    try:
        data = json.dumps(meta, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as exc:
        raise Rejected(f"Row {place}: meta is no JSON: {exc}") from exc
    if len(data) > _META_BYTES:
        raise Rejected(f"Row {place}: meta has {len(data)} bytes, more than {_META_BYTES}.")
    return dict(meta)


def object_filter(object_id: str, keep_run: int, before_run: int) -> str:
    """The filter for rows of an object that no record names. Only our own hex and integers stand in it."""
    if not _OBJECT_ID.fullmatch(object_id):
        raise ValueError(f"not an object id: {object_id!r}")
    return f'object_id == "{object_id}" and run < {int(before_run)} and run != {int(keep_run)}'


def stored_of(entity: Mapping[str, Any]) -> StoredRow:
    """A row as `query` gives it back."""
    vector = entity.get("vector")
    return StoredRow(
        id=entity["id"],
        object_id=entity["object_id"],
        run=entity["run"],
        chunk_no=entity["chunk_no"],
        text=entity["text"],
        page=entity["page"],
        meta=_read_meta(entity["meta"]),
        vector=None if vector is None else np.asarray(vector, dtype=np.float32),
        bucket=entity["bucket"],
        key=entity["file_key"],
    )


def hit_of(collection: str, found: Mapping[str, Any], metric: str) -> Hit:
    """A hit as `search` gives it."""
    entity = found["entity"]
    distance = float(found["distance"])
    row = stored_of({**entity, "id": found["id"], "vector": None})
    score = score_of(distance, metric)
    return Hit(score, distance, collection, row, entity["bucket"], entity["file_key"], entity["file_name"])


def score_of(distance: float, metric: str) -> float:
    """Larger for better: 1 / (1 + distance) for L2 (Milvus gives the square), the value itself for IP and COSINE."""
    if metric == "L2":
        return 1.0 / (1.0 + max(0.0, distance)) if math.isfinite(distance) else 0.0
    return distance


def _read_meta(value: Any) -> Mapping[str, Any]:
    if isinstance(value, (str, bytes)):
        value = json.loads(value)
    return value if isinstance(value, dict) else {}
