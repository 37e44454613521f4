"""Ends attempts: commit what is true now, delete what it replaced, settle; or retry, bury, let go.

The order is the promise: rows are inserted and on the disk before the commit, old rows are deleted after it,
and the work row goes last, so that a crash or a power cut at any point leaves work to repeat and never a wrong answer.
"""

import math
import traceback
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace

from s3_to_milvus.domain.objects import ObjectVersion
from s3_to_milvus.domain.planning import Reason
from s3_to_milvus.domain.records import (
    Claim,
    Commit,
    Failure,
    Garbage,
    Outcome,
    Record,
    RunStats,
    SettleState,
    Suspicion,
)
from s3_to_milvus.domain.retrying import Bury, Hold, TryAgain, is_for_all, next_step
from s3_to_milvus.domain.rows import IdRanges, RowSet
from s3_to_milvus.domain.scarcity import as_retryable
from s3_to_milvus.domain.usage import Usage
from s3_to_milvus.engine.collections import Collections
from s3_to_milvus.engine.draft import Draft
from s3_to_milvus.engine.leases import Leases
from s3_to_milvus.engine.observe import FRESHNESS, RUNS, log
from s3_to_milvus.engine.parts import Parts
from s3_to_milvus.engine.suspects import Wait
from s3_to_milvus.errors import Archived, FatalError, Interrupted, S3ToMilvusError

__all__ = ["Done", "Resolver"]


@dataclass(frozen=True, slots=True)
class Done:
    """One finished attempt: action ``add | adopt | change | remove | skip``, outcome as the timeline says it.

    ``retry``: it failed and is tried again. ``lost``: somebody else holds the object now; only its costs are told.
    """

    claim: Claim
    action: str
    outcome: str
    stats: RunStats


@dataclass(slots=True)
class _Pending:
    """An attempt that waits to be resolved. ``record`` None with ``is_commit``: a removal."""

    claim: Claim
    action: str
    record: Record | None = None
    is_commit: bool = True
    draft: Draft | None = None
    failure: Failure | None = None
    stats: RunStats = RunStats()

    @property
    def outcome(self) -> str:
        """As the timeline says it."""
        if not self.is_commit:
            return "unchanged"
        return self.record.outcome.value if self.record else "removed"

    def garbage(self) -> list[Garbage]:
        """Rows that are in Milvus but not true any more once this is committed."""
        found = list(self.claim.garbage)
        old = self.claim.record
        if self.is_commit and old is not None and old.ids and (self.record is None or self.record.run != old.run):
            found.append(Garbage(old.collection, old.ids, old.run))
        return found

    @property
    def is_suspect(self) -> bool:
        """Rows may stand of which nobody knows the run: they go by filter."""
        return self.claim.suspicion is not Suspicion.NONE or not all(piece.run for piece in self.claim.garbage)

    @property
    def new_rows_in(self) -> str:
        """The collection into which this attempt has inserted rows that its commit makes true; empty: none."""
        is_made = self.record is not None and self.record.ids and self.record.run == self.claim.run
        return self.record.collection if is_made and self.record is not None else ""


