"""What every vector store that takes collections of the original system over must do."""

import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest

from s3_to_milvus.domain.rows import CollectionSpec, IdRanges
from s3_to_milvus.errors import SchemaMismatch
from s3_to_milvus.ports import Originals, VectorStore
from s3_to_milvus.testing.contracts.vector_store import DIM, make_row, make_vector

__all__ = ["OriginalsContract"]

NAMES = ["규정.pdf", 'x" or file_name != "', "it's.docx", "\u1112\u1161\u11ab.hwp"]

Fill = Callable[[str, Sequence[tuple[str, str, str]]], None]
"""Insert rows (file name, date, text) into a collection of the original system, as one request; the vector of the
n-th has n in its first place."""


class OriginalsContract:
    """Inherit it and provide the fixtures ``store`` and ``fill``. ``many_rows``: more than one request gives."""

    many_rows = 2_500

    @pytest.fixture
    def store(self) -> VectorStore:
        """A store."""
        raise NotImplementedError

    @pytest.fixture
    def fill(self, store: VectorStore) -> Fill:
        """Fills a collection, which is made where it is not there."""
        raise NotImplementedError

    @pytest.fixture
    def name(self, store: VectorStore) -> Iterator[str]:
        """Of a collection; what the test made of it is dropped afterwards."""
        name = f"original_{time.time_ns()}"
        yield name
        for each in (name, f"{name}_old"):
            if each in store.collections():
                store.drop(each)

    @pytest.fixture
    def successor(self, store: VectorStore, name: str) -> CollectionSpec:
        """The collection that follows."""
        return CollectionSpec(f"{name}_new", name, DIM, "embedder-1")

    def test_a_collection_is_told_by_its_columns(self, store: VectorStore, fill: Fill, name: str) -> None:
        """Of the original, of ours, or none."""
        originals = _originals(store)
        assert originals.describe(name) is None
        fill(name, [("a.txt", "2024-05-01", "text")])
        found = originals.describe(name)
        assert found is not None
        assert (found.name, found.dim, found.is_ours) == (name, DIM, False)
        ours = CollectionSpec(f"{name}_old", name, DIM, "embedder-1")
        store.ensure(ours)
        assert (described := originals.describe(ours.name)) is not None
        assert described.is_ours

    def test_our_rows_never_go_into_it(self, store: VectorStore, fill: Fill, name: str) -> None:
        """And the hint says what to do."""
        fill(name, [("a.txt", "d", "text")])
        with pytest.raises(SchemaMismatch, match="original system") as caught:
            store.ensure(CollectionSpec(name, name, DIM, "embedder-1"))
        assert f"adopt --collection {name}" in caught.value.hint
        assert [row.text for row in _originals(store).rows(name)] == ["text"]

    def test_rows_come_ascending_and_whole(self, store: VectorStore, fill: Fill, name: str) -> None:
        """Over several inserts and pages, with names of every kind."""
        originals = _originals(store)
        wanted = [(NAMES[n % len(NAMES)], "2024-05-01 09:00:00", f"문단 {n}\n둘째 줄") for n in range(self.many_rows)]
        half = self.many_rows // 2
        fill(name, wanted[:half])
        fill(name, wanted[half:])
        rows = list(originals.rows(name))
        assert [(row.file_name, row.file_date, row.text) for row in rows] == wanted
        assert [row.id for row in rows] == sorted({row.id for row in rows})

    def test_fetch_gives_texts_and_vectors(self, store: VectorStore, fill: Fill, name: str) -> None:
        """Those that are there; what the original does not know is empty."""
        originals = _originals(store)
        fill(name, [("a.txt", "d", f"text {n}") for n in range(5)])
        ids = [row.id for row in originals.rows(name)]
        assert originals.fetch(name, IdRanges()) == []
        found = originals.fetch(name, IdRanges.of([*ids[1:3], ids[-1] + 1_000_000]), with_vectors=True)
        assert sorted(row.text for row in found) == ["text 1", "text 2"]
        for row in found:
            assert row.vector is not None
            assert row.vector.dtype == np.float32
            assert row.vector[0] == float(row.text[-1])
            assert (row.object_id, row.run, row.chunk_no, row.page, dict(row.meta)) == ("", 0, 0, 0, {})
        assert all(row.vector is None for row in originals.fetch(name, IdRanges.of(ids)))

    def test_the_successor_takes_the_name(
        self, store: VectorStore, fill: Fill, name: str, successor: CollectionSpec
    ) -> None:
        """The old rows stay readable under their new name; doing it again changes nothing."""
        originals = _originals(store)
        fill(name, [("a.txt", "d", "old")])
        originals.prepare(successor, name)
        originals.prepare(successor, name)
        store.insert(successor.name, [make_row("a", text="new")])
        for _ in range(2):
            originals.succeed(name, f"{name}_old", successor.name)
        assert (found := originals.describe(name)) is not None
        assert (found.name, found.is_ours) == (successor.name, True)
        assert (kept := originals.describe(f"{name}_old")) is not None
        assert not kept.is_ours
        assert {f"{name}_old", successor.name} <= set(store.collections())
        assert [row.text for row in originals.rows(f"{name}_old")] == ["old"]
        assert [hit.row.text for hit in store.search(successor.name, make_vector(0.0), 3)] in ([], ["new"])

    def test_a_half_done_succession_is_finished(
        self, store: VectorStore, fill: Fill, name: str, successor: CollectionSpec
    ) -> None:
        """The old name is gone, the alias was not made yet."""
        originals = _originals(store)
        fill(f"{name}_old", [("a.txt", "d", "old")])
        originals.prepare(successor, f"{name}_old")
        originals.succeed(name, f"{name}_old", successor.name)
        assert (found := originals.describe(name)) is not None
        assert found.name == successor.name


def _originals(store: VectorStore) -> Originals:
    assert store.originals is not None
    return store.originals
