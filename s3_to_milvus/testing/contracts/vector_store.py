"""What every vector store must do."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from s3_to_milvus.domain import limits
from s3_to_milvus.domain.objects import object_id_of
from s3_to_milvus.domain.rows import CollectionSpec, Row
from s3_to_milvus.errors import Rejected, SchemaMismatch
from s3_to_milvus.ports import VectorStore
from s3_to_milvus.testing.contracts.vector_tools import DIM, all_rows, make_row, make_vector, rows_of
from s3_to_milvus.testing.contracts.vector_truth import VectorTruthContract

__all__ = ["DIM", "VectorStoreContract", "all_rows", "make_row", "make_vector", "rows_of"]

NASTY = [
    '그는 "안녕" 하고 \\ 말했다',
    'x" or file_name != "',
    "it's {a} [b] %c %",
    "줄\n바꿈\t탭\r",
    "😀👩‍👩‍👧 — ﷽",
    "\u1112\u1161\u11ab\u1100\u1173\u11af",  # Hangul in its decomposed form
]


class VectorStoreContract(VectorTruthContract):
    """Inherit it and provide the fixtures ``store`` and ``reopen``.

    ``patience_s``: how long a search may take to see what was written (0: at once); reads by id never may.
    ``many_rows``: how many rows `identities` is tried with. Collections get fresh names.
    """

    patience_s = 0.0
    many_rows = 21_000

    def soon(self, condition: Callable[[], bool]) -> bool:
        """True once the condition holds, within ``patience_s``."""
        deadline = time.monotonic() + self.patience_s
        while not condition():
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.1)
        return True

    def test_ids_come_in_the_order_of_the_rows(self, store: VectorStore, spec: CollectionSpec) -> None:
        """Each row is found under its own id, with everything that was written."""
        rows = [make_row("폴더/보고서.pdf", 7, number) for number in range(30)]
        ids = store.insert(spec.name, rows)
        assert len(set(ids)) == 30
        found = {row.id: row for row in store.fetch(spec.name, rows_of("폴더/보고서.pdf", 7, ids), with_vectors=True)}
        for row_id, row in zip(ids, rows, strict=True):
            stored = found[row_id]
            assert (stored.object_id, stored.run, stored.chunk_no) == (row.object_id, 7, row.chunk_no)
            assert (stored.text, stored.page, dict(stored.meta)) == (row.text, row.page, dict(row.meta))
            assert stored.vector is not None
            assert stored.vector.tolist() == row.vector.tolist()

    def test_vectors_are_read_only_on_demand(self, store: VectorStore, spec: CollectionSpec) -> None:
        """They are most of the bytes."""
        ids = store.insert(spec.name, [make_row("a")])
        assert [row.vector for row in store.fetch(spec.name, rows_of("a", 1, ids))] == [None]

    def test_nothing_is_no_error(self, store: VectorStore, spec: CollectionSpec) -> None:
        """No rows, no ids, no limit."""
        assert store.insert(spec.name, []) == []
        assert store.fetch(spec.name, rows_of("a", 1, [])) == []
        store.delete(spec.name, [])
        store.delete(spec.name, [rows_of("a", 1, [])])
        assert store.search(spec.name, make_vector(1.0), 0) == []
        assert store.search(spec.name, make_vector(1.0), 5) == []
        assert store.count(spec.name) == 0
        assert list(store.identities(spec.name)) == []

    @pytest.mark.parametrize("text", NASTY)
    def test_any_text_comes_back_as_it_was(self, store: VectorStore, spec: CollectionSpec, text: str) -> None:
        """In texts, names, keys and meta; and no text is ever taken for an expression."""
        other = store.insert(spec.name, [make_row("other")])
        row = make_row(f"폴더/{text}", 3, 0, text)
        ids = store.insert(spec.name, [row])
        (stored,) = store.fetch(spec.name, rows_of(row.file_key, 3, ids))
        assert (stored.text, dict(stored.meta)) == (text, dict(row.meta))
        assert self.soon(lambda: len(store.search(spec.name, make_vector(0.0), 10)) == 2)
        hit = next(hit for hit in store.search(spec.name, make_vector(0.0), 10) if hit.row.id == ids[0])
        assert (hit.key, hit.bucket, hit.file_name) == (row.file_key, "bucket", row.file_name)
        store.delete_other_runs(spec.name, row.object_id, 0, 4)
        assert store.fetch(spec.name, rows_of(row.file_key, 3, ids)) == []
        assert len(store.fetch(spec.name, rows_of("other", 1, other))) == 1

    @pytest.mark.parametrize("letter", ["x", "한", "😀"])
    def test_limits_are_bytes(self, store: VectorStore, spec: CollectionSpec, letter: str) -> None:
        """The longest text and key that fit are stored whole; one letter more is refused."""
        size = len(letter.encode())
        text, key = letter * (limits.TEXT_BYTES // size), letter * (limits.FILE_KEY_BYTES // size)
        row = make_row("k", text=text)
        fitting = _changed(row, file_key=key, file_name=letter * (limits.FILE_NAME_BYTES // size))
        ids = store.insert(spec.name, [fitting])
        assert [each.text for each in store.fetch(spec.name, rows_of("k", 1, ids))] == [text]
        for changes in ({"text": text + letter}, {"file_key": key + letter}, {"file_name": letter * 256}):
            with pytest.raises(Rejected):
                store.insert(spec.name, [make_row("fine"), _changed(fitting, **changes)])
        assert store.count(spec.name) == 1

    @pytest.mark.parametrize(
        "vector",
        [make_vector(float("nan")), make_vector(1.0, float("inf")), make_vector(dim=DIM - 1), make_vector(dim=DIM + 1)],
        ids=["nan", "infinite", "short", "long"],
    )
    def test_one_bad_vector_refuses_the_request(
        self, store: VectorStore, spec: CollectionSpec, vector: NDArray[np.float32]
    ) -> None:
        """And none of the other rows is written."""
        with pytest.raises(Rejected):
            store.insert(spec.name, [make_row("a"), make_row("b", vector=vector), make_row("c")])
        assert store.count(spec.name) == 0

    def test_text_that_is_no_unicode_is_refused(self, store: VectorStore, spec: CollectionSpec) -> None:
        """A lone surrogate, as an undecodable file name has one."""
        with pytest.raises(Rejected):
            store.insert(spec.name, [make_row("a", text="\udce9")])
        assert store.count(spec.name) == 0

    def test_a_refusal_costs_no_ids(self, store: VectorStore, spec: CollectionSpec) -> None:
        """Whatever was refused, every id is given once."""
        ids = store.insert(spec.name, [make_row("a")])
        for _ in range(3):
            with pytest.raises(Rejected):
                store.insert(spec.name, [make_row("b", text="\udce9")])
        ids += store.insert(spec.name, [make_row("a", 1, 1), make_row("a", 1, 2)])
        assert len(set(ids)) == 3
        assert len(store.fetch(spec.name, rows_of("a", 1, ids))) == 3

    def test_the_nearest_comes_first(self, store: VectorStore, spec: CollectionSpec) -> None:
        """Scores fall, and the distance says how far."""
        store.insert(spec.name, [make_row("a", 1, number) for number in (5, 1, 9, 3)])
        assert self.soon(lambda: len(store.search(spec.name, make_vector(2.4), 4)) == 4)
        hits = store.search(spec.name, make_vector(2.4), 4)
        assert [hit.row.chunk_no for hit in hits] == [3, 1, 5, 9]
        assert all(left.score > right.score for left, right in pairwise(hits))
        assert all(hit.score > 0 and hit.collection == spec.name for hit in hits)
        assert [hit.row.chunk_no for hit in store.search(spec.name, make_vector(9.4), 1)] == [9]

    def test_a_search_ends_early_only_when_there_are_no_more(self, store: VectorStore, spec: CollectionSpec) -> None:
        """Also where an index looks at a part of the rows only."""
        random = np.random.default_rng(1)
        vectors = random.normal(size=(3_000, DIM)).astype(np.float32)
        for start in range(0, 3_000, 1_000):
            rows = [make_row("a", 1, n, vector=vectors[n]) for n in range(start, start + 1_000)]
            store.insert(spec.name, rows)
        assert self.soon(lambda: len(store.search(spec.name, vectors[7], 3_100)) == 3_000)
        found = [hit.row.chunk_no for hit in store.search(spec.name, vectors[7], 2_500)]
        assert len(found) == len(set(found)) == 2_500
        assert found[0] == 7

    def test_replacing_leaves_the_new_rows(self, store: VectorStore, spec: CollectionSpec) -> None:
        """Insert, then delete the old ids: both are there between, the new alone afterwards."""
        old = store.insert(spec.name, [make_row("a", 1, n) for n in range(9)])
        new = store.insert(spec.name, [make_row("a", 2, n) for n in range(4)])
        assert store.count(spec.name) == 13
        store.delete(spec.name, [rows_of("a", 1, old)])
        store.delete(spec.name, [rows_of("a", 1, old)])
        assert store.count(spec.name) == 4
        assert self.soon(lambda: {hit.row.id for hit in store.search(spec.name, make_vector(0.0), 50)} == set(new))
        assert {each.id for each in store.identities(spec.name)} == set(new)

    def test_other_runs_are_deleted_by_their_object(self, store: VectorStore, spec: CollectionSpec) -> None:
        """Not the run to keep, not later runs, not other objects."""
        for key in ("a", "b"):
            for run in (3, 4, 5, 6):
                store.insert(spec.name, [make_row(key, run, n) for n in range(3)])
        store.delete_other_runs(spec.name, object_id_of("bucket", "a"), keep_run=4, before_run=6)
        assert _runs(store, spec, "a") == {4: 3, 6: 3}
        assert _runs(store, spec, "b") == {3: 3, 4: 3, 5: 3, 6: 3}
        store.delete_other_runs(spec.name, object_id_of("bucket", "a"), keep_run=0, before_run=7)
        assert _runs(store, spec, "a") == {}

    def test_only_our_own_hex_may_name_an_object(self, store: VectorStore, spec: CollectionSpec) -> None:
        """No text of users ever stands in a filter."""
        store.insert(spec.name, [make_row("a")])
        with pytest.raises(ValueError, match="object id"):
            store.delete_other_runs(spec.name, '" or run > 0 or object_id == "', 0, 9)
        assert store.count(spec.name) == 1

    def test_identities_are_complete(self, store: VectorStore, spec: CollectionSpec) -> None:
        """More rows than any server gives at once."""
        wanted: dict[int, int] = {}
        while len(wanted) < self.many_rows:
            rows = [make_row("a", len(wanted) + n, n) for n in range(1_000)]
            wanted |= {row_id: row.run for row_id, row in zip(store.insert(spec.name, rows), rows, strict=True)}
        gone = sorted(wanted)[::7]
        store.delete(spec.name, [rows_of("a", wanted[each], [each]) for each in gone])
        found = list(store.identities(spec.name))
        assert len(found) == store.count(spec.name) == len(wanted) - len(gone)
        assert {each.id: each.run for each in found} == {k: run for k, run in wanted.items() if k not in set(gone)}
        assert {each.object_id for each in found} == {object_id_of("bucket", "a")}

    def test_many_ids_at_once(self, store: VectorStore, spec: CollectionSpec) -> None:
        """More than fit into one request."""
        ids = [each for _ in range(9) for each in store.insert(spec.name, [make_row("a", 1, n) for n in range(1_000)])]
        assert len(store.fetch(spec.name, rows_of("a", 1, ids))) == 9_000
        store.delete(spec.name, [rows_of("a", 1, ids)])
        assert store.count(spec.name) == 0

    def test_a_missing_collection_is_empty(self, store: VectorStore) -> None:
        """Reading and deleting are no errors; inserting is."""
        name = f"missing_{time.time_ns()}"
        rows = rows_of("a", 1, [1, 2])
        assert store.search(name, make_vector(1.0), 3) == []
        assert store.fetch(name, rows) == []
        assert store.count(name) == 0
        assert list(store.identities(name)) == []
        store.delete(name, [rows])
        store.delete_other_runs(name, "ab", 0, 9)
        store.drop(name)
        with pytest.raises(SchemaMismatch):
            store.insert(name, [make_row("a")])

    def test_dropped_and_made_again_it_is_empty(self, store: VectorStore, spec: CollectionSpec) -> None:
        """And it may have other dimensions then."""
        store.insert(spec.name, [make_row("a")])
        assert spec.name in store.collections()
        store.drop(spec.name)
        assert spec.name not in store.collections()
        assert store.search(spec.name, make_vector(1.0), 3) == []
        store.ensure(CollectionSpec(spec.name, spec.label, 4, "embedder-2"))
        ids = store.insert(spec.name, [make_row("b", vector=make_vector(1.0, dim=4))])
        assert [row.text for row in store.fetch(spec.name, rows_of("b", 1, ids))] == ["b 1 0"]
        assert store.count(spec.name) == 1

    def test_ensure_may_be_repeated(self, store: VectorStore, spec: CollectionSpec) -> None:
        """The rows stay."""
        store.insert(spec.name, [make_row("a")])
        store.ensure(spec)
        assert store.count(spec.name) == 1

    def test_vectors_of_two_models_never_meet(self, store: VectorStore, spec: CollectionSpec) -> None:
        """Another dimension or another embedder is refused, and the message names it."""
        with pytest.raises(SchemaMismatch, match="dimensions"):
            store.ensure(CollectionSpec(spec.name, spec.label, DIM * 2, spec.embedder))
        with pytest.raises(SchemaMismatch, match="embedder-2"):
            store.ensure(CollectionSpec(spec.name, spec.label, DIM, "embedder-2"))
        store.insert(spec.name, [make_row("a")])

    def test_threads_lose_nothing(self, store: VectorStore, spec: CollectionSpec) -> None:
        """Inserts, deletes, searches and housekeeping at the same time: no row is lost, none is there twice."""
        is_over = threading.Event()
        torn: list[object] = []

        def write(worker: int) -> list[int]:
            standing: list[int] = []
            for run in range(1, 13):
                new = store.insert(spec.name, [make_row(f"{worker}", run, n) for n in range(15)])
                store.delete(spec.name, [rows_of(f"{worker}", run - 1, standing)])
                standing = new
                if len(store.fetch(spec.name, rows_of(f"{worker}", run, new))) != 15:
                    torn.append((worker, run))
            return standing

        def tend() -> None:
            while not is_over.wait(0.02):
                store.tend(is_idle=True)
                store.search(spec.name, make_vector(1.0), 20)

        with ThreadPoolExecutor(5) as pool:
            keeper = pool.submit(tend)
            standing = [each for ids in pool.map(write, range(4)) for each in ids]
            is_over.set()
            keeper.result()
        assert torn == []
        found = [each.id for each in store.identities(spec.name)]
        assert sorted(found) == sorted(standing)
        assert store.count(spec.name) == len(standing)

    def test_it_is_frozen_while_nobody_writes_and_goes_on(
        self, store: VectorStore, spec: CollectionSpec, tmp_path: Path
    ) -> None:
        """``meanwhile`` is called once; a copy is written from what was there then, and may be let go of twice."""
        store.insert(spec.name, [make_row("a")])
        calls: list[int] = []
        frozen = store.freeze(lambda: calls.append(1))
        assert calls == [1]
        assert (frozen is None) == (store.folder is None)
        store.insert(spec.name, [make_row("b")])
        if frozen is not None:
            frozen.write(tmp_path / "copy")
            size = sum(path.stat().st_size for path in (tmp_path / "copy").rglob("*") if path.is_file())
            frozen.close()
            frozen.close()
            assert size == frozen.size_bytes
        assert store.count(spec.name) == 2

    def test_a_store_whose_moment_fails_goes_on(self, store: VectorStore, spec: CollectionSpec) -> None:
        """What ``meanwhile`` raises is raised."""

        def fail() -> None:
            raise InterruptedError

        with pytest.raises(InterruptedError):
            store.freeze(fail)
        store.insert(spec.name, [make_row("a")])
        assert store.count(spec.name) == 1

    def test_it_can_be_checked(self, store: VectorStore, spec: CollectionSpec) -> None:
        """One line for people."""
        assert "collection" in store.check()


def _changed(row: Row, **changes: object) -> Row:
    names: Sequence[str] = Row.__slots__
    return Row(**{name: getattr(row, name) for name in names} | changes)


def _runs(store: VectorStore, spec: CollectionSpec, key: str) -> dict[int, int]:
    found: dict[int, int] = {}
    for each in store.identities(spec.name):
        if each.object_id == object_id_of("bucket", key):
            found[each.run] = found.get(each.run, 0) + 1
    return found
