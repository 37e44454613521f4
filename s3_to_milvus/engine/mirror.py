"""The engine's front: everything that doors may ask for, on one object."""

import threading
import time
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from s3_to_milvus.domain.objects import Lane, ObjectEvent, ObjectRef
from s3_to_milvus.domain.records import Counts, ObjectState, ObjectStatus, Run
from s3_to_milvus.domain.rows import StoredRow
from s3_to_milvus.engine.adoption import Adopted, Adopter, Adoption, AdoptionTally
from s3_to_milvus.engine.check import Checker, CheckReport
from s3_to_milvus.engine.collections import Collections
from s3_to_milvus.engine.intake import Intake, Taken
from s3_to_milvus.engine.integrity import IntegrityMonitor
from s3_to_milvus.engine.parts import Parts
from s3_to_milvus.engine.pool import WorkerPool
from s3_to_milvus.engine.resolve import Done
from s3_to_milvus.engine.scan import Scanner, ScanReport
from s3_to_milvus.engine.search import Found, Searcher
from s3_to_milvus.engine.tally import SyncReport, Tally
from s3_to_milvus.errors import FatalError, Interrupted, SchemaMismatch
from s3_to_milvus.ports import CollectionCounts, SourceEntry

__all__ = ["Mirror", "Progress", "Status"]

