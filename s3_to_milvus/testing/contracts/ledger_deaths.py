"""The contract of the ledger about deaths: objects in whose work somebody died, and dead letters that live again."""
# ruff: noqa: D102 - a test's name is its docstring

import pytest

from s3_to_milvus.domain.objects import ObjectRef
from s3_to_milvus.domain.records import ObjectState, Outcome, SettleState, Suspicion
from s3_to_milvus.ports import Ledger
from s3_to_milvus.testing.contracts.ledger_tools import BROKEN, LEASE_S, RECHECK_S, A, B, Desk, T

__all__ = ["LedgerDeathsContract"]


class LedgerDeathsContract:
    """Deaths, waits and later tries. Subclasses provide the fixture ``ledger``, empty."""

    @pytest.fixture
    def ledger(self) -> Ledger:
        """A ledger that knows nothing."""
        raise NotImplementedError

    @pytest.fixture
    def desk(self, ledger: Ledger) -> Desk:
        """The ledger with a worker at it."""
        return Desk(ledger)

    def test_a_death_is_counted_and_is_no_attempt(self, desk: Desk) -> None:
        desk.observe(A)
        claims = []
        for turn in range(4):
            claims.append(desk.take_one(T + 100 * turn))
            assert desk.ledger.begin(claims[-1])
        assert [(claim.attempts, claim.deaths) for claim in claims] == [(1, 0), (1, 1), (1, 2), (1, 3)]
        desk.retry(claims[-1], T + 301, T + 302)
        again = desk.take_one(T + 302)
        assert (again.attempts, again.deaths, again.not_before) == (2, 3, None)

    def test_after_the_first_death_only_what_was_being_read_dies(self, desk: Desk) -> None:
        desk.observe(A)
        first = desk.take_one()
        claims = [desk.take_one(T + 100 * turn) for turn in range(1, 4)]
        assert [claim.deaths for claim in claims] == [1, 1, 1]
        assert all(claim.suspicion is Suspicion.TAKEOVER for claim in claims)
        assert not desk.ledger.begin(first)
        assert desk.ledger.begin(claims[-1])
        assert desk.take_one(T + 400).deaths == 2
        assert desk.take_one(T + 500).deaths == 2

    def test_an_object_with_deaths_is_claimed_alone(self, desk: Desk) -> None:
        desk.observe(A, B)
        desk.take()
        desk.observe(ObjectRef("docs", "clean 1"), ObjectRef("docs", "clean 2"), now=T + LEASE_S)
        taken = [desk.keys(desk.take(T + LEASE_S + 1)) for _ in range(4)]
        assert taken == [[A.key], [B.key], ["clean 1", "clean 2"], []]

    def test_an_object_with_deaths_holds_up_nobody_who_was_due_before_it(self, desk: Desk) -> None:
        desk.observe(A)
        claim = desk.take_one()
        desk.observe(B, now=T + 1)
        desk.retry(desk.take_one(T + 1), T + 1, T + LEASE_S + 5)
        desk.ledger.heartbeat([claim], T + 1, LEASE_S)
        desk.observe(ObjectRef("docs", "clean"), now=T + 2)
        assert desk.keys(desk.take(T + 2 * LEASE_S)) == ["clean", B.key]
        assert desk.take_one(T + 2 * LEASE_S).deaths == 1

    def test_deaths_end_with_the_claim_that_lives(self, desk: Desk) -> None:
        desk.observe(A)
        desk.take_one()
        desk.observe(A, now=T + 1)
        heir = desk.take_one(T + 100)
        desk.observe(A, now=T + 101)
        desk.commit(heir)
        assert desk.settle(heir, T + 102) is SettleState.AGAIN
        assert desk.take_one(T + 102).deaths == 0

    def test_what_is_put_off_was_no_attempt_and_leaves_no_trace_but_its_reason(self, desk: Desk) -> None:
        desk.observe(A)
        desk.take_one()
        heir = desk.take_one(T + 100)
        assert desk.ledger.put_off(heir, BROKEN, T + 100, T + 500, T + 999) is SettleState.AGAIN
        status = desk.ledger.status(A)
        assert status is not None
        assert (status.state.value, status.due, status.error_code) == ("waiting", T + 500, BROKEN.code)
        assert [run.run for run in desk.ledger.runs(A)] == [heir.run - 1]
        assert desk.take(T + 499) == []
        again = desk.take_one(T + 500)
        assert (again.attempts, again.deaths, again.not_before) == (1, 1, T + 999)
        assert again.suspicion is Suspicion.TAKEOVER
        assert desk.ledger.put_off(heir, BROKEN, T + 500, T + 900, T + 999) is SettleState.LOST
        desk.ledger.begin(again)
        third = desk.take_one(T + 500 + LEASE_S)
        assert (third.deaths, third.not_before) == (2, None), "it died again"

    def test_what_is_observed_brings_a_look_and_neither_forgets_deaths_nor_ends_the_wait(self, desk: Desk) -> None:
        desk.observe(A)
        desk.take_one()
        heir = desk.take_one(T + 100)
        desk.observe(A, now=T + 101)
        desk.ledger.put_off(heir, BROKEN, T + 102, T + 500, T + 999)
        looked = desk.take_one(T + 102)
        assert (looked.deaths, looked.not_before) == (1, T + 999)
        desk.ledger.put_off(looked, BROKEN, T + 103, T + 500, T + 999)
        desk.observe(A, now=T + 104)
        looked = desk.take_one(T + 104)
        assert (looked.deaths, looked.not_before) == (1, T + 999)
        desk.ledger.release([looked], T + 105)
        assert desk.take_one(T + 105).not_before == T + 999

    def test_a_person_ends_the_wait_but_deaths_stay(self, desk: Desk) -> None:
        desk.observe(A)
        desk.take_one()
        desk.ledger.put_off(desk.take_one(T + 100), BROKEN, T + 100, T + 500, T + 999)
        assert desk.ledger.requeue([A], T + 110) == 1
        claim = desk.take_one(T + 110)
        assert (claim.deaths, claim.not_before, claim.is_retry) == (1, T + 110, True)

    def test_a_dead_letter_may_be_tried_again_later(self, desk: Desk) -> None:
        desk.observe(A)
        claim = desk.take_one()
        record = desk.commit(claim, Outcome.FAILED)
        assert desk.ledger.bury(claim, BROKEN, T, RECHECK_S, T + 7_200) is SettleState.DONE
        status = desk.ledger.status(A)
        assert status is not None
        assert (status.state.value, status.due, status.error_code) == ("failed", T + 7_200, BROKEN.code)
        assert desk.ledger.counts().failed == 1
        assert [each.ref for each in desk.ledger.objects(state=ObjectState.FAILED)] == [A]
        assert desk.ledger.next_due() == T + 7_200
        again = desk.take_one(T + 7_200)
        assert (again.attempts, again.record, again.suspicion) == (2, record, Suspicion.NONE)
        desk.commit(again)
        assert desk.settle(again) is SettleState.DONE
        assert desk.ledger.counts().failed == 0

    def test_a_dead_letter_without_a_record_waits_for_its_later_try(self, desk: Desk) -> None:
        desk.observe(A)
        desk.ledger.bury(desk.take_one(), BROKEN, T, RECHECK_S, T + 7_200)
        assert (desk.ledger.counts().waiting, desk.ledger.counts().failed) == (1, 0)
        assert desk.take_one(T + 7_200).attempts == 2

    def test_all_that_failed_can_be_requeued_before_its_later_try(self, desk: Desk) -> None:
        desk.observe(A)
        claim = desk.take_one()
        desk.commit(claim, Outcome.FAILED)
        desk.ledger.bury(claim, BROKEN, T, RECHECK_S, T + 7_200)
        assert desk.ledger.requeue(None, T + 5) == 1
        assert desk.take_one(T + 5).is_retry
