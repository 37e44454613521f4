"""The contract of what a ledger knows about the vector store, and does when the two differ."""
# ruff: noqa: D102 - a test's name is its docstring

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from s3_to_milvus.domain.objects import Lane, ObjectRef
from s3_to_milvus.domain.records import Commit, Counts, Garbage, ObjectState, Outcome, SettleState, Suspicion
from s3_to_milvus.domain.rows import CollectionSpec, IdRanges
from s3_to_milvus.ports import CollectionCounts, Ledger
from s3_to_milvus.testing.contracts.ledger_tools import LEASE_S, RECHECK_S, A, B, Desk, T, ids_of_run
from s3_to_milvus.testing.fakes.ledger import MemoryLedger

__all__ = ["LedgerTruthContract"]

C = ObjectRef("docs", "unknown")
DOCS = CollectionSpec("docs", "문서", 8, "hash")
OTHER = CollectionSpec("other", "other", 8, "hash")


class LedgerTruthContract:
    """Marks, suspicion, runs, greatest ids. Subclasses provide ``ledger``, empty, and ``reopen``."""

    @pytest.fixture
    def ledger(self) -> Ledger:
        """A ledger that knows nothing."""
        raise NotImplementedError

    @pytest.fixture
    def reopen(self) -> Callable[[], Ledger] | None:
        """Close the ledger and open it again; None where it forgets everything when closed."""
        return None

    @pytest.fixture
    def desk(self, ledger: Ledger) -> Desk:
        """The ledger with a worker at it."""
        return Desk(ledger)

    def test_a_mark_tells_one_ledger_from_all_others(self, ledger: Ledger) -> None:
        assert re.fullmatch("[0-9a-f]{32}", ledger.mark)
        assert ledger.mark == ledger.mark
        assert ledger.mark != MemoryLedger().mark

    def test_marks_greatest_ids_and_runs_survive(self, desk: Desk, reopen: Callable[[], Ledger] | None) -> None:
        if reopen is None:
            pytest.skip("this ledger keeps nothing when it is closed")
        desk.ledger.add_collection(DOCS)
        desk.index(A)
        desk.ledger.set_collection("docs", is_marked=True, is_suspect=True, after_id=2**50)
        desk.ledger.raise_runs(2**51)
        desk.ledger.suspect([A], T)
        before = desk.ledger.mark, desk.ledger.collections(), desk.ledger.newest("docs")
        again = Desk(reopen())
        assert (again.ledger.mark, again.ledger.collections(), again.ledger.newest("docs")) == before
        claim = again.take_one()
        assert claim.suspicion is Suspicion.RECHECK
        assert claim.run > 2**51

    def test_a_run_that_was_raised_is_never_lowered(self, desk: Desk) -> None:
        desk.observe(A)
        first = desk.take_one()
        least = first.run + 1_000_000
        desk.ledger.raise_runs(least)
        desk.ledger.raise_runs(least - 500_000)
        desk.ledger.raise_runs(0)
        desk.observe(B)
        second = desk.take_one()
        assert least < second.run < least + 1_000
        assert desk.settle(first) is SettleState.DONE
        assert [run.run for run in desk.ledger.runs()] == [second.run, first.run]

    def test_a_suspect_object_is_looked_at_once(self, desk: Desk) -> None:
        record = desk.index(A)
        assert desk.ledger.suspect([A, C, A], T + 5) == 1
        assert desk.ledger.status(C) is None
        assert_counted(desk)
        desk.observe(B, now=T + 6)
        live, claim = desk.take(T + 6)
        assert (live.ref, live.suspicion) == (B, Suspicion.NONE)
        assert (claim.ref, claim.lane, claim.suspicion) == (A, Lane.BACKFILL, Suspicion.RECHECK)
        assert (claim.attempts, claim.deaths, claim.dirty_since, claim.record) == (1, 0, T + 5, record)
        assert not claim.is_retry
        assert desk.settle(claim, T + 7) is SettleState.DONE
        assert_counted(desk)

    def test_nobody_is_suspected(self, desk: Desk) -> None:
        assert desk.ledger.suspect([], T) == desk.ledger.suspect([C], T) == 0
        assert desk.ledger.next_due() is None
        assert desk.ledger.counts() == Counts()

    def test_what_waits_keeps_its_place_and_is_suspect(self, desk: Desk) -> None:
        desk.index(A)
        desk.observe(A)
        desk.retry(desk.take_one(), T, T + 30)
        before = desk.ledger.status(A)
        assert desk.ledger.suspect([A], T + 1) == 1
        assert desk.ledger.status(A) == before
        assert_counted(desk)
        assert desk.take(T + 29) == []
        claim = desk.take_one(T + 30)
        assert (claim.attempts, claim.lane, claim.suspicion) == (2, Lane.LIVE, Suspicion.RECHECK)
        assert claim.dirty_since == T
        assert desk.settle(claim, T + 31) is SettleState.DONE

    def test_what_was_never_looked_at_can_be_suspect(self, desk: Desk) -> None:
        desk.observe(A)
        assert desk.ledger.suspect([A], T) == 1
        claim = desk.take_one()
        assert (claim.suspicion, claim.record) == (Suspicion.RECHECK, None)
        assert desk.settle(claim) is SettleState.DONE
        assert desk.ledger.status(A) is None

    def test_what_is_held_is_looked_at_again(self, desk: Desk) -> None:
        desk.observe(A)
        claim = desk.take_one()
        assert desk.ledger.suspect([A], T + 1) == 1
        assert_counted(desk)
        assert desk.take(T + 2) == []
        desk.commit(claim, now=T + 2)
        assert desk.settle(claim, T + 2) is SettleState.AGAIN
        again = desk.take_one(T + 2 + RECHECK_S)
        assert again.suspicion is Suspicion.RECHECK
        assert desk.settle(again, T + 3 + RECHECK_S) is SettleState.DONE
        assert_counted(desk)

    def test_what_is_held_for_a_later_look_keeps_its_lease(self, desk: Desk) -> None:
        later, now = self.rechecked(desk)
        claim = desk.take_one(now)
        assert claim.suspicion is Suspicion.RECHECK
        assert desk.ledger.suspect([A], now + 1) == 1
        assert_counted(desk)
        assert desk.take(now + LEASE_S - 1) == []
        assert desk.ledger.heartbeat([claim], now + 2, LEASE_S) == [True]
        assert desk.settle(claim, now + 3) is SettleState.AGAIN
        assert_counted(desk)
        assert desk.take_one(now + 3 + RECHECK_S).suspicion is Suspicion.RECHECK
        assert later < now + 3

    def test_what_is_suspect_before_its_later_look_has_one_more(self, desk: Desk) -> None:
        later, _ = self.rechecked(desk)
        assert desk.ledger.suspect([A], later - 100) == 1
        assert_counted(desk)
        claim = desk.take_one(later - 100)
        assert (claim.suspicion, claim.attempts) == (Suspicion.TAKEOVER, 1)
        assert desk.settle(claim, later - 99) is SettleState.AGAIN
        assert desk.ledger.next_due() == later - 99 + RECHECK_S

    def test_what_is_suspect_at_its_later_look_has_no_more(self, desk: Desk) -> None:
        later, _ = self.rechecked(desk)
        assert desk.ledger.suspect([A], later) == 1
        claim = desk.take_one(later)
        assert claim.suspicion is Suspicion.RECHECK
        assert desk.settle(claim, later) is SettleState.DONE

    def test_an_expired_claim_stays_a_takeover(self, desk: Desk) -> None:
        desk.observe(A)
        desk.take_one()
        desk.ledger.suspect([A], T + LEASE_S + 1)
        heir = desk.take_one(T + LEASE_S + 1)
        assert (heir.suspicion, heir.deaths) == (Suspicion.TAKEOVER, 1)

    def test_a_dead_letter_lives_again_when_it_is_suspect(self, desk: Desk) -> None:
        desk.fail(A)
        assert desk.ledger.counts().failed == 1
        assert desk.ledger.suspect([A], T + 1) == 1
        assert_counted(desk)
        status = desk.ledger.status(A)
        assert status is not None
        assert (status.state, status.attempts, status.error) == (ObjectState.WAITING, 0, "깨진 파일")
        claim = desk.take_one(T + 1)
        assert (claim.suspicion, claim.lane, claim.is_retry) == (Suspicion.RECHECK, Lane.BACKFILL, False)
        assert desk.bury(claim, T + 2) is SettleState.DONE
        assert_counted(desk)

    def test_an_event_for_a_suspect_object_is_not_less_suspect(self, desk: Desk) -> None:
        desk.index(A)
        desk.ledger.suspect([A], T)
        desk.observe(A, now=T + 1)
        claim = desk.take_one(T + 1)
        assert (claim.lane, claim.suspicion) == (Lane.LIVE, Suspicion.RECHECK)

    def rechecked(self, desk: Desk) -> tuple[float, float]:
        """An object that waits for the later look after a take-over: when that is due, and a moment after it."""
        desk.observe(A)
        desk.take_one()
        heir = desk.take_one(T + LEASE_S)
        desk.commit(heir, now=T + LEASE_S)
        assert desk.settle(heir, T + LEASE_S) is SettleState.AGAIN
        return T + LEASE_S + RECHECK_S, T + LEASE_S + RECHECK_S + 5

    def test_garbage_names_the_run_that_made_it(self, desk: Desk) -> None:
        first = desk.index(A)
        desk.observe(A)
        second = desk.commit(desk.take_one(), etag="v2")
        heir = desk.take_one(T + LEASE_S)
        desk.commit(heir, Outcome.EMPTY, T + LEASE_S)
        heir = desk.take_one(T + 2 * LEASE_S)
        wanted = tuple(Garbage("docs", ids_of_run(record.run), record.run) for record in (first, second))
        assert heir.garbage == wanted
        assert first.run != second.run

    def test_what_is_said_of_a_collection_is_kept(self, desk: Desk) -> None:
        for spec in (DOCS, OTHER):
            desk.ledger.add_collection(spec)
        assert desk.ledger.collections() == [CollectionCounts(DOCS, 0, 0), CollectionCounts(OTHER, 0, 0)]
        desk.ledger.set_collection("docs", is_marked=True, after_id=7)
        desk.ledger.set_collection("docs", is_suspect=True, after_id=3)
        desk.ledger.set_collection("docs")
        assert desk.ledger.collections() == [
            CollectionCounts(DOCS, 0, 0, 7, is_marked=True, is_suspect=True),
            CollectionCounts(OTHER, 0, 0),
        ]
        desk.ledger.set_collection("docs", is_marked=False, is_suspect=False)
        desk.ledger.set_collection("nothing", is_marked=True, after_id=9)
        assert desk.ledger.collections() == [CollectionCounts(DOCS, 0, 0, 7), CollectionCounts(OTHER, 0, 0)]

    def test_the_greatest_id_never_sinks(self, desk: Desk) -> None:
        desk.ledger.add_collection(DOCS)
        first = desk.index(A)
        second = desk.index(B)
        assert last_id(desk) == second.ids.last > first.ids.last
        remove(desk, B)
        remove(desk, A)
        assert (last_id(desk), desk.ledger.status(B)) == (second.ids.last, None)
        desk.ledger.set_collection("docs", after_id=second.ids.last + 50)
        third = desk.index(A)
        assert last_id(desk) == max(third.ids.last, second.ids.last + 50)
        desk.observe(A)
        claim = desk.take_one()
        low = replace(desk.record(claim), ids=IdRanges.of([2, 3]), chunk_count=2)
        desk.ledger.commit([Commit(claim, low)], T)
        assert last_id(desk) == max(third.ids.last, second.ids.last + 50)
        other = replace(low, collection="other", ids=IdRanges.of([2**62]))
        desk.ledger.commit([Commit(claim, other)], T)
        assert last_id(desk) < 2**62

    def test_the_newest_rows_follow_what_stands(self, desk: Desk) -> None:
        assert desk.ledger.newest("docs") is None
        first = desk.index(A)
        second = desk.index(B)
        assert desk.ledger.newest("docs") == second
        assert desk.ledger.newest("other") is None
        third = desk.index(A)
        assert desk.ledger.newest("docs") == third
        desk.observe(A)
        claim = desk.take_one()
        failed = replace(third, outcome=Outcome.FAILED, error_code="x", error="y")
        desk.ledger.commit([Commit(claim, failed)], T)
        desk.bury(claim)
        assert desk.ledger.newest("docs") == failed
        remove(desk, A)
        assert desk.ledger.newest("docs") == second
        desk.index(B, outcome=Outcome.EMPTY)
        assert desk.ledger.newest("docs") is None
        assert first.ids.last < second.ids.last

    def test_records_of_a_collection_are_those_with_rows_in_it(self, desk: Desk) -> None:
        first = desk.index(A)
        desk.index(B, outcome=Outcome.EMPTY)
        assert list(desk.ledger.records(collection="docs")) == [first]
        assert list(desk.ledger.records(collection="other")) == []
        assert len(list(desk.ledger.records())) == 2

    def test_the_newest_of_a_failure_without_rows_is_nothing(self, desk: Desk) -> None:
        desk.index(A)
        desk.fail(A)
        assert desk.ledger.newest("docs") is None


def assert_counted(desk: Desk) -> None:
    """The counts are those of a recount, object by object."""
    found = desk.ledger.objects(limit=1_000)
    counts = desk.ledger.counts()
    states = [each.state for each in found]
    named = [states.count(state) for state in (ObjectState.INDEXED, ObjectState.EMPTY, ObjectState.FAILED)]
    assert [counts.indexed, counts.empty, counts.failed] == named
    assert counts.running == states.count(ObjectState.RUNNING)
    assert counts.waiting == states.count(ObjectState.WAITING)


def last_id(desk: Desk) -> int:
    """Of the collection ``docs``."""
    return next(each.last_id for each in desk.ledger.collections() if each.spec.name == "docs")


def remove(desk: Desk, ref: ObjectRef) -> None:
    """A round of work that finds the object gone."""
    desk.observe(ref)
    claim = desk.take_one()
    desk.ledger.commit([Commit(claim, None, "remove")], T)
    assert desk.settle(claim) is SettleState.DONE
