"""A disk that is full, over its quota or read-only: nothing that happens meanwhile is lost, and nobody has to act."""

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from s3_to_milvus.adapters.clock import SystemClock
from s3_to_milvus.adapters.parsers.isolated import ParsingPool
from s3_to_milvus.domain.backlog import Backlog
from s3_to_milvus.domain.objects import ObjectEvent, ObjectRef
from s3_to_milvus.domain.records import ObjectState, Outcome
from s3_to_milvus.domain.scarcity import as_retryable
from s3_to_milvus.engine import download as downloading
from s3_to_milvus.engine import rescans as rescanning
from s3_to_milvus.engine.mirror import Mirror
from s3_to_milvus.engine.parts import EngineConfig
from s3_to_milvus.engine.rescans import Rescans
from s3_to_milvus.engine.scan import Scanner
from s3_to_milvus.engine.service import Service
from s3_to_milvus.errors import DiskFull, RemovalGuard, Unavailable
from s3_to_milvus.ports import ParserInput, SourceEntry
from s3_to_milvus.testing.fakes.event_source import MemoryEventSource
from s3_to_milvus.testing.fakes.journal import MemoryJournal
from s3_to_milvus.testing.fakes.ledger import MemoryLedger
from s3_to_milvus.testing.fakes.vector_store import MemoryVectorStore
from tests.support.application import until
from tests.unit.engine.house import BUCKET, House

ROOT = Path(__file__).resolve().parents[2]
SOON_S = 20.0
_WRITES = frozenset(
    {"observe", "requeue", "claim", "begin", "put_off", "heartbeat", "commit", "settle", "retry", "bury", "release"}
    | {"expire_all", "note_run", "add_collection", "put_source", "outbox_done", "outbox_later", "quarantine"}
)


class FullLedger:
    """A ledger whose disk can be full: writes fail then, reads do not. ``refuses`` names the writes that do."""

    def __init__(self) -> None:
        self.inner = MemoryLedger()
        self.is_full = False
        self.refuses: frozenset[str] = _WRITES

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.inner, name)
        if name not in _WRITES:
            return found

        def write(*args: Any, **options: Any) -> Any:
            if name == "claim" and self.inner.next_due() is None:
                return []
            if self.is_full and name in self.refuses:
                raise DiskFull("The disk of the ledger (/data) is full.")
            return found(*args, **options)

        return write


class Running:
    """A service over fakes that nobody scans by itself after the start; events come from a folder."""

    def __init__(self, scratch: Path, **config: Any) -> None:
        self.ledger = FullLedger()
        made = EngineConfig(**{"workers": 2, "scan_interval_s": 0.0, **config})
        self.house = House(scratch, config=made, clock=SystemClock(), ledger=self.ledger)
        self.events = MemoryEventSource()
        self.entry = SourceEntry(BUCKET, "/folder")
        self.service = Service(Mirror(self.house.parts), [self.entry], [self.events], MemoryJournal())
        self.mirror = self.service.mirror

    def tell(self, *keys: str) -> None:
        self.events.push(*(ObjectEvent(ObjectRef(BUCKET, key)) for key in keys))

    def put(self, key: str) -> ObjectRef:
        self.house.store.put(BUCKET, key, key.encode())
        return ObjectRef(BUCKET, key)

    def is_indexed(self, ref: ObjectRef) -> bool:
        status = self.ledger.status(ref)
        return status is not None and status.state is ObjectState.INDEXED

    @property
    def warnings(self) -> str:
        return " ".join(self.mirror.status().warnings)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    made = Running(tmp_path)
    made.service.start()
    until(lambda: made.service.is_ready)
    yield made
    made.ledger.is_full = False
    made.service.stop()


def test_what_is_told_while_the_disk_is_full_is_told_again(running: Running):
    running.ledger.is_full = True
    ref = running.put("one.txt")
    running.tell("one.txt")
    until(lambda: "The disk of the ledger (/data) is full" in running.warnings)
    assert "Events of memory" in running.warnings
    running.ledger.is_full = False
    until(lambda: running.is_indexed(ref), SOON_S)
    until(lambda: not running.warnings, SOON_S)


def test_a_scan_of_a_folder_that_failed_is_repeated(running: Running):
    """A folder was moved in: its files are told by its name alone."""
    running.ledger.is_full = True
    refs = [running.put(f"moved/{number}.txt") for number in range(3)]
    running.tell("moved/")
    until(lambda: "The last scan failed: The disk of the ledger (/data) is full" in running.warnings)
    assert running.events.waiting == 0, "it is not the watch that must remember it"
    running.ledger.is_full = False
    until(lambda: all(map(running.is_indexed, refs)), SOON_S)
    until(lambda: not running.warnings, SOON_S)


