"""The mirror and its pool of threads over fakes: what a sync reports, and how it ends."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import structlog

from s3_to_milvus.adapters.clock import SystemClock
from s3_to_milvus.domain.objects import ObjectEvent, ObjectRef
from s3_to_milvus.domain.records import ObjectState, Suspicion
from s3_to_milvus.domain.retrying import RetryPolicy
from s3_to_milvus.domain.usage import Usage
from s3_to_milvus.engine.mirror import Mirror
from s3_to_milvus.engine.parts import EngineConfig
from s3_to_milvus.engine.scan import ScanReport
from s3_to_milvus.engine.tally import SyncReport
from s3_to_milvus.errors import RemovalGuard, Unauthorized, Unavailable, UnreadableDocument
from s3_to_milvus.ports import SourceEntry, spend
from s3_to_milvus.testing.fakes.parser import FAIL_TRANSIENT, FakeParser
from tests.support.application import until
from tests.support.patience import HANGS_S, LEASE_S, SOON_S
from tests.unit.engine.house import BUCKET, House

SOURCE = SourceEntry(BUCKET, f"s3://{BUCKET}/")
QUICK = RetryPolicy(base_s=0.01)


class Running:
    """A mirror whose threads run over a house in real time."""

    def __init__(self, scratch: Path, **config: Any) -> None:
        made = EngineConfig(**{"workers": 2, "retry": QUICK, "stop_s": 1.0, "lease_s": LEASE_S, **config})
        self.parser = Gated()
        self.house = House(scratch, config=made, clock=SystemClock(), parsers=[self.parser])
        self.mirror = Mirror(self.house.parts)
        self.mirror.start()

    def put(self, key: str, text: str) -> ObjectRef:
        self.house.store.put(BUCKET, key, text.encode())
        return ObjectRef(BUCKET, key)

    def state(self, ref: ObjectRef) -> ObjectState:
        status = self.house.ledger.status(ref)
        assert status is not None
        state: ObjectState = status.state
        return state

    def sync(self, **more: Any) -> SyncReport:
        return self.mirror.sync(SOURCE, **more)


class Gated(FakeParser):
    """Raises what it is told, by the name of the file; waits at the gate for files that ask for it."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: dict[str, Exception] = {}
        self.refused = 0
        self.gate = threading.Event()
        self.is_waiting = threading.Event()

    def parse(self, source):
        if error := self.errors.get(source.file_name):
            self.refused += 1
            raise error
        if source.file_name.startswith("slow"):
            spend(self.charge)
            self.is_waiting.set()
            assert self.gate.wait(HANGS_S)
        return super().parse(source)


@pytest.fixture(autouse=True)
def _quiet():
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    yield
    structlog.reset_defaults()


@pytest.fixture
def make(tmp_path):
    made: list[Running] = []

    def make_running(**config: Any) -> Running:
        made.append(Running(tmp_path, **config))
        return made[-1]

    yield make_running
    for running in made:
        running.parser.gate.set()
        running.mirror.stop()


Make = Callable[..., Running]


def _numbers(report: SyncReport) -> tuple[int, ...]:
    return report.added, report.changed, report.removed, report.unchanged, report.failed, report.empty


def test_every_object_of_a_source_is_counted_once(make: Make):
    running = make()
    for name in ("one.txt", "two.txt", "three.txt", "four.txt"):
        running.put(name, f"{name}\n\nmore")
    running.put("empty.txt", " ")
    running.put("odd.zip", "PK")
    first = running.sync()
    assert _numbers(first) == (4, 0, 0, 0, 1, 1)
    assert (first.chunks, first.embedded, first.retrying) == (8, 8, 0)

    running.put("one.txt", "one.txt\n\nother")
    running.put("five.txt", "five")
    running.put("two.txt", "")
    running.house.store.delete(BUCKET, "three.txt")
    running.house.store.delete(BUCKET, "odd.zip")
    running.put("four.txt", "%FAIL-PERMANENT")
    second = running.sync()
    assert _numbers(second) == (1, 1, 2, 0, 1, 2)
    assert second.embedded == 2

    third = running.sync()
    assert _numbers(third) == (0, 0, 0, 2, 1, 2)
    assert (third.chunks, third.embedded) == (0, 0)


