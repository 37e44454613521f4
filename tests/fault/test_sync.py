"""The order in which Milvus Lite's files come to the disk: after a cut at any moment, all that was synced is there."""

import random
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from s3_to_milvus.adapters.vector_stores.milvus import compaction, lite, logs, pending, tuning
from s3_to_milvus.domain.rows import CollectionSpec
from s3_to_milvus.testing.contracts.vector_tools import DIM, make_row, rows_of
from tests.support.lite_data import opened
from tests.support.shadow import Shadow

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/fd")

STEPS = 75
ROWS = 6


class Truth:
    """By collection and run, the ids of rows: ``sure`` must be there after a cut, ``open`` may be."""

    def __init__(self) -> None:
        self.specs: dict[str, CollectionSpec] = {}
        self.sure: dict[tuple[str, int], list[int]] = {}
        self.open: dict[tuple[str, int], list[int]] = {}
        self.doomed: set[tuple[str, int]] = set()
        self.marked: set[str] = set()

    def copy(self) -> "Truth":
        other = Truth()
        other.specs, other.sure, other.open = dict(self.specs), dict(self.sure), dict(self.open)
        other.doomed, other.marked = set(self.doomed), set(self.marked)
        return other

    def synced(self, name: str) -> None:
        for key in [each for each in self.open if each[0] == name and each not in self.doomed]:
            self.sure[key] = self.open.pop(key)
        for key in [each for each in self.doomed if each[0] == name]:
            self.doomed.discard(key)
            self.open.pop(key, None)

    def wrong(self, path: Path) -> list[str]:
        """What the database here holds less, or more, than it may; then whether it can be worked with."""
        found = []
        with opened(path) as store:
            for name, spec in self.specs.items():
                highest = max((max(ids) for (n, _), ids in {**self.sure, **self.open}.items() if n == name), default=0)
                store.ensure(spec, highest)
                if name in self.marked and store.mark(name) != name:
                    found.append(f"the mark of {name} is lost")
                there: dict[int, list[int]] = {}
                for row in store.identities(name):
                    there.setdefault(row.run, []).append(row.id)
                for (own, run), ids in self.sure.items():
                    if own == name and sorted(there.pop(run, [])) != ids:
                        found.append(f"run {run} of {name} is lost")
                found += [f"run {run} of {name} is there again" for run in there if (name, run) not in self.open]
                if min(store.insert(name, [make_row("new", 9_999)])) <= highest:
                    found.append(f"an id of {name} is given twice")
                if store.count(name) != len(list(store.identities(name))):
                    found.append(f"{name} can't be counted")
        return found


