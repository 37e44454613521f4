"""Looks at the bucket, compares with the ledger, decides: the only place that turns a claim into a plan."""

from dataclasses import dataclass

from s3_to_milvus.domain.planning import (
    Absent,
    Plan,
    Present,
    Reason,
    Replace,
    Skip,
    plan,
    version_to_skip,
)
from s3_to_milvus.domain.records import Claim, Outcome, Suspicion
from s3_to_milvus.engine.collections import Collections
from s3_to_milvus.engine.parts import Parts
from s3_to_milvus.errors import Unavailable
from s3_to_milvus.ports import Content, Unchanged

__all__ = ["Look", "Reconciler"]


@dataclass(slots=True)
class Look:
    """A plan, and the open content it was made from (None unless it is a `Replace`)."""

    plan: Plan
    label: str | None = None
    content: Content | None = None


class Reconciler:
    """Pure decisions are in `domain.planning`; this does their I/O."""

    def __init__(self, parts: Parts, collections: Collections) -> None:
        self._parts = parts
        self._collections = collections

    def look(self, claim: Claim) -> Look:
        """What must be done for the claimed object now. The caller closes the content."""
        label = self._collections.label_of(claim.ref)
        if label is None:
            seen = Present(claim.record.version) if claim.record else Absent()
            return Look(plan(seen, claim.record, None, ""))
        collection = self._collections.spec_of(label).name
        record, are_missing = claim.record, self._are_rows_missing(claim)
        recipe = self.recipe_of(claim)
        is_retry = claim.is_retry or self._is_verdict_old(claim)
        known = None if are_missing else version_to_skip(record, recipe, collection, is_retry=is_retry)
        store = self._parts.stores.get(claim.ref.bucket)
        if store is None:
            raise Unavailable(
                f"No source holds the bucket {claim.ref.bucket!r} any more.",
                hint="Start the service with that source, or sync it once more.",
            )
        answer = store.get(claim.ref, unless=known)
        if isinstance(answer, Unchanged):
            return Look(Skip(Reason.UNCHANGED), label)
        seen = Absent() if answer is None else Present(answer.version)
        decision = plan(seen, record, recipe, collection, is_retry=is_retry, are_rows_missing=are_missing)
        if answer is not None and not isinstance(decision, Replace):
            answer.close()
            answer = None
        return Look(decision, label, answer)

    def recipe_of(self, claim: Claim) -> str:
        """The recipe of the claim's record while it is still valid, else one that equals no record's."""
        record = claim.record
        return record.recipe if record and record.recipe in self._parts.readers_of(claim.ref).recipes else ""

    def _is_verdict_old(self, claim: Claim) -> bool:
        """True where the parsing process died at the last try, and that was long ago: it is time for another one."""
        record = claim.record
        if record is None or record.outcome is not Outcome.FAILED:
            return False
        policy, now = self._parts.config.retry, self._parts.clock.now()
        return policy.next_try_of_crashed(record.error_code, record.indexed_at) <= now

    def _are_rows_missing(self, claim: Claim) -> bool:
        """Asked of suspect claims only: after a crash nobody may believe the record without looking."""
        record = claim.record
        if record is None or claim.suspicion is Suspicion.NONE or not record.ids:
            return False
        return len(self._parts.vectors.fetch(record.collection, record.rows)) != len(record.ids)
