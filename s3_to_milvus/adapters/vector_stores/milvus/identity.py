"""Rows by their ids: whose each of them, and whose a collection is, before an id is believed."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from s3_to_milvus.adapters.vector_stores.milvus import rows as wire
from s3_to_milvus.adapters.vector_stores.milvus.connection import Connection
from s3_to_milvus.domain.rows import RowIdentity, StoredRow

__all__ = ["batches", "count", "mark", "owners", "page", "put_mark", "rows"]

_FIELDS = ["id", "object_id", "run"]
_PAGE_ROWS = 10_000
_MARK = "s3_to_milvus.mark"  # a property of a server's collection


def batches(ids: Iterable[int], size: int) -> Iterator[list[int]]:
    """Not more of them than one request may name."""
    remaining = iter(ids)
    while batch := list(islice(remaining, size)):
        yield batch


def rows(
    connection: Connection, collection: str, ids: Sequence[int], fields: Sequence[str], client: Any
) -> list[StoredRow]:
    """Those that have one of these ids, whosever they are."""
    condition = f"id in [{','.join(map(str, ids))}]"
    options = {"output_fields": list(fields), "consistency_level": "Strong", **connection.once}
    return [wire.stored_of(row) for row in client.query(collection, filter=condition, **options)]


def owners(
    connection: Connection, collection: str, ids: Sequence[int], level: str, client: Any
) -> dict[int, tuple[str, int]]:
    """By id, object and run of the rows that have these ids.

    A server is asked at the ``level`` of its readers first, and about what it does not see there strongly: that takes
    200 ms and more, and few rows are so new.
    """
    if connection.lite is not None:
        return dict(connection.lite.owners(collection, ids))
    found = _owners(connection, collection, ids, level, client)
    if unseen := [each for each in ids if each not in found]:
        found |= _owners(connection, collection, unseen, "Strong", client)
    return found


def _owners(
    connection: Connection, collection: str, ids: Sequence[int], level: str, client: Any
) -> dict[int, tuple[str, int]]:
    condition = f"id in [{','.join(map(str, ids))}]"
    found = client.query(
        collection, filter=condition, output_fields=_FIELDS, consistency_level=level, **connection.once
    )
    return {row["id"]: (row["object_id"], row["run"]) for row in found}


def count(connection: Connection, collection: str, after_id: int, client: Any) -> int:
    """How many rows have a greater id."""
    if connection.lite is not None:
        return int(connection.lite.count(collection, after_id))
    condition = f"id > {int(after_id)}" if after_id >= 0 else ""
    options = {"consistency_level": "Strong", **connection.once}
    found = client.query(collection, filter=condition, output_fields=["count(*)"], **options)
    return int(found[0]["count(*)"])


def page(connection: Connection, collection: str, after_id: int, client: Any) -> list[RowIdentity]:
    """The rows with the smallest ids after this one. pymilvus' own iterator reads with the client's clock as the
    bound, and so may miss the newest writes; this reads what was written before it was called."""
    found = client.query(
        collection,
        filter=f"id > {after_id}",
        output_fields=_FIELDS,
        limit=_PAGE_ROWS,
        reduce_stop_for_best=True,
        consistency_level="Strong",
        **connection.once,
    )
    return [RowIdentity(row["id"], row["object_id"], row["run"]) for row in found]


def mark(connection: Connection, collection: str, client: Any) -> str:
    """What `put_mark` wrote; empty: nothing."""
    if connection.lite is not None:
        return str(connection.lite.mark(collection))
    described = client.describe_collection(collection, **connection.once)
    return str(dict(described.get("properties") or {}).get(_MARK, ""))


def put_mark(connection: Connection, collection: str, value: str, client: Any) -> None:
    """Write it into the collection."""
    if connection.lite is not None:
        connection.lite.put_mark(collection, value)
    else:
        client.alter_collection_properties(collection, {_MARK: value}, **connection.once)
