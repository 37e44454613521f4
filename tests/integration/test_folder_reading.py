"""A file of a folder is read as one version: whatever changes meanwhile, and however coarse its time stamps are."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from s3_to_milvus.adapters.object_stores.folder import FolderContent, FolderStore
from s3_to_milvus.domain.objects import ObjectRef, ObjectVersion
from s3_to_milvus.errors import Superseded
from s3_to_milvus.ports import UNCHANGED
from s3_to_milvus.testing.contracts.object_store import opened

TICK_S = 0.02


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "root"
    path.mkdir()
    return path


@pytest.fixture
def store(root: Path) -> FolderStore:
    return FolderStore(FolderStore.Options(), {"b": root})


def read(store: FolderStore, key: str) -> bytes | None:
    found = store.get(ObjectRef("b", key))
    if found is None:
        return None
    content = opened(found)
    try:
        return content.read()
    finally:
        content.close()


def _store_at(path: Path, age_s: Callable[[], float], sleep: Callable[[float], None]) -> FolderStore:
    """A store for which this file was always changed so many seconds ago."""

    def now_ns() -> int:
        return path.stat().st_ctime_ns + round(age_s() * 1e9)

    return FolderStore(FolderStore.Options(), {"b": path.parent}, sleep=sleep, now_ns=now_ns)


@pytest.mark.parametrize("how", ["rename", "truncate", "append", "rewrite", "touch", "delete", "move folder"])
def test_a_file_that_changes_while_it_is_read_is_superseded(store: FolderStore, root: Path, how: str) -> None:
    path = root / "d" / "a.bin"
    path.parent.mkdir()
    path.write_bytes(b"o" * 300_000)
    content = opened(store.get(ObjectRef("b", "d/a.bin")))
    assert content.read(100_000) == b"o" * 100_000
    if how == "rename":
        (root / "new").write_bytes(b"n" * 300_000)
        (root / "new").rename(path)
    elif how == "truncate":
        os.truncate(path, 150_000)
    elif how == "append":
        with path.open("ab") as file:
            file.write(b"n")
    elif how == "rewrite":
        with path.open("r+b") as file:
            file.write(b"n" * 300_000)
    elif how == "touch":
        os.utime(path)
    elif how == "move folder":
        path.parent.rename(root / "e")
    else:
        path.unlink()
    with pytest.raises(Superseded):
        [content.read(100_000) for _ in range(3)]
    content.close()


def test_one_read_of_everything_is_verified_too(store: FolderStore, root: Path) -> None:
    path = root / "a.bin"
    path.write_bytes(b"old")
    content = opened(store.get(ObjectRef("b", "a.bin")))
    path.write_bytes(b"new")
    with pytest.raises(Superseded):
        content.read()
    content.close()
    with pytest.raises(ValueError, match="closed"):
        content.read()


def test_a_stamp_that_could_hide_a_write_is_waited_out(store: FolderStore, root: Path) -> None:
    path = root / "a.txt"
    for _ in range(5):
        path.write_text("x")
        content = opened(store.get(ObjectRef("b", "a.txt")))
        assert time.time() - path.stat().st_ctime >= TICK_S
        content.close()


def test_an_old_file_is_not_waited_for(root: Path) -> None:
    waits: list[float] = []
    ages = [2 * TICK_S, 0.0]
    store = _store_at(root / "a.txt", lambda: ages[0], waits.append)
    (root / "a.txt").write_text("x")
    assert read(store, "a.txt") == b"x"
    assert waits == []
    del ages[0]
    (root / "a.txt").write_text("y")
    assert read(store, "a.txt") == b"y"
    assert len(waits) == 1
    assert 0 < waits[0] <= TICK_S


def test_a_write_during_the_wait_is_seen(root: Path) -> None:
    path, writes = root / "a.txt", iter(["two", "six"])

    def write_meanwhile(seconds: float) -> None:
        time.sleep(seconds)
        if text := next(writes, None):
            path.write_text(text)

    store = _store_at(path, lambda: 0.0, write_meanwhile)
    path.write_text("one")
    content = opened(store.get(ObjectRef("b", "a.txt")))
    assert isinstance(content, FolderContent)
    assert content.read() == b"six"
    content.close()
    assert store.get(ObjectRef("b", "a.txt"), content.version) is UNCHANGED


def test_a_file_that_never_rests_is_superseded(root: Path) -> None:
    path = root / "a.txt"
    store = _store_at(path, lambda: 0.0, lambda _: _append(path))
    path.write_text("x")
    with pytest.raises(Superseded):
        store.get(ObjectRef("b", "a.txt"))


def _append(path: Path) -> None:
    with path.open("a") as file:
        file.write("x")


def test_unchanged_is_never_said_of_a_changed_file(store: FolderStore, root: Path) -> None:
    """A writer that rewrites with equal size as fast as it can, against a reader that believes etags."""
    path, stop = root / "a.txt", threading.Event()
    path.write_bytes(b"%08d" % 0)

    def write() -> None:
        number = 0
        while not stop.is_set():
            for _ in range(3):
                number += 1
                with path.open("r+b") as file:
                    file.write(b"%08d" % number)
            time.sleep(0.025 if number % 2 else 0.0)

    writer = threading.Thread(target=write)
    writer.start()
    known: tuple[ObjectVersion, bytes] | None = None
    reads = superseded = 0
    deadline = time.monotonic() + 1.5
    while time.monotonic() < deadline or reads <= 3:
        try:
            content = opened(store.get(ObjectRef("b", "a.txt")))
            data = content.read()
        except Superseded:
            superseded += 1
            continue
        finally:
            content.close()
        reads += 1
        if known is not None and content.version == known[0]:
            assert data == known[1]
        known = (content.version, data)
    stop.set()
    writer.join()
    assert read(store, "a.txt") == path.read_bytes()
