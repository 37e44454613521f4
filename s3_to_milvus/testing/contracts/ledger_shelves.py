"""The contract of what stands beside the queue: timeline, journal entries, collections, sources, shared limits."""
# ruff: noqa: D102 - a test's name is its docstring

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from s3_to_milvus.domain.objects import ObjectRef
from s3_to_milvus.domain.records import Commit, Outcome, RunStats
from s3_to_milvus.domain.rows import CollectionSpec
from s3_to_milvus.domain.usage import Usage
from s3_to_milvus.errors import SchemaMismatch
from s3_to_milvus.ports import Ledger, SourceEntry
from s3_to_milvus.testing.contracts.ledger_tools import BROKEN, STATS, A, B, Desk, T

__all__ = ["LedgerShelvesContract"]


class LedgerShelvesContract:
    """What people and other parts read beside the queue. Subclasses provide the fixture ``ledger``, empty."""

    @pytest.fixture
    def ledger(self) -> Ledger:
        """A ledger that knows nothing."""
        raise NotImplementedError

    @pytest.fixture
    def desk(self, ledger: Ledger) -> Desk:
        """The ledger with a worker at it."""
        return Desk(ledger)

    def test_one_journal_entry_for_each_finished_job(self, desk: Desk) -> None:
        desk.index(A)
        desk.fail(B)
        desk.observe(A)
        desk.retry(desk.take_one(), due=T)
        claim = desk.take_one()
        desk.ledger.note_run(claim, "skip", "unchanged", T, RunStats())
        desk.settle(claim)
        assert desk.outbox() == ["indexed", "failed"]
        entry = desk.ledger.outbox(T, 1)[0]
        assert (entry.ref, entry.action, entry.started_at, entry.elapsed_s) == (A, "replace", T, 0.0)
        assert desk.ledger.outbox(T, 2)[1].message == "깨진 파일"

    def test_journal_entries_wait_until_they_are_delivered(self, desk: Desk) -> None:
        for number in range(4):
            desk.index(ObjectRef("docs", str(number)), T + number)
        first, second, third = (entry.id for entry in desk.ledger.outbox(T + 9, 3))
        assert first < second < third
        assert len(desk.ledger.outbox(T + 1, 10)) == 2
        desk.ledger.outbox_later([first], T + 50)
        desk.ledger.outbox_done([second, second, 999])
        assert [entry.id for entry in desk.ledger.outbox(T + 9, 10)] == [third, third + 1]
        assert [entry.id for entry in desk.ledger.outbox(T + 50, 10)] == [first, third, third + 1]
        desk.ledger.outbox_done([first, third, third + 1])
        desk.index(A)
        assert desk.ledger.outbox(T + 50, 10)[0].id > third + 1

    def test_the_timeline_tells_every_attempt(self, desk: Desk) -> None:
        desk.observe(A)
        desk.retry(desk.take_one(), T + 1, T + 2)
        desk.take_one(T + 2)
        heir = desk.take_one(T + 100)
        desk.commit(heir, now=T + 103)
        desk.settle(heir, T + 104)
        done, died, failed = desk.ledger.runs(A)
        assert (done.run, done.action, done.outcome, done.attempt) == (heir.run, "replace", "indexed", 2)
        assert (done.started_at, done.finished_at) == (T + 100, T + 103)
        assert done.stats == STATS
        assert (died.finished_at, died.attempt) == (None, 2)
        assert (failed.outcome, failed.error_code, failed.finished_at) == ("failed", "unavailable", T + 1)
        assert desk.ledger.runs(limit=2) == [done, died]
        assert desk.ledger.runs(B) == []

    def test_the_timeline_tells_what_failed_and_lost_attempts_cost(self, desk: Desk) -> None:
        desk.observe(A)
        first = desk.take_one()
        paid = RunStats(usage=Usage(tokens=30, nano_usd=7))
        desk.ledger.retry(first, BROKEN, T + 1, T + 2, is_unclean=False, is_charged=True, stats=paid)
        zombie = desk.take_one(T + 2)
        heir = desk.take_one(T + 100)
        lost = RunStats(1, 1, 10, (), Usage(pages=3))
        desk.ledger.retry(zombie, BROKEN, T + 101, T + 102, is_unclean=False, is_charged=True, stats=paid)
        desk.ledger.note_run(zombie, "add", "lost", T + 101, lost)
        desk.commit(heir, now=T + 102)
        desk.ledger.retry(heir, BROKEN, T + 103, T + 104, is_unclean=False, is_charged=True, stats=paid)
        assert [(run.run, run.outcome, run.stats) for run in desk.ledger.runs(A)] == [
            (heir.run, "indexed", STATS),
            (zombie.run, "lost", lost),
            (first.run, "failed", paid),
        ]
        assert desk.outbox() == ["indexed"]

    def test_the_timeline_of_one_object_is_bounded(self, desk: Desk) -> None:
        desk.index(B)
        for turn in range(60):
            desk.index(A, T + turn)
        runs = desk.ledger.runs(A, limit=1000)
        assert [run.started_at for run in runs] == [T + turn for turn in range(59, 9, -1)]
        assert len(desk.ledger.runs(B)) == 1

    def test_freshness_is_from_the_first_event_to_the_commit(self, desk: Desk) -> None:
        desk.observe(A, now=T)
        desk.observe(A, now=T + 2)
        claim = desk.take_one(T + 3)
        desk.observe(A, now=T + 4)
        desk.commit(claim, now=T + 5)
        desk.settle(claim, T + 6)
        again = desk.take_one(T + 6)
        desk.commit(again, now=T + 7)
        desk.settle(again, T + 7)
        desk.fail(B, T + 9)
        assert desk.ledger.freshness() == [3.0, 5.0]
        assert desk.ledger.freshness(1) == [3.0]

    def test_collections_are_remembered_once(self, desk: Desk) -> None:
        spec = CollectionSpec("docs", "문서 \udcff", 384, "hash")
        assert desk.ledger.add_collection(spec) == spec
        assert desk.ledger.add_collection(replace(spec, name="docs_2")) == spec
        other = CollectionSpec("docs_e5", "문서 \udcff", 768, "e5")
        assert desk.ledger.add_collection(other) == other
        with pytest.raises(SchemaMismatch):
            desk.ledger.add_collection(CollectionSpec("docs", "other", 384, "hash"))
        desk.index(A)
        desk.index(B)
        desk.index(A)
        desk.index(ObjectRef("docs", "empty"), outcome=Outcome.EMPTY)
        found = [(each.spec, each.objects, each.chunks) for each in desk.ledger.collections()]
        assert found == [(spec, 2, 6), (other, 0, 0)]

    def test_collections_count_down_when_rows_go(self, desk: Desk) -> None:
        desk.ledger.add_collection(CollectionSpec("docs", "docs", 384, "hash"))
        desk.index(A)
        desk.index(B)
        desk.fail(A)
        desk.observe(B)
        claim = desk.take_one()
        desk.ledger.commit([Commit(claim, None, "remove")], T)
        assert [(each.objects, each.chunks) for each in desk.ledger.collections()] == [(0, 0)]

    def test_a_bucket_may_be_mirrored_in_several_parts(self, desk: Desk) -> None:
        parts = [SourceEntry("b", f"s3://b/{prefix}", prefix) for prefix in ("x/", "y/")]
        for entry in reversed(parts):
            desk.ledger.put_source(entry)
        assert desk.ledger.sources() == parts

    def test_sources_are_kept_by_address(self, desk: Desk) -> None:
        entry = SourceEntry("docs", "file:///문서/\udcff", "2024/", is_paused=False, last_scan_at=None)
        desk.ledger.put_source(SourceEntry("b", "s3://b"))
        desk.ledger.put_source(entry)
        assert desk.ledger.sources() == [SourceEntry("b", "s3://b"), entry]
        later = replace(entry, is_paused=True, last_scan_at=T)
        desk.ledger.put_source(later)
        assert desk.ledger.sources()[1] == later

    def test_a_shared_limit_spaces_calls(self, desk: Desk) -> None:
        def reserve(now: float, amount: float = 1) -> float:
            return desk.ledger.reserve("notion", amount, 0.5, 1.0, now)

        waits = [reserve(T) for _ in range(5)]
        assert waits == pytest.approx([0, 0, 0, 0.5, 1.0], abs=1e-5)
        assert reserve(T + 1.0, 4) == pytest.approx(0.5, abs=1e-5)
        assert reserve(T + 3.0) == pytest.approx(0.5, abs=1e-5)
        assert [reserve(T + 100.0) for _ in range(4)] == pytest.approx([0, 0, 0, 0.5], abs=1e-5)
        assert desk.ledger.reserve("other", 1, 0.5, 0.0, T) == 0
        assert desk.ledger.reserve("other", 1, 0.5, 0.0, T) == pytest.approx(0.5, abs=1e-5)

    def test_a_wait_that_is_too_long_reserves_nothing(self, desk: Desk) -> None:
        def reserve(now: float, amount: float, most_s: float) -> float:
            return desk.ledger.reserve("notion", amount, 0.5, 0.0, now, most_s)

        assert reserve(T, 100, 5.0) == 0
        assert [reserve(T, 1, 5.0) for _ in range(9)] == pytest.approx([50.0] * 9, abs=1e-5)
        assert reserve(T + 46, 1, 5.0) == pytest.approx(4.0, abs=1e-5)
        assert reserve(T + 46, 1, 5.0) == pytest.approx(4.5, abs=1e-5)

    def test_a_shared_limit_can_be_paused_and_pauses_do_not_add_up(self, desk: Desk) -> None:
        for now, pause_s in ((T, 20.0), (T + 1, 19.0), (T + 2, 3.0)):
            desk.ledger.reserve("notion", 0, 0.0, -pause_s, now)
        assert desk.ledger.reserve("notion", 1, 0.5, 60.0, T + 5) == pytest.approx(15.0, abs=1e-5)
        assert desk.ledger.reserve("other", 1, 0.5, 60.0, T + 5) == 0
        assert desk.ledger.reserve("notion", 1, 0.5, 0.0, T + 21) == 0

    def test_a_limit_that_a_wrong_clock_wrote_is_forgotten(self, desk: Desk) -> None:
        assert desk.ledger.reserve("notion", 1, 0.5, 0.0, T + 10 * 86_400) == 0
        assert desk.ledger.reserve("notion", 1, 0.5, 0.0, T) == 0
        assert desk.ledger.reserve("notion", 1, 0.5, 0.0, T) == pytest.approx(0.5, abs=1e-5)

    def test_threads_that_reserve_at_once_get_what_they_would_one_by_one(self, desk: Desk) -> None:
        with ThreadPoolExecutor(8) as pool:
            waits = list(pool.map(lambda _: desk.ledger.reserve("notion", 1, 0.5, 0.0, T), range(40)))
        assert sorted(waits) == pytest.approx([number * 0.5 for number in range(40)], abs=1e-5)

    def test_it_is_frozen_while_others_write(self, desk: Desk, tmp_path: Path) -> None:
        desk.index(A)
        frozen = desk.ledger.freeze()
        desk.index(B)
        frozen.write(tmp_path / "copy")
        assert (tmp_path / "copy").stat().st_size == frozen.size_bytes
        frozen.close()
        frozen.close()
        desk.observe(A)

    def test_check_says_one_line(self, desk: Desk) -> None:
        assert "\n" not in desk.ledger.check()