def test_a_dry_run_has_the_numbers_of_the_sync_that_follows(make: Make):
    running = make()
    for name in ("a.txt", "b.txt", "c.txt"):
        running.put(name, name)
    running.put("odd.zip", "PK")
    running.sync()
    running.put("a.txt", "other")
    running.put("d.txt", "new")
    running.house.store.delete(BUCKET, "b.txt")
    plan = running.mirror.plan(SOURCE)
    assert plan.plan == ((BUCKET, "a.txt", "change"), (BUCKET, "b.txt", "remove"), (BUCKET, "d.txt", "add"))
    done = running.sync()
    assert (plan.added, plan.changed, plan.removed) == (done.added, done.changed, done.removed) == (1, 1, 1)
    assert (plan.unchanged, plan.failed) == (done.unchanged, done.failed) == (1, 1)


def test_a_sync_counts_its_own_source_only(make: Make):
    running = make()
    running.house.store.put("other", "x.txt", b"x")
    running.house.parts.stores["other"] = running.house.store  # type: ignore[index]
    running.put("a/one.txt", "one")
    running.put("b/two.txt", "two")
    part = SourceEntry(BUCKET, f"s3://{BUCKET}/a/", "a/")
    running.mirror.take([ObjectEvent(ObjectRef("other", "x.txt")), ObjectEvent(ObjectRef(BUCKET, "b/two.txt"))])
    assert _numbers(running.mirror.sync(part)) == (1, 0, 0, 0, 0, 0)
    assert running.sync().unchanged == 2


def test_what_keeps_failing_ends_a_sync_as_retrying(make: Make):
    running = make()
    running.put("good.txt", "good")
    ref = running.put("away.txt", FAIL_TRANSIENT.decode())
    report = running.sync()
    assert (report.added, report.failed, report.retrying) == (1, 1, 1)
    assert running.house.ledger.status(ref).attempts >= 3


def test_a_sync_that_waits_for_a_retry_looks_a_few_times_only(make: Make):
    running = make(retry=RetryPolicy(base_s=0.2))
    running.put("away.txt", FAIL_TRANSIENT.decode())
    looks: list[float] = []
    running.sync(on_progress=lambda progress: looks.append(time.monotonic()))
    assert looks[-1] - looks[0] > 0.25
    assert len(looks) < 50 * (looks[-1] - looks[0])


def test_a_source_is_known_once_something_of_it_was_found(make: Make):
    running = make()
    for number in range(1_200):
        running.house.store.put(BUCKET, f"{number}.txt", b"words")

    def cut_off(report: ScanReport) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        running.mirror.scan(SOURCE, on_progress=cut_off)
    assert running.house.ledger.sources() == [SOURCE]  # not yet compared to its end
    running.mirror.scan(SOURCE)
    (entry,) = running.house.ledger.sources()
    assert entry.last_scan_at is not None


def test_progress_grows_and_ends_complete(make: Make):
    running = make()
    for number in range(30):
        running.put(f"{number}.txt", "text")
    seen: list[tuple[int, int]] = []
    running.sync(on_progress=lambda progress: seen.append((progress.done, progress.total)))
    assert seen == sorted(seen)
    assert seen[-1] == (30, 30)


def test_a_fatal_failure_ends_a_sync_and_holds_the_queue_until_somebody_says_go(make: Make):
    running = make(hold_s=3600.0)
    running.parser.errors["one.txt"] = Unauthorized("The key is wrong.")
    ref = running.put("one.txt", "one")
    with pytest.raises(Unauthorized, match="key is wrong"):
        running.sync()
    status = running.mirror.status()
    assert status.held is not None
    assert status.held.code == "unauthorized"
    assert running.house.ledger.status(ref).attempts == 0

    later = running.put("two.txt", "two")
    running.mirror.take([ObjectEvent(later)])
    time.sleep(0.05)
    assert running.house.ledger.status(later).state is ObjectState.WAITING
    running.parser.errors.clear()
    running.mirror.retry([ref])
    assert running.sync().unchanged + running.sync().added <= 2
    until(lambda: running.house.ledger.status(later).state is ObjectState.INDEXED)
    assert running.mirror.status().held is None


