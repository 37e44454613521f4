"""A program that works on a Milvus Lite database and is killed again and again; the test reads what it prints.

It imports the libraries once, then forks one worker after the other (nothing of gRPC is started before the fork). Each
worker first compares the database with the log of all workers before it, then goes on until SIGKILL: at a random time,
or at a chosen step of flush, compaction or drop. Arguments: folder, number of kills, seed.
"""

import importlib
import os
import random
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from s3_to_milvus.adapters.vector_stores.milvus import MilvusVectorStore, compaction, pending
from s3_to_milvus.adapters.vector_stores.milvus.embedded import Embedded
from s3_to_milvus.domain.objects import object_id_of
from s3_to_milvus.domain.rows import CollectionSpec
from s3_to_milvus.testing.contracts.vector_store import DIM, make_row, make_vector, rows_of

SPEC = CollectionSpec("kills", "kills", DIM, "none")
ROWS = 12
# (module, class, method, n): a worker dies just before or just after one of its first n calls.
STEPS = [
    ("milvus_lite.storage.manifest", "Manifest", "save", 4),
    ("milvus_lite.storage.wal", "WAL", "write_insert", 30),
    ("milvus_lite.storage.wal", "WAL", "write_delete", 30),
    ("milvus_lite.storage.wal", "WAL", "close_and_delete", 4),
    ("milvus_lite.engine.collection", "Collection", "_refresh_segment_cache", 4),
    ("milvus_lite.engine.collection", "Collection", "_cleanup_orphan_index_files", 4),
    ("s3_to_milvus.adapters.vector_stores.milvus.tuning", "_Faiss", "write_index", 4),
    ("s3_to_milvus.adapters.vector_stores.milvus.tuning", "_Parquet", "write_table", 6),
    ("s3_to_milvus.adapters.vector_stores.milvus.compaction", "", "_swap", 2),
    ("s3_to_milvus.adapters.vector_stores.milvus.compaction", "", "_remove", 2),
]


