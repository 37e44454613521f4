"""The check: bucket, ledger and the rows that are really in Milvus, compared; and repaired if asked."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from s3_to_milvus.domain.objects import Lane, ObjectRef
from s3_to_milvus.domain.records import ObjectState, Outcome, Record
from s3_to_milvus.domain.rows import IdRanges, RowIdentity, RowSet
from s3_to_milvus.engine.parts import Parts
from s3_to_milvus.engine.scan import Scanner

__all__ = ["CheckReport", "Checker", "Finding", "Orphan"]

_UNSETTLED = frozenset({ObjectState.WAITING, ObjectState.RUNNING})


@dataclass(frozen=True, slots=True)
class Finding:
    """An object that is not as it should be, and why."""

    ref: ObjectRef
    reason: str


@dataclass(frozen=True, slots=True)
class Orphan:
    """Rows of one run that no record names. ``ref`` is None where even the object is unknown."""

    collection: str
    object_id: str
    run: int
    ids: IdRanges
    ref: ObjectRef | None

    @property
    def rows(self) -> RowSet:
        """The rows, as the vector store deletes them."""
        return RowSet(self.object_id, self.run, self.ids)


@dataclass(slots=True)
class CheckReport:
    """Empty lists: exactly equal. ``missing``: in the bucket, not (wholly) in Milvus. ``stale``: Milvus answers with
    an older version, or with an object that is gone. ``orphaned``: rows that are nobody's truth."""

    missing: list[Finding] = field(default_factory=list)
    stale: list[Finding] = field(default_factory=list)
    orphaned: list[Orphan] = field(default_factory=list)
    repaired: int = 0

    @property
    def is_ok(self) -> bool:
        """True when nothing was found."""
        return not (self.missing or self.stale or self.orphaned)


class Checker:
    """Compares; objects that wait or are being worked on are left out, since they are not done yet.

    May run beside workers: nothing is accused before it was looked at once more.
    """

    def __init__(self, parts: Parts, scanner: Scanner) -> None:
        self._parts = parts
        self._scanner = scanner

    def check(self, buckets: Iterable[tuple[str, str]], *, is_repairing: bool = False) -> CheckReport:
        """Check these (bucket, prefix) pairs and every collection."""
        report = CheckReport()
        for bucket, prefix in buckets:
            self._compare_bucket(bucket, prefix, report)
        self._compare_rows(report)
        if is_repairing:
            self._repair(report)
        return report

    def _compare_bucket(self, bucket: str, prefix: str, report: CheckReport) -> None:
        for difference in self._scanner.scan(bucket, prefix, is_dry_run=True).plan:
            if self._is_unsettled(difference.ref):
                continue
            if difference.action == "add":
                report.missing.append(Finding(difference.ref, "not indexed"))
            elif difference.action == "change":
                report.stale.append(Finding(difference.ref, "the object has changed"))
            else:
                report.stale.append(Finding(difference.ref, "the object is gone"))

    def _compare_rows(self, report: CheckReport) -> None:
        seen: Counter[tuple[str, str, int]] = Counter()
        ids: dict[tuple[str, str, int], list[int]] = {}
        for collection in self._our_collections():
            for row in self._parts.vectors.identities(collection):
                place = (collection, row.object_id, row.run)
                seen[place] += 1
                self._note(ids, place, row)
        for record in self._parts.ledger.records():
            if record.outcome is Outcome.INDEXED:
                self._compare_record(record, seen, report)
            seen.pop((record.collection, record.ref.object_id, record.run), None)
        for collection, object_id, run in seen:
            orphan = self._orphan(collection, object_id, run, IdRanges.of(ids[collection, object_id, run]))
            if orphan is not None:
                report.orphaned.append(orphan)

    def _orphan(self, collection: str, object_id: str, run: int, ids: IdRanges) -> Orphan | None:
        """The rows that are nobody's truth now; None where they became true, or went, since they were listed.

        In this order: once no run is in work, what the ledger says of the rows is final.
        """
        ref = self._parts.ledger.find(object_id)
        if ref is not None and self._is_unsettled(ref):
            return None
        standing = self._parts.ledger.standing({object_id}).get(object_id)
        if standing is not None and (standing.collection, standing.run) == (collection, run):
            return None
        rows = self._parts.vectors.fetch(collection, RowSet(object_id, run, ids))
        found = IdRanges.of(row.id for row in rows)
        return Orphan(collection, object_id, run, found, ref) if found else None

    def _note(self, ids: dict[tuple[str, str, int], list[int]], place: tuple[str, str, int], row: RowIdentity) -> None:
        ids.setdefault(place, []).append(row.id)

    def _compare_record(self, record: Record, seen: Counter[tuple[str, str, int]], report: CheckReport) -> None:
        count = seen[record.collection, record.ref.object_id, record.run]
        if count < record.chunk_count:  # inserted since the rows were listed?
            count = len(self._parts.vectors.fetch(record.collection, record.rows))
        if count != record.chunk_count and self._is_settled_as(record):
            report.missing.append(Finding(record.ref, f"{count} of {record.chunk_count} rows are in Milvus"))

    def _is_settled_as(self, record: Record) -> bool:
        status = self._parts.ledger.status(record.ref)
        return status is not None and status.state not in _UNSETTLED and status.record == record

    def _our_collections(self) -> list[str]:
        present = set(self._parts.vectors.collections())
        return [each.spec.name for each in self._parts.ledger.collections() if each.spec.name in present]

    def _is_unsettled(self, ref: ObjectRef) -> bool:
        status = self._parts.ledger.status(ref)
        return status is not None and status.state in _UNSETTLED

    def _repair(self, report: CheckReport) -> None:
        """Mark differing objects dirty; delete orphaned rows of settled objects by their ids."""
        findings = [*report.missing, *report.stale]
        self._force(finding.ref for finding in report.missing)
        self._parts.ledger.observe([finding.ref for finding in findings], Lane.LIVE, self._parts.clock.now())
        for orphan in report.orphaned:
            self._parts.vectors.delete(orphan.collection, [orphan.rows])
        report.repaired = len(findings) + len(report.orphaned)

    def _force(self, refs: Iterable[ObjectRef]) -> None:
        self._parts.ledger.requeue(list(refs), self._parts.clock.now())
