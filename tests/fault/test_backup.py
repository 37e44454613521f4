"""Backups while everything runs, restores, and both killed in between: what was acknowledged is there."""

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from s3_to_milvus.bootstrap import restore
from s3_to_milvus.bootstrap import restoring as restoring_module
from s3_to_milvus.bootstrap.restoring import finish_restore
from s3_to_milvus.engine.backup import Backup
from s3_to_milvus.engine.backup_folder import LEDGER, MANIFEST, VECTORS, verify
from s3_to_milvus.errors import ConfigError, DataInUse, LedgerDamaged, QuotaExhausted, Unavailable
from tests.support.backups import expect_whole, make_backup, settings_over, tree, write
from tests.support.line import line_over

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with capture_logs():
        yield


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    docs = tmp_path / "docs"
    docs.mkdir()
    for number in range(20):
        write(docs, number)
    return docs


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def test_a_restored_pair_is_whole_and_catches_up_by_a_scan(docs: Path, data: Path, tmp_path: Path) -> None:
    with line_over(data, [docs]) as line:
        line.sync()
        make_backup(line, tmp_path / "backup")
        write(docs, 0, "second")
        (docs / "1.txt").unlink()
        write(docs, 20)
        line.sync()
    done = restore(settings_over(data), tmp_path / "backup", ())
    assert done.stores == (LEDGER, VECTORS)
    assert {path.name.partition(".replaced-")[0] for path in done.replaced} == {LEDGER, VECTORS}
    assert all(path.exists() for path in done.replaced), "what was replaced is kept"
    expect_whole(data)
    with line_over(data, [docs]) as line:
        assert line.shown()["0.txt"] == ["낱말0 first version"]
        report = line.sync()
        assert (report.added, report.changed, report.removed, report.unchanged) == (1, 1, 1, 18)
        line.expect_equal()
        assert line.shown()["0.txt"] == ["낱말0 second version"]


def test_a_backup_under_load_holds_every_row_that_its_ledger_calls_true(docs: Path, data: Path, tmp_path: Path) -> None:
    is_over = threading.Event()

    def change() -> None:
        turn = 0
        while not is_over.is_set():
            turn += 1
            for number in range(turn % 7, 40, 7):
                write(docs, number, f"turn {turn}")
            (docs / f"{turn % 40}.txt").unlink(missing_ok=True)
            line.sync(is_removal_confirmed=True)

    with line_over(data, [docs]) as line:
        line.sync()
        writer = threading.Thread(target=change)
        writer.start()
        try:
            for number in range(6):
                make_backup(line, tmp_path / f"backup{number}")
                time.sleep(0.2)
        finally:
            is_over.set()
            writer.join()
        line.sync(is_removal_confirmed=True)
    for number in range(6):
        folder = tmp_path / f"backup{number}"
        assert verify(folder).problems == ()
        restored = tmp_path / f"data{number}"
        restore(settings_over(restored), folder, ())
        expect_whole(restored)
        with line_over(restored, [docs]) as line:
            line.sync(is_removal_confirmed=True)
            line.expect_equal()


def test_flushed_files_and_the_log_are_copied_alike(docs: Path, data: Path, tmp_path: Path) -> None:
    with line_over(data, [docs]) as line:
        line.sync()
        lite = line.mirror.parts.vectors._connection.lite  # type: ignore[attr-defined]
        for collection in lite._engines:
            with lite.gate():
                lite._flush(collection)
        write(docs, 3, "second")
        line.sync()
        make_backup(line, tmp_path / "backup")
        assert not (data / "milvus.db" / "snapshot").exists()
    names = set(tree(tmp_path / "backup"))
    assert any(name.endswith(".parquet") for name in names)
    assert any(name.endswith(".arrow") for name in names)
    restore(settings_over(tmp_path / "other"), tmp_path / "backup", ())
    with line_over(tmp_path / "other", [docs]) as line:
        line.expect_equal()
        assert line.sync().unchanged == 20


