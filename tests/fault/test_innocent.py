"""Kills of the service bury no document; a file that really kills it delays nobody but itself."""

import os
import shutil
import signal
import sqlite3
from pathlib import Path
from threading import Timer
from typing import Any

import pytest

from s3_to_milvus.adapters.ledger.sqlite import SqliteLedger
from s3_to_milvus.adapters.ledger.sqlite.migrate import migrations
from s3_to_milvus.adapters.parsers.cautious import CautiousParser
from s3_to_milvus.adapters.parsers.isolated import ParsingPool
from s3_to_milvus.bootstrap import build
from s3_to_milvus.domain.records import ObjectState, Outcome
from s3_to_milvus.domain.retrying import RetryPolicy
from s3_to_milvus.engine.parts import EngineConfig
from s3_to_milvus.engine.scan import Scanner
from s3_to_milvus.errors import ParserCrashed, ParserKilled, Unavailable
from s3_to_milvus.ports import ParserInput
from s3_to_milvus.settings import load
from s3_to_milvus.testing.fakes.parser import CRASH, FakeParser
from tests.unit.engine.house import BUCKET, House

HOUR = 3_600.0


class Killed(BaseException):
    """The process ends here: nothing of it runs any more."""


class DeadlyParser(FakeParser):
    """Ends the service on some files, and says which ones had to be isolated."""

    def __init__(self, deadly: str = "", error: Exception | None = None) -> None:
        super().__init__()
        self.deadly = deadly
        self.error = error
        self.read: list[tuple[str, bool]] = []

    def parse(self, source: ParserInput):
        self.read.append((source.file_name, source.must_isolate))
        if source.file_name == self.deadly:
            raise self.error or Killed
        return super().parse(source)


class Machine:
    """One service after another over the same stores; each `run` is a life of some seconds."""

    def __init__(self, scratch: Path, parser: Any = None, **config: Any) -> None:
        self.scratch = scratch
        self.parser = parser or DeadlyParser()
        self.config = EngineConfig(**config)
        self.house = House(scratch, parsers=[self.parser], config=self.config)

    def restart(self) -> None:
        """A new process: the leases of the old one end, and everything is scanned."""
        old = self.house
        parts = {"ledger": old.ledger, "vectors": old.vectors, "clock": old.clock, "stores": {BUCKET: old.store}}
        self.house = House(self.scratch, parsers=[self.parser], config=self.config, **parts)
        self.house.clock, self.house.store = old.clock, old.store
        self.house.ledger.expire_all(old.clock.now())
        Scanner(self.house.parts, lambda ref: True).scan(BUCKET)

    def run(self, seconds: int) -> bool:
        """Live so long; False when it died before."""
        for _ in range(seconds):
            try:
                self.house.work()
            except Killed:
                return False
            self.house.clock.advance(1)
        return True

    def claim_and_die(self) -> None:
        """A kill from outside: everything that is due was claimed, nothing resolved."""
        while self.house.ledger.claim("killed", 64, self.house.clock.now(), 60.0):
            pass

    @property
    def failed(self) -> int:
        return int(self.house.ledger.counts().failed)


@pytest.mark.parametrize("lease_s", [5.0, 60.0])
def test_a_storm_of_kills_buries_nothing_and_everything_is_indexed_soon_after(tmp_path, lease_s):
    machine = Machine(tmp_path, lease_s=lease_s)
    for number in range(20):
        machine.house.put(f"a/{number}.md", "good")
    for _ in range(50):
        machine.restart()
        machine.claim_and_die()
        machine.house.clock.advance(1)
    machine.restart()
    assert machine.run(64)
    assert (machine.failed, machine.house.ledger.counts().indexed) == (0, 20)


def test_whoever_was_merely_claimed_when_the_service_died_waits_for_nothing(tmp_path):
    machine = Machine(tmp_path)
    for number in range(100):
        machine.house.put(f"a/{number}.md", "good")
    machine.claim_and_die()
    machine.restart()
    machine.house.work()
    assert machine.house.ledger.counts().indexed == 100


def test_a_file_that_kills_is_read_alone_ever_later_and_never_buried(tmp_path):
    machine = Machine(tmp_path, DeadlyParser("deadly.md"))
    deadly = machine.house.put("a/deadly.md", "x")
    others = [machine.house.put(f"a/{number:02}.md", "good") for number in range(80)]
    lives = 0
    while machine.house.clock.now() - 1_700_000_000 < 2 * HOUR and lives < 40:
        machine.restart()
        machine.run(700)
        lives += 1
    assert all(machine.house.outcome(ref) is Outcome.INDEXED for ref in others)
    status = machine.house.ledger.status(deadly)
    assert (status.state, status.error_code) == (ObjectState.WAITING, "interrupted")
    assert "killed" in status.error
    assert "damaged" not in status.error
    assert lives < 40
    reads = [is_isolated for name, is_isolated in machine.parser.read if name == "deadly.md"]
    assert len(reads) < 20, "ever later"
    assert reads == [False, False, *[True] * (len(reads) - 2)], "after the second death it is read in a child"
    newer = machine.house.put("a/newer.md", "good")
    machine.run(1)
    assert machine.house.outcome(newer) is Outcome.INDEXED, "while it waits, everything else goes on"