_GIVE_UP_ATTEMPTS = 3
_GIVE_UP_S = 10.0
_LOOK_S = 0.05


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a sync is: ``done`` of ``total`` objects (``total`` grows while the scan runs)."""

    done: int
    total: int
    chunks: int


@dataclass(frozen=True, slots=True)
class Status:
    """The state of everything, for people."""

    counts: Counts
    collections: list[CollectionCounts]
    freshness_p50_s: float | None
    freshness_p95_s: float | None
    sources: list[SourceEntry]
    held: FatalError | None
    warnings: list[str]


class Mirror:
    """Keeps Milvus equal to the stores. Build it in a composition root; `start` before anything that indexes."""

    def __init__(
        self,
        parts: Parts,
        open_bucket: Callable[[str], str] = lambda bucket: "",
        is_known: Callable[[str], bool] = lambda bucket: True,
    ) -> None:
        """For ``open_bucket`` and ``is_known`` see `Intake`."""
        self.parts = parts
        self.collections = Collections(parts)
        self._listeners: list[Callable[[Done], None]] = []
        self._listeners_lock = threading.Lock()
        self.pool = WorkerPool(parts, self.collections, self._heard)
        self.intake = Intake(parts, self.pool.wake, open_bucket, is_known)
        self._scanner = Scanner(parts, lambda ref: self.collections.label_of(ref) is not None)
        self._searcher = Searcher(parts)
        self.integrity = IntegrityMonitor(parts)
        self.guards: dict[str, str] = {}

    def start(self) -> None:
        """Start the workers, if they were not, and wake them."""
        self.pool.start()
        self.pool.wake()

    def compare(self) -> None:
        """Look whether every collection holds what the ledger says; what differs is made good. See `integrity`."""
        if self.integrity.look():
            self.pool.wake()

    def tick(self) -> None:
        """To be called every few seconds: what the vector store noticed itself is looked at without waiting for a
        scan."""
        if self.integrity.tick():
            self.pool.wake()

    def stop(self) -> None:
        """Stop the workers within the time of the settings, then close ledger and vector store."""
        self.pool.stop()
        self.parts.vectors.close()
        self.parts.ledger.close()

    def take(self, events: Sequence[ObjectEvent]) -> Taken:
        """Take events in; see `Intake`. Raises `TransientError`, and takes nothing, where one can't be judged now."""
        return self.intake.take(events, reasons=self.intake.open_buckets(events))

    def scan(
        self,
        source: SourceEntry,
        *,
        is_removal_confirmed: bool = False,
        prefix: str | None = None,
        on_progress: Callable[[ScanReport], None] = lambda report: None,
    ) -> ScanReport:
        """Scan a source (or one prefix of it) and let the workers run; does not wait for them.

        A source is remembered once something of it was found, and with the time once it was scanned to its end.
        """

        def tell(report: ScanReport) -> None:
            if prefix is None and all(each.uri != source.uri for each in self.parts.ledger.sources()):
                self.parts.ledger.put_source(source)
            self.pool.wake()
            on_progress(report)

        where = source.prefix if prefix is None else prefix
        try:
            report = self._scanner.scan(
                source.name,
                where,
                is_part=prefix is not None,
                is_removal_confirmed=is_removal_confirmed,
                on_progress=tell,
            )
        finally:
            self.pool.wake()  # what was found before a failure is marked, too
        if prefix is None:
            self._remember(source)
            if report.listed:  # an empty listing may be an outage: nobody's rows go because of it
                self.integrity.scanned(source)
        return report

    def _remember(self, source: SourceEntry) -> None:
        self.parts.ledger.put_source(replace(source, last_scan_at=self.parts.clock.now()))

    def plan(self, source: SourceEntry) -> SyncReport:
        """What a sync would do; writes nothing."""
        started = time.monotonic()
        report = self._scanner.scan(source.name, source.prefix, is_dry_run=True)
        counts = self.parts.ledger.counts(source.name, source.prefix)
        return SyncReport(
            source=source.uri,
            added=report.added,
            changed=report.changed,
            removed=report.removed,
            unchanged=report.standing,
            failed=counts.failed,
            empty=counts.empty,
            seconds=round(time.monotonic() - started, 3),
            plan=tuple((each.ref.bucket, each.ref.key, each.action) for each in report.plan),
        )

    def sync(
        self,
        source: SourceEntry,
        *,
        is_removal_confirmed: bool = False,
        on_progress: Callable[[Progress], None] = lambda progress: None,
    ) -> SyncReport:
        """Scan a source and wait until it is in Milvus, or until what remains keeps failing.

        Raises `RemovalGuard`; `FatalError` when the queue is held and nothing moves.
        """
        started = time.monotonic()
        tally = Tally(source.name, source.prefix)
        with self._heard_by(tally.take):
            self._sync(source, tally, on_progress, is_removal_confirmed=is_removal_confirmed)
        counts = self.parts.ledger.counts(source.name, source.prefix)
        return tally.report(source.uri, counts, time.monotonic() - started)

    def _sync(
        self, source: SourceEntry, tally: Tally, on_progress: Callable[[Progress], None], *, is_removal_confirmed: bool
    ) -> None:
        def tell(report: ScanReport) -> None:
            on_progress(Progress(tally.finished, report.added + report.changed + report.removed, tally.chunks))

        self.compare()
        report = self.scan(source, is_removal_confirmed=is_removal_confirmed, on_progress=tell)
        tell(report)
        self.guards.pop(source.uri, None)
        total = report.added + report.changed + report.removed

        def tick() -> None:
            on_progress(Progress(tally.finished, max(total, tally.finished), tally.chunks))

        self.wait([source], tick)
        self.tick()
        self.wait([source], tick)
        self.tick()

    def wait(
        self,
        sources: Sequence[SourceEntry],
        on_tick: Callable[[], None] = lambda: None,
        is_enough: Callable[[], bool] = lambda: False,
    ) -> None:
        """Wait until nothing of these sources is due or in work, or until what remains keeps failing, or is refused.

        ``is_enough``: ends the wait sooner. Raises `FatalError` when the queue is held and nothing moves.
        """
        while True:
            if self.pool.held is not None:
                raise self.pool.held
            is_idle = self.pool.wait_idle(0.2)
            on_tick()
            if is_enough():
                return
            if is_idle:
                if all(self._is_settled(source) for source in sources):
                    return
                self.parts.clock.sleep(_LOOK_S)  # until a retry is due

    def _is_settled(self, source: SourceEntry) -> bool:
        """Nothing of the source is due or in work; what is waiting has failed several times already."""
        counts = self.parts.ledger.counts(source.name, source.prefix)
        if counts.running:
            return False
        if not counts.waiting:
            return True
        waiting = self.parts.ledger.objects(
            bucket=source.name, prefix=source.prefix, state=ObjectState.WAITING, limit=1_000
        )
        now = self.parts.clock.now()
        return all(_is_given_up(each, now) for each in waiting)

    def adopter(self) -> Adopter:
        """Plans take-overs of collections of the original system; `adopt` does them."""
        return Adopter(self.parts, self.collections)

    def adopt(
        self,
        adoption: Adoption,
        sources: Sequence[SourceEntry],
        tally: AdoptionTally,
        on_tick: Callable[[], None] = lambda: None,
        *,
        is_failure_accepted: bool = False,
    ) -> Adopted:
        """Do it, and wait for it; ``tally`` counts meanwhile. Raises `FatalError` when the queue is held.

        The workers are started here: before that, nothing may look at the objects.
        """
        adopter = self.adopter()
        with self._heard_by(tally.take):
            adopter.begin(adoption)
            self.start()
            self.wait(sources, on_tick, lambda: tally.is_complete)
        return adopter.finish(adoption, is_failure_accepted=is_failure_accepted)

    def search(self, query: str, top: int = 10, collection: str | None = None) -> list[Found]:
        """See `Searcher.search`."""
        return self._searcher.search(query, top, collection)

    def status(self) -> Status:
        """Counts, collections, freshness, and what stands in the way."""
        ledger = self.parts.ledger
        ages = sorted(ledger.freshness())
        return Status(
            counts=ledger.counts(),
            collections=ledger.collections(),
            freshness_p50_s=_percentile(ages, 0.5),
            freshness_p95_s=_percentile(ages, 0.95),
            sources=ledger.sources(),
            held=self.pool.held,
            warnings=[
                *self.guards.values(),
                *self.integrity.warnings,
                *self._searcher.warnings,
                *(error.told for error in self.collections.blocked),
            ],
        )

    def find(self, key: str, bucket: str | None = None) -> list[ObjectStatus]:
        """Every object with this key (or ``bucket/key``, or object id), over all sources.

        Keys are exact, but people type them: as typed first, then composed (NFC), then decomposed (NFD).
        """
        spellings = dict.fromkeys((key, unicodedata.normalize("NFC", key), unicodedata.normalize("NFD", key)))
        return next((found for each in spellings if (found := self._find(each, bucket))), [])

    def _find(self, key: str, bucket: str | None) -> list[ObjectStatus]:
        ledger = self.parts.ledger
        names = [bucket] if bucket else [entry.name for entry in ledger.sources()]
        refs = [ObjectRef(name, key) for name in names]
        refs += [ObjectRef(name, key[len(name) + 1 :]) for name in names if key.startswith(f"{name}/")]
        by_id = ledger.find(key) if bucket is None else None
        refs += [by_id] if by_id else []
        found = [ledger.status(ref) for ref in dict.fromkeys(refs)]
        return [status for status in found if status is not None]

    def timeline(self, ref: ObjectRef, limit: int = 50) -> list[Run]:
        """The newest attempts for an object, newest first."""
        return self.parts.ledger.runs(ref, limit)

    def chunks(self, status: ObjectStatus) -> list[StoredRow]:
        """The rows that stand for an object, in document order."""
        record = status.record
        if record is None or not record.ids:
            return []
        return sorted(self.parts.vectors.fetch(record.collection, record.rows), key=lambda row: row.chunk_no)

    def retry(self, refs: Sequence[ObjectRef] | None) -> int:
        """Try these objects again now (None: all that failed); how many."""
        count = self.parts.ledger.requeue(refs, self.parts.clock.now())
        self.pool.resume()
        return count

    def check(self, sources: Sequence[SourceEntry], *, is_repairing: bool = False) -> CheckReport:
        """See `Checker.check`; sources that are not configured now are left out."""
        pairs = [(entry.name, entry.prefix) for entry in sources if entry.name in self.parts.stores]
        report = Checker(self.parts, self._scanner).check(pairs, is_repairing=is_repairing)
        self.pool.wake()
        return report

    def repair(
        self, sources: Sequence[SourceEntry], on_tick: Callable[[], None] = lambda: None
    ) -> tuple[int, CheckReport]:
        """Check, repair, wait until that is done, and check again: how much was repaired, and what is left."""
        found = self.check(sources, is_repairing=True)
        self.wait(sources, on_tick)
        return found.repaired, self.check(sources)

    def mark(self, refs: Sequence[ObjectRef]) -> None:
        """Mark objects dirty without an event."""
        self.parts.ledger.observe(refs, Lane.LIVE, self.parts.clock.now())
        self.pool.wake()

    @contextmanager
    def _heard_by(self, listener: Callable[[Done], None]) -> Iterator[None]:
        with self._listeners_lock:
            self._listeners.append(listener)
        try:
            yield
        finally:
            with self._listeners_lock:
                self._listeners.remove(listener)

    def _heard(self, done: Done) -> None:
        with self._listeners_lock:
            listeners = list(self._listeners)
        for listener in listeners:
            listener(done)


def _is_given_up(status: ObjectStatus, now: float) -> bool:
    """It failed several times; its collection refuses it, which one time shows; or it waits long since deaths."""
    if status.error_code == Interrupted.code:
        return status.due is not None and status.due > now + _GIVE_UP_S
    return bool(status.error_code) and (
        status.attempts >= _GIVE_UP_ATTEMPTS or status.error_code == SchemaMismatch.code
    )


def _percentile(values: list[float], share: float) -> float | None:
    if not values:
        return None
    return round(values[min(len(values) - 1, int(share * len(values)))], 4)