def test_the_first_scan_is_repeated_too(tmp_path: Path):
    made = Running(tmp_path)
    refs = [made.put(f"{number}.txt") for number in range(3)]
    made.ledger.is_full = True
    made.service.start()
    until(lambda: "The last scan failed" in made.warnings)
    made.ledger.is_full = False
    until(lambda: all(map(made.is_indexed, refs)), SOON_S)
    made.service.stop()


@pytest.mark.parametrize("call", ["commit", "settle", "retry", "bury"])
def test_work_that_could_not_be_written_down_is_not_held_until_its_lease_ends(running: Running, call: str):
    running.ledger.refuses = frozenset({call})
    running.ledger.is_full = True
    good = running.put("good.txt")
    running.house.store.put(BUCKET, "odd.zip", b"PK")
    running.house.store.put(BUCKET, "away.txt", b"%FAIL-TRANSIENT")
    running.tell("good.txt", "odd.zip", "away.txt")
    until(lambda: running.mirror.pool.held is not None)
    running.ledger.is_full = False
    running.house.store.put(BUCKET, "away.txt", b"well")
    running.tell("away.txt")
    until(lambda: running.is_indexed(good) and running.is_indexed(ObjectRef(BUCKET, "away.txt")), SOON_S)
    until(lambda: running.mirror.status().counts.failed == 1, SOON_S)
    until(lambda: running.ledger.inner.counts().running == 0, SOON_S)


def test_a_full_milvus_holds_the_queue_and_goes_on_by_itself(tmp_path: Path):
    class Full(MemoryVectorStore):
        is_full = True

        def insert(self, *args: Any) -> Any:
            if self.is_full:
                raise DiskFull("Milvus: no space left on device")
            return super().insert(*args)

    vectors = Full()
    house = House(tmp_path, vectors=vectors)
    ref = house.put("a.txt", "one")
    for _ in range(20):
        with pytest.raises(DiskFull):
            house.worker.step()
        house.clock.advance(3)
    vectors.is_full = False
    house.later(3)
    assert house.outcome(ref) is Outcome.INDEXED
    assert house.texts() == ["one"]


# the removal guard


def _guarded(tmp_path: Path) -> House:
    house = House(tmp_path)
    for number in range(100):
        house.put(f"a/{number:03}.txt", f"text {number}")
    house.work()
    for number in range(60):
        house.store.delete(BUCKET, f"a/{number:03}.txt")
    return house


def test_removals_that_are_queued_already_do_not_trip_the_guard(tmp_path: Path):
    house = _guarded(tmp_path)
    for number in range(15, 60):
        house.observe(f"a/{number:03}.txt")  # a watch told these; the disk was full for the others
    scanner = Scanner(house.parts, lambda ref: True)
    report = scanner.scan(BUCKET)
    assert (report.removed, report.queued) == (60, 45)
    house.work()
    assert len(house.texts()) == 40


def test_too_many_removals_that_nobody_queued_trip_it_all_the_same(tmp_path: Path):
    house = _guarded(tmp_path)
    for number in range(5):
        house.observe(f"a/{number:03}.txt")
    scanner = Scanner(house.parts, lambda ref: True)
    with pytest.raises(RemovalGuard, match="55 of 100"):
        scanner.scan(BUCKET)
    house.work()
    assert len(house.texts()) == 95, "what was told one by one goes"
    with pytest.raises(RemovalGuard, match="55 of 95"):
        scanner.scan(BUCKET, "a/", is_part=True)


def test_the_last_files_of_a_folder_go_without_a_question_when_each_was_told(tmp_path: Path):
    house = House(tmp_path)
    house.put("only.txt", "x")
    house.work()
    house.store.delete(BUCKET, "only.txt")
    house.observe("only.txt")
    Scanner(house.parts, lambda ref: True).scan(BUCKET)
    house.work()
    assert house.texts() == []


# what is remembered, and its bounds


def _event(key: str, bucket: str = "b") -> ObjectEvent:
    return ObjectEvent(ObjectRef(bucket, key))