class Resolver:
    """Collects the ends of one worker's attempts and resolves them in one go."""

    def __init__(
        self,
        parts: Parts,
        collections: Collections,
        leases: Leases,
        listener: Callable[[Done], None] = lambda done: None,
    ) -> None:
        self._parts = parts
        self._collections = collections
        self._leases = leases
        self._listener = listener
        self._pending: list[_Pending] = []
        self._fatal: FatalError | None = None

    def skip(self, claim: Claim, reason: Reason) -> None:
        """Nothing to change for this claim."""
        record = claim.record
        failure = None
        if record is not None and record.outcome is Outcome.FAILED:
            failure = Failure(record.error_code, record.error)
        self._pending.append(_Pending(claim, "skip", record, is_commit=False, failure=failure))
        log.debug("run.skipped", run=claim.run, bucket=claim.ref.bucket, key=claim.ref.key, reason=reason.value)

    def remove(self, claim: Claim, reason: Reason) -> None:
        """The object is gone: its rows go."""
        is_known = claim.record is not None
        self._pending.append(_Pending(claim, "remove" if is_known else "skip", is_commit=is_known))
        log.debug("run.removes", run=claim.run, bucket=claim.ref.bucket, key=claim.ref.key, reason=reason.value)

    def finish_draft(self, draft: Draft, reason: Reason) -> None:
        """All chunks of a draft were read, or its ``error`` is set."""
        action = "adopt" if draft.is_adopted else "add" if reason is Reason.NEW else "change"
        self._pending.append(_Pending(draft.claim, action, draft=draft))

    def put_off(self, claim: Claim, reason: Interrupted, wait: Wait) -> None:
        """The object is read later."""
        now = self._parts.clock.now()
        self._parts.ledger.put_off(claim, _failure_of(reason), now, wait.due, wait.not_before)
        seconds = round(wait.due - now, 1)
        log.warning("run.put_off", bucket=claim.ref.bucket, key=claim.ref.key, deaths=claim.deaths, wait_s=seconds)

    def fail(self, claim: Claim, error: Exception) -> None:
        """An attempt failed before there was a draft."""
        known = claim.record.version if claim.record else ObjectVersion("", 0)
        self._fail(_Pending(claim, "change" if claim.record else "add"), error, known, "")

    def resolve(self) -> None:
        """Commit, clean up, settle everything collected. Raises `FatalError` when one of the failures was one."""
        pending, self._pending = self._pending, []
        for each in pending:
            if each.draft is not None:
                self._close_draft(each, each.draft)
            else:
                self._pending.append(each)
        self._sync()
        ready, self._pending = self._pending, []
        self._settle(self._clean_up(self._commit(ready)))
        fatal, self._fatal = self._fatal, None
        if fatal is not None:
            raise fatal

    def _close_draft(self, each: _Pending, draft: Draft) -> None:
        each.stats = draft.stats
        if draft.error is None and not self._leases.is_live(draft.claim):
            self._delete_own(draft)
            self._lose(each)
        elif draft.error is None:
            each.record = draft.record(self._parts.clock.now())
            self._pending.append(each)
        else:
            self._delete_own(draft)
            self._fail(each, draft.error, draft.version, draft.recipe, draft)

    def _sync(self) -> None:
        """What becomes true must be on the disk. Where that fails, the attempts whose rows they are fail with it."""
        collections = {each.new_rows_in for each in self._pending} - {""}
        if not collections:
            return
        try:
            self._parts.vectors.sync(collections)
        except Exception as error:  # noqa: BLE001 - the error's family decides, as for an insert
            pending, self._pending = self._pending, []
            for each in pending:
                if each.new_rows_in and each.draft is not None:
                    each.draft.error = error
                    self._close_draft(each, each.draft)
                else:
                    self._pending.append(each)

    def _delete_own(self, draft: Draft) -> None:
        """The rows of a failed attempt go at once; if that fails too, the next attempt cleans up by filter."""
        if not draft.ids:
            return
        try:
            claim = draft.claim
            own = RowSet(claim.ref.object_id, claim.run, IdRanges.of(draft.ids))
            self._parts.vectors.delete(draft.spec.name, [own])
        except Exception as error:  # noqa: BLE001 - the first failure is the one to report
            draft.is_unclean = True
            log.warning("run.clean_up_failed", run=draft.claim.run, error=type(error).__name__)

    def _fail(
        self, each: _Pending, error: Exception, version: ObjectVersion, recipe: str, draft: Draft | None = None
    ) -> None:
        claim, parts, error = each.claim, self._parts, as_retryable(error)
        failure = _failure_of(error)
        if isinstance(error, FatalError) and not is_for_all(error):  # it waits, and says what a person must do
            failure = replace(failure, message=error.told)
        step = next_step(error, claim.attempts, parts.config.retry, parts.clock.jitter())
        _log_failure(claim, failure, step)
        is_unclean = draft is not None and draft.is_unclean
        if isinstance(step, Bury) and is_unclean:
            # Rows may stand that nobody knows of: the next attempt cleans up by filter, and is buried then.
            step = TryAgain(parts.config.retry.backoff_s(claim.attempts, parts.clock.jitter()))
        if isinstance(step, Bury):
            each.failure = failure
            recipe = parts.readers_of(claim.ref).recipe_of_failure(recipe, error)
            is_gone = draft is not None and draft.are_rows_missing
            each.record = self._failed_record(claim, error, version, recipe, failure, is_gone=is_gone)
            self._pending.append(each)
            return
        if isinstance(step, TryAgain):
            if self._is_put_off(each, failure, step, is_unclean=is_unclean):
                self._tell(each, "retry")
        elif isinstance(step, Hold):
            wait = TryAgain(parts.config.hold_of(error), is_charged=False)
            self._is_put_off(each, failure, wait, is_unclean=is_unclean)
            self._fatal = error if isinstance(error, FatalError) else None
        else:
            self._lose(each)

    def _is_put_off(self, each: _Pending, failure: Failure, step: TryAgain, *, is_unclean: bool) -> bool:
        """Give the claim back; False where it is not ours any more."""
        ledger, now = self._parts.ledger, self._parts.clock.now()
        due, is_charged = now + step.delay_s, step.is_charged
        state = ledger.retry(
            each.claim, failure, now, due, is_unclean=is_unclean, is_charged=is_charged, stats=each.stats
        )
        if state is SettleState.LOST:
            self._lose(each)
        return state is not SettleState.LOST

    def _lose(self, each: _Pending) -> None:
        """Somebody else holds the object: nothing of this attempt becomes true, but what it cost is not hidden."""
        if each.stats.usage:
            self._parts.ledger.note_run(each.claim, each.action, "lost", self._parts.clock.now(), each.stats)
            self._tell(each, "lost")

    def _failed_record(
        self, claim: Claim, error: Exception, version: ObjectVersion, recipe: str, failure: Failure, *, is_gone: bool
    ) -> Record:
        """``is_gone``: the rows of the version before, which might be kept, are not there."""
        old = None if is_gone else claim.record
        is_kept = self._parts.config.keep_rows_of_failed or isinstance(error, Archived)
        base = old if is_kept and old else Record(claim.ref, version, Outcome.FAILED, recipe)
        return replace(
            base,
            version=version,
            recipe=recipe,
            outcome=Outcome.FAILED,
            content_hash="",
            error_code=failure.code,
            error=f"{failure.message} {failure.hint}".strip(),
            indexed_at=self._parts.clock.now(),
        )

    def _commit(self, ready: list[_Pending]) -> list[_Pending]:
        wanted = [each for each in ready if each.is_commit]
        if not wanted:
            return ready
        now = self._parts.clock.now()
        commits = [Commit(each.claim, each.record, each.action, each.stats) for each in wanted]
        answers = self._parts.ledger.commit(commits, now)
        lost = set()
        for each, is_ours in zip(wanted, answers, strict=True):
            if is_ours:
                FRESHNESS.observe(max(0.0, now - each.claim.dirty_since))
                self._tell(each, each.outcome)
            else:
                lost.add(id(each))
                if each.draft is not None and not each.draft.is_same_content:
                    self._delete_own(each.draft)
                self._lose(each)
        return [each for each in ready if id(each) not in lost]

    def _clean_up(self, ready: list[_Pending]) -> list[_Pending]:
        """Delete what is not true any more; attempts whose clean-up failed are given back and left out."""
        garbage: dict[str, list[RowSet]] = defaultdict(list)
        for each in ready:
            for piece in each.garbage():
                if piece.run:
                    garbage[piece.collection].append(RowSet(each.claim.ref.object_id, piece.run, piece.ids))
        failed: dict[str, Exception] = {}
        for collection, pieces in garbage.items():
            try:
                self._parts.vectors.delete(collection, pieces)
            except Exception as error:  # noqa: BLE001 - every object of this collection is tried again
                failed[collection] = error
        return [each for each in ready if self._is_clean(each, failed)]

    def _is_clean(self, each: _Pending, failed: dict[str, Exception]) -> bool:
        error = next((failed[piece.collection] for piece in each.garbage() if piece.collection in failed), None)
        if error is None and each.is_suspect:
            error = self._delete_unrecorded(each)
        if error is None:
            return True
        self._give_back(each.claim, error)
        return False

    def _delete_unrecorded(self, each: _Pending) -> Exception | None:
        """The slow path of suspect claims: rows that nobody recorded go by filter."""
        claim = each.claim
        kept = each.record if each.is_commit else claim.record
        label = self._collections.label_of(claim.ref)
        names = {piece.collection for piece in each.garbage()} | {
            record.collection for record in (kept, claim.record) if record
        }
        if label is not None:
            names |= self._collections.names_for(label)
        try:
            for name in sorted(names - {""}):
                keep_run = kept.run if kept is not None and kept.collection == name else 0
                self._parts.vectors.delete_other_runs(name, claim.ref.object_id, keep_run, claim.run + 1)
        except Exception as error:  # noqa: BLE001 - given back by the caller
            return error
        return None

    def _give_back(self, claim: Claim, error: Exception) -> None:
        """The commit stands, its clean-up does not: the ledger still knows the garbage, so a later claim ends it."""
        policy = self._parts.config.retry
        now = self._parts.clock.now()
        due = now + policy.backoff_s(claim.attempts, self._parts.clock.jitter())
        is_unclean = claim.suspicion is not Suspicion.NONE
        self._parts.ledger.retry(claim, _failure_of(error), now, due, is_unclean=is_unclean, is_charged=True)

    def _settle(self, clean: list[_Pending]) -> None:
        ledger, recheck_s = self._parts.ledger, self._parts.config.recheck_s
        now = self._parts.clock.now()
        for each in clean:
            if not each.is_commit:
                ledger.note_run(each.claim, each.action, each.outcome, now, each.stats)
                self._tell(each, each.outcome)
        settled = [each.claim for each in clean if each.failure is None]
        if settled:
            ledger.settle(settled, now, recheck_s)
        for each in clean:
            if each.failure is not None:
                ledger.bury(each.claim, each.failure, now, recheck_s, self._retry_at(each))

    def _retry_at(self, each: _Pending) -> float | None:
        """When a dead letter is tried again by itself; None: never."""
        failed_at = each.record.indexed_at if each.record else self._parts.clock.now()
        code = each.failure.code if each.failure else ""
        retry_at = self._parts.config.retry.next_try_of_crashed(code, failed_at, each.claim.attempts)
        return None if math.isinf(retry_at) else retry_at

    def _tell(self, each: _Pending, outcome: str) -> None:
        RUNS.labels(each.action, outcome).inc()
        claim = each.claim
        log.info(
            "run.finished",
            run=claim.run,
            bucket=claim.ref.bucket,
            key=claim.ref.key,
            action=each.action,
            outcome=outcome,
            chunks=each.stats.chunks,
            embedded=each.stats.embedded,
            **_paid(each.stats.usage),
        )
        self._listener(Done(claim, each.action, outcome, each.stats))


def _paid(usage: Usage) -> dict[str, float]:
    """What services charged, as fields of a log line; what is nothing is not said."""
    fields = {"tokens": usage.tokens, "pages": usage.pages, "usd": usage.usd}
    return {name: value for name, value in fields.items() if value}


def _failure_of(error: Exception) -> Failure:
    if isinstance(error, S3ToMilvusError):
        return Failure(error.code, error.message, error.hint)
    # The stack only: the message of a foreign exception may quote the document.
    where = "".join(traceback.format_tb(error.__traceback__))[-4_000:]
    return Failure("defect", f"Unexpected {type(error).__name__}. This is a defect of s3-to-milvus.", where)


def _log_failure(claim: Claim, failure: Failure, step: object) -> None:
    is_expected = failure.code != "defect"
    write = log.warning if is_expected else log.error
    write(
        "run.failed",
        run=claim.run,
        bucket=claim.ref.bucket,
        key=claim.ref.key,
        code=failure.code,
        message=failure.message if is_expected else failure.hint,
        attempt=claim.attempts,
        next=type(step).__name__,
    )
