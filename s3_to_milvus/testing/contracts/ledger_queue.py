"""The contract of the ledger as a queue: who gets what, when, and who lost it."""
# ruff: noqa: D102 - a test's name is its docstring

from dataclasses import replace

import pytest

from s3_to_milvus.domain.objects import Lane, ObjectRef
from s3_to_milvus.domain.records import Claim, Commit, Outcome, SettleState, Suspicion
from s3_to_milvus.ports import Ledger
from s3_to_milvus.testing.contracts.ledger_tools import BROKEN, LEASE_S, RECHECK_S, A, B, Desk, T

__all__ = ["LedgerQueueContract"]


class LedgerQueueContract:
    """Observing, claiming, leases, retries, dead letters. Subclasses provide the fixture ``ledger``, empty."""

    @pytest.fixture
    def ledger(self) -> Ledger:
        """A ledger that knows nothing."""
        raise NotImplementedError

    @pytest.fixture
    def desk(self, ledger: Ledger) -> Desk:
        """The ledger with a worker at it."""
        return Desk(ledger)

    def test_nothing_is_due_in_an_empty_ledger(self, desk: Desk) -> None:
        assert desk.take() == []
        assert desk.ledger.next_due() is None

    def test_ten_events_for_one_object_are_one_claim(self, desk: Desk) -> None:
        for moment in range(5):
            desk.observe(A, A, now=T + moment)
        claim = desk.take_one(T + 9)
        assert (claim.ref, claim.generation, claim.attempts, claim.dirty_since) == (A, 10, 1, T)
        assert (claim.lease_until, claim.suspicion, claim.record) == (T + 9 + LEASE_S, Suspicion.NONE, None)
        assert desk.take(T + 9) == []

    def test_nothing_is_claimed_before_it_is_due(self, desk: Desk) -> None:
        desk.observe(A, now=T + 1)
        assert desk.take(T) == []
        assert desk.ledger.next_due() == T + 1

    def test_live_goes_before_backfill_and_older_before_younger(self, desk: Desk) -> None:
        refs = {name: ObjectRef("docs", name) for name in ("backfill", "old", "young")}
        desk.observe(refs["backfill"], now=T, lane=Lane.BACKFILL)
        desk.observe(refs["old"], now=T + 1)
        desk.observe(refs["young"], now=T + 2)
        assert desk.keys(desk.take(T + 3, limit=1)) == ["old"]
        assert desk.keys(desk.take(T + 3, limit=2)) == ["young", "backfill"]

    def test_the_better_lane_wins(self, desk: Desk) -> None:
        desk.observe(A, B, lane=Lane.BACKFILL)
        desk.observe(B, lane=Lane.LIVE)
        desk.observe(B, lane=Lane.BACKFILL)
        claims = desk.take()
        assert [(claim.ref, claim.lane) for claim in claims] == [(B, Lane.LIVE), (A, Lane.BACKFILL)]

    def test_a_claim_gets_no_more_than_it_asked_for(self, desk: Desk) -> None:
        desk.observe(*(ObjectRef("docs", str(number)) for number in range(5)))
        assert [len(desk.take(limit=2)) for _ in range(4)] == [2, 2, 1, 0]

    def test_run_ids_are_never_given_twice(self, desk: Desk) -> None:
        seen: set[int] = set()
        for _ in range(4):
            desk.observe(A, B)
            claims = desk.take()
            assert not seen & {claim.run for claim in claims}
            seen |= {claim.run for claim in claims}
            desk.ledger.release(claims[:1], T)
            desk.settle(claims[1])
        assert min(seen) > 0

    def test_settling_what_was_never_made_forgets_it(self, desk: Desk) -> None:
        desk.observe(A)
        assert desk.settle(desk.take_one()) is SettleState.DONE
        assert desk.ledger.status(A) is None
        assert desk.ledger.next_due() is None

    def test_an_event_during_a_run_is_not_swallowed(self, desk: Desk) -> None:
        desk.observe(A)
        claim = desk.take_one()
        desk.observe(A, now=T + 1)
        desk.observe(A, now=T + 2)
        assert desk.take(T + 2) == []
        desk.commit(claim, now=T + 3)
        assert desk.settle(claim, T + 4) is SettleState.AGAIN
        again = desk.take_one(T + 4)
        assert (again.generation, again.attempts, again.dirty_since) == (3, 1, T + 1)
        assert again.suspicion is Suspicion.NONE
        assert desk.settle(again, T + 5) is SettleState.DONE

    def test_an_event_between_commit_and_settle_is_not_swallowed(self, desk: Desk) -> None:
        desk.observe(A)
        claim = desk.take_one()
        desk.commit(claim)
        desk.observe(A, now=T + 1)
        assert desk.settle(claim, T + 2) is SettleState.AGAIN
        assert desk.take_one(T + 2).record is not None

    def test_a_settled_object_can_be_observed_again(self, desk: Desk) -> None:
        first = desk.index(A)
        desk.observe(A, now=T + 50)
        claim = desk.take_one(T + 50)
        assert (claim.record, claim.dirty_since, claim.attempts) == (first, T + 50, 1)
        assert claim.generation > 1

    def test_generations_grow_over_settled_rounds(self, desk: Desk) -> None:
        generations = []
        for _ in range(3):
            desk.observe(A)
            claim = desk.take_one()
            generations.append(claim.generation)
            desk.commit(claim)
            desk.settle(claim)
        desk.observe(A)
        claim = desk.take_one()
        desk.settle(claim)
        assert [*generations, claim.generation] == [1, 2, 3, 4]

    def test_an_expired_lease_is_taken_over_and_the_zombie_can_do_nothing(self, desk: Desk) -> None:
        desk.observe(A)
        zombie = desk.take_one()
        assert desk.take(T + LEASE_S - 1) == []
        heir = desk.take_one(T + LEASE_S)
        assert (heir.suspicion, heir.attempts, heir.deaths) == (Suspicion.TAKEOVER, 1, 1)
        before = desk.ledger.status(A)
        assert desk.ledger.commit([_commit_of(desk, zombie)], T + 61) == [False]
        assert desk.settle(zombie, T + 61) is SettleState.LOST
        assert desk.retry(zombie, T + 61) is SettleState.LOST
        assert desk.bury(zombie, T + 61) is SettleState.LOST
        assert desk.ledger.heartbeat([zombie], T + 61, LEASE_S) == [False]
        desk.ledger.release([zombie], T + 61)
        assert desk.ledger.status(A) == before
        assert desk.outbox() == []
        desk.commit(heir, now=T + 62)
        assert desk.settle(heir, T + 62) is SettleState.AGAIN

    def test_a_late_worker_whose_lease_nobody_took_still_finishes(self, desk: Desk) -> None:
        desk.observe(A)
        claim = desk.take_one()
        desk.commit(claim, now=T + 10 * LEASE_S)
        assert desk.settle(claim, T + 10 * LEASE_S) is SettleState.DONE

    def test_a_zombie_of_a_settled_object_can_do_nothing(self, desk: Desk) -> None:
        desk.observe(A)
        claim = desk.take_one()
        desk.commit(claim)
        desk.settle(claim)
        assert desk.ledger.commit([_commit_of(desk, claim)], T) == [False]
        assert desk.settle(claim) is SettleState.LOST

    def test_a_takeover_is_followed_by_a_re_check_and_then_all_is_quiet(self, desk: Desk) -> None:
        desk.observe(A)
        desk.take_one()
        heir = desk.take_one(T + 100)
        record = desk.commit(heir, now=T + 101)
        assert desk.settle(heir, T + 102) is SettleState.AGAIN
        assert desk.ledger.next_due() == T + 102 + RECHECK_S
        later = desk.take_one(T + 102 + RECHECK_S)
        assert (later.suspicion, later.attempts, later.deaths, later.record) == (Suspicion.RECHECK, 1, 0, record)
        assert desk.settle(later, T + 500) is SettleState.DONE
        assert desk.ledger.next_due() is None

    def test_an_event_during_a_takeover_keeps_the_re_check(self, desk: Desk) -> None:
        desk.observe(A)
        desk.take_one()
        heir = desk.take_one(T + 100)
        desk.observe(A, now=T + 101)
        assert desk.settle(heir, T + 102) is SettleState.AGAIN
        again = desk.take_one(T + 102)
        assert (again.suspicion, again.dirty_since) == (Suspicion.TAKEOVER, T + 101)
        assert desk.settle(again, T + 103) is SettleState.AGAIN
        assert desk.take_one(T + 103 + RECHECK_S).suspicion is Suspicion.RECHECK

    def test_an_event_before_the_re_check_does_not_use_it_up(self, desk: Desk) -> None:
        desk.observe(A)
        desk.take_one()
        desk.settle(desk.take_one(T + 100), T + 100)
        desk.observe(A, now=T + 101)
        early = desk.take_one(T + 101)
        assert early.suspicion is Suspicion.TAKEOVER
        assert desk.settle(early, T + 102) is SettleState.AGAIN
        assert desk.ledger.next_due() == T + 102 + RECHECK_S

    def test_a_re_check_whose_worker_dies_is_a_takeover(self, desk: Desk) -> None:
        desk.observe(A)
        desk.take_one()
        desk.settle(desk.take_one(T + 100), T + 100)
        assert desk.take_one(T + 100 + RECHECK_S).suspicion is Suspicion.RECHECK
        heir = desk.take_one(T + 200 + RECHECK_S)
        assert heir.suspicion is Suspicion.TAKEOVER
        assert desk.settle(heir, T + 600) is SettleState.AGAIN
        assert desk.take_one(T + 600 + RECHECK_S).suspicion is Suspicion.RECHECK

    def test_a_heartbeat_keeps_the_lease(self, desk: Desk) -> None:
        desk.observe(A, B)
        claims = desk.take()
        assert desk.ledger.heartbeat(claims, T + 50, LEASE_S) == [True, True]
        assert desk.take(T + 50 + LEASE_S - 1) == []
        assert {desk.take_one(T + 50 + LEASE_S).ref for _ in range(2)} == {A, B}

    def test_a_retry_waits_and_counts(self, desk: Desk) -> None:
        desk.observe(A)
        assert desk.retry(desk.take_one(), due=T + 30) is SettleState.AGAIN
        status = desk.ledger.status(A)
        assert status is not None
        assert (status.attempts, status.due, status.error_code, status.error) == (
            1,
            T + 30,
            BROKEN.code,
            BROKEN.message,
        )
        assert desk.take(T + 29) == []
        claim = desk.take_one(T + 30)
        assert (claim.attempts, claim.suspicion, claim.dirty_since) == (2, Suspicion.NONE, T)

    def test_a_retry_that_is_not_charged_does_not_count(self, desk: Desk) -> None:
        desk.observe(A)
        desk.retry(desk.take_one(), due=T + 1, is_charged=False)
        assert desk.take_one(T + 1).attempts == 1

    def test_an_unclean_retry_makes_a_takeover_but_no_death(self, desk: Desk) -> None:
        desk.observe(A)
        desk.retry(desk.take_one(), due=T + 1, is_unclean=True)
        claim = desk.take_one(T + 1)
        assert (claim.suspicion, claim.deaths) == (Suspicion.TAKEOVER, 0)
        desk.retry(claim, due=T + 2)
        assert desk.take_one(T + 2).suspicion is Suspicion.TAKEOVER

    @pytest.mark.parametrize(("is_unclean", "then"), [(False, Suspicion.RECHECK), (True, Suspicion.TAKEOVER)])
    def test_a_re_check_that_is_retried_stays_suspect(self, desk: Desk, is_unclean: bool, then: Suspicion) -> None:
        desk.observe(A)
        desk.take_one()
        desk.settle(desk.take_one(T + 100), T + 100)
        claim = desk.take_one(T + 500)
        desk.retry(claim, T + 500, T + 501, is_unclean=is_unclean)
        assert desk.take_one(T + 501).suspicion is then

    def test_a_retry_of_an_object_that_moved_is_due_now_and_starts_anew(self, desk: Desk) -> None:
        desk.observe(A)
        claim = desk.take_one()
        desk.observe(A, now=T + 1)
        assert desk.retry(claim, T + 2, T + 600) is SettleState.AGAIN
        again = desk.take_one(T + 2)
        assert (again.attempts, again.dirty_since) == (1, T)

    def test_an_event_ends_the_back_off(self, desk: Desk) -> None:
        desk.observe(A)
        desk.retry(desk.take_one(), due=T + 600)
        desk.observe(A, now=T + 5)
        claim = desk.take_one(T + 5)
        assert (claim.attempts, claim.dirty_since) == (1, T)

    def test_a_released_claim_leaves_no_trace(self, desk: Desk) -> None:
        desk.observe(A)
        claim = desk.take_one()
        desk.ledger.release([claim], T + 1)
        assert desk.ledger.runs() == []
        again = desk.take_one(T + 1)
        assert again.run > claim.run
        assert replace(again, run=claim.run, lease_until=claim.lease_until) == claim

    def test_a_released_takeover_stays_one(self, desk: Desk) -> None:
        desk.observe(A)
        desk.take_one()
        heir = desk.take_one(T + 100)
        desk.ledger.release([heir], T + 101)
        again = desk.take_one(T + 101)
        assert (again.suspicion, again.attempts, again.deaths) == (Suspicion.TAKEOVER, 1, 1)

    def test_a_released_re_check_stays_one(self, desk: Desk) -> None:
        desk.observe(A)
        desk.take_one()
        desk.settle(desk.take_one(T + 100), T + 100)
        desk.ledger.release([desk.take_one(T + 500)], T + 501)
        assert desk.take_one(T + 501).suspicion is Suspicion.RECHECK

    def test_a_dead_letter_is_never_due(self, desk: Desk) -> None:
        record = desk.fail(A)
        assert desk.take(T + 10**9) == []
        assert desk.ledger.next_due() is None
        status = desk.ledger.status(A)
        assert status is not None
        assert (status.state.value, status.record, status.due) == ("failed", record, None)
        assert (status.error_code, status.error) == (BROKEN.code, BROKEN.message)

    def test_a_dead_letter_lives_again_when_it_is_observed(self, desk: Desk) -> None:
        record = desk.fail(A)
        desk.observe(A, now=T + 5, lane=Lane.BACKFILL)
        claim = desk.take_one(T + 5)
        assert (claim.attempts, claim.is_retry, claim.record) == (1, False, record)
        assert (claim.lane, claim.dirty_since) == (Lane.BACKFILL, T + 5)

    def test_settling_a_failed_record_keeps_the_dead_letter(self, desk: Desk) -> None:
        record = desk.fail(A)
        desk.observe(A)
        assert desk.settle(desk.take_one()) is SettleState.DONE
        status = desk.ledger.status(A)
        assert status is not None
        assert (status.state.value, status.error_code, status.error) == ("failed", record.error_code, record.error)
        assert desk.ledger.next_due() is None
        assert desk.ledger.requeue(None, T) == 1

    def test_bury_of_an_object_that_never_had_a_record(self, desk: Desk) -> None:
        desk.observe(A)
        assert desk.bury(desk.take_one()) is SettleState.DONE
        status = desk.ledger.status(A)
        assert status is not None
        assert (status.state.value, status.record, status.attempts) == ("failed", None, 1)
        assert desk.outbox() == ["failed"]
        assert desk.ledger.requeue([A], T + 1) == 1
        assert desk.take_one(T + 1).is_retry

    def test_bury_of_an_object_that_moved_buries_nothing(self, desk: Desk) -> None:
        desk.observe(A)
        claim = desk.take_one()
        desk.observe(A, now=T + 1)
        assert desk.bury(claim, T + 2) is SettleState.AGAIN
        assert desk.take_one(T + 2).attempts == 1

    def test_bury_of_a_takeover_looks_again_later(self, desk: Desk) -> None:
        desk.observe(A)
        desk.take_one()
        heir = desk.take_one(T + 100)
        desk.commit(heir, Outcome.FAILED)
        assert desk.bury(heir, T + 100) is SettleState.AGAIN
        assert desk.ledger.counts().failed == 1
        later = desk.take_one(T + 100 + RECHECK_S)
        assert later.suspicion is Suspicion.RECHECK
        assert desk.settle(later, T + 500) is SettleState.DONE
        assert desk.ledger.counts().failed == 1
        assert desk.outbox() == ["failed"]

    def test_requeue_asks_for_another_try(self, desk: Desk) -> None:
        desk.fail(A)
        desk.index(B)
        assert desk.ledger.requeue(None, T + 5) == 1
        claim = desk.take_one(T + 5)
        assert (claim.ref, claim.is_retry, claim.lane) == (A, True, Lane.LIVE)
        desk.settle(claim, T + 5)
        assert desk.ledger.requeue([A, A, B, ObjectRef("docs", "unknown")], T + 6) == 2
        assert all(claim.is_retry for claim in desk.take(T + 6))

    def test_requeue_during_a_run_counts_for_the_next_claim(self, desk: Desk) -> None:
        desk.observe(A)
        claim = desk.take_one()
        desk.ledger.requeue([A], T + 1)
        desk.commit(claim, Outcome.FAILED)
        assert desk.bury(claim, T + 2) is SettleState.AGAIN
        again = desk.take_one(T + 2)
        assert again.is_retry
        desk.commit(again)
        desk.settle(again)
        desk.observe(A)
        assert not desk.take_one().is_retry

    def test_a_wish_for_another_try_survives_a_crash(self, desk: Desk) -> None:
        desk.fail(A)
        desk.ledger.requeue([A], T)
        desk.take_one()
        assert desk.take_one(T + 100).is_retry

    def test_expire_all_ends_every_lease_as_a_crash_would(self, desk: Desk) -> None:
        desk.observe(A, B)
        desk.retry(desk.take(limit=1)[0], due=T + 30)
        desk.take()
        assert desk.ledger.expire_all(T + 1) == 1
        assert desk.ledger.next_due() == T + 1
        assert desk.take_one(T + 1).suspicion is Suspicion.TAKEOVER
        assert desk.take_one(T + 30).suspicion is Suspicion.NONE


def _commit_of(desk: Desk, claim: Claim) -> Commit:
    return Commit(claim, desk.record(claim))