class Worker:
    """One life. ``log`` holds what was begun and what was acknowledged, by all lives."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.random = random.Random(seed)
        self.folder = folder
        self.log = os.open(folder / "log", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
        self.store = MilvusVectorStore(MilvusVectorStore.Options(), folder / "milvus.db")
        self.state: dict[tuple[str, int], str] = {}
        self.ids: dict[tuple[str, int], list[int]] = {}
        self.run = 0

    def say(self, word: str, key: str, run: int, ids: list[int] | None = None) -> None:
        os.write(self.log, f"{word} {key} {run} {','.join(map(str, ids or []))}\n".encode())
        self.state[key, run] = word

    def read_log(self) -> None:
        for line in (self.folder / "log").read_text().splitlines():
            word, key, run, ids = line.split(" ")
            self.state[key, int(run)] = word
            self.run = max(self.run, int(run))
            if ids:
                self.ids[key, int(run)] = [int(each) for each in ids.split(",")]

    def verify(self) -> list[str]:
        """What is wrong: acknowledged rows that are missing, deleted ones that are there, parts, doubles, strangers."""
        found = list(self.store.identities(SPEC.name))
        rows = Counter((each.object_id, each.run) for each in found)
        wrong = [f"{count} times id {each}" for each, count in Counter(row.id for row in found).items() if count > 1]
        for (key, run), word in self.state.items():
            count = rows.pop((object_id_of("bucket", key), run), 0)
            allowed = {"inserting": (0, ROWS), "there": (ROWS,), "deleting": (0, ROWS), "gone": (0,)}[word]
            if count not in allowed:
                wrong.append(f"{word}: {count} rows of {key} run {run}")
            if word == "there" and len(self.store.fetch(SPEC.name, rows_of(key, run, self.ids[key, run]))) != ROWS:
                wrong.append(f"{key} run {run} cannot be read")
        if rows:
            wrong.append(f"{sum(rows.values())} rows of nobody")
        if len(hits := self.store.search(SPEC.name, make_vector(1.0), 10_000)) != len(found):
            wrong.append(f"a search finds {len(hits)} of {len(found)} rows")
        return wrong

    def settle(self) -> None:
        """Clean up what was begun and never acknowledged, as the engine does: by the object."""
        for (key, run), word in list(self.state.items()):
            if word in ("inserting", "deleting"):
                standing = max((r for (k, r), w in self.state.items() if k == key and w == "there"), default=0)
                self.store.delete_other_runs(SPEC.name, object_id_of("bucket", key), standing, run + 1)
                self.say("gone", key, run)

    def work(self) -> None:
        """Replace documents until killed."""
        while True:
            self.run += 1
            key = f"문서{self.random.randrange(12)}"
            old = [(k, r) for (k, r), word in self.state.items() if k == key and word == "there"]
            self.say("inserting", key, self.run)
            ids = self.store.insert(SPEC.name, [make_row(key, self.run, n) for n in range(ROWS)])
            if self.run % 2:
                self.store.sync([SPEC.name])
            self.ids[key, self.run] = ids
            self.say("there", key, self.run, ids)
            for each in old:
                self.say("deleting", *each)
                self.store.delete(SPEC.name, [rows_of(*each, self.ids[each])])
                self.say("gone", *each)
            if self.run % 3 == 0:
                self.store.tend(is_idle=True)
            if self.run % 40 == 0:
                spare = CollectionSpec("spare", "spare", DIM, "none")
                self.store.ensure(spare)
                self.store.insert("spare", [make_row("spare")])
                self.store.drop("spare")


def eager() -> None:
    """Flush and compact all the time."""
    pending._FLUSH_ROWS = 40
    pending._FLUSH_ROWS_SEARCHED = 40
    compaction._IDLE_TOMBSTONES = 30


def die_at(step: tuple[str, str, str, int], call: int, *, is_before: bool) -> None:
    module: Any = importlib.import_module(step[0])
    owner = getattr(module, step[1]) if step[1] else module
    original: Callable[..., Any] = getattr(owner, step[2])
    calls = 0

    def deadly(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call and is_before:
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*arguments, **named)
        if calls == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, step[2], deadly)


def live(folder: Path, seed: int, *, is_last: bool) -> None:
    worker = Worker(folder, seed)
    worker.store.ensure(SPEC)
    worker.read_log()
    wrong = worker.verify()
    if not wrong:
        worker.settle()
        wrong = worker.verify()
    os.write(1, f"checked {len(worker.state)} {'; '.join(wrong)}\n".encode())
    if is_last or wrong:
        worker.store.close()
        os._exit(3 if wrong else 0)
    eager()
    if seed % 2:
        step = STEPS[seed // 2 % len(STEPS)]
        die_at(step, worker.random.randint(1, step[3]), is_before=worker.random.random() < 0.5)
    else:
        signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        signal.setitimer(signal.ITIMER_REAL, worker.random.uniform(0.02, 0.5))
    worker.work()


def fork(folder: Path, seed: int, *, is_last: bool) -> int:
    child = os.fork()
    if child == 0:
        try:
            live(folder, seed, is_last=is_last)
        except BaseException:  # noqa: BLE001 - a child must not go on as its parent
            os.write(1, f"failed {traceback.format_exc()}".encode())
        os._exit(4)
    return child


def main() -> None:
    folder, kills, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    tune_before_fork()
    chance = random.Random(seed)
    for number in range(kills):
        child = fork(folder, seed + number, is_last=False)
        # Most die by themselves, see `live`; every sixth while it opens the database and looks at it.
        deadline = time.monotonic() + (chance.uniform(0.02, 0.2) if (seed + number) % 6 == 0 else 8.0)
        status = 0
        while not status:
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid == 0 and time.monotonic() > deadline:
                os.kill(child, signal.SIGKILL)
            time.sleep(0.005)
        if not os.WIFSIGNALED(status):
            sys.exit(f"worker {number} ended by itself: {status}")
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(fork(folder, seed + kills, is_last=True), 0)[1]))


def tune_before_fork() -> None:
    """Import what every worker needs; start nothing."""
    assert Embedded is not None
    from s3_to_milvus.adapters.vector_stores.milvus.tuning import tune

    tune()
    for name in (
        "milvus_lite.adapter.grpc.servicer",
        "milvus_lite.index.faiss_ivf_flat",
        "milvus_lite.engine.collection",
    ):
        importlib.import_module(name)


if __name__ == "__main__":
    main()
