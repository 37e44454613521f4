"""Every vector store keeps the contract: in memory, Milvus Lite, and (marked ``soak``) a real Milvus server."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from s3_to_milvus.adapters.vector_stores.milvus import MilvusVectorStore
from s3_to_milvus.domain.rows import CollectionSpec
from s3_to_milvus.ports import VectorStore
from s3_to_milvus.testing.contracts.vector_store import DIM, VectorStoreContract, all_rows, make_row, rows_of
from s3_to_milvus.testing.fakes.vector_store import MemoryVectorStore

SPEC = CollectionSpec("docs", "docs", DIM, "embedder-1")


class TestMemoryVectorStore(VectorStoreContract):
    many_rows = 2_000

    @pytest.fixture
    def store(self) -> MemoryVectorStore:
        return MemoryVectorStore()

    @pytest.fixture
    def reopen(self, store: MemoryVectorStore) -> Callable[[], VectorStore]:
        return lambda: store


class TestMilvusLite(VectorStoreContract):
    @pytest.fixture
    def store(self, lite: MilvusVectorStore) -> MilvusVectorStore:
        return lite

    @pytest.fixture
    def reopen(self, tmp_path: Path) -> Iterator[Callable[[], VectorStore]]:
        yield from reopening(lambda: MilvusVectorStore(MilvusVectorStore.Options(), tmp_path / "milvus.db"))


@pytest.mark.soak
class TestMilvusServer(VectorStoreContract):
    patience_s = 15.0
    counts_ids = False

    @pytest.fixture
    def store(self, server: MilvusVectorStore) -> MilvusVectorStore:
        return server

    @pytest.fixture
    def reopen(self, server: MilvusVectorStore) -> Iterator[Callable[[], VectorStore]]:
        yield from reopening(lambda: MilvusVectorStore(server._options))


def reopening(open_one: Callable[[], VectorStore]) -> Iterator[Callable[[], VectorStore]]:
    opened: list[VectorStore] = []

    def again() -> VectorStore:
        for each in opened:
            each.close()
        opened.append(open_one())
        return opened[-1]

    yield again
    for each in opened:
        each.close()


def test_the_store_in_memory_gives_ids_twice_once_an_older_copy_is_put_back() -> None:
    """And then no run deletes or reads the rows of another."""
    store = MemoryVectorStore()
    store.ensure(SPEC)
    store.put_mark(SPEC.name, "theirs")
    older = store.copy()
    lost = store.insert(SPEC.name, [make_row("a", 1, number) for number in range(3)])
    store.put_mark(SPEC.name, "mine")
    store.put_back(older)
    assert (store.count(SPEC.name), store.mark(SPEC.name)) == (0, "theirs")
    assert store.insert(SPEC.name, [make_row("b", 2, number) for number in range(3)]) == lost
    assert store.fetch(SPEC.name, rows_of("a", 1, lost)) == []
    store.delete(SPEC.name, [rows_of("a", 1, lost), rows_of("b", 1, lost), rows_of("a", 2, lost)])
    assert [row.id for row in all_rows(store, SPEC.name)] == lost
    store.put_back(older)
    store.ensure(SPEC, max(lost))
    assert min(store.insert(SPEC.name, [make_row("c")])) > max(lost)


def test_the_store_in_memory_loses_what_was_not_synced() -> None:
    """And says so once."""
    store = MemoryVectorStore()
    store.ensure(SPEC)
    kept = store.insert(SPEC.name, [make_row("a")])
    store.sync([SPEC.name])
    store.insert(SPEC.name, [make_row("b")])
    store.cut_power()
    assert [row.id for row in all_rows(store, SPEC.name)] == kept
    assert [each.collection for each in store.incidents()] == [SPEC.name]
    assert store.incidents() == []
    store.sync([SPEC.name])
    store.cut_power()
    assert store.incidents() == []
