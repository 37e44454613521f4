"""The contract of the ledger as a memory: records, garbage, removals, counts, pages, keys."""
# ruff: noqa: D102 - a test's name is its docstring

from collections.abc import Callable
from dataclasses import replace

import pytest

from s3_to_milvus.domain.objects import Lane, ObjectRef, sort_key
from s3_to_milvus.domain.records import (
    Commit,
    Counts,
    Failure,
    Garbage,
    IndexedLine,
    ObjectState,
    Outcome,
    SettleState,
    Suspicion,
)
from s3_to_milvus.domain.rows import CollectionSpec, IdRanges
from s3_to_milvus.ports import Ledger, SourceEntry, Standing
from s3_to_milvus.testing.contracts.ledger_tools import HOSTILE_KEYS, RECHECK_S, A, B, Desk, T, ids_of_run

__all__ = ["LedgerMemoryContract"]


class LedgerMemoryContract:
    """What is remembered and shown. Subclasses provide ``ledger``, empty, and ``reopen``."""

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

    def test_a_record_is_read_back_as_it_was_committed(self, desk: Desk) -> None:
        record = desk.index(A)
        status = desk.ledger.status(A)
        assert status is not None
        assert (status.ref, status.state, status.record) == (A, ObjectState.INDEXED, record)
        assert list(desk.ledger.records()) == [record]
        assert list(desk.ledger.lines("docs")) == [IndexedLine(A.key, "v1", 10, "recipe", has_rows=True)]
        assert desk.ledger.standing([A.object_id, B.object_id]) == {A.object_id: Standing(A, "docs", record.run)}
        assert desk.ledger.find(A.object_id) == A
        assert desk.ledger.find(B.object_id) is None
        assert desk.ledger.find("no id") is None

    def test_ranges_of_ids_survive(self, desk: Desk) -> None:
        desk.observe(A)
        claim = desk.take_one()
        ids = IdRanges.of([-3, 1, 2, 3, 7, 459_000_000_000_000_001, 2**62])
        record = replace(desk.record(claim), ids=ids)
        desk.ledger.commit([Commit(claim, record)], T)
        desk.settle(claim)
        assert next(desk.ledger.records()).ids == ids

    def test_what_a_commit_replaces_is_garbage_until_it_is_settled(self, desk: Desk) -> None:
        first = desk.index(A)
        desk.observe(A)
        claim = desk.take_one()
        assert claim.garbage == ()
        second = desk.commit(claim, etag="v2")
        heir = desk.take_one(T + 100)
        assert heir.garbage == (Garbage("docs", first.ids, first.run),)
        assert heir.record == second
        assert desk.settle(heir, T + 100) is SettleState.AGAIN
        later = desk.take_one(T + 100 + RECHECK_S)
        assert (later.garbage, later.suspicion) == ((), Suspicion.RECHECK)

    def test_garbage_of_several_crashed_runs_adds_up(self, desk: Desk) -> None:
        first = desk.index(A)
        desk.observe(A)
        second = desk.commit(desk.take_one(), etag="v2")
        heir = desk.take_one(T + 100)
        desk.ledger.commit([Commit(heir, replace(desk.record(heir), collection="other"))], T + 100)
        last = desk.take_one(T + 200)
        assert last.garbage == (Garbage("docs", first.ids, first.run), Garbage("docs", second.ids, second.run))
        desk.ledger.commit([Commit(last, None, "remove")], T + 200)
        desk.retry(last, T + 200, T + 201)
        again = desk.take_one(T + 201)
        assert again.garbage[2:] == (Garbage("other", ids_of_run(heir.run), heir.run),)
        assert again.record is None

    def test_buried_garbage_is_not_forgotten(self, desk: Desk) -> None:
        first = desk.index(A)
        desk.observe(A)
        claim = desk.take_one()
        desk.commit(claim, Outcome.FAILED)
        desk.bury(claim)
        desk.ledger.requeue(None, T)
        assert desk.take_one().garbage == (Garbage("docs", first.ids, first.run),)

    def test_a_failure_that_keeps_the_old_rows_makes_no_garbage(self, desk: Desk) -> None:
        first = desk.index(A)
        desk.observe(A)
        claim = desk.take_one()
        failed = replace(first, outcome=Outcome.FAILED, error_code="x", error="y")
        desk.ledger.commit([Commit(claim, failed)], T)
        desk.bury(claim)
        assert desk.ledger.standing([A.object_id]) == {A.object_id: Standing(A, "docs", first.run)}
        desk.ledger.requeue(None, T)
        assert desk.take_one().garbage == ()

    def test_committing_twice_is_committing_once(self, desk: Desk) -> None:
        desk.index(A)
        desk.observe(A)
        claim = desk.take_one()
        commit = Commit(claim, desk.record(claim))
        assert desk.ledger.commit([commit, commit], T) == [True, True]
        assert desk.ledger.commit([commit], T + 1) == [True]
        assert desk.outbox() == ["indexed", "indexed"]
        assert len(desk.take_one(T + 100).garbage) == 1

    def test_commits_of_one_call_stand_alone(self, desk: Desk) -> None:
        desk.observe(A)
        zombie = desk.take_one()
        desk.take_one(T + 100)
        desk.observe(B, now=T + 100)
        good = desk.take_one(T + 100)
        commits = [Commit(claim, desk.record(claim)) for claim in (zombie, good)]
        assert desk.ledger.commit(commits, T + 100) == [False, True]
        assert desk.ledger.settle([zombie, good], T + 100, RECHECK_S) == [SettleState.LOST, SettleState.DONE]
        assert [record.ref for record in desk.ledger.records()] == [B]

    def test_a_removed_object_is_forgotten_but_its_history_stays(self, desk: Desk) -> None:
        desk.index(A)
        desk.observe(A)
        claim = desk.take_one()
        desk.ledger.commit([Commit(claim, None, "remove")], T + 3)
        assert desk.ledger.standing([A.object_id]) == {}
        assert desk.settle(claim, T + 4) is SettleState.DONE
        assert desk.ledger.status(A) is None
        assert desk.ledger.find(A.object_id) is None
        assert list(desk.ledger.records()) == []
        assert desk.ledger.counts() == Counts()
        assert [(run.action, run.outcome) for run in desk.ledger.runs(A)] == [
            ("remove", "removed"),
            ("replace", "indexed"),
        ]

    def test_an_object_that_comes_back_while_it_is_removed_is_looked_at_again(self, desk: Desk) -> None:
        desk.index(A)
        desk.observe(A)
        claim = desk.take_one()
        desk.ledger.commit([Commit(claim, None, "remove")], T)
        desk.observe(A, now=T + 1)
        assert desk.settle(claim, T + 2) is SettleState.AGAIN
        again = desk.take_one(T + 2)
        assert (again.record, again.garbage) == (None, ())
        desk.commit(again)
        assert desk.settle(again) is SettleState.DONE

    def test_a_removed_suspect_is_gone_for_people_until_its_re_check(self, desk: Desk) -> None:
        desk.index(A)
        desk.observe(A)
        desk.take_one()
        heir = desk.take_one(T + 100)
        desk.ledger.commit([Commit(heir, None, "remove")], T + 100)
        assert desk.settle(heir, T + 100) is SettleState.AGAIN
        assert desk.ledger.status(A) is None
        assert desk.ledger.objects() == []
        assert desk.ledger.counts() == Counts()
        later = desk.take_one(T + 100 + RECHECK_S)
        assert desk.settle(later, T + 500) is SettleState.DONE
        assert desk.ledger.find(A.object_id) is None

    def test_counts_tell_where_every_object_stands(self, desk: Desk) -> None:
        desk.index(ObjectRef("docs", "a/1"))
        desk.index(ObjectRef("docs", "a/2"), outcome=Outcome.EMPTY)
        desk.fail(ObjectRef("docs", "b/1"))
        desk.observe(ObjectRef("docs", "b/2"))
        desk.take()
        desk.observe(ObjectRef("docs", "b/3"))
        desk.retry(desk.take()[0], due=T + 5)
        desk.observe(ObjectRef("other", "c"), ObjectRef("docs", "a/1"))
        assert desk.ledger.counts() == Counts(indexed=0, waiting=3, running=1, failed=1, empty=1, retrying=1)
        assert desk.ledger.counts("other") == Counts(waiting=1)
        assert desk.ledger.counts("docs", "b/") == Counts(waiting=1, running=1, failed=1, retrying=1)
        assert desk.ledger.counts("docs", "a/") == Counts(waiting=1, empty=1)
        assert desk.ledger.counts("nowhere") == Counts()
        states = {status.ref.key: status.state.value for status in desk.ledger.objects(bucket="docs")}
        assert states == {"a/1": "waiting", "a/2": "empty", "b/1": "failed", "b/2": "running", "b/3": "waiting"}

    def test_objects_come_in_pages(self, desk: Desk) -> None:
        refs = [ObjectRef(bucket, key) for bucket in ("b1", "b2") for key in ("a", "a/1", "a/2", "b")]
        for ref in reversed(refs):
            desk.index(ref)
        found: list[ObjectRef] = []
        while page := desk.ledger.objects(after=found[-1] if found else None, limit=3):
            assert len(page) <= 3
            found += [status.ref for status in page]
        assert found == refs
        below = desk.ledger.objects(bucket="b2", prefix="a/", after=ObjectRef("b2", "a/1"))
        assert [status.ref for status in below] == [refs[6]]
        assert [status.ref.bucket for status in desk.ledger.objects(prefix="b")] == ["b1", "b2"]
        assert desk.ledger.objects(bucket="b1", after=ObjectRef("b2", "")) == []

    @pytest.mark.parametrize("state", list(ObjectState))
    def test_objects_of_one_state(self, desk: Desk, state: ObjectState) -> None:
        refs = {each: ObjectRef("docs", each.value) for each in ObjectState}
        desk.fail(refs[ObjectState.FAILED])
        desk.index(refs[ObjectState.INDEXED])
        desk.index(refs[ObjectState.EMPTY], outcome=Outcome.EMPTY)
        desk.observe(refs[ObjectState.RUNNING])
        desk.take()
        desk.observe(refs[ObjectState.WAITING])
        assert [status.ref for status in desk.ledger.objects(state=state)] == [refs[state]]
        assert desk.ledger.objects(state=state, after=refs[state]) == []

    def test_hostile_keys_are_kept_exactly_and_sorted_as_the_store_lists(self, desk: Desk) -> None:
        for key in HOSTILE_KEYS:
            desk.index(ObjectRef("버킷", key))
        assert [line.key for line in desk.ledger.lines("버킷")] == sorted(HOSTILE_KEYS, key=sort_key)
        assert [record.ref.key for record in desk.ledger.records("버킷")] == sorted(HOSTILE_KEYS, key=sort_key)
        for key in HOSTILE_KEYS:
            ref = ObjectRef("버킷", key)
            assert desk.ledger.find(ref.object_id) == ref
            assert [line.key for line in desk.ledger.lines("버킷", key)] == [key]
            assert desk.ledger.runs(ref)[0].ref == ref

    def test_a_prefix_is_bytes_not_letters(self, desk: Desk) -> None:
        for key in ("한/1", "\u1112\u1161\u11ab/1", "한", "하/1", "\udcff/1", "\udcff\udcff/2"):
            desk.index(ObjectRef("docs", key))
        assert [line.key for line in desk.ledger.lines("docs", "한")] == ["한", "한/1"]
        assert [line.key for line in desk.ledger.lines("docs", "\udcff")] == ["\udcff/1", "\udcff\udcff/2"]
        desk.index(ObjectRef("docs", "한\udcff"))
        assert [line.key for line in desk.ledger.lines("docs", "한")] == ["한", "한/1", "한\udcff"]
        assert list(desk.ledger.lines("other")) == []

    def test_lines_are_those_with_a_record(self, desk: Desk) -> None:
        desk.index(ObjectRef("docs", "empty"), outcome=Outcome.EMPTY)
        desk.fail(ObjectRef("docs", "failed"))
        desk.index(ObjectRef("docs", "full"))
        desk.observe(ObjectRef("docs", "new"))
        lines = [(line.key, line.has_rows) for line in desk.ledger.lines("docs")]
        assert lines == [("empty", False), ("failed", False), ("full", True)]
        refs = [ObjectRef("docs", key).object_id for key in ("empty", "failed", "full", "new")]
        assert list(desk.ledger.standing(refs)) == [refs[2]]

    def test_lines_say_what_is_queued(self, desk: Desk) -> None:
        for key in ("failed", "observed", "rechecked", "running", "settled"):
            desk.index(ObjectRef("docs", key))
        desk.fail(ObjectRef("docs", "failed"))
        desk.observe(ObjectRef("docs", "running"), ObjectRef("docs", "rechecked"))
        desk.take()
        desk.ledger.expire_all(T)
        while claims := desk.take():
            if claims[0].ref.key == "rechecked":
                desk.settle(claims[0])
        desk.observe(ObjectRef("docs", "observed"))
        assert [line.key for line in desk.ledger.lines("docs") if line.is_queued] == ["observed", "running"]

    def test_lines_may_be_read_while_others_write(self, desk: Desk) -> None:
        keys = [f"{number:05d}" for number in range(2_100)]
        desk.ledger.observe([ObjectRef("docs", key) for key in keys], Lane.LIVE, T)
        claims = desk.take(limit=len(keys))
        desk.ledger.commit([Commit(claim, desk.record(claim)) for claim in claims], T)
        lines = desk.ledger.lines("docs")
        seen = [next(lines).key]
        desk.ledger.settle(claims, T, RECHECK_S)
        desk.index(ObjectRef("docs", "99999"))
        seen += [line.key for line in lines]
        assert seen[: len(keys)] == keys
        assert [record.ref.key for record in desk.ledger.records("docs")] == [*keys, "99999"]

    def test_failures_may_say_anything(self, desk: Desk) -> None:
        desk.observe(A)
        claim = desk.take_one()
        failure = Failure("defect", "bad \udcff name\0 and \ud800 more", "hint \udcff")
        desk.ledger.retry(claim, failure, T, T + 1, is_unclean=False, is_charged=True)
        status = desk.ledger.status(A)
        assert status is not None
        assert status.error.startswith("bad ")

    def test_everything_survives_closing(self, desk: Desk, reopen: Callable[[], Ledger] | None) -> None:
        if reopen is None:
            pytest.skip("this ledger keeps nothing when it is closed")
        first = desk.index(A)
        desk.fail(B)
        desk.ledger.add_collection(CollectionSpec("docs", "docs", 384, "hash"))
        desk.ledger.put_source(SourceEntry("docs", "file:///docs"))
        desk.ledger.reserve("openai", 100, 1.0, 0.0, T)
        desk.observe(A, now=T + 1)
        claim = desk.take_one(T + 1)
        second = desk.commit(claim, now=T + 2, etag="v2")
        before = desk.ledger
        shown = (before.counts(), before.objects(), before.runs(), before.outbox(T + 9, 9), before.collections())
        after = Desk(reopen())
        again = after.ledger
        assert (again.counts(), again.objects(), again.runs(), again.outbox(T + 9, 9), again.collections()) == shown
        assert again.sources() == [SourceEntry("docs", "file:///docs")]
        assert again.reserve("openai", 1, 1.0, 60.0, T + 3) == pytest.approx(97.0, abs=1e-5)
        assert again.expire_all(T + 3) == 1
        heir = after.take_one(T + 3)
        assert (heir.record, heir.garbage) == (second, (Garbage("docs", first.ids, first.run),))
        assert heir.run > claim.run
        assert after.settle(claim, T + 4) is SettleState.LOST

    def test_a_closed_ledger_may_be_closed_again(self, desk: Desk) -> None:
        desk.index(A)
        desk.ledger.close()
        desk.ledger.close()
