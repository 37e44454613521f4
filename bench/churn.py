"""Churn on Milvus Lite: what a replacement and a search cost after thousands of replacements, as ratios to the first.

200 documents of 5-20 chunks are replaced 2,000 times (insert the new rows, delete the old ids). Housekeeping runs as in
the service: `tend` twice a second. ``--standing N``: the first N documents never change, so that Milvus Lite by itself
forgets no tombstone; ``--no-compaction``: what it does without ours.
"""

import argparse
import random
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from s3_to_milvus.adapters.vector_stores.milvus import MilvusVectorStore
from s3_to_milvus.domain.objects import object_id_of
from s3_to_milvus.domain.rows import CollectionSpec, IdRanges, Row, RowSet

DIM = 384
NAME = "churn"
PROBES = 40


class World:
    """Documents with the ids of their rows."""

    def __init__(self, store: MilvusVectorStore, documents: int, standing: int) -> None:
        self.store = store
        self.random = random.Random(7)
        self.vectors = np.random.default_rng(7).normal(size=(4_000, DIM)).astype(np.float32)
        self.rows = [RowSet(object_id_of("b", _key(document)), 0, IdRanges()) for document in range(documents)]
        self.standing = standing
        self.runs = 0

    def put(self, document: int) -> float:
        """Replace one document; the CPU seconds it took."""
        self.runs += 1
        rows = [self._row(document, number) for number in range(self.random.randint(5, 20))]
        started = time.process_time()
        new = IdRanges.of(self.store.insert(NAME, rows))
        self.store.delete(NAME, [self.rows[document]])
        taken = time.process_time() - started
        self.rows[document] = RowSet(self.rows[document].object_id, self.runs, new)
        return taken

    def replace(self) -> float:
        """Replace any document that may change; the CPU seconds it took."""
        return self.put(self.random.randrange(self.standing, len(self.rows)))

    def search(self) -> float:
        """One search; the CPU seconds it took."""
        started = time.process_time()
        hits = self.store.search(NAME, self.random.choice(self.vectors), 20)
        taken = time.process_time() - started
        assert len(hits) == 20
        return taken

    def check(self) -> None:
        """Exactly the rows that stand are there."""
        wanted = sorted(each for rows in self.rows for each in rows.ids)
        assert sorted(each.id for each in self.store.identities(NAME)) == wanted

    def _row(self, document: int, number: int) -> Row:
        key = _key(document)
        text = f"문서 {document} 조각 {number} " * 20
        vector = self.random.choice(self.vectors)
        return Row(vector, text, f"{document}.txt", "2026", object_id_of("b", key), self.runs, number, "b", key, 0)


def _key(document: int) -> str:
    return f"folder/{document}.txt"


@contextmanager
def housekeeping(store: MilvusVectorStore, period_s: float) -> Iterator[None]:
    """`tend` from a thread of its own, as the service does; never idle, since the work does not pause."""
    is_over = threading.Event()

    def tend() -> None:
        while not is_over.wait(period_s):
            store.tend(is_idle=False)

    thread = threading.Thread(target=tend)
    thread.start()
    yield
    is_over.set()
    thread.join()


def rest(store: MilvusVectorStore) -> None:
    """An idle moment: housekeeping until there is none left, 2.5 s after the last write."""
    time.sleep(2.5)
    while store.tend(is_idle=True):
        pass


def sample(action: Callable[[], float]) -> float:
    """Median CPU milliseconds."""
    return statistics.median(action() for _ in range(PROBES)) * 1_000


def files(path: Path) -> int:
    return sum(1 for each in path.rglob("*") if each.is_file())


def measure(path: Path, documents: int, replacements: int, standing: int, *, is_compacting: bool) -> dict[str, Any]:
    store = MilvusVectorStore(MilvusVectorStore.Options(), path)
    store.ensure(CollectionSpec(NAME, NAME, DIM, "none"))
    world = World(store, documents, standing)
    try:
        for document in range(documents):
            world.put(document)
        if not is_compacting:
            _without_compaction()
        rest(store)
        found: dict[str, Any] = {"rows": store.count(NAME), "files_first": files(path)}
        world.search()
        found["search_first_ms"] = sample(world.search)
        found["replace_first_ms"] = sample(world.replace)
        slowest = 0.0
        started = time.process_time()
        with housekeeping(store, 0.5):
            for count in range(replacements):
                world.replace()
                if count % 50 == 0:
                    slowest = max(slowest, world.search())
        found["cpu_per_replacement_ms"] = (time.process_time() - started) / replacements * 1_000
        found["search_slowest_ms"] = slowest * 1_000
        found["replace_busy_ms"] = sample(world.replace)
        found["search_busy_ms"] = sample(world.search)
        rest(store)
        found["search_last_ms"] = sample(world.search)
        found["replace_last_ms"] = sample(world.replace)
        found["files_last"] = files(path)
        world.check()
    finally:
        store.close()
    return found


def show(found: dict[str, Any]) -> None:
    """Milliseconds of CPU of the whole process, medians; ``busy``: in the midst of the work; ``last``: after it."""
    print("| CPU ms | first | busy | last | last / first |\n| --- | --- | --- | --- | --- |")
    for name in ("search", "replace"):
        first, busy, last = (found[f"{name}_{when}_ms"] for when in ("first", "busy", "last"))
        print(f"| {name} | {first:.1f} | {busy:.1f} | {last:.1f} | {last / first:.2f} |")
    print(
        f"\n{found['rows']} rows; {found['cpu_per_replacement_ms']:.1f} ms for a replacement with all housekeeping; "
        f"slowest search meanwhile {found['search_slowest_ms']:.0f} ms; files {found['files_first']} before, "
        f"{found['files_last']} after."
    )


def _without_compaction() -> None:
    """What Milvus Lite does by itself: flushes as ours, and its own merging of files."""
    from s3_to_milvus.adapters.vector_stores.milvus import compaction

    compaction.is_due = lambda *_, **__: False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=200)
    parser.add_argument("--replacements", type=int, default=2_000)
    parser.add_argument("--standing", type=int, default=0)
    parser.add_argument("--no-compaction", action="store_true")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="churn-"))
    try:
        found = measure(
            folder / "milvus.db",
            arguments.documents,
            arguments.replacements,
            arguments.standing,
            is_compacting=not arguments.no_compaction,
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    show(found)


if __name__ == "__main__":
    main()
