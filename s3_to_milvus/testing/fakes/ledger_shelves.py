"""What the ledger in memory shows, and the small tables beside the queue."""

import math
from collections.abc import Collection, Iterator, Sequence

from s3_to_milvus.domain.objects import ObjectRef, sort_key
from s3_to_milvus.domain.rates import reserved
from s3_to_milvus.domain.records import (
    Counts,
    IndexedLine,
    JournalEntry,
    ObjectState,
    ObjectStatus,
    Record,
    Run,
)
from s3_to_milvus.domain.rows import CollectionSpec
from s3_to_milvus.errors import SchemaMismatch
from s3_to_milvus.ports import CollectionCounts, SourceEntry, Standing
from s3_to_milvus.testing.fakes.ledger_state import CollectionFacts, MemoryItem, MemoryTables, locked

__all__ = ["MemoryReading", "MemoryShelves"]


def _order(ref: ObjectRef) -> tuple[bytes, bytes]:
    return ref.bucket.encode(), sort_key(ref.key)


class MemoryReading(MemoryTables):
    """The reading half of `ports.Ledger`."""

    def _below(self, bucket: str | None, prefix: str) -> list[MemoryItem]:
        found = [
            item
            for ref, item in self.items.items()
            if bucket in (None, ref.bucket) and sort_key(ref.key).startswith(sort_key(prefix))
        ]
        return sorted(found, key=lambda item: _order(item.ref))

    @locked
    def next_due(self) -> float | None:
        """As `Ledger.next_due`."""
        dues = (item.work.due for item in self.items.values() if item.work is not None)
        return min((due for due in dues if due is not None), default=None)

    @locked
    def status(self, ref: ObjectRef) -> ObjectStatus | None:
        """As `Ledger.status`."""
        item = self.items.get(ref)
        return None if item is None else _status(item)

    @locked
    def find(self, object_id: str) -> ObjectRef | None:
        """As `Ledger.find`."""
        return next((ref for ref in self.items if ref.object_id == object_id), None)

    @locked
    def objects(
        self,
        *,
        bucket: str | None = None,
        prefix: str = "",
        state: ObjectState | None = None,
        after: ObjectRef | None = None,
        limit: int = 100,
    ) -> list[ObjectStatus]:
        """As `Ledger.objects`."""
        start = None if after is None else _order(after)
        items = [item for item in self._below(bucket, prefix) if start is None or _order(item.ref) > start]
        found = [status for item in items if (status := _status(item)) is not None]
        return [status for status in found if state in (None, status.state)][:limit]

    def lines(self, bucket: str, prefix: str = "") -> Iterator[IndexedLine]:
        """As `Ledger.lines`."""
        with self.lock:
            found = [
                (item.record, item.work is not None and not item.work.is_settled)
                for item in self._below(bucket, prefix)
                if item.record is not None
            ]
        for record, is_queued in found:
            version, has_rows = record.version, bool(record.ids)
            yield IndexedLine(record.ref.key, version.etag, version.size_bytes, record.recipe, has_rows, is_queued)

    def records(self, bucket: str | None = None, prefix: str = "", collection: str | None = None) -> Iterator[Record]:
        """As `Ledger.records`."""
        with self.lock:
            found = [item.record for item in self._below(bucket, prefix) if item.record is not None]
        yield from (each for each in found if collection is None or (each.ids and each.collection == collection))

    @locked
    def standing(self, object_ids: Collection[str]) -> dict[str, Standing]:
        """As `Ledger.standing`."""
        found = {}
        for ref, item in self.items.items():
            if item.record is not None and item.record.ids and (object_id := ref.object_id) in object_ids:
                found[object_id] = Standing(ref, item.record.collection, item.record.run)
        return found

    @locked
    def counts(self, bucket: str | None = None, prefix: str = "") -> Counts:
        """As `Ledger.counts`."""
        items = self._below(bucket, prefix)
        states = [item.state for item in items]
        retrying = sum(
            item.state is ObjectState.WAITING and item.work is not None and bool(item.work.error_code) for item in items
        )
        return Counts(
            indexed=states.count(ObjectState.INDEXED),
            waiting=states.count(ObjectState.WAITING),
            running=states.count(ObjectState.RUNNING),
            failed=states.count(ObjectState.FAILED),
            empty=states.count(ObjectState.EMPTY),
            retrying=retrying,
        )

    @locked
    def runs(self, ref: ObjectRef | None = None, limit: int = 50) -> list[Run]:
        """As `Ledger.runs`."""
        chosen = self.history.values() if ref is None else [self.history.get(ref, ())]
        found = [run for runs in chosen for run in runs]
        return sorted(found, key=lambda run: -run.run)[:limit]

    @locked
    def freshness(self, limit: int = 1000) -> list[float]:
        """As `Ledger.freshness`."""
        return [self.fresh[run] for run in sorted(self.fresh, reverse=True)[:limit]]


