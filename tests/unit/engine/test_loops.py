"""The service's loops over fakes: scans, events, the journal; none of them ends before the service does."""

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import structlog

from s3_to_milvus.adapters.clock import SystemClock
from s3_to_milvus.domain.objects import ObjectEvent, ObjectRef
from s3_to_milvus.domain.records import ObjectState
from s3_to_milvus.engine import delivery
from s3_to_milvus.engine import service as loops
from s3_to_milvus.engine.mirror import Mirror
from s3_to_milvus.engine.parts import EngineConfig
from s3_to_milvus.engine.service import Service
from s3_to_milvus.errors import ConfigError, Unavailable
from s3_to_milvus.ports import SourceEntry
from s3_to_milvus.testing.fakes.event_source import MemoryEventSource
from s3_to_milvus.testing.fakes.journal import MemoryJournal
from tests.support.application import until
from tests.unit.engine.house import BUCKET, House

SOURCE = SourceEntry(BUCKET, f"s3://{BUCKET}/")


class Running:
    """A service over a house, in real time."""

    def __init__(self, scratch: Path, events: Sequence[Any] = (), entry: SourceEntry = SOURCE, **config: Any) -> None:
        made = EngineConfig(**{"workers": 2, "scan_interval_s": 3600.0, **config})
        self.house = House(scratch, config=made, clock=SystemClock())
        self.journal = MemoryJournal()
        self.house.ledger.put_source(entry)
        self.service = Service(Mirror(self.house.parts), [entry], events, self.journal)
        self.mirror = self.service.mirror

    def put(self, key: str, text: str = "text") -> ObjectRef:
        self.house.store.put(BUCKET, key, text.encode())
        return ObjectRef(BUCKET, key)

    def start(self) -> None:
        self.service.start()
        until(lambda: self.service.is_ready)

    def is_indexed(self, ref: ObjectRef) -> bool:
        status = self.house.ledger.status(ref)
        return status is not None and status.state is ObjectState.INDEXED


Make = Callable[..., Running]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    monkeypatch.setattr(delivery, "_IDLE_S", 0.01)
    monkeypatch.setattr(delivery, "_LATER_S", 0.02)
    monkeypatch.setattr(loops, "_FAILED_S", 0.02)
    made: list[Running] = []

    def make_running(*args: Any, **config: Any) -> Running:
        made.append(Running(tmp_path, *args, **config))
        return made[-1]

    yield make_running
    for running in made:
        running.service.stop()
    structlog.reset_defaults()


def test_what_is_there_at_the_start_is_indexed(make: Make):
    running = make()
    refs = [running.put(f"{number}.txt") for number in range(5)]
    running.start()
    until(lambda: all(map(running.is_indexed, refs)))
    assert running.house.ledger.sources()[0].last_scan_at is not None


def test_scans_come_again_and_heal_what_nobody_told(make: Make):
    running = make(scan_interval_s=0.05)
    running.start()
    ref = running.put("untold.txt")
    until(lambda: running.is_indexed(ref))
    running.house.store.delete(BUCKET, "untold.txt")
    running.put("other.txt")
    until(lambda: running.house.ledger.status(ref) is None)


def test_without_an_interval_only_the_first_scan_comes_by_itself(make: Make):
    running = make(scan_interval_s=0.0)
    running.start()
    ref = running.put("later.txt")
    seen = running.house.store.lists
    threading.Event().wait(0.2)
    assert running.house.store.lists == seen == 1
    running.service.scan_now(SOURCE)
    until(lambda: running.is_indexed(ref))


def test_a_scan_that_would_remove_too_much_is_a_warning_until_it_is_over(make: Make):
    running = make(guard_objects=1, scan_interval_s=0.05)
    refs = [running.put(f"{number}.txt") for number in range(4)]
    running.start()
    until(lambda: all(map(running.is_indexed, refs)))
    for number in range(3):
        running.house.store.delete(BUCKET, f"{number}.txt")
    until(lambda: bool(running.mirror.status().warnings))
    (warning,) = running.mirror.status().warnings
    assert "3 of 4" in warning
    assert "--yes" in warning
    assert running.mirror.status().counts.indexed == 4
    running.mirror.scan(SOURCE, is_removal_confirmed=True)
    until(lambda: running.mirror.status().counts.indexed == 1)
    until(lambda: not running.mirror.status().warnings)


def test_a_store_that_is_away_is_a_warning_and_removes_nothing(make: Make):
    running = make(scan_interval_s=0.05)
    ref = running.put("one.txt")
    running.start()
    until(lambda: running.is_indexed(ref))
    running.house.store.outage = Unavailable("The disk is not mounted.")
    until(lambda: any("not mounted" in each for each in running.mirror.status().warnings))
    assert running.is_indexed(ref)
    running.house.store.outage = None
    until(lambda: not running.mirror.status().warnings)


