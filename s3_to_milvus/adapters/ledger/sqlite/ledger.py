"""`SqliteLedger`: the port's methods, each one request to the writer or one read."""

import math
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from pydantic import BaseModel, Field

from s3_to_milvus.adapters.ledger.sqlite import doors, queue, resolution, shelves
from s3_to_milvus.adapters.ledger.sqlite.connections import ReadPool, open_reader, open_writer
from s3_to_milvus.adapters.ledger.sqlite.failures import translated
from s3_to_milvus.adapters.ledger.sqlite.health import FileHealth, examine
from s3_to_milvus.adapters.ledger.sqlite.migrate import migrate
from s3_to_milvus.adapters.ledger.sqlite.reading import Reading
from s3_to_milvus.adapters.ledger.sqlite.snapshot import LedgerSnapshot
from s3_to_milvus.adapters.ledger.sqlite.writer import Writer
from s3_to_milvus.domain.access import AccessKey
from s3_to_milvus.domain.objects import Lane, ObjectRef
from s3_to_milvus.domain.quarantine import QuarantinedBody
from s3_to_milvus.domain.records import (
    Claim,
    Commit,
    Counts,
    Failure,
    IndexedLine,
    JournalEntry,
    ObjectState,
    ObjectStatus,
    Record,
    Run,
    RunStats,
    SettleState,
)
from s3_to_milvus.domain.rows import CollectionSpec
from s3_to_milvus.ports import CollectionCounts, SourceEntry, Standing

__all__ = ["SqliteLedger"]

_EXAMINED_AT_ONCE = 64 << 20  # bytes: 0.2 s; a larger file is examined while the ledger works


