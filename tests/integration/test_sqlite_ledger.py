"""The ledger's file: opening, migrating, sharing, failing."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from s3_to_milvus.adapters.ledger.sqlite import SqliteLedger
from s3_to_milvus.adapters.ledger.sqlite import migrate as migrating
from s3_to_milvus.adapters.ledger.sqlite import statements as sql
from s3_to_milvus.adapters.ledger.sqlite.failures import translated
from s3_to_milvus.domain.objects import Lane, ObjectRef
from s3_to_milvus.domain.records import Commit, Garbage
from s3_to_milvus.domain.rows import CollectionSpec, IdRanges
from s3_to_milvus.domain.usage import Usage
from s3_to_milvus.errors import (
    ConfigError,
    DiskFull,
    FatalError,
    LedgerDamaged,
    S3ToMilvusError,
    Unavailable,
)
from s3_to_milvus.testing.contracts.ledger_tools import STATS, A, B, Desk, T

ROOT = Path(__file__).resolve().parents[2]

Opener = Callable[..., SqliteLedger]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def opened(path: Path) -> Iterator[Opener]:
    """Opens ledgers that are closed after the test."""
    ledgers = []

    def open_one(busy_timeout_s: float = 30.0) -> SqliteLedger:
        ledgers.append(SqliteLedger(SqliteLedger.Options(busy_timeout_s=busy_timeout_s), path))
        return ledgers[-1]

    yield open_one
    for ledger in ledgers:
        ledger.close()


def _plain(path: Path) -> "closing[sqlite3.Connection]":
    return closing(sqlite3.connect(path, isolation_level=None))


def test_the_file_is_durable_and_has_a_write_ahead_log(opened: Opener, path: Path) -> None:
    Desk(opened()).index(A)
    with _plain(path) as plain:
        assert plain.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert plain.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert opened()._writer.run(lambda txn: txn.execute("PRAGMA synchronous").fetchone()) == (2,)


def test_a_newer_schema_is_refused(opened: Opener, path: Path) -> None:
    opened().close()
    with _plain(path) as plain:
        plain.execute("INSERT INTO migrations VALUES (9999, 'from_the_future')")
    with pytest.raises(ConfigError, match="newer") as caught:
        opened()
    assert "newer version" in caught.value.hint


def test_the_database_of_another_program_is_left_alone(opened: Opener, path: Path) -> None:
    with _plain(path) as plain:
        plain.execute("CREATE TABLE theirs (a)")
    with pytest.raises(ConfigError, match="another program"):
        opened()
    with _plain(path) as plain:
        assert plain.execute("SELECT name FROM sqlite_schema").fetchall() == [("theirs",)]


def test_what_is_no_database_is_refused(opened: Opener, path: Path) -> None:
    path.write_bytes("이것은 데이터베이스가 아니다".encode() * 100)
    with pytest.raises(LedgerDamaged, match="damaged") as caught:
        opened()
    assert str(path) in caught.value.message
    assert "restore FOLDER" in caught.value.hint
    assert "indexed anew" in caught.value.hint


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="folder"):
        SqliteLedger(SqliteLedger.Options(), tmp_path / "file" / "ledger.db")
    with pytest.raises(ConfigError):
        SqliteLedger(SqliteLedger.Options(), tmp_path)


def test_an_older_file_is_migrated_and_keeps_what_it_knows(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    Desk(opened()).index(A)
    second = "-- More.\nALTER TABLE objects ADD COLUMN colour TEXT;\nCREATE INDEX by_colour ON objects (colour);\n"
    known = migrating.migrations()
    newer = [*known, (known[-1][0] + 1, "colour", second)]
    monkeypatch.setattr(migrating, "migrations", lambda: newer)
    ledger = opened()
    assert ledger.counts().indexed == 1
    assert ledger._writer.run(lambda txn: txn.execute("SELECT number, name FROM migrations").fetchall()) == [
        *((number, name) for number, name, _ in known),
        (known[-1][0] + 1, "colour"),
    ]
    Desk(opened()).index(B)


def test_runs_that_were_written_before_costs_were_are_read(opened: Opener, path: Path) -> None:
    desk = Desk(opened())
    desk.index(A)
    desk.index(B)
    with _plain(path) as plain:
        old = """UPDATE runs SET stats = '[3,2,10,[["parse",0.5],["embed",0.25]]]' """
        plain.execute(f"{old} WHERE run < (SELECT max(run) FROM runs)")
        plain.commit()
    assert [run.stats for run in reversed(desk.ledger.runs())] == [replace(STATS, usage=Usage()), STATS]


def test_a_ledger_of_schema_3_learns_the_greatest_ids(opened: Opener, path: Path) -> None:
    """Of what stands, per object and per collection; and it gets a mark."""
    desk = Desk(opened())
    for name in ("docs", "other", "empty"):
        desk.ledger.add_collection(CollectionSpec(name, name, 8, "hash"))
    ids = {A: [5, 6, 90, 12], B: [7], ObjectRef("docs", "c"): [2**60 + 3, 1], ObjectRef("docs", "none"): []}
    for number, (ref, each) in enumerate(ids.items()):
        desk.observe(ref)
        claim = desk.take_one()
        collection = ("docs", "docs", "other", "")[number]
        record = replace(desk.record(claim), collection=collection, ids=IdRanges.of(each), chunk_count=len(each))
        desk.ledger.commit([Commit(claim, record)], T)
        desk.settle(claim)
    before = desk.ledger.mark, list(desk.ledger.records())
    desk.ledger.close()
    make_schema_3(path)
    ledger = opened()
    assert {each.spec.name: each.last_id for each in ledger.collections()} == {
        "docs": 90,
        "other": 2**60 + 3,
        "empty": 0,
    }
    assert not [each for each in ledger.collections() if each.is_marked or each.is_suspect]
    with _plain(path) as plain:
        found = plain.execute("SELECT key, last_id FROM objects ORDER BY last_id").fetchall()
    assert found == [(b"none", 0), (B.key.encode(), 7), (A.key.encode(), 90), (b"c", 2**60 + 3)]
    newest = [ledger.newest(name) for name in ("docs", "other", "empty")]
    assert [record and record.ref for record in newest] == [A, ObjectRef("docs", "c"), None]
    assert ledger.mark != before[0]
    assert list(ledger.records()) == before[1]


def make_schema_3(path: Path) -> None:
    """What version 0.1.0 wrote."""
    with _plain(path) as plain:
        plain.execute("DROP TABLE identity")
        plain.execute("DROP INDEX objects_newest")
        plain.execute("ALTER TABLE objects DROP COLUMN last_id")
        for column in ("last_id", "is_marked", "is_suspect"):
            plain.execute(f"ALTER TABLE collections DROP COLUMN {column}")
        for column in ("is_begun", "not_before"):
            plain.execute(f"ALTER TABLE work DROP COLUMN {column}")
        plain.execute("DELETE FROM migrations WHERE number > 3")


def test_garbage_of_version_0_1_0_has_no_run(opened: Opener, path: Path) -> None:
    desk = Desk(opened())
    first = desk.index(A)
    desk.observe(A)
    second = desk.commit(desk.take_one(), etag="v2")
    with _plain(path) as plain:
        written = json.dumps([["docs", [list(each) for each in first.ids.ranges]]])
        plain.execute("UPDATE objects SET garbage = ?", (written,))
    heir = desk.take_one(T + 100)
    assert heir.garbage == (Garbage("docs", first.ids, 0),)
    desk.commit(heir, now=T + 100)
    wanted = (Garbage("docs", first.ids, 0), Garbage("docs", second.ids, second.run))
    assert desk.take_one(T + 200).garbage == wanted


def test_two_files_have_two_marks(tmp_path: Path) -> None:
    marks = set()
    for name in ("a", "b"):
        for _ in range(2):
            ledger = SqliteLedger(SqliteLedger.Options(), tmp_path / name)
            marks.add(ledger.mark)
            ledger.close()
    assert len(marks) == 2


def test_a_migration_that_fails_changes_nothing(opened: Opener, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened().close()
    known = migrating.migrations()
    bad = "CREATE TABLE good (a);"
    broken = [*known, (known[-1][0] + 1, "good", bad), (known[-1][0] + 2, "bad", bad)]
    monkeypatch.setattr(migrating, "migrations", lambda: broken)
    with pytest.raises(S3ToMilvusError):
        opened()
    monkeypatch.undo()
    assert opened().counts().indexed == 0
    with _plain(path) as plain:
        assert plain.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'good'").fetchone() == (0,)


def test_a_full_disk_is_said_and_nothing_half_done_stays(opened: Opener) -> None:
    ledger = opened()
    Desk(ledger).index(A)
    pages = ledger._writer.run(lambda txn: txn.execute("PRAGMA page_count").fetchone()[0])
    ledger._writer.run(lambda txn: txn.execute(f"PRAGMA max_page_count = {pages + 2}").fetchone())
    many = [ObjectRef("docs", f"{number}" * 200) for number in range(100, 300)]
    with pytest.raises(DiskFull, match="full"):
        ledger.observe(many, Lane.LIVE, T)
    assert ledger.counts().waiting == 0
    ledger._writer.run(lambda txn: txn.execute("PRAGMA max_page_count = 1000000").fetchone())
    ledger.observe(many, Lane.LIVE, T)
    assert ledger.counts().waiting == 200


def test_on_a_full_disk_exactly_what_was_acknowledged_is_there(opened: Opener) -> None:
    ledger = opened()
    pages = ledger._writer.run(lambda txn: txn.execute("PRAGMA page_count").fetchone()[0])
    ledger._writer.run(lambda txn: txn.execute(f"PRAGMA max_page_count = {pages + 8}").fetchone())

    def observe(request: tuple[int, int]) -> int:
        number, size = request
        refs = [ObjectRef("docs", f"{number}-{part}" * 40) for part in range(size)]
        try:
            ledger.observe(refs, Lane.LIVE, T)
        except DiskFull:
            return 0
        return len(refs)

    with ThreadPoolExecutor(16) as pool:
        acknowledged = list(pool.map(observe, enumerate([1, 60, 1, 2, 70, 1, 1, 80, 3, 2] * 4)))
    assert 0 in acknowledged
    assert ledger.counts().waiting == len(ledger.objects(limit=10_000)) == sum(acknowledged)


def test_a_locked_file_is_unavailable_for_writing_and_stays_readable(opened: Opener, path: Path) -> None:
    ledger = opened(busy_timeout_s=0.05)
    Desk(ledger).index(A)
    with _plain(path) as plain:
        plain.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable):
            ledger.observe([B], Lane.LIVE, T)
        assert ledger.counts().indexed == 1
        plain.execute("ROLLBACK")
    ledger.observe([B], Lane.LIVE, T)
    assert ledger.counts().waiting == 1


def test_a_file_that_is_damaged_while_open_is_fatal(opened: Opener, path: Path) -> None:
    ledger = opened()
    Desk(ledger).index(A)
    ledger.close()
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xa5" * (len(data) - 4096)
    path.write_bytes(data)
    with pytest.raises(LedgerDamaged, match="damaged"):
        opened().status(A)


def test_a_closed_ledger_says_so(opened: Opener) -> None:
    ledger = opened()
    ledger.close()
    with pytest.raises(Unavailable, match="closed"):
        ledger.observe([A], Lane.LIVE, T)
    with pytest.raises(Unavailable, match="closed"):
        ledger.counts()


def test_what_is_queued_is_finished_when_it_closes(opened: Opener) -> None:
    ledger = opened()
    refs = [ObjectRef("docs", str(number)) for number in range(64)]

    def observe(ref: ObjectRef) -> bool:
        try:
            ledger.observe([ref], Lane.LIVE, T)
        except Unavailable:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        answers = [pool.submit(observe, ref) for ref in refs]
        answers[8].result()
        ledger.close()
        done = sum(each.result() for each in answers)
    assert opened().counts().waiting == done


@pytest.mark.parametrize(
    ("name", "expected", "expected_opening"),
    [
        ("SQLITE_FULL", DiskFull, DiskFull),
        ("SQLITE_IOERR_WRITE", DiskFull, ConfigError),
        ("SQLITE_READONLY", DiskFull, ConfigError),
        ("SQLITE_BUSY_SNAPSHOT", Unavailable, Unavailable),
        ("SQLITE_CORRUPT_INDEX", LedgerDamaged, LedgerDamaged),
        ("SQLITE_READONLY_DIRECTORY", FatalError, ConfigError),
        ("SQLITE_IOERR_FSYNC", FatalError, ConfigError),
        ("SQLITE_CONSTRAINT", FatalError, FatalError),
    ],
)
def test_errors_of_sqlite_become_ours(
    name: str, expected: type[S3ToMilvusError], expected_opening: type[S3ToMilvusError]
) -> None:
    error = sqlite3.OperationalError("no")
    error.sqlite_errorname = name
    assert type(translated(error)) is expected
    assert type(translated(error, is_opening=True)) is expected_opening
    assert translated(error).hint


@pytest.mark.parametrize(
    "name", ["FIND_OBJECT", "FIND_HELD", "FIND_COMMITTING", "CLAIM_LANE", "KEEP_NEWEST_RUNS", "HEARTBEAT"]
)
def test_statements_of_the_queue_never_read_whole_tables(opened: Opener, name: str) -> None:
    statement = getattr(sql, name)
    values = [1] * (1 if name == "KEEP_NEWEST_RUNS" else statement.count("?"))
    plan = opened()._writer.run(lambda txn: txn.execute(f"EXPLAIN QUERY PLAN {statement}", values).fetchall())
    steps = [row[3] for row in plan]
    assert not [step for step in steps if step.startswith(("SCAN", "USE TEMP B-TREE")) and "CONSTANT" not in step], (
        steps
    )


WORKER = """
import sys
from pathlib import Path
from s3_to_milvus.adapters.ledger.sqlite import SqliteLedger
from s3_to_milvus.domain.objects import Lane, ObjectRef
name = sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
ledger = SqliteLedger(SqliteLedger.Options(), Path(sys.argv[1]))
for number in range(60):
    ledger.observe([ObjectRef("docs", f"{name}/{number}"), ObjectRef("docs", "shared")], Lane.LIVE, 1.0)
