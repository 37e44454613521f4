"""Files of Milvus Lite that are removed or replaced while it has them open: no call stumbles, no id is given twice."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from s3_to_milvus.adapters.vector_stores.milvus import MilvusVectorStore, pending
from s3_to_milvus.errors import S3ToMilvusError
from s3_to_milvus.testing.contracts.vector_tools import make_row, rows_of
from tests.support.lite_data import (
    BOTH,
    OTHERS,
    PAPERS,
    assert_others_work,
    folder_of,
    ids_in,
    made,
    named,
    opened,
    put,
)

FAR = 10_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "milvus.db"


@pytest.mark.parametrize("has_copy", [True, False], ids=["older copy", "nothing"])
def test_a_database_that_is_replaced_under_the_store_is_opened_anew(path: Path, tmp_path: Path, has_copy: bool) -> None:
    older = made(path)
    shutil.copytree(path, tmp_path / "copy")
    with opened(path) as store:
        for spec in BOTH:
            store.ensure(spec)
        lost = {spec.name: put(store, spec, 50) for spec in BOTH}
        store.sync([spec.name for spec in BOTH])
        shutil.rmtree(path)
        if has_copy:
            shutil.copytree(tmp_path / "copy", path)
        store.tend(is_idle=True)
        expected = older if has_copy else {spec.name: [] for spec in BOTH}
        for spec in BOTH:
            assert store.count(spec.name) == len(expected[spec.name])
            assert store.mark(spec.name) == ("ab" * 16 if has_copy else "")
        assert set(named(store)) == {spec.name for spec in BOTH}
        for spec in BOTH:
            store.ensure(spec, max(lost[spec.name]))
            new = put(store, spec, 51)
            assert min(new) > max(lost[spec.name])
            expected[spec.name] = [*expected[spec.name], *new]
            assert ids_in(store, spec) == expected[spec.name]
        store.sync([spec.name for spec in BOTH])
        assert store.incidents() == []
    with opened(path) as store:
        for spec in BOTH:
            assert ids_in(store, spec) == expected[spec.name]


def sync_is_refused(store: MilvusVectorStore) -> None:
    """Rows that should come to the disk are gone."""
    with pytest.raises(S3ToMilvusError):
        store.sync([PAPERS.name])


CALLS: dict[str, Callable[[MilvusVectorStore], object]] = {
    "insert": lambda store: put(store, PAPERS, 60),
    "count": lambda store: store.count(PAPERS.name),
    "mark": lambda store: store.mark(PAPERS.name),
    "put_mark": lambda store: store.put_mark(PAPERS.name, "cd" * 16),
    "delete": lambda store: store.delete(PAPERS.name, [rows_of("a", 1, [1, 2, 3])]),
    "delete_other_runs": lambda store: store.delete_other_runs(PAPERS.name, make_row("a").object_id, 3, 9),
    "fetch": lambda store: store.fetch(PAPERS.name, rows_of("a", 1, [1, 2, 3])),
    "search": lambda store: store.search(PAPERS.name, make_row("a").vector, 3),
    "identities": lambda store: list(store.identities(PAPERS.name)),
    "ensure": lambda store: store.ensure(PAPERS),
    "sync": lambda store: sync_is_refused(store),
    "tend": lambda store: store.tend(is_idle=True),
    "drop": lambda store: store.drop(PAPERS.name),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("what", ["collection", "database"])
@pytest.mark.parametrize("has_copy", [True, False], ids=["older copy", "nothing"])
def test_no_call_stumbles_over_what_is_gone(path: Path, tmp_path: Path, name: str, what: str, has_copy: bool) -> None:
    ids = made(path)
    shutil.copytree(path, tmp_path / "copy")
    with opened(path) as store:
        for spec in BOTH:
            store.ensure(spec)
        lost = put(store, PAPERS, 50)
        gone = path if what == "database" else folder_of(path)
        shutil.rmtree(gone)
        if has_copy:
            shutil.copytree(tmp_path / "copy" / gone.relative_to(path), gone)
        CALLS[name](store)
        store.ensure(PAPERS)
        assert PAPERS.name in named(store) or name == "drop"
        new = put(store, PAPERS, 61)
        assert min(new) > max(lost)
        store.ensure(OTHERS)
        if what == "collection" or has_copy:
            assert_others_work(store, ids)
        store.sync([spec.name for spec in BOTH])
        assert set(new) <= set(ids_in(store, PAPERS))
        found = {spec.name: ids_in(store, spec) for spec in BOTH}
        assert not set(found[PAPERS.name]) & set(lost)
        assert store.incidents() == []
    with opened(path) as store:
        for spec in BOTH:
            assert ids_in(store, spec) == found[spec.name]


def test_a_second_store_of_the_process_is_not_left_behind(path: Path) -> None:
    made(path)
    with opened(path) as first, opened(path) as second:
        for store in (first, second):
            for spec in BOTH:
                store.ensure(spec)
                assert store.count(spec.name) == 20
        shutil.rmtree(path)
        assert first.count(PAPERS.name) == 0
        assert [second.count(spec.name) for spec in BOTH] == [0, 0]
        first.ensure(PAPERS, FAR)
        ids = put(first, PAPERS, 3)
        assert ids_in(second, PAPERS) == ids
        second.ensure(PAPERS)
        assert min(put(second, PAPERS, 4)) > max(ids)
        shutil.rmtree(folder_of(path))
        assert [store.count(PAPERS.name) for store in (first, second)] == [0, 0]
        second.ensure(PAPERS)
        assert len(put(second, PAPERS, 5)) == first.count(PAPERS.name) == 5


def test_what_lies_in_the_way_is_said_until_it_is_gone(path: Path) -> None:
    """The database was removed, and can't be made again at once."""
    ids = made(path)
    with opened(path) as store:
        store.ensure(PAPERS)
        path.rename(path.with_name("moved"))
        path.write_text("in the way")
        for _ in range(2):
            with pytest.raises(S3ToMilvusError):
                store.count(PAPERS.name)
            with pytest.raises(S3ToMilvusError):
                store.collections()
        store.tend(is_idle=True)
        path.unlink()
        path.with_name("moved").rename(path)
        assert ids_in(store, PAPERS) == ids[PAPERS.name]
        store.ensure(PAPERS)
        new = put(store, PAPERS, 9)
    with opened(path) as store:
        assert ids_in(store, PAPERS) == ids[PAPERS.name] + new


def test_housekeeping_writes_nothing_where_files_are_gone(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left of a collection would pass for a whole one."""
    monkeypatch.setattr(pending, "_FLUSH_ROWS", 1)
    made(path)
    with opened(path) as store:
        for spec in BOTH:
            store.ensure(spec)
            put(store, spec, 9)
        shutil.rmtree(folder_of(path))
        while store.tend(is_idle=True):
            pass
        assert not folder_of(path).exists()
        assert store.count(PAPERS.name) == 0
        assert store.count(OTHERS.name) == 25