def test_a_fatal_failure_is_met_once_and_not_by_the_whole_batch(make: Make):
    running = make(workers=1, hold_s=3600.0)
    refs = [running.put(f"{number}.txt", "words") for number in range(8)]
    running.parser.errors.update({ref.key: Unauthorized("The key is wrong.") for ref in refs})
    with pytest.raises(Unauthorized):
        running.sync()
    assert running.parser.refused == 1
    assert {running.house.ledger.status(ref).attempts for ref in refs} == {0}
    assert running.house.ledger.counts().running == 0
    assert {claim.suspicion for claim in running.house.ledger.claim("next", 10, 9e12, 60)} == {Suspicion.NONE}


def test_a_store_that_refuses_us_leaves_no_claim_behind(make: Make):
    running = make(workers=1, hold_s=3600.0)
    refs = [running.put(f"{number}.txt", "words") for number in range(8)]
    running.house.store.outage = Unauthorized("No right to read.")
    running.mirror.take([ObjectEvent(ref) for ref in refs])
    until(lambda: running.mirror.pool.held is not None)
    assert running.house.ledger.counts().running == 0
    assert {running.house.ledger.status(ref).attempts for ref in refs} == {0}


def test_a_hold_ends_by_itself(make: Make):
    running = make(hold_s=0.2)
    running.parser.errors["one.txt"] = Unauthorized("The key is wrong.")
    ref = running.put("one.txt", "one")
    running.mirror.take([ObjectEvent(ref)])
    until(lambda: running.mirror.pool.held is not None)
    running.parser.errors.clear()
    until(lambda: running.house.ledger.status(ref).state is ObjectState.INDEXED)
    assert running.mirror.pool.held is None


def test_retry_of_everything_that_failed(make: Make):
    running = make()
    running.parser.errors["one.txt"] = UnreadableDocument("broken")
    ref = running.put("one.txt", "one")
    assert running.sync().failed == 1
    running.parser.errors.clear()
    assert running.mirror.retry(None) == 1
    until(lambda: running.house.ledger.status(ref).state is ObjectState.INDEXED)


def test_a_sync_that_would_remove_too_much_asks_first(make: Make):
    running = make(guard_objects=2)
    for number in range(6):
        running.put(f"{number}.txt", "text")
    running.sync()
    for number in range(4):
        running.house.store.delete(BUCKET, f"{number}.txt")
    with pytest.raises(RemovalGuard) as caught:
        running.sync()
    assert (caught.value.removals, caught.value.indexed) == (4, 6)
    assert running.mirror.status().counts.indexed == 6
    assert running.sync(is_removal_confirmed=True).removed == 4


def test_what_a_guarded_scan_found_changed_is_worked_on_at_once(make: Make):
    running = make(guard_objects=2)
    refs = [running.put(f"{number}.txt", "text") for number in range(6)]
    running.sync()
    for number in range(4):
        running.house.store.delete(BUCKET, f"{number}.txt")
    running.put("5.txt", "changed")
    for scan in (running.sync, lambda: running.mirror.scan(SOURCE)):
        with pytest.raises(RemovalGuard):
            scan()
        until(lambda: running.house.ledger.status(refs[5]).state is ObjectState.INDEXED)
    assert running.house.texts("5.txt") == ["changed"]