class SqliteLedger:
    """Implements `ports.Ledger` in one file on a local disk; several processes of one host may share it."""

    kind = "sqlite"

    class Options(BaseModel, extra="forbid"):
        """``busy_timeout_s``: how long to wait for another process that writes."""

        busy_timeout_s: float = Field(default=30.0, gt=0)

    def __init__(self, options: Options, path: Path) -> None:
        self._path = path
        self._busy_timeout_s = options.busy_timeout_s
        try:
            connection = open_writer(path, options.busy_timeout_s)
            is_large = path.stat().st_size > _EXAMINED_AT_ONCE
            try:
                if not is_large:
                    examine(connection, path)
                migrate(connection)
            except BaseException:
                connection.close()
                raise
        except (sqlite3.Error, UnicodeDecodeError) as exc:
            raise translated(exc, is_opening=True, file=str(path)) from exc
        self._health = FileHealth(path)
        self._writer = Writer(connection, self._health)
        self._pool = ReadPool(path, options.busy_timeout_s, self._health)
        self._reading = Reading(self._pool)
        self._mark = self._reading.mark()
        if is_large:
            self._health.examine_behind(open_reader(path, options.busy_timeout_s))

    @property
    def mark(self) -> str:
        """As `Ledger.mark`."""
        return self._mark

    def observe(self, refs: Sequence[ObjectRef], lane: Lane, now: float) -> None:
        """As `Ledger.observe`."""
        if refs:
            self._writer.run(lambda txn: queue.observe(txn, refs, lane, now))

    def requeue(self, refs: Sequence[ObjectRef] | None, now: float) -> int:
        """As `Ledger.requeue`."""
        return self._writer.run(lambda txn: queue.requeue(txn, refs, now))

    def suspect(self, refs: Sequence[ObjectRef], now: float) -> int:
        """As `Ledger.suspect`."""
        return self._writer.run(lambda txn: queue.suspect(txn, refs, now)) if refs else 0

    def claim(self, owner: str, limit: int, now: float, lease_s: float) -> list[Claim]:
        """As `Ledger.claim`."""
        return self._writer.run(lambda txn: queue.claim(txn, owner, limit, now, lease_s))

    def heartbeat(self, claims: Sequence[Claim], now: float, lease_s: float) -> list[bool]:
        """As `Ledger.heartbeat`."""
        return self._writer.run(lambda txn: queue.heartbeat(txn, claims, now, lease_s)) if claims else []

    def begin(self, claim: Claim) -> bool:
        """As `Ledger.begin`."""
        return self._writer.run(lambda txn: queue.begin(txn, claim))

    def commit(self, commits: Sequence[Commit], now: float) -> list[bool]:
        """As `Ledger.commit`."""
        return self._writer.run(lambda txn: resolution.commit(txn, commits, now)) if commits else []

    def settle(self, claims: Sequence[Claim], now: float, recheck_s: float) -> list[SettleState]:
        """As `Ledger.settle`."""
        return self._writer.run(lambda txn: resolution.settle(txn, claims, now, recheck_s)) if claims else []

    def retry(
        self,
        claim: Claim,
        failure: Failure,
        now: float,
        due: float,
        *,
        is_unclean: bool,
        is_charged: bool,
        stats: RunStats = RunStats(),
    ) -> SettleState:
        """As `Ledger.retry`."""
        flags = {"is_unclean": is_unclean, "is_charged": is_charged}
        return self._writer.run(lambda txn: resolution.retry(txn, claim, failure, now, due, stats, **flags))

    def bury(
        self, claim: Claim, failure: Failure, now: float, recheck_s: float, retry_at: float | None = None
    ) -> SettleState:
        """As `Ledger.bury`. Garbage stays known: to delete it twice does no harm, to forget it would."""
        return self._writer.run(lambda txn: resolution.bury(txn, claim, failure, now, recheck_s, retry_at))

    def put_off(self, claim: Claim, failure: Failure, now: float, due: float, not_before: float) -> SettleState:
        """As `Ledger.put_off`."""
        return self._writer.run(lambda txn: resolution.put_off(txn, claim, failure, now, due, not_before))

    def release(self, claims: Sequence[Claim], now: float) -> None:
        """As `Ledger.release`."""
        if claims:
            self._writer.run(lambda txn: resolution.release(txn, claims, now))

    def expire_all(self, now: float) -> int:
        """As `Ledger.expire_all`."""
        return self._writer.run(lambda txn: queue.expire_all(txn, now))

    def raise_runs(self, least: int) -> None:
        """As `Ledger.raise_runs`."""
        self._writer.run(lambda txn: queue.raise_runs(txn, least))

    def note_run(self, claim: Claim, action: str, outcome: str, now: float, stats: RunStats) -> None:
        """As `Ledger.note_run`."""
        self._writer.run(lambda txn: resolution.note_run(txn, claim, action, outcome, now, stats))

    def next_due(self) -> float | None:
        """As `Ledger.next_due`."""
        return self._reading.next_due()

    def status(self, ref: ObjectRef) -> ObjectStatus | None:
        """As `Ledger.status`."""
        return self._reading.status(ref)

    def find(self, object_id: str) -> ObjectRef | None:
        """As `Ledger.find`."""
        return self._reading.find(object_id)

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
        return self._reading.objects(bucket, prefix, state, after, limit)

    def lines(self, bucket: str, prefix: str = "") -> Iterator[IndexedLine]:
        """As `Ledger.lines`."""
        return self._reading.lines(bucket, prefix)

    def records(self, bucket: str | None = None, prefix: str = "", collection: str | None = None) -> Iterator[Record]:
        """As `Ledger.records`."""
        return self._reading.records(bucket, prefix, collection)

    def standing(self, object_ids: Collection[str]) -> dict[str, Standing]:
        """As `Ledger.standing`."""
        return self._reading.standing(object_ids)

    def counts(self, bucket: str | None = None, prefix: str = "") -> Counts:
        """As `Ledger.counts`."""
        return self._reading.counts(bucket, prefix)

    def runs(self, ref: ObjectRef | None = None, limit: int = 50) -> list[Run]:
        """As `Ledger.runs`."""
        return self._reading.runs(ref, limit)

    def freshness(self, limit: int = 1000) -> list[float]:
        """As `Ledger.freshness`."""
        return self._reading.freshness(limit)

    def add_collection(self, spec: CollectionSpec) -> CollectionSpec:
        """As `Ledger.add_collection`."""
        return self._writer.run(lambda txn: shelves.add_collection(txn, spec))

    def collections(self) -> list[CollectionCounts]:
        """As `Ledger.collections`."""
        return shelves.collections(self._pool)

    def set_collection(
        self, name: str, *, is_marked: bool | None = None, is_suspect: bool | None = None, after_id: int = 0
    ) -> None:
        """As `Ledger.set_collection`."""
        self._writer.run(lambda txn: shelves.set_collection(txn, name, is_marked, is_suspect, after_id))

    def newest(self, collection: str) -> Record | None:
        """As `Ledger.newest`."""
        return self._reading.newest(collection)

    def put_source(self, entry: SourceEntry) -> None:
        """As `Ledger.put_source`."""
        self._writer.run(lambda txn: shelves.put_source(txn, entry))

    def sources(self) -> list[SourceEntry]:
        """As `Ledger.sources`."""
        return shelves.sources(self._pool)

    def outbox(self, now: float, limit: int) -> list[JournalEntry]:
        """As `Ledger.outbox`."""
        return shelves.outbox(self._pool, now, limit)

    def outbox_done(self, ids: Sequence[int]) -> None:
        """As `Ledger.outbox_done`."""
        if ids:
            self._writer.run(lambda txn: shelves.outbox_done(txn, ids))

    def outbox_later(self, ids: Sequence[int], due: float) -> None:
        """As `Ledger.outbox_later`."""
        if ids:
            self._writer.run(lambda txn: shelves.outbox_later(txn, ids, due))

    def reserve(
        self, name: str, amount: float, interval_s: float, burst_s: float, now: float, most_s: float = math.inf
    ) -> float:
        """As `Ledger.reserve`."""
        return self._writer.run(lambda txn: shelves.reserve(txn, name, amount, interval_s, burst_s, now, most_s))

    def quarantine(self, bodies: Sequence[QuarantinedBody]) -> None:
        """As `Ledger.quarantine`."""
        if bodies:
            self._writer.run(lambda txn: doors.quarantine(txn, bodies))

    def quarantined(self, after: int = 0, limit: int = 100) -> list[QuarantinedBody]:
        """As `Ledger.quarantined`."""
        return doors.quarantined(self._pool, after, limit)

    def unquarantine(self, ids: Sequence[int]) -> None:
        """As `Ledger.unquarantine`."""
        if ids:
            self._writer.run(lambda txn: doors.unquarantine(txn, ids))

    def ticket(self, key: str) -> str | None:
        """As `Ledger.ticket`."""
        return doors.ticket(self._pool, key)

    def put_ticket(self, key: str, value: str, now: float) -> None:
        """As `Ledger.put_ticket`."""
        self._writer.run(lambda txn: doors.put_ticket(txn, key, value, now))

    def drop_ticket(self, key: str) -> None:
        """As `Ledger.drop_ticket`."""
        self._writer.run(lambda txn: doors.drop_ticket(txn, key))

    def access_keys(self) -> list[AccessKey]:
        """As `Ledger.access_keys`."""
        return doors.access_keys(self._pool)

    def put_access_key(self, key: AccessKey) -> None:
        """As `Ledger.put_access_key`."""
        self._writer.run(lambda txn: doors.put_access_key(txn, key))

    def drop_access_key(self, name: str) -> bool:
        """As `Ledger.drop_access_key`."""
        return self._writer.run(lambda txn: doors.drop_access_key(txn, name))

    def check(self) -> str:
        """As `ObjectStore.check`."""
        self._writer.run(lambda _: None)
        counts = self._reading.counts(None, "")
        known = counts.indexed + counts.waiting + counts.running + counts.failed + counts.empty
        return f"SQLite {sqlite3.sqlite_version} at {self._path}: can be written, knows {known} objects."

    def freeze(self) -> LedgerSnapshot:
        """As `Ledger.freeze`."""
        return LedgerSnapshot(self._path, self._busy_timeout_s, self._health)

    def close(self) -> None:
        """As `Ledger.close`."""
        self._health.close()
        self._pool.close()
        self._writer.close()