def test_events_and_scans_do_not_bring_a_file_that_kills_back_sooner(tmp_path):
    machine = Machine(tmp_path, DeadlyParser("deadly.md"))
    machine.house.put("a/deadly.md", "x")
    for _ in range(6):
        machine.restart()
        while machine.run(1):
            machine.house.observe("a/deadly.md")
    machine.restart()
    for _ in range(15):
        machine.house.observe("a/deadly.md")
        assert machine.run(1), "it is looked at, and not read"


def test_a_suspect_that_vanishes_loses_its_rows_at_once(tmp_path):
    machine = Machine(tmp_path, DeadlyParser())
    ref = machine.house.put("a/deadly.md", "x")
    machine.house.work()
    machine.parser.deadly = "deadly.md"
    machine.house.put("a/deadly.md", "other")
    for _ in range(7):
        machine.restart()
        while machine.run(1):
            pass
    machine.restart()
    assert machine.house.texts() == ["x"]
    machine.house.store.delete(BUCKET, "a/deadly.md")
    machine.house.observe("a/deadly.md")
    assert machine.run(1)
    assert machine.house.texts() == []
    assert machine.house.ledger.status(ref) is None


def test_a_person_has_a_suspect_read_at_once_and_only_once(tmp_path):
    machine = Machine(tmp_path, DeadlyParser("deadly.md"))
    ref = machine.house.put("a/deadly.md", "x")
    for _ in range(7):
        machine.restart()
        while machine.run(1):
            pass
    machine.restart()
    assert machine.run(1)
    machine.house.ledger.requeue([ref], machine.house.clock.now())
    assert not machine.run(1), "it is read, and kills"
    machine.restart()
    assert machine.run(20), "but not again and again"
    machine.parser.deadly = ""
    machine.house.ledger.requeue([ref], machine.house.clock.now())
    assert machine.run(1)
    assert machine.house.outcome(ref) is Outcome.INDEXED


def test_processes_that_never_live_long_read_a_suspect_some_day(tmp_path):
    machine = Machine(tmp_path, DeadlyParser("x.md"))
    ref = machine.house.put("a/x.md", "x")
    for _ in range(12):
        machine.restart()
        while machine.run(1):
            pass
    machine.parser.deadly = ""
    for _ in range(130):
        machine.restart()
        machine.house.work()
        machine.house.clock.advance(30)
    assert machine.house.outcome(ref) is Outcome.INDEXED


def test_deaths_are_no_attempts_of_a_defect(tmp_path):
    """Three kills and one real failure do not make three failures."""
    machine = Machine(tmp_path, DeadlyParser("odd.md", ZeroDivisionError("a defect")))
    ref = machine.house.put("a/odd.md", "x")
    for _ in range(3):
        machine.restart()
        machine.claim_and_die()
    machine.restart()
    machine.run(3)
    machine.parser.deadly = ""
    machine.run(30)
    assert machine.house.outcome(ref) is Outcome.INDEXED


def test_a_file_whose_parsing_process_died_is_tried_again_by_itself_ever_later(tmp_path):
    machine = Machine(tmp_path, FakeParser())
    house = machine.house
    ref = house.put("a/x.md", b"text " + CRASH)
    house.work()
    assert house.record(ref).error_code == "parser_crashed"
    calls = [machine.parser.calls]
    for hours in (1, 2, 3, 4, 8):
        house.later(hours * HOUR)
        calls.append(machine.parser.calls)
    assert calls == [1, 1, 2, 2, 3, 4], "after 2, 4 and 8 hours"
    house.store.put(BUCKET, "a/x.md", b"text")  # nobody tells
    house.later(16 * HOUR)
    assert house.texts() == ["text"]


def test_a_hint_for_a_dead_letter_does_not_put_its_next_try_off(tmp_path):
    machine = Machine(tmp_path, FakeParser())
    house = machine.house
    house.put("a/x.md", b"text " + CRASH)
    house.work()
    for _ in range(5):
        house.observe("a/x.md")
        house.later(HOUR / 2)
    assert machine.parser.calls == 2


def test_a_new_recipe_has_it_tried_again_at_once(tmp_path):
    machine = Machine(tmp_path, FakeParser())
    machine.house.put("a/x.md", b"text " + CRASH)
    machine.house.work()
    machine.parser = FakeParser(fingerprint="fake-2")
    machine.restart()
    machine.house.work()
    assert machine.parser.calls == 1


def test_by_setting_it_is_never_tried_again_by_itself(tmp_path):
    machine = Machine(tmp_path, FakeParser(), retry=RetryPolicy(crashed_s=0))
    machine.house.put("a/x.md", b"text " + CRASH)
    machine.house.work()
    machine.house.later(1_000 * HOUR)
    assert machine.parser.calls == 1