@pytest.mark.parametrize("workers", [1, 2])
def test_nobody_waits_for_a_slow_neighbour(make: Make, workers: int):
    running = make(workers=workers)
    before = [running.put(f"before {number}.txt", "words") for number in range(3)]
    slow = running.put("slow.txt", "words")
    after = [running.put(f"after {number}.txt", "words") for number in range(3)]
    running.mirror.take([ObjectEvent(ref) for ref in (*before, slow, *after)])
    assert running.parser.is_waiting.wait(SOON_S)
    ready = [*before, *(after if workers > 1 else [])]
    until(lambda: all(running.state(ref) is ObjectState.INDEXED for ref in ready))
    assert running.state(slow) is ObjectState.RUNNING
    assert {running.state(ref) for ref in after} == {ObjectState.INDEXED if workers > 1 else ObjectState.WAITING}
    running.parser.gate.set()
    until(lambda: running.mirror.status().counts.indexed == 7)
    assert sorted(running.house.texts()) == ["words"] * 7
    assert running.house.ledger.next_due() is None, "nothing was left in doubt"


def test_stopping_hands_back_what_is_in_work_and_nobody_writes_afterwards(make: Make):
    running = make(stop_s=0.3)
    running.parser.charge = Usage(pages=3)
    slow = running.put("slow.txt", "late words")
    waiting = running.put("zz.txt", "words")
    running.mirror.take([ObjectEvent(slow)])
    assert running.parser.is_waiting.wait(SOON_S)
    started = time.monotonic()
    running.mirror.pool.stop()
    assert time.monotonic() - started < SOON_S
    status = running.house.ledger.status(slow)
    assert (status.state, status.attempts) == (ObjectState.WAITING, 0)
    assert [run.stats.usage for run in running.house.ledger.runs(slow)] == [Usage(pages=3)]
    running.parser.gate.set()
    until(lambda: not running.mirror.pool.is_busy)
    assert running.house.texts() == [], "the worker that woke up late wrote"
    assert running.house.ledger.status(waiting) is None


def test_a_stop_in_time_leaves_no_suspicion(make: Make):
    running = make(claim_batch=4, stop_s=SOON_S)
    refs = [running.put(f"slow {number}.txt", "words") for number in range(8)]
    running.mirror.take([ObjectEvent(ref) for ref in refs])
    assert running.parser.is_waiting.wait(SOON_S)
    threading.Timer(0.1, running.parser.gate.set).start()
    running.mirror.pool.stop()
    states = {running.house.ledger.status(ref).state for ref in refs}
    assert states == {ObjectState.INDEXED, ObjectState.WAITING}
    again = running.house.ledger.claim("next", 100, time.time() + 1, 60)
    assert again
    assert {claim.suspicion for claim in again} == {Suspicion.NONE}
    assert {claim.attempts for claim in again} == {1}


def test_a_worker_that_meets_a_defect_of_the_ledger_lives_on(make: Make):
    running = make(hold_s=0.1)
    claim = running.house.ledger.claim
    failures = [RuntimeError("disk"), Unavailable("busy")]

    def failing(*args: Any) -> Any:
        if failures:
            raise failures.pop()
        return claim(*args)

    running.house.ledger.claim = failing
    next_due = running.house.ledger.next_due
    unreadable = [Unavailable("locked")]
    running.house.ledger.next_due = lambda: next_due() if not unreadable else _raise(unreadable.pop())
    ref = running.put("one.txt", "one")
    running.mirror.take([ObjectEvent(ref)])
    until(lambda: running.house.ledger.status(ref).state is ObjectState.INDEXED)
    assert running.mirror.pool.is_running


def _raise(error: Exception) -> None:
    raise error


def test_status_speaks_of_collections_freshness_and_sources(make: Make):
    running = make()
    running.house.ledger.put_source(SOURCE)
    running.put("인사/one.txt", "one\n\ntwo")
    running.sync()
    status = running.mirror.status()
    assert [(each.spec.label, each.objects, each.chunks) for each in status.collections] == [("인사", 1, 2)]
    assert status.freshness_p50_s is not None
    assert 0 <= status.freshness_p50_s < 10
    assert [entry.name for entry in status.sources] == [BUCKET]