def test_defects_do_not_end_the_scans(make: Make):
    running = make(scan_interval_s=0.05)
    counts, lists = running.house.ledger.counts, running.house.store.list
    failures: list[Exception] = [Unavailable("The ledger is locked."), ValueError("a defect")]

    def failing(call: Callable[..., Any]) -> Callable[..., Any]:
        def maybe(*args: Any) -> Any:
            if failures:
                raise failures.pop()
            return call(*args)

        return maybe

    running.house.store.list = failing(lists)  # type: ignore[method-assign]
    running.house.ledger.counts = failing(counts)
    running.start()
    ref = running.put("one.txt")
    until(lambda: running.is_indexed(ref))
    assert failures == []


def test_events_come_in_and_a_source_of_events_that_fails_is_asked_again(make: Make):
    source = MemoryEventSource()
    broken = _Broken(times=3)
    running = make([source, broken], SourceEntry(BUCKET, "/folder"))
    running.start()
    one = running.put("one.txt")
    source.push(*[ObjectEvent(one)])
    two, three = running.put("folder/two.txt"), running.put("folder/three.txt")
    source.push(*[ObjectEvent(ObjectRef(BUCKET, "folder/"))])
    until(lambda: all(map(running.is_indexed, (one, two, three))))
    until(lambda: broken.left == 0)


def test_a_folder_marker_in_a_bucket_is_an_object_and_opens_nothing(make: Make):
    """Neither what lies below it nor what lies outside of the mirrored part, nor does it wait for a scan."""
    source = MemoryEventSource()
    running = make([source], SourceEntry(BUCKET, f"s3://{BUCKET}/public/", "public/"))
    running.start()
    lists = running.house.store.lists
    secret, shown = running.put("private/secret.txt"), running.put("public/a.txt")
    source.push(*[ObjectEvent(ObjectRef(BUCKET, key)) for key in ("private/", "public/")])
    source.push(ObjectEvent(shown))
    until(lambda: running.is_indexed(shown))
    assert running.house.ledger.status(secret) is None
    assert running.house.store.lists == lists


def test_a_source_of_events_that_fails_is_a_warning_until_it_works(make: Make, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(loops, "_WORKS_S", 0.05)
    broken = _Broken(times=10**9, error=ConfigError("There is no such queue.", hint="Check its URL."))
    running = make([broken])
    running.start()
    until(lambda: running.mirror.status().warnings == ["Events of broken: There is no such queue. Check its URL."])
    broken.left = 0
    until(lambda: running.mirror.status().warnings == [])


class _Broken:
    """An event source that fails some times, then waits."""

    kind = "broken"

    def __init__(self, times: int, error: Exception | None = None) -> None:
        self.left = times
        self._error = error or OSError("no more watches")

    def run(self, emit: Any, should_stop: Callable[[], bool]) -> None:
        if self.left:
            self.left -= 1
            raise self._error
        until(should_stop)

    def check(self) -> str:
        return "broken"


def test_every_finished_job_reaches_the_journal_once_although_it_fails_at_times(make: Make):
    running = make()
    running.journal.failures += [OSError("away"), Unavailable("away"), KeyError("a defect")]
    refs = [running.put(f"{number}.txt") for number in range(30)]
    running.put("odd.zip", "PK")
    running.start()
    until(lambda: all(map(running.is_indexed, refs)))
    until(lambda: len(running.journal.entries) == 31 and not running.house.ledger.outbox(9e12, 1))
    outcomes = {(entry.ref.key, entry.action, entry.outcome) for entry in running.journal.entries}
    assert outcomes == {(ref.key, "add", "indexed") for ref in refs} | {("odd.zip", "add", "failed")}
    assert len({entry.id for entry in running.journal.entries}) == 31
    assert running.journal.calls >= 4


def test_a_journal_that_is_down_is_a_warning_until_it_is_back(make: Make):
    running = make()
    running.journal.failures += [Unavailable("The chat is away.")] * 25
    running.put("one.txt")
    running.start()
    until(lambda: any("memory" in each and "The chat is away." in each for each in running.mirror.status().warnings))
    until(lambda: not running.mirror.status().warnings)
    assert len(running.journal.entries) == 1


def test_a_ledger_that_fails_does_not_end_the_journal(make: Make):
    running = make()
    outbox = running.house.ledger.outbox
    failures: list[Exception] = [Unavailable("The ledger is locked."), ValueError("a defect")]

    def failing(*args: Any) -> Any:
        if failures:
            raise failures.pop()
        return outbox(*args)

    running.house.ledger.outbox = failing
    running.put("one.txt")
    running.start()
    until(lambda: len(running.journal.entries) == 1)


def test_a_paused_source_is_not_scanned(make: Make):
    running = make(scan_interval_s=0.05)
    running.service.sources = [SourceEntry(BUCKET, SOURCE.uri, is_paused=True)]
    ref = running.put("one.txt")
    running.start()
    threading.Event().wait(0.15)
    assert running.house.ledger.status(ref) is None


def test_it_stops_at_once_when_it_is_idle(make: Make):
    running = make()
    running.start()
    running.service.stop()
    assert running.house.vectors.is_closed
    assert not running.mirror.pool.is_running
