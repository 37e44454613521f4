"""The small tables beside the queue: collections, sources, outbox, shared rate limits."""

from collections.abc import Sequence

from s3_to_milvus.adapters.ledger.sqlite.connections import ReadPool
from s3_to_milvus.adapters.ledger.sqlite.rows import entry_of, key_of, text_of
from s3_to_milvus.adapters.ledger.sqlite.writer import Transaction
from s3_to_milvus.domain.rates import reserved
from s3_to_milvus.domain.records import JournalEntry
from s3_to_milvus.domain.rows import CollectionSpec
from s3_to_milvus.errors import SchemaMismatch
from s3_to_milvus.ports import CollectionCounts, SourceEntry

__all__ = [
    "add_collection",
    "collections",
    "outbox",
    "outbox_done",
    "outbox_later",
    "put_source",
    "reserve",
    "set_collection",
    "sources",
]

_KNOWN_COLLECTION = "SELECT name, dim FROM collections WHERE label = ? AND embedder = ?"
_IS_NAME_TAKEN = "SELECT 1 FROM collections WHERE name = ?"
_NEW_COLLECTION = "INSERT INTO collections (name, label, dim, embedder) VALUES (?, ?, ?, ?)"
_COLLECTIONS = """SELECT c.name, c.label, c.dim, c.embedder, coalesce(o.n, 0), coalesce(k.n, 0), c.last_id,
  c.is_marked, c.is_suspect FROM collections c
LEFT JOIN counters o ON o.what = 'objects' AND o.name = c.name
LEFT JOIN counters k ON k.what = 'chunks' AND k.name = c.name ORDER BY c.name"""
_SET_COLLECTION = """UPDATE collections SET is_marked = coalesce(?, is_marked), is_suspect = coalesce(?, is_suspect),
  last_id = max(last_id, ?) WHERE name = ?"""
_PUT_SOURCE = "REPLACE INTO sources (name, uri, prefix, is_paused, last_scan_at) VALUES (?, ?, ?, ?, ?)"
_SOURCES = "SELECT name, uri, prefix, is_paused, last_scan_at FROM sources ORDER BY name, uri"
_OUTBOX = """SELECT id, bucket, key, action, outcome, started_at, elapsed_s, message FROM outbox
WHERE due <= ? ORDER BY id LIMIT ?"""
_OUTBOX_DONE = "DELETE FROM outbox WHERE id = ?"
_OUTBOX_LATER = "UPDATE outbox SET due = ? WHERE id = ?"
_FREE_AT = "SELECT free_at FROM limits WHERE name = ?"
_RESERVE = "REPLACE INTO limits (name, free_at) VALUES (?, ?)"


def add_collection(txn: Transaction, spec: CollectionSpec) -> CollectionSpec:
    """As `Ledger.add_collection`. Raises `SchemaMismatch` where another label or embedder has the name."""
    label = text_of(spec.label)
    row = txn.execute(_KNOWN_COLLECTION, (label, spec.embedder)).fetchone()
    if row is not None:
        return CollectionSpec(row[0], spec.label, row[1], spec.embedder)
    if txn.execute(_IS_NAME_TAKEN, (spec.name,)).fetchone() is not None:
        raise SchemaMismatch(f"The collection {spec.name!r} belongs to other documents already.")
    txn.execute(_NEW_COLLECTION, (spec.name, label, spec.dim, spec.embedder))
    return spec


def collections(pool: ReadPool) -> list[CollectionCounts]:
    """As `Ledger.collections`."""
    with pool.borrow() as connection:
        rows = connection.execute(_COLLECTIONS).fetchall()
    return [
        CollectionCounts(
            CollectionSpec(name, key_of(label), dim, embedder), objects, chunks, last_id, bool(marked), bool(suspect)
        )
        for name, label, dim, embedder, objects, chunks, last_id, marked, suspect in rows
    ]


def set_collection(txn: Transaction, name: str, is_marked: bool | None, is_suspect: bool | None, after_id: int) -> None:
    """As `Ledger.set_collection`."""
    txn.execute(_SET_COLLECTION, (is_marked, is_suspect, after_id, name))


def put_source(txn: Transaction, entry: SourceEntry) -> None:
    """As `Ledger.put_source`."""
    values = (entry.name, text_of(entry.uri), text_of(entry.prefix), entry.is_paused, entry.last_scan_at)
    txn.execute(_PUT_SOURCE, values)


def sources(pool: ReadPool) -> list[SourceEntry]:
    """As `Ledger.sources`."""
    with pool.borrow() as connection:
        rows = connection.execute(_SOURCES).fetchall()
    return [
        SourceEntry(name, key_of(uri), key_of(prefix), bool(is_paused), last_scan_at)
        for name, uri, prefix, is_paused, last_scan_at in rows
    ]


def outbox(pool: ReadPool, now: float, limit: int) -> list[JournalEntry]:
    """As `Ledger.outbox`."""
    with pool.borrow() as connection:
        return [entry_of(row) for row in connection.execute(_OUTBOX, (now, limit)).fetchall()]


def outbox_done(txn: Transaction, ids: Sequence[int]) -> None:
    """As `Ledger.outbox_done`."""
    txn.connection.executemany(_OUTBOX_DONE, [(each,) for each in ids])


def outbox_later(txn: Transaction, ids: Sequence[int], due: float) -> None:
    """As `Ledger.outbox_later`."""
    txn.connection.executemany(_OUTBOX_LATER, [(due, each) for each in ids])


def reserve(
    txn: Transaction, name: str, amount: float, interval_s: float, burst_s: float, now: float, most_s: float
) -> float:
    """As `Ledger.reserve`."""
    row = txn.execute(_FREE_AT, (name,)).fetchone()
    wait_s, free_at = reserved(row and row[0], amount, interval_s, burst_s, now, most_s)
    if free_at is not None:
        txn.execute(_RESERVE, (name, free_at))
    return wait_s