def test_the_copy_is_for_its_owner_only_and_names_what_it_holds(docs: Path, data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "backup"
    with line_over(data, [docs]) as line:
        line.sync()
        make_backup(line, folder)
    for path in (folder, *folder.rglob("*")):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path
    manifest = json.loads((folder / MANIFEST).read_text())
    assert manifest["stores"] == [LEDGER, VECTORS]
    found = tree(folder)
    assert {name: each["sha256"] for name, each in manifest["files"].items()} | {MANIFEST: found[MANIFEST]} == found
    assert not any("LOCK" in name or "socket" in name for name in found)


def test_a_folder_that_can_not_be_used_is_refused(docs: Path, data: Path, tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").write_text("x")
    foreign = tmp_path / "new.unfinished"
    foreign.mkdir()
    (foreign / "mine.txt").write_text("x")
    (tmp_path / "empty").mkdir()
    with line_over(data, [docs]) as line:
        for folder in (
            full,
            data / "backup",
            data,
            data / "milvus.db" / "x",
            Path("relative"),
            Path("/"),
            foreign / "x",
        ):
            with pytest.raises(ConfigError):
                make_backup(line, full if folder == foreign / "x" else folder)
        with pytest.raises(ConfigError, match="in the way"):
            make_backup(line, tmp_path / "new")
        make_backup(line, tmp_path / "empty")
    assert (full / "mine.txt").exists()
    assert (foreign / "mine.txt").exists()
    assert verify(tmp_path / "empty").problems == ()


def test_without_room_nothing_is_left(docs: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("s3_to_milvus.engine.backup._SPARE_BYTES", 1 << 60)
    with line_over(data, [docs]) as line, pytest.raises(QuotaExhausted, match="needed"):
        make_backup(line, tmp_path / "backup")
    assert not list(tmp_path.glob("backup*"))
    assert not (data / "milvus.db" / "snapshot").exists()


def test_one_backup_at_a_time(docs: Path, data: Path, tmp_path: Path) -> None:
    with line_over(data, [docs]) as line:
        backup: Backup = line.application.backup
        with backup._turn, pytest.raises(Unavailable, match="Another backup"):
            make_backup(line, tmp_path / "backup")
        make_backup(line, tmp_path / "backup")


def test_a_damaged_ledger_makes_no_backup(docs: Path, data: Path, tmp_path: Path) -> None:
    with line_over(data, [docs]) as line:
        line.sync()
        with closing(sqlite3.connect(data / LEDGER)) as plain:
            plain.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            page = plain.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'runs'").fetchone()[0]
        with (data / LEDGER).open("r+b") as file:
            file.seek((page - 1) * 4096)
            file.write(b"\xa5" * 4096)
        with pytest.raises(LedgerDamaged):
            make_backup(line, tmp_path / "backup")
    assert not list(tmp_path.glob("backup*"))


@pytest.mark.parametrize("harm", ["flip", "cut", "remove", "add"])
def test_a_backup_that_is_not_as_it_was_made_is_found_out_and_never_restored(
    docs: Path, data: Path, tmp_path: Path, harm: str
) -> None:
    folder = tmp_path / "backup"
    with line_over(data, [docs]) as line:
        line.sync()
        make_backup(line, folder)
    victim = next(path for path in sorted((folder / VECTORS).rglob("*.arrow")))
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    if harm == "remove":
        victim.unlink()
    elif harm == "add":
        victim.with_name("wal_data_999999.arrow").write_bytes(b"x")
    else:
        victim.write_bytes(content if harm == "flip" else content[:-1])
    before = tree(data)
    assert len(verify(folder).problems) == 1
    with pytest.raises(ConfigError, match="not as it was made"):
        restore(settings_over(data), folder, ())
    assert {name: digest for name, digest in tree(data).items() if name != "owner.lock"} == {
        name: digest for name, digest in before.items() if name != "owner.lock"
    }


def test_a_restore_is_refused_while_a_service_runs(docs: Path, data: Path, tmp_path: Path) -> None:
    with line_over(data, [docs]) as line:
        make_backup(line, tmp_path / "backup")
        with pytest.raises(DataInUse):
            restore(settings_over(data), tmp_path / "backup", ())


def _killed_after(count: int) -> Callable[[Path, Path], Path]:
    calls, real = iter(range(count)), Path.rename

    def rename(self: Path, target: Path) -> Path:
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return real(self, target)

    return rename


def test_a_restore_that_is_killed_is_finished_at_the_next_start_or_was_none(
    docs: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with line_over(data, [docs]) as line:
        line.sync()
        make_backup(line, tmp_path / "backup")
        write(docs, 0, "second")
        line.sync()
    for stop_at in range(8):
        monkeypatch.setattr(Path, "rename", _killed_after(stop_at))
        try:
            restore(settings_over(data), tmp_path / "backup", ())
            is_killed = False
        except KeyboardInterrupt:
            is_killed = True
        monkeypatch.undo()
        expect_whole(data)
        with line_over(data, [docs]) as line:
            assert line.shown()["0.txt"] == [f"낱말0 {'second' if stop_at == 0 else 'first'} version"]
            line.sync()
            line.expect_equal()
        assert not (data / restoring_module._PLAN).exists()
        if not is_killed:
            break
    assert not is_killed
    finish_restore(data)


def test_runs_after_a_restored_ledger_are_never_those_that_were_given_before(
    docs: Path, data: Path, tmp_path: Path
) -> None:
    with line_over(data, [docs]) as line:
        line.sync()
        make_backup(line, tmp_path / "backup")
        write(docs, 0, "second")
        line.sync()
        given = max(record.run for record in line.records().values())
    restore(settings_over(data), tmp_path / "backup", (LEDGER,))
    with line_over(data, [docs]) as line:
        write(docs, 0, "third")
        line.sync()
        assert line.records()["0.txt"].run > given


@pytest.mark.parametrize("store", [LEDGER, VECTORS])
def test_one_store_that_is_older_than_the_other_heals_by_itself(
    docs: Path, data: Path, tmp_path: Path, store: str
) -> None:
    with line_over(data, [docs]) as line:
        line.sync()
        make_backup(line, tmp_path / "backup")
        write(docs, 0, "second")
        (docs / "1.txt").unlink()
        write(docs, 20)
        line.sync()
    restore(settings_over(data), tmp_path / "backup", (store,))
    with line_over(data, [docs]) as line:
        line.sync()
        line.expect_equal()
        assert line.shown()["0.txt"] == ["낱말0 second version"]
        assert len(line.shown()) == 20
