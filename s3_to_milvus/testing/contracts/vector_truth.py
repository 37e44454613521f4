"""What every vector store must do so that two stores can hold one truth: ids, counts, marks, incidents."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from s3_to_milvus.domain.rows import CollectionSpec
from s3_to_milvus.ports import VectorStore
from s3_to_milvus.testing.contracts.vector_tools import DIM, all_rows, make_row, rows_of

__all__ = ["VectorTruthContract"]

_FAR = 70_000
_MARK = "0123456789abcdef" * 2


class VectorTruthContract:
    """Whose a row is, and whether a collection is the one that the ledger describes.

    Subclasses provide ``store``, and ``reopen`` for a store that may be closed. ``counts_ids``: the store counts its
    ids up; False: it makes them of the time.
    """

    counts_ids = True

    @pytest.fixture
    def store(self) -> VectorStore:
        """A store to write to."""
        raise NotImplementedError

    @pytest.fixture
    def reopen(self) -> Callable[[], VectorStore]:
        """Each call opens the same data in a new store, after it closed the one before."""
        raise NotImplementedError

    @pytest.fixture
    def spec(self, store: VectorStore) -> Iterator[CollectionSpec]:
        """A collection that is there, and dropped afterwards."""
        spec = new_spec()
        store.ensure(spec)
        yield spec
        store.drop(spec.name)

    def test_rows_of_others_are_neither_read_nor_deleted(self, store: VectorStore, spec: CollectionSpec) -> None:
        """Whatever their ids are."""
        mine = store.insert(spec.name, [make_row("a", 2, number) for number in range(3)])
        older = store.insert(spec.name, [make_row("a", 1, number) for number in range(3)])
        other = store.insert(spec.name, [make_row("b", 2, number) for number in range(3)])
        ids = [*mine, *older, *other]
        for foreign in (rows_of("c", 2, ids), rows_of("a", 3, ids), rows_of("b", 1, ids), rows_of("a", 0, ids)):
            assert store.fetch(spec.name, foreign) == []
            store.delete(spec.name, [foreign])
        assert store.count(spec.name) == 9
        assert {row.id for row in store.fetch(spec.name, rows_of("a", 2, ids))} == set(mine)
        store.delete(spec.name, [rows_of("a", 2, ids)])
        assert {row.id for row in all_rows(store, spec.name)} == {*older, *other}

    def test_an_id_may_be_named_with_several_owners(self, store: VectorStore, spec: CollectionSpec) -> None:
        """As what is left of a run whose ids were given twice is: the owner that it has now loses it, nobody else."""
        ids = store.insert(spec.name, [make_row("a", 5, number) for number in range(3)])
        kept = store.insert(spec.name, [make_row("b", 5)])
        for first, last in ((5, 9), (9, 5)):
            store.delete(spec.name, [rows_of("a", first, ids[:first]), rows_of("a", last, ids), rows_of("c", 5, kept)])
        assert [row.id for row in all_rows(store, spec.name)] == kept

    def test_ids_are_greater_than_those_that_were_given(
        self, store: VectorStore, spec: CollectionSpec, reopen: Callable[[], VectorStore]
    ) -> None:
        """A store that lost data is told which were: whether it is open, made anew or opened again."""
        if not self.counts_ids:
            pytest.skip("ids are made of the time")
        highest = max(store.insert(spec.name, [make_row("a")]))
        for again in (False, True):
            if again:
                store.drop(spec.name)
            highest += _FAR
            store.ensure(spec, highest)
            store.ensure(spec, 3)
            ids = store.insert(spec.name, [make_row("a"), make_row("b")])
            assert min(ids) > highest
            highest = max(ids)
        other = new_spec()
        for turn in range(2):
            reopened = reopen()
            reopened.ensure(other, highest + _FAR)
            assert min(reopened.insert(other.name, [make_row("a")])) > highest + _FAR
            highest += _FAR * (turn + 2)
        again_open = reopen()
        again_open.ensure(other)
        assert min(again_open.insert(other.name, [make_row("c")])) > max(_ids(again_open, other)[:-1])

    def test_rows_are_counted_from_an_id_on(self, store: VectorStore, spec: CollectionSpec) -> None:
        """All, some, none, of nothing; deleted ones do not count."""
        assert store.count(spec.name, 0) == 0
        ids = sorted(store.insert(spec.name, [make_row("a", 1, number) for number in range(9)]))
        assert [store.count(spec.name, each) for each in (-1, 0, ids[0] - 1)] == [9, 9, 9]
        assert [store.count(spec.name, each) for each in (ids[0], ids[4], ids[8], ids[8] + 100)] == [8, 4, 0, 0]
        store.delete(spec.name, [rows_of("a", 1, ids[6:8])])
        assert [store.count(spec.name), store.count(spec.name, ids[4])] == [7, 2]
        assert store.count(f"{spec.name}_missing", 5) == 0

    def test_a_mark_stays_with_the_data(self, store: VectorStore, spec: CollectionSpec) -> None:
        """And goes with the collection."""
        assert store.mark(spec.name) == ""
        store.put_mark(spec.name, _MARK)
        other = new_spec()
        store.ensure(other)
        assert (store.mark(spec.name), store.mark(other.name)) == (_MARK, "")
        store.drop(other.name)
        store.insert(spec.name, [make_row("a")])
        store.ensure(spec)
        assert store.mark(spec.name) == _MARK
        store.put_mark(spec.name, _MARK[::-1])
        assert store.mark(spec.name) == _MARK[::-1]
        assert store.count(spec.name) == 1
        store.drop(spec.name)
        assert store.mark(spec.name) == ""
        store.put_mark(spec.name, _MARK)
        store.ensure(spec)
        assert store.mark(spec.name) == ""

    def test_a_mark_is_there_after_a_restart(self, reopen: Callable[[], VectorStore]) -> None:
        """With rows or without, loaded or not."""
        first, empty, full = reopen(), new_spec(), new_spec()
        for spec in (empty, full):
            first.ensure(spec)
            first.put_mark(spec.name, _MARK)
        first.insert(full.name, [make_row("a")])
        second = reopen()
        assert [second.mark(spec.name) for spec in (empty, full)] == [_MARK, _MARK]
        second.ensure(full)
        assert (second.mark(full.name), second.count(full.name)) == (_MARK, 1)
        for spec in (empty, full):
            second.drop(spec.name)

    def test_what_is_synced_is_still_there(self, store: VectorStore, spec: CollectionSpec) -> None:
        """Collections that are not there, or were never written to, are no error."""
        store.sync([])
        store.sync([spec.name, f"{spec.name}_missing"])
        ids = store.insert(spec.name, [make_row("a")])
        store.sync([spec.name, f"{spec.name}_missing", spec.name])
        store.sync([spec.name])
        assert [row.id for row in store.fetch(spec.name, rows_of("a", 1, ids))] == ids

    def test_a_healthy_store_has_no_incidents(self, reopen: Callable[[], VectorStore]) -> None:
        """Neither in work nor after a restart."""
        store, spec = reopen(), new_spec()
        assert store.incidents() == []
        for run in (1, 2):
            store.ensure(replace(spec))
            store.insert(spec.name, [make_row("a", run)])
            store.sync([spec.name])
            store.tend(is_idle=True)
            assert store.incidents() == []
            store = reopen()
            assert store.count(spec.name) == run
            assert store.incidents() == []
        store.drop(spec.name)
        assert store.incidents() == []


def new_spec() -> CollectionSpec:
    """A collection of a fresh name."""
    return CollectionSpec(f"contract_{time.time_ns()}", '인사 규정 "폴더"', DIM, "embedder-1")


def _ids(store: VectorStore, spec: CollectionSpec) -> list[int]:
    return sorted(row.id for row in store.identities(spec.name))