class Walk:
    """A random life of a database, cut off at moments between its calls and within them."""

    def __init__(self, folder: Path, seed: int, patch: pytest.MonkeyPatch) -> None:
        self.folder, self.seed, self.patch = folder, seed, patch
        self.random = random.Random(seed)
        self.truth = Truth()
        self.run = 0
        self.cuts: list[tuple[Path, Truth]] = []
        self.path = folder / "disk" / "milvus.db"
        self.path.parent.mkdir()
        self.shadow = Shadow(self.path.parent)
        self.shadow.on_sync = lambda: self.maybe_cut(0.06)

    def maybe_cut(self, share: float) -> None:
        """Remember what would be there now."""
        if self.random.random() < share:
            chance = self.random if len(self.cuts) % 2 else None
            target = self.shadow.cut(self.folder / f"cut{len(self.cuts)}", chance)
            self.cuts.append((target / "milvus.db", self.truth.copy()))

    def live(self) -> list[str]:
        """Work, then look at every cut: what is wrong in any."""
        with self.shadow.recording(self.patch):
            for _ in range(3):
                with opened(self.path) as store:
                    for spec in self.truth.specs.values():
                        store.ensure(spec)
                    for _ in range(STEPS // 3):
                        self.step(store)
                        self.maybe_cut(0.15)
                self.maybe_cut(0.5)
        self.shadow.close()
        return [
            f"seed {self.seed}: {path.parent.name}: {each}" for path, truth in self.cuts for each in truth.wrong(path)
        ]

    def step(self, store: Any) -> None:
        """One call or two."""
        if not self.truth.specs or self.random.random() < 0.04:
            spec = CollectionSpec(f"c{len(self.truth.specs)}", "label", DIM, "embedder-1")
            store.ensure(spec)
            self.truth.specs[spec.name] = spec
            store.put_mark(spec.name, spec.name)
            self.truth.marked.add(spec.name)
        name = self.random.choice(list(self.truth.specs))
        kind = self.random.choice(("insert", "insert", "insert", "delete", "sync", "sync", "tend", "tend"))
        getattr(self, kind)(store, name)

    def insert(self, store: Any, name: str) -> None:
        self.run += 1
        self.truth.open[name, self.run] = []
        ids = store.insert(name, [make_row("a", self.run, number) for number in range(ROWS)])
        self.truth.open[name, self.run] = ids

    def delete(self, store: Any, name: str) -> None:
        """A run that is sure: until the next sync, it may be there or not."""
        sure = [each for each in self.truth.sure if each[0] == name]
        if sure:
            key = self.random.choice(sure)
            ids = self.truth.open[key] = self.truth.sure.pop(key)
            self.truth.doomed.add(key)
            store.delete(name, [rows_of("a", key[1], ids)])

    def sync(self, store: Any, name: str) -> None:
        store.sync([name])
        self.truth.synced(name)

    def tend(self, store: Any, name: str) -> None:
        while store.tend(is_idle=True):
            pass
        for engine in list(store._connection.lite._engines.values()):
            engine._wait_for_bg()


@pytest.fixture(autouse=True)
def _eager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending, "_FLUSH_ROWS", 20)
    monkeypatch.setattr(compaction, "_IDLE_TOMBSTONES", 10)


@pytest.mark.parametrize("seed", range(5))
def test_what_was_synced_outlives_a_power_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    walk = Walk(tmp_path, seed, monkeypatch)
    assert walk.live() == []
    assert len(walk.cuts) >= 12
    assert any(truth.sure for _, truth in walk.cuts)


def cut_after_a_kill(folder: Path, patch: pytest.MonkeyPatch) -> int:
    """How many of six rows are there: a process was killed before it synced them, the next one synced, then the cut."""
    disk, spec = folder / "disk", CollectionSpec("c", "label", DIM, "embedder-1")
    with opened(folder / "first" / "milvus.db") as store:
        store.ensure(spec)
        store.insert("c", [make_row("a", 1, number) for number in range(ROWS)])
        shutil.copytree(folder / "first", disk, ignore=shutil.ignore_patterns("socket", "wal_*"))
        shadow = Shadow(disk)
        shutil.copytree(folder / "first", disk, ignore=shutil.ignore_patterns("socket"), dirs_exist_ok=True)
    with shadow.recording(patch), opened(disk / "milvus.db") as store:
        store.ensure(spec)
        store.sync(["c"])
        cut = shadow.cut(folder / "cut")
    shadow.close()
    with opened(cut / "milvus.db") as store:
        return store.count("c")


def test_what_a_killed_process_left_is_synced_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cut_after_a_kill(tmp_path, monkeypatch) == ROWS


def test_what_a_killed_process_left_would_be_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: only what this process wrote is synced."""
    monkeypatch.setattr(lite, "sync_recovered", sync_nothing)
    assert cut_after_a_kill(tmp_path, monkeypatch) == 0


def sync_nothing(*_: Any, **__: Any) -> None:
    pass


PLANTED: dict[str, tuple[Any, str, Any]] = {
    "no sync of logs": (logs.LogSync, "sync", sync_nothing),
    "no sync of files": (tuning, "sync_files", sync_nothing),
    "no sync of the names of logs": (logs, "_new_folder", sync_nothing),
    "no sync of new collections": (lite.LiteDatabase, "created", sync_nothing),
}


@pytest.mark.parametrize("planted", PLANTED)
def test_a_planted_defect_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, planted: str) -> None:
    monkeypatch.setattr(*PLANTED[planted])
    found: list[str] = []
    for seed in range(6):
        folder = tmp_path / str(seed)
        folder.mkdir()
        found += Walk(folder, seed, monkeypatch).live()
        if found:
            break
    assert found
