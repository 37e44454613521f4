"""What the tests of Milvus Lite's files have in common: a database of two collections, and ways to harm it."""

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from s3_to_milvus.adapters.vector_stores.milvus import MilvusVectorStore
from s3_to_milvus.domain.rows import CollectionSpec
from s3_to_milvus.testing.contracts.vector_tools import DIM, all_rows, make_row

PAPERS = CollectionSpec("papers", "논문", DIM, "embedder-1")
OTHERS = CollectionSpec("others", "others", DIM, "embedder-1")
BOTH = (PAPERS, OTHERS)


@contextmanager
def opened(path: Path) -> Iterator[MilvusVectorStore]:
    store = MilvusVectorStore(MilvusVectorStore.Options(), path)
    try:
        yield store
    finally:
        store.close()


def put(store: MilvusVectorStore, spec: CollectionSpec, run: int, count: int = 5) -> list[int]:
    """Rows of one run of the object ``a``."""
    return store.insert(spec.name, [make_row("a", run, number) for number in range(count)])


def flush(store: MilvusVectorStore, spec: CollectionSpec) -> None:
    lite = store._connection.lite
    with lite.gate():
        lite._flush(spec.name)
    lite._engines[spec.name]._wait_for_bg()


def made(path: Path, runs: Iterable[int] = range(1, 5), flushed: int = 2) -> dict[str, list[int]]:
    """A database of `BOTH`, closed: each run inserts five rows, those up to ``flushed`` are flushed. Ids by name."""
    ids: dict[str, list[int]] = {spec.name: [] for spec in BOTH}
    with opened(path) as store:
        for spec in BOTH:
            store.ensure(spec)
            store.put_mark(spec.name, "ab" * 16)
        for run in runs:
            for spec in BOTH:
                ids[spec.name] += put(store, spec, run)
                if run == flushed:
                    flush(store, spec)
    return ids


def killed(path: Path, store: MilvusVectorStore) -> Path:
    """What a kill of the process that has ``path`` open leaves, beside it."""
    return shutil.copytree(path, path.with_name("killed.db"), ignore=shutil.ignore_patterns("socket"))


def folder_of(path: Path, spec: CollectionSpec = PAPERS) -> Path:
    return path / "collections" / spec.name


def ids_in(store: MilvusVectorStore, spec: CollectionSpec) -> list[int]:
    """As both ways of reading tell them."""
    found = sorted(row.id for row in store.identities(spec.name))
    assert sorted(row.id for row in all_rows(store, spec.name)) == found
    return found


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 0xFF
    path.write_bytes(data)


def named(store: MilvusVectorStore) -> list[str]:
    """The collections that incidents name, and none of them twice."""
    found = store.incidents()
    assert store.incidents() == []
    assert all(each.what for each in found)
    return [each.collection for each in found]


def assert_others_work(store: MilvusVectorStore, ids: dict[str, list[int]]) -> None:
    assert ids_in(store, OTHERS) == ids[OTHERS.name]
    ids[OTHERS.name] += put(store, OTHERS, 90)
    assert ids_in(store, OTHERS) == ids[OTHERS.name]
