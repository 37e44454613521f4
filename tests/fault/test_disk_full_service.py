"""The whole service on a disk that is full for a while: by a limit of SQLite, and on a real small disk."""

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from s3_to_milvus.bootstrap import Application, build, configure_logging
from s3_to_milvus.settings import load
from s3_to_milvus.web.app import create_app
from tests.support.application import until
from tests.support.line import Line

SOON_S = 20.0


def _build(folder: Path) -> Application:
    docs = folder / "docs"
    docs.mkdir(exist_ok=True)
    values = {"data_dir": folder / "data", "source": (str(docs),), "embedder.kind": "hash", "log.level": "error"}
    settings = load({**values, "parser.kind": ("text",), "engine.scan_interval_s": 0}, environ={}, folder=folder)
    configure_logging(settings.log)
    return build(settings)


@contextmanager
def _service(folder: Path) -> Iterator[Application]:
    application = _build(folder)
    application.start()
    until(lambda: application.service.is_ready, SOON_S)
    try:
        yield application
    finally:
        _limit(application, None)
        application.stop()


def _limit(application: Application, pages: int | None) -> None:
    """Let the file of the ledger grow by so many pages only; None: as it likes."""
    ledger: Any = application.mirror.parts.ledger

    def set_limit(txn: Any) -> None:
        used = txn.execute("PRAGMA page_count").fetchone()[0]
        free = txn.execute("PRAGMA freelist_count").fetchone()[0]
        most = 2**31 if pages is None else used + pages - min(free, 0)
        txn.execute(f"PRAGMA max_page_count = {most}").fetchone()

    ledger._writer.run(set_limit)


def test_changes_in_a_folder_while_the_disk_is_full_are_found_without_a_scan(tmp_path: Path):
    docs = tmp_path / "docs"
    docs.mkdir()
    for number in range(10):
        (docs / f"old {number}.txt").write_text(f"old {number}")
    with _service(tmp_path) as application:
        line = Line(application)
        until(lambda: len(line.shown()) == 10, SOON_S)
        _limit(application, 0)
        names = [f"{'long name ' * 20}{number}.txt" for number in range(200)]
        for name in names:
            (docs / name).write_text(name)
        moved = tmp_path / "moved"
        moved.mkdir()
        (moved / "inside.txt").write_text("inside")
        moved.rename(docs / "moved")
        (docs / "old 0.txt").write_text("changed")
        (docs / "old 1.txt").unlink()
        until(lambda: any("disk of the ledger" in each for each in application.mirror.status().warnings), SOON_S)
        assert str(tmp_path / "data") in " ".join(application.mirror.status().warnings)
        threading.Event().wait(1.0)
        _limit(application, None)
        wanted = {*names, "moved/inside.txt", *(f"old {number}.txt" for number in range(10) if number != 1)}
        until(lambda: set(line.shown()) == wanted and line.shown()["old 0.txt"] == ["changed"], 60)
        until(lambda: not application.mirror.status().warnings, SOON_S)
        assert application.mirror.check(application.sources).is_ok


def test_events_by_http_are_refused_with_a_hint_while_the_disk_is_full(tmp_path: Path):
    application = _build(tmp_path)
    bucket = application.sources[0].name
    with TestClient(create_app(lambda: application), base_url="http://127.0.0.1:8510") as client:
        _limit(application, 0)
        for number in range(300):
            key = f"{'long name ' * 20}{number}.txt"
            body = {"event_type": "upload", "bucket_name": bucket, "file_key": key}
            answer = client.post("/process_s3_event", json=body)
            if answer.status_code != 202:
                break
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (507, "disk_full")
        assert str(tmp_path / "data") in problem["detail"]
        assert "Free some space" in problem["hint"]
        assert client.post("/api/v1/search", json={"query": "x"}).status_code == 200
        assert client.get("/readyz").status_code == 200
        _limit(application, None)
        assert client.post("/process_s3_event", json=body).status_code == 202


# a real disk


@contextmanager
def _small_disk(folder: Path) -> Iterator[Path]:
    """A file system of 24 MiB of its own."""
    image, mount = folder / "disk.img", folder / "disk"
    mount.mkdir()
    with image.open("wb") as file:
        file.truncate(24 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True)
    done = subprocess.run(["mount", "-o", "loop", image, mount], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no loop mounts here: {done.stderr.strip()}")
    try:
        yield mount
    finally:
        subprocess.run(["umount", "-l", mount], check=True)


def _fill(path: Path) -> None:
    """Take every last block."""
    for size in (1 << 16, 1 << 12, 1):
        try:
            with path.open("ab", buffering=0) as file:
                while True:
                    file.write(b"x" * size)
        except OSError:
            continue


@pytest.mark.soak
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for a file system of its own")
def test_a_real_disk_that_is_full_and_has_space_again(tmp_path: Path):
    docs = tmp_path / "docs"
    docs.mkdir()
    for number in range(20):
        (docs / f"old {number}.txt").write_text(f"old {number}")
    with _small_disk(tmp_path) as disk:
        (disk / "data").mkdir()
        (tmp_path / "data").symlink_to(disk / "data")
        for turn in range(3):
            with _service(tmp_path) as application:
                line = Line(application)
                until(lambda: set(line.shown()) == {path.name for path in docs.iterdir()}, 60)  # noqa: B023
                _fill(disk / "ballast")
                for number in range(60):
                    (docs / f"new {turn} {number}.txt").write_text(f"new {turn} {number} " + "filler " * 600)
                (docs / f"old {turn}.txt").unlink()
                until(lambda: bool(application.mirror.status().warnings), 30)
                threading.Event().wait(3.0 * turn)
                (disk / "ballast").unlink()
                until(lambda: set(line.shown()) == {path.name for path in docs.iterdir()}, 60)  # noqa: B023
                until(lambda: application.mirror.status().counts.waiting == 0, 60)
                assert application.mirror.status().counts.failed == 0
                assert application.mirror.check(application.sources).is_ok