def _status(item: MemoryItem) -> ObjectStatus | None:
    state, work, record = item.state, item.work, item.record
    if state is None:
        return None
    if work is not None and work.error_code:
        error = (work.error_code, work.error)
    else:
        error = (record.error_code, record.error) if record else ("", "")
    if work is None:
        return ObjectStatus(item.ref, state, record, error_code=error[0], error=error[1])
    return ObjectStatus(item.ref, state, record, work.attempts, work.due, *error)


class MemoryShelves(MemoryTables):
    """Collections, sources, outbox and shared limits."""

    @locked
    def add_collection(self, spec: CollectionSpec) -> CollectionSpec:
        """As `Ledger.add_collection`."""
        for known in self.specs.values():
            if (known.label, known.embedder) == (spec.label, spec.embedder):
                return known
        if spec.name in self.specs:
            raise SchemaMismatch(f"The collection {spec.name!r} belongs to other documents already.")
        self.specs[spec.name] = spec
        return spec

    @locked
    def collections(self) -> list[CollectionCounts]:
        """As `Ledger.collections`."""
        found = []
        for name in sorted(self.specs):
            records = [item.record for item in self.items.values() if item.record is not None]
            standing = [record for record in records if record.collection == name and record.ids]
            chunks = sum(record.chunk_count for record in standing)
            facts = self.collection_facts.get(name, CollectionFacts())
            flags = (facts.last_id, facts.is_marked, facts.is_suspect)
            found.append(CollectionCounts(self.specs[name], len(standing), chunks, *flags))
        return found

    @locked
    def set_collection(
        self, name: str, *, is_marked: bool | None = None, is_suspect: bool | None = None, after_id: int = 0
    ) -> None:
        """As `Ledger.set_collection`."""
        facts = self.collection_facts.setdefault(name, CollectionFacts())
        facts.is_marked = facts.is_marked if is_marked is None else is_marked
        facts.is_suspect = facts.is_suspect if is_suspect is None else is_suspect
        facts.last_id = max(facts.last_id, after_id)

    @locked
    def newest(self, collection: str) -> Record | None:
        """As `Ledger.newest`."""
        records = [item.record for item in self.items.values() if item.record is not None]
        standing = [record for record in records if record.collection == collection and record.ids]
        return max(standing, key=lambda record: record.ids.last, default=None)

    @locked
    def put_source(self, entry: SourceEntry) -> None:
        """As `Ledger.put_source`."""
        self.source_entries[entry.uri] = entry

    @locked
    def sources(self) -> list[SourceEntry]:
        """As `Ledger.sources`."""
        return sorted(self.source_entries.values(), key=lambda entry: (entry.name, sort_key(entry.uri)))

    @locked
    def outbox(self, now: float, limit: int) -> list[JournalEntry]:
        """As `Ledger.outbox`."""
        return [entry for due, entry in self.journal.values() if due <= now][:limit]

    @locked
    def outbox_done(self, ids: Sequence[int]) -> None:
        """As `Ledger.outbox_done`."""
        for entry_id in ids:
            self.journal.pop(entry_id, None)

    @locked
    def outbox_later(self, ids: Sequence[int], due: float) -> None:
        """As `Ledger.outbox_later`."""
        for entry_id in ids:
            if entry_id in self.journal:
                self.journal[entry_id] = (due, self.journal[entry_id][1])

    @locked
    def reserve(
        self, name: str, amount: float, interval_s: float, burst_s: float, now: float, most_s: float = math.inf
    ) -> float:
        """As `Ledger.reserve`."""
        wait_s, free_at = reserved(self.limits.get(name), amount, interval_s, burst_s, now, most_s)
        if free_at is not None:
            self.limits[name] = free_at
        return wait_s