def test_a_parsing_process_that_was_killed_is_given_another_chance_first(tmp_path):
    """The out-of-memory killer takes a child, or somebody kills all processes of the service, the children first."""
    machine = Machine(tmp_path, DeadlyParser("x.md", ParserKilled("killed")))
    ref = machine.house.put("a/x.md", "x")
    machine.run(1)
    assert machine.failed == 0
    machine.run(10)
    assert machine.house.record(ref).error_code == "parser_killed"
    machine.parser.deadly = ""
    machine.house.later(8 * HOUR)
    assert machine.house.outcome(ref) is Outcome.INDEXED


HOSTILE = "tests.support.hostile_parsers:HostileParser"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    pool = ParsingPool(ParsingPool.Options(workers=1, timeout_s=60), tmp_path_factory.mktemp("hostile"))
    yield pool.wrap(HOSTILE, {}, kind="hostile", fingerprint="1", media_types=frozenset({"text/plain"}))
    pool.close()


def _say(parser, command: str) -> str:
    data = command.encode()
    return "".join(block.text for block in parser.parse(ParserInput("text/plain", "x", len(data), data)).blocks)


def _kill(parser, name: str) -> None:
    """Send a signal to the child while it reads."""
    child = int(_say(parser, "pid"))
    Timer(0.2, os.kill, (child, signal.Signals[name])).start()
    _say(parser, "hang")


def test_a_parsing_process_that_is_stopped_says_nothing_about_the_file(hostile):
    """As when a service manager ends all processes of a unit at once (others are ignored: `test_parsing_stopped`)."""
    with pytest.raises(Unavailable, match=r"stopped from outside.*SIGQUIT"):
        _kill(hostile, "SIGQUIT")


def test_what_the_parsing_process_died_of_is_said_and_the_file_is_not_called_damaged(hostile):
    with pytest.raises(ParserKilled, match=r"killed while it read this file.*SIGKILL") as killed:
        _kill(hostile, "SIGKILL")
    with pytest.raises(ParserCrashed, match=r"died while it read this file.*SIGSEGV") as crashed:
        _say(hostile, "segv")
    for each in (killed, crashed):
        assert "damaged" not in each.value.told
        assert "tried again by itself" in each.value.told


def test_text_is_decoded_in_a_child_once_the_service_died_of_it(hostile):
    parser = CautiousParser(FakeParser(), hostile)
    usual = ParserInput("text/plain", "x", 8, b"ok child")
    suspect = ParserInput("text/plain", "x", 8, b"ok child", must_isolate=True)
    assert [block.text for block in parser.parse(usual).blocks] == ["ok child"]
    assert [block.text for block in parser.parse(suspect).blocks] == ["child"]


def test_the_real_text_parser_makes_the_same_in_a_child(tmp_path):
    settings = load({"data_dir": tmp_path, "embedder.kind": "hash"}, environ={}, folder=tmp_path)
    application = build(settings, ())
    try:
        text = next(each for each in application.mirror.parts.parsers if each.kind == "text")
        data = "# 제목\n\n본문".encode()
        documents = [
            text.parse(ParserInput("text/markdown", "x.md", len(data), data, must_isolate=must))
            for must in (False, True)
        ]
        assert list(documents[0].blocks) == list(documents[1].blocks)
    finally:
        application.stop()


def test_what_an_older_version_buried_for_kills_is_tried_again_after_the_upgrade(tmp_path):
    path = tmp_path / "ledger.db"
    _old_ledger(path, tmp_path)
    ledger = SqliteLedger(SqliteLedger.Options(), path)
    try:
        house = House(tmp_path, ledger=ledger)
        house.clock.advance(1e9)  # the migration takes the time of the machine
        house.store.put(BUCKET, "a/good.md", b"good")
        house.store.put(BUCKET, "a/odd.zip", b"PK")
        house.work()
        assert house.texts() == ["good"]
        assert [each.ref.key for each in ledger.objects(state=ObjectState.FAILED)] == ["a/odd.zip"]
    finally:
        ledger.close()


def _old_ledger(path: Path, folder: Path) -> None:
    """A ledger of the schema before, with a file that it buried for kills, and one that no parser reads."""
    now = folder / "now.db"
    ledger = SqliteLedger(SqliteLedger.Options(), now)
    house = House(folder, ledger=ledger, config=EngineConfig(retry=RetryPolicy(crashed_s=0)))
    house.put("a/good.md", CRASH)
    house.put("a/odd.zip", b"PK")
    house.work()
    ledger.close()
    shutil.copy(now, path)
    with sqlite3.connect(path) as connection:
        later = [number for number, name, _ in migrations() if name == "interrupted"]
        connection.execute("ALTER TABLE work DROP COLUMN not_before")
        connection.execute("ALTER TABLE work DROP COLUMN is_begun")
        connection.execute(f"DELETE FROM migrations WHERE number >= {min(later)}")
    connection.close()