runs = []
while claims := ledger.claim(name, 7, 2.0, 60.0):
    runs += [claim.run for claim in claims]
    ledger.settle([claim for claim in claims if claim.ref.key != "shared"], 3.0, 60.0)
print(*runs, flush=True)
ledger.close()
"""


def test_processes_share_one_file(opened: Opener, path: Path) -> None:
    command = [sys.executable, "-c", WORKER, str(path)]
    workers = [
        subprocess.Popen([*command, name], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for name in ("a", "b", "c")
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:  # all at once, on a file that is not there yet
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    answers = [worker.communicate(timeout=60)[0].split() for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0, 0]
    runs = [run for answer in answers for run in answer]
    assert len(runs) == len(set(runs)) == 3 * 60 + 1
    ledger = opened()
    assert ledger.counts().running == 1
    assert ledger.counts().waiting == 0


def test_a_copy_is_of_the_moment_when_it_was_frozen(opened: Opener, path: Path) -> None:
    desk = Desk(opened())
    desk.index(A)
    with closing(desk.ledger.freeze()) as frozen:
        for number in range(500):
            desk.index(ObjectRef("docs", f"later {number}"))
        frozen.write(path.with_name("copy.db"))
    desk.ledger.close()
    with closing(SqliteLedger(SqliteLedger.Options(), path.with_name("copy.db"))) as copy:
        assert [each.ref for each in copy.objects(limit=1_000)] == [A]
    assert len(opened().objects(limit=1_000)) == 501
