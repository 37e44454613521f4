"""A ledger in memory: the contract written down as plainly as Python allows."""

from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from s3_to_milvus.domain.objects import Lane, ObjectRef
from s3_to_milvus.domain.records import (
    Claim,
    Commit,
    Failure,
    Garbage,
    JournalEntry,
    ObjectState,
    Outcome,
    Run,
    RunStats,
    SettleState,
    Suspicion,
)
from s3_to_milvus.testing.fakes.frozen import MemoryFrozen
from s3_to_milvus.testing.fakes.ledger_doors import MemoryDoors
from s3_to_milvus.testing.fakes.ledger_shelves import MemoryReading, MemoryShelves
from s3_to_milvus.testing.fakes.ledger_state import KEPT_RUNS, LANES, CollectionFacts, MemoryItem, MemoryWork, locked

__all__ = ["MemoryLedger"]

_NOTHING = RunStats()


class MemoryLedger(MemoryReading, MemoryShelves, MemoryDoors):
    """Implements `ports.Ledger`. All state is public, for tests to look at (hold ``lock`` where threads run)."""

    kind = "memory"

    @locked
    def observe(self, refs: Sequence[ObjectRef], lane: Lane, now: float) -> None:
        """As `Ledger.observe`."""
        for ref in refs:
            self._observe(ref, lane, now, is_retry=False)

    @locked
    def requeue(self, refs: Sequence[ObjectRef] | None, now: float) -> int:
        """As `Ledger.requeue`."""
        if refs is None:
            known = [item.ref for item in self.items.values() if item.state is ObjectState.FAILED]
        else:
            known = [ref for ref in dict.fromkeys(refs) if ref in self.items]
        for ref in known:
            self._observe(ref, Lane.LIVE, now, is_retry=True)
        return len(known)

    def _observe(self, ref: ObjectRef, lane: Lane, now: float, *, is_retry: bool) -> None:
        item = self.items.get(ref)
        if item is None:
            self.last_number += 1
            item = self.items[ref] = MemoryItem(ref, self.last_number)
        if item.work is None:
            item.work = MemoryWork(lane, now, item.generation + 1, now, is_retry=is_retry)
        else:
            item.work.observe(lane, now, is_retry=is_retry)

    @locked
    def suspect(self, refs: Sequence[ObjectRef], now: float) -> int:
        """As `Ledger.suspect`."""
        known = [item for ref in dict.fromkeys(refs) if (item := self.items.get(ref)) is not None]
        for item in known:
            if item.work is None:
                item.work = MemoryWork(Lane.BACKFILL, now, item.generation + 1, now)
            item.work.suspect(now)
        return len(known)

    @locked
    def claim(self, owner: str, limit: int, now: float, lease_s: float) -> list[Claim]:
        """As `Ledger.claim`."""
        ready = [
            (LANES.index(work.lane), work.due, item.number, item, work)
            for item in self.items.values()
            if (work := item.work) is not None and work.due is not None and work.due <= now
        ]
        ready.sort(key=lambda each: each[:3])
        first = ready[:limit]
        alone = first[:1] if first and first[0][-1].is_deadly else []
        chosen = alone or [each for each in first if not each[-1].is_deadly]
        return [self._claim(item, work, owner, now, now + lease_s) for *_, item, work in chosen]

    def _claim(self, item: MemoryItem, work: MemoryWork, owner: str, now: float, lease_until: float) -> Claim:
        self.last_run += 1
        work.take(self.last_run, owner, lease_until)
        runs = self.history.setdefault(item.ref, deque(maxlen=KEPT_RUNS))
        runs.append(Run(work.run, item.ref, "", "running", now, None, work.attempts))
        return Claim(
            ref=item.ref,
            run=work.run,
            generation=work.generation,
            attempts=work.attempts,
            lane=work.lane,
            lease_until=lease_until,
            suspicion=work.suspicion,
            record=item.record,
            garbage=tuple(item.garbage),
            dirty_since=work.dirty_since,
            is_retry=work.is_retry,
            deaths=work.deaths,
            not_before=work.not_before,
        )

    def _held(self, claim: Claim) -> tuple[MemoryItem, MemoryWork] | None:
        """The claimed object, if the claim is still the one that holds it."""
        item = self.items.get(claim.ref)
        if item is None or item.work is None or item.work.run != claim.run:
            return None
        return item, item.work

    @locked
    def heartbeat(self, claims: Sequence[Claim], now: float, lease_s: float) -> list[bool]:
        """As `Ledger.heartbeat`."""
        held = [self._held(claim) for claim in claims]
        for each in held:
            if each is not None:
                each[1].due = now + lease_s
        return [each is not None for each in held]

    @locked
    def begin(self, claim: Claim) -> bool:
        """As `Ledger.begin`."""
        held = self._held(claim)
        if held is not None:
            held[1].is_begun = True
        return held is not None

    @locked
    def commit(self, commits: Sequence[Commit], now: float) -> list[bool]:
        """As `Ledger.commit`."""
        return [self._commit(commit, now) for commit in commits]

    def _commit(self, commit: Commit, now: float) -> bool:
        held = self._held(commit.claim)
        if held is None:
            return False
        item, work = held
        old, new = item.record, commit.record
        if old is not None and old.ids and (new is None or new.run != old.run):
            item.garbage.append(Garbage(old.collection, old.ids, old.run))
        item.record = new
        if new is not None and new.ids:
            facts = self.collection_facts.setdefault(new.collection, CollectionFacts())
            facts.last_id = max(facts.last_id, new.ids.last)
        if work.is_committed:
            return True
        work.is_committed = True
        outcome = new.outcome.value if new else "removed"
        failure = Failure(new.error_code, new.error) if new else Failure("", "")
        is_first = self._finish(commit.claim, commit.action, outcome, now, failure, commit.stats)
        self._tell(commit.claim, commit.action, outcome, now, failure.message)
        if is_first and outcome != Outcome.FAILED:
            self.fresh[work.run] = max(0.0, now - work.dirty_since)
        return True

    @locked
    def settle(self, claims: Sequence[Claim], now: float, recheck_s: float) -> list[SettleState]:
        """As `Ledger.settle`."""
        return [self._settle(claim, now, recheck_s) for claim in claims]

    def _settle(self, claim: Claim, now: float, recheck_s: float) -> SettleState:
        held = self._held(claim)
        if held is None:
            return SettleState.LOST
        item, work = held
        item.garbage.clear()
        if work.resolve(now, recheck_s):
            return SettleState.AGAIN
        if item.record is not None and item.is_failed:
            work.due, work.error_code, work.error = None, item.record.error_code, item.record.error
            return SettleState.DONE
        item.generation, item.work = work.generation, None
        if item.record is None:
            del self.items[item.ref]
        return SettleState.DONE

    @locked
    def retry(
        self,
        claim: Claim,
        failure: Failure,
        now: float,
        due: float,
        *,
        is_unclean: bool,
        is_charged: bool,
        stats: RunStats = _NOTHING,
    ) -> SettleState:
        """As `Ledger.retry`."""
        held = self._held(claim)
        if held is None:
            return SettleState.LOST
        work = held[1]
        self._finish(claim, "retry", "failed", now, failure, stats)
        work.attempts -= 0 if is_charged else 1
        if is_unclean:
            work.suspicion = Suspicion.TAKEOVER
        work.let_go(now if work.is_moved else due)
        work.error_code, work.error = failure.code, failure.message
        return SettleState.AGAIN

    @locked
    def put_off(self, claim: Claim, failure: Failure, now: float, due: float, not_before: float) -> SettleState:
        """As `Ledger.put_off`."""
        held = self._held(claim)
        if held is None:
            return SettleState.LOST
        work = held[1]
        self._forget_run(claim)
        work.attempts -= 1
        work.let_go(now if work.is_moved else due)
        work.not_before = not_before
        work.error_code, work.error = failure.code, failure.message
        return SettleState.AGAIN

    @locked
    def bury(
        self, claim: Claim, failure: Failure, now: float, recheck_s: float, retry_at: float | None = None
    ) -> SettleState:
        """As `Ledger.bury`. Garbage stays known: to delete it twice does no harm, to forget it would."""
        held = self._held(claim)
        if held is None:
            return SettleState.LOST
        item, work = held
        is_moved = work.is_moved
        self._finish(claim, "bury", "failed", now, failure)
        if work.resolve(now, recheck_s):
            if not is_moved:
                # Where no record tells of the failure, the later look is the next attempt.
                work.is_settled = item.is_failed
                work.error_code, work.error = failure.code, failure.message
            return SettleState.AGAIN
        if not work.is_committed:
            self._tell(claim, "bury", "failed", now, failure.message)
        work.due, work.error_code, work.error = retry_at, failure.code, failure.message
        work.is_settled = retry_at is None or item.is_failed
        return SettleState.DONE

    @locked
    def release(self, claims: Sequence[Claim], now: float) -> None:
        """As `Ledger.release`."""
        for claim in claims:
            held = self._held(claim)
            if held is not None:
                self._forget_run(claim)
                held[1].attempts -= 1
                held[1].let_go(now)

    def _forget_run(self, claim: Claim) -> None:
        runs = self.history[claim.ref]
        if runs and runs[-1].run == claim.run and runs[-1].finished_at is None:
            runs.pop()

    @locked
    def expire_all(self, now: float) -> int:
        """As `Ledger.expire_all`."""
        held = [item.work for item in self.items.values() if item.work is not None and item.work.run]
        for work in held:
            work.due = now
        return len(held)

    @locked
    def raise_runs(self, least: int) -> None:
        """As `Ledger.raise_runs`."""
        self.last_run = max(self.last_run, least)

    @locked
    def note_run(self, claim: Claim, action: str, outcome: str, now: float, stats: RunStats) -> None:
        """As `Ledger.note_run`."""
        self._finish(claim, action, outcome, now, Failure("", ""), stats)

    def _finish(
        self, claim: Claim, action: str, outcome: str, now: float, failure: Failure, stats: RunStats = _NOTHING
    ) -> bool:
        """The first end of a run is the one that the timeline shows."""
        runs: Sequence[Run] = self.history.get(claim.ref, ())
        place = next((place for place, run in enumerate(runs) if run.run == claim.run), None)
        if place is None or runs[place].finished_at is not None:
            return False
        self.history[claim.ref][place] = replace(
            runs[place],
            action=action,
            outcome=outcome,
            finished_at=now,
            error_code=failure.code,
            error=failure.message,
            stats=stats,
        )
        return True

    def _tell(self, claim: Claim, action: str, outcome: str, now: float, message: str) -> None:
        started = next((run.started_at for run in self.history[claim.ref] if run.run == claim.run), now)
        self.last_entry += 1
        entry = JournalEntry(self.last_entry, claim.ref, action, outcome, started, now - started, message)
        self.journal[entry.id] = (now, entry)

    def check(self) -> str:
        """As `Ledger.check`."""
        return f"Ledger in memory: {len(self.items)} objects."

    def freeze(self) -> MemoryFrozen:
        """As `Ledger.freeze`: the keys it knows."""
        with self.lock:
            return MemoryFrozen(repr(sorted(ref.key for ref in self.items)).encode("utf-8", "surrogateescape"))

    def close(self) -> None:
        """Nothing to let go of."""
