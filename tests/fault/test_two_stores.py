"""Ledger and Milvus Lite differ after a loss: the real line makes it good by itself, and nobody asks for a check."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from s3_to_milvus.bootstrap.doctor import doctor
from s3_to_milvus.engine.service import Service
from s3_to_milvus.settings import load
from s3_to_milvus.testing.fakes.journal import MemoryJournal
from tests.support.application import until
from tests.support.line import Line, line_over


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    """A folder with six one-line documents in one collection, and two in another."""
    folder = tmp_path / "docs"
    for number in range(6):
        write(folder, f"team/old{number}.txt", f"uniq{number} words about number {number}")
    for number in range(2):
        write(folder, f"other/o{number}.txt", f"other{number} words about number {number}")
    return folder


def write(folder: Path, key: str, text: str) -> None:
    path = folder / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def index(tmp_path: Path, docs: Path) -> None:
    with line_over(tmp_path / "data", [docs]) as line:
        line.sync()
        line.expect_equal()


def change(docs: Path) -> None:
    """As many rows as before: counting them tells nothing."""
    write(docs, "team/old1.txt", "uniq1 newversion")
    (docs / "team/old2.txt").unlink()
    write(docs, "team/added.txt", "uniqadded words")


def found(line: Line, word: str) -> bool:
    return any(word in hit.text.split() for hit in line.hits(f"{word} words", 3))


def lose_vectors(data: Path, backup: Path) -> None:
    shutil.rmtree(data / "milvus.db")


def older_vectors(data: Path, backup: Path) -> None:
    shutil.rmtree(data / "milvus.db")
    shutil.copytree(backup / "milvus.db", data / "milvus.db")


def older_ledger(data: Path, backup: Path) -> None:
    lose_ledger(data, backup)
    shutil.copy(backup / "ledger.db", data / "ledger.db")


def lose_ledger(data: Path, backup: Path) -> None:
    for path in data.glob("ledger.db*"):
        path.unlink()


def older_pair(data: Path, backup: Path) -> None:
    older_ledger(data, backup)
    older_vectors(data, backup)


def one_collection_lost(data: Path, backup: Path) -> None:
    shutil.rmtree(data / "milvus.db/collections/team")


def no_manifest(data: Path, backup: Path) -> None:
    for path in (data / "milvus.db/collections/team").glob("manifest.json*"):
        path.unlink()
    (data / "milvus.db/collections/team/schema.json").write_text("{")


DISASTERS = [
    lose_vectors,
    older_vectors,
    older_ledger,
    lose_ledger,
    older_pair,
    one_collection_lost,
    no_manifest,
]


@pytest.mark.parametrize("disaster", DISASTERS)
def test_a_sync_makes_it_good(tmp_path: Path, docs: Path, disaster: Callable[[Path, Path], None]) -> None:
    data = tmp_path / "data"
    index(tmp_path, docs)
    shutil.copytree(data, tmp_path / "backup")
    change(docs)
    index(tmp_path, docs)
    disaster(data, tmp_path / "backup")
    with line_over(data, [docs]) as line:
        line.sync()
        line.expect_equal()
        assert found(line, "newversion")
        assert found(line, "uniqadded")
        assert not found(line, "uniq2")
        assert line.mirror.status().warnings == []


@pytest.mark.parametrize("disaster", [lose_vectors, older_vectors])
def test_removals_after_a_loss_touch_nobody_else(
    tmp_path: Path, docs: Path, disaster: Callable[[Path, Path], None]
) -> None:
    """The store gives ids again that the ledger names for other objects: these are removed then."""
    data = tmp_path / "data"
    index(tmp_path, docs)
    shutil.copytree(data, tmp_path / "backup")
    for number in range(6, 12):
        write(docs, f"team/old{number}.txt", f"uniq{number} words about number {number}")
    index(tmp_path, docs)
    disaster(data, tmp_path / "backup")
    with line_over(data, [docs]) as line:
        for number in range(6):
            write(docs, f"team/new{number}.txt", f"fresh{number} entirely new document {number}")
        line.mirror.scan(line.source)
        line.mirror.wait([line.source])
        for number in range(12):
            (docs / f"team/old{number}.txt").unlink()
        line.mirror.scan(line.source)
        line.mirror.wait([line.source])
        assert [found(line, f"fresh{number}") for number in range(6)] == [True] * 6
        line.sync()
        line.expect_equal()


def test_a_service_notices_at_its_start_and_says_so(tmp_path: Path, docs: Path) -> None:
    index(tmp_path, docs)
    lose_vectors(tmp_path / "data", tmp_path)
    with line_over(tmp_path / "data", [docs], engine__workers=1) as line:
        line.mirror.pool.stop()  # nobody works: what is to be done stays visible
    with line_over(tmp_path / "data", [docs]) as line:
        service = Service(line.mirror, [line.source], [], MemoryJournal())
        warned: list[str] = []

        def is_whole() -> bool:
            warned.extend(line.mirror.status().warnings)
            return service.is_ready and line.stored() == 8 and not line.mirror.status().warnings

        service.start()
        until(is_whole, timeout_s=30)
        line.expect_equal()
        assert any("team" in each and "documents were made good" in each for each in warned)


def test_what_vanishes_under_a_running_service_comes_back(tmp_path: Path, docs: Path) -> None:
    with line_over(tmp_path / "data", [docs]) as line:
        line.sync()
        service = Service(line.mirror, [line.source], [], MemoryJournal())
        service.start()
        until(lambda: service.is_ready)
        shutil.rmtree(tmp_path / "data/milvus.db")
        write(docs, "team/later.txt", "uniqlater words")
        line.mirror.scan(line.source)
        until(lambda: line.stored() == 9 and found(line, "uniqlater"), timeout_s=30)
        line.expect_equal()
    with line_over(tmp_path / "data", [docs]) as line:
        line.expect_equal()
        assert line.stored() == 9


def test_a_collection_that_cannot_be_opened_is_made_anew_and_the_others_answer(tmp_path: Path, docs: Path) -> None:
    index(tmp_path, docs)
    for path in (tmp_path / "data/milvus.db/collections/team/wal").iterdir():
        path.write_bytes(b"not a log at all" * 100)
    (tmp_path / "data/milvus.db/collections/team/manifest.json").write_text("broken")
    with line_over(tmp_path / "data", [docs]) as line:
        assert found(line, "other1")
        line.sync()
        assert found(line, "uniq3")
        line.expect_equal()
    assert [path.name.partition("-")[0] for path in (tmp_path / "data/milvus.db/damaged").iterdir()] == ["team"]


def test_the_doctor_opens_every_collection(tmp_path: Path, docs: Path) -> None:
    index(tmp_path, docs)
    settings = load({"data_dir": tmp_path / "data", "embedder.kind": "hash"}, environ={}, folder=tmp_path)
    found = {each.name: each for each in doctor(settings)}
    assert found["collections"].is_ok, found["collections"]
    assert found["collections"].message.startswith("2 opened")
    one_collection_lost(tmp_path / "data", tmp_path)
    found = {each.name: each for each in doctor(settings)}
    assert not found["collections"].is_ok
    assert found["collections"].message == "team: it was removed or made anew"
    assert found["vector store"].is_ok