def test_a_backlog_that_grows_too_long_says_that_anything_may_have_changed():
    backlog = Backlog(most_events=10)
    backlog.add([_event("folder/"), *(_event(str(number)) for number in range(5)), _event("x", "other")])
    backlog.add([_event("1"), _event("1")])
    assert [event.ref.key for event in backlog.take()] == ["0", "2", "3", "4", "x", "1", "folder/"]
    backlog.add([_event(f"more {number}") for number in range(20)])
    assert [event.ref for event in backlog.take()] == [ObjectRef("other", "x"), ObjectRef("b", "")]
    backlog.add([_event("again")])
    assert len(backlog.take()) == 2
    backlog.clear()
    assert not backlog


def test_scans_that_failed_wait_longer_each_time_and_end_with_a_whole_one(monkeypatch: pytest.MonkeyPatch):
    now = [0.0]
    monkeypatch.setattr(rescanning, "time", SimpleNamespace(monotonic=lambda: now[0]))
    rescans = Rescans()
    waits = []
    for _ in range(9):
        rescans.failed("u", "a/", Unavailable("away"), 0.1)
        began = now[0]
        while not rescans.due():
            now[0] += 0.5
        waits.append(now[0] - began)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert not rescans.done("u", "other/")
    rescans.failed("u", "a/b/", DiskFull("full"), 0.1)
    now[0] += 2
    assert rescans.due() == [("u", "a/"), ("u", "a/b/")]
    assert rescans.done("u", "a/")
    rescans.failed("u", "a/", Unavailable("away"), 30.0)
    now[0] += 29
    assert rescans.due() == [], "a scan that takes long is not begun again at once"
    for number in range(200):
        rescans.failed("u", f"{number}/", Unavailable("away"), 0.1)
    now[0] += 100
    assert rescans.due() == [("u", None)]
    assert rescans.done("u", None)
    assert rescans.due() == []


# scratch space


def test_a_file_for_which_there_is_no_room_waits_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    house = House(tmp_path, config=EngineConfig(inline_bytes=10))
    room = [1 << 20]
    monkeypatch.setattr(downloading, "shutil", SimpleNamespace(disk_usage=lambda path: SimpleNamespace(free=room[0])))
    large, small = house.put("a/large.txt", "x" * 100_000), house.put("a/small.txt", "small")
    for _ in range(5):
        house.later(20)
    assert house.outcome(small) is Outcome.INDEXED
    status = house.ledger.status(large)
    assert (status.state, status.error_code) == (ObjectState.WAITING, "unavailable")
    assert str(tmp_path) in status.error
    room[0] = 1 << 30
    house.later(20)
    assert house.outcome(large) is Outcome.INDEXED


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE])
def test_no_document_is_buried_for_what_the_machine_lacks(tmp_path: Path, code: int):
    house = House(tmp_path)
    embed, broken = house.embedder.embed_documents, [True]

    def failing(texts: Any) -> Any:
        if broken[0]:
            raise OSError(code, os.strerror(code), "/data/models/graph")
        return embed(texts)

    house.embedder.embed_documents = failing  # type: ignore[method-assign]
    ref = house.put("a/x.txt", "x")
    for _ in range(10):
        house.later(20)
    status = house.ledger.status(ref)
    expected = "too_many_open_files" if code == errno.EMFILE else "unavailable"
    assert (status.state, status.error_code) == (ObjectState.WAITING, expected)
    assert code == errno.EMFILE or "/data/models/graph" in status.error
    broken[0] = False
    house.later(20)
    assert house.outcome(ref) is Outcome.INDEXED


def test_other_errors_of_the_machine_are_defects_as_before():
    error = FileNotFoundError(errno.ENOENT, "no such file")
    assert as_retryable(error) is error


def test_a_parsing_scratch_folder_that_cannot_be_made_blames_no_document(tmp_path: Path):
    (tmp_path / "parsing").write_text("a file stands where the folder should")
    pool = ParsingPool(ParsingPool.Options(), tmp_path / "parsing")
    parser = pool.wrap("any:Thing", {}, kind="x", fingerprint="1", media_types=frozenset({"text/plain"}))
    with pytest.raises(Unavailable, match="scratch folder"):
        parser.parse(ParserInput("text/plain", "x", 1, b"x"))
    pool.close()


# the log


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_log_that_cannot_be_written_stops_nothing():
    code = (
        "from s3_to_milvus.bootstrap import configure_logging\n"
        "from s3_to_milvus.engine.observe import log\n"
        "from s3_to_milvus.settings import LogSettings\n"
        "configure_logging(LogSettings(format='json'))\n"
        "for number in range(1000): log.warning('some.event', number=number)\n"
        "print('alive')\n"
        "import os; os._exit(0)\n"
    )
    with Path("/dev/full").open("w") as full:
        run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=full, text=True)
    assert (run.returncode, run.stdout) == (0, "alive\n")
