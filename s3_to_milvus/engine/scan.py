"""The scan: a streaming merge-join of a listing with the ledger. It only marks objects dirty."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from s3_to_milvus.domain.objects import Lane, ListedObject, ObjectRef, sort_key
from s3_to_milvus.domain.records import IndexedLine
from s3_to_milvus.engine.parts import Parts
from s3_to_milvus.errors import RemovalGuard

__all__ = ["Action", "Difference", "ScanReport", "Scanner", "merge"]

_BATCH = 1_000

Action = str
"""``add``, ``change`` or ``remove``."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One object in which the bucket and the ledger differ."""

    ref: ObjectRef
    action: Action


@dataclass(slots=True)
class ScanReport:
    """What a scan saw. ``standing``: those of the unchanged that have rows. ``queued``: those of the removed that are
    looked at in any case. ``plan`` is filled by dry runs only."""

    listed: int = 0
    added: int = 0
    changed: int = 0
    removed: int = 0
    unchanged: int = 0
    standing: int = 0
    queued: int = 0
    plan: list[Difference] = field(default_factory=list)


def merge(
    listing: Iterator[ListedObject], lines: Iterator[IndexedLine]
) -> Iterator[tuple[ListedObject | None, IndexedLine | None]]:
    """Pairs of the same key from two streams that both ascend by `sort_key`; None where one side has no such key."""
    listed, line = next(listing, None), next(lines, None)
    while listed is not None or line is not None:
        if listed is not None and line is not None and listed.key == line.key:
            yield listed, line
            listed, line = next(listing, None), next(lines, None)
        elif line is None or (listed is not None and sort_key(listed.key) < sort_key(line.key)):
            yield listed, None
            listed = next(listing, None)
        else:
            yield None, line
            line = next(lines, None)


class _Marker:
    """Marks objects dirty in batches; in a dry run it only counts."""

    def __init__(self, parts: Parts, lane: Lane, *, is_dry_run: bool) -> None:
        self._parts = parts
        self._lane = lane
        self._is_dry_run = is_dry_run
        self._refs: list[ObjectRef] = []

    def add(self, ref: ObjectRef) -> bool:
        """Mark one object, now or soon; True when a batch was written."""
        self._refs.append(ref)
        if len(self._refs) < _BATCH:
            return False
        self.flush()
        return True

    def flush(self) -> None:
        """Write what is waiting."""
        if self._refs and not self._is_dry_run:
            self._parts.ledger.observe(self._refs, self._lane, self._parts.clock.now())
        self._refs = []


class Scanner:
    """Compares buckets with the ledger."""

    def __init__(self, parts: Parts, is_routed: Callable[[ObjectRef], bool]) -> None:
        self._parts = parts
        self._is_routed = is_routed

    def scan(
        self,
        bucket: str,
        prefix: str = "",
        *,
        is_part: bool = False,
        is_dry_run: bool = False,
        is_removal_confirmed: bool = False,
        on_progress: Callable[[ScanReport], None] = lambda report: None,
    ) -> ScanReport:
        """Mark every object that differs dirty, in the backfill lane.

        ``is_part``: the prefix is a folder of the source of which somebody saw that it changed. Then the live lane is
        used, and the guard measures removals by the whole bucket: a folder may be moved away.
        An error in the listing ends the scan with that error; what was found new or changed by then stays marked,
        nothing is marked as removed. Raises `RemovalGuard` (and marks no removal) when too much would vanish.
        """
        report = ScanReport()
        marker = _Marker(self._parts, Lane.LIVE if is_part else Lane.BACKFILL, is_dry_run=is_dry_run)
        gone: list[ObjectRef] = []
        for difference in self._differences(bucket, prefix, report):
            if is_dry_run:
                report.plan.append(difference)
            if difference.action == "remove":
                gone.append(difference.ref)
            elif marker.add(difference.ref):
                on_progress(report)
        marker.flush()
        if not is_removal_confirmed and not is_dry_run:
            self._guard(bucket, prefix, report, is_part=is_part)
        for ref in gone:
            marker.add(ref)
        marker.flush()
        return report

    def _differences(self, bucket: str, prefix: str, report: ScanReport) -> Iterator[Difference]:
        listing = self._parts.stores[bucket].list(bucket, prefix)
        for listed, line in merge(listing, self._parts.ledger.lines(bucket, prefix)):
            action = self._compare(bucket, listed, line, report)
            if action is not None:
                key = listed.key if listed is not None else line.key if line is not None else ""
                yield Difference(ObjectRef(bucket, key), action)

    def _compare(
        self,
        bucket: str,
        listed: ListedObject | None,
        line: IndexedLine | None,
        report: ScanReport,
    ) -> Action | None:
        if listed is not None:
            report.listed += 1
        ref = ObjectRef(bucket, listed.key) if listed is not None else None
        if listed is None or ref is None or not self._is_routed(ref):
            if line is None:
                return None
            report.removed += 1
            report.queued += line.is_queued
            return "remove"
        if line is None:
            report.added += 1
            return "add"
        is_same = (listed.etag, listed.size_bytes) == (line.etag, line.size_bytes)
        if is_same and line.recipe in self._parts.readers_of(ref).recipes:
            report.unchanged += 1
            report.standing += line.has_rows
            return None
        report.changed += 1
        return "change"

    def _guard(self, bucket: str, prefix: str, report: ScanReport, *, is_part: bool) -> None:
        """What is queued already is looked at whatever the guard says, so it counts in what is indexed only."""
        config = self._parts.config
        removals = report.removed - report.queued
        indexed = report.removed + report.unchanged + report.changed
        if is_part:
            counts = self._parts.ledger.counts(bucket)
            indexed = max(indexed, counts.indexed + counts.failed + counts.empty)
        limit = max(config.guard_objects, int(config.guard_share * indexed))
        is_empty = report.listed == 0 and not is_part
        if removals and (removals > limit or is_empty):
            where = f"{bucket}/{prefix}"
            what = "the listing is empty" if is_empty else f"more than {limit}"
            raise RemovalGuard(
                f"{removals} of {indexed} indexed objects of {where} would be removed ({what}); nothing was removed.",
                removals=removals,
                indexed=indexed,
            )
