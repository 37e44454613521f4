"""Milvus Lite whose files are torn, damaged, missing, or replaced: it says so, loses no more, and takes writes."""

import errno
import importlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from s3_to_milvus.adapters.vector_stores.milvus import MilvusVectorStore, damage, lite, logs
from s3_to_milvus.errors import S3ToMilvusError, SchemaMismatch
from s3_to_milvus.testing.contracts.vector_tools import make_row, rows_of
from tests.support.lite_data import BOTH, OTHERS, PAPERS, flip, flush, folder_of, ids_in, killed, made, opened, put

FAR = 10_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "milvus.db"


def log_of(path: Path) -> Path:
    (found,) = folder_of(path).glob("wal/wal_data_*.arrow")
    return found


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


# logs


@pytest.mark.parametrize("is_killed", [True, False], ids=["killed", "closed"])
def test_a_whole_log_is_no_incident(path: Path, is_killed: bool) -> None:
    ids = made(path)
    with opened(path) as store:
        store.ensure(PAPERS)
        ids[PAPERS.name] += put(store, PAPERS, 9)
        path = killed(path, store) if is_killed else path
    for _ in range(2):
        with opened(path) as store:
            for spec in BOTH:
                store.ensure(spec)
                assert ids_in(store, spec) == ids[spec.name]
            assert store.incidents() == []


@pytest.mark.parametrize("cut", [1, 100, 1_000, 3_000, 1_000_000])
def test_a_torn_log_is_told_and_read_up_to_the_tear(path: Path, cut: int) -> None:
    with opened(path) as store:
        store.ensure(PAPERS)
        before = put(store, PAPERS, 1)
        flush(store, PAPERS)
        written = [put(store, PAPERS, run) for run in range(2, 8)]
        path = killed(path, store)
    log = log_of(path)
    os.truncate(log, max(0, log.stat().st_size - cut))
    with opened(path) as store:
        store.ensure(PAPERS, max(written[-1]))
        found = ids_in(store, PAPERS)
        whole = [ids for ids in written if set(ids) <= set(found)]
        assert found == before + [each for ids in whole for each in ids]
        assert whole == written[: len(whole)]
        assert len(whole) < 6
        assert (len(whole) == 5) if cut == 1 else (len(whole) < 6)
        assert named(store) == [PAPERS.name]
        later = put(store, PAPERS, 9)
        assert min(later) > max(written[-1])
        assert ids_in(store, PAPERS) == found + later
    with opened(path) as store:
        store.ensure(PAPERS)
        assert ids_in(store, PAPERS) == found + later
        assert store.incidents() == []


@pytest.mark.parametrize("zeros", [1, 8, 4096])
def test_zeros_at_the_end_of_a_log_are_told(path: Path, zeros: int) -> None:
    """As where the file grew before its bytes came to the disk."""
    with opened(path) as store:
        store.ensure(PAPERS)
        ids = put(store, PAPERS, 1)
        path = killed(path, store)
    log = log_of(path)
    os.truncate(log, log.stat().st_size + zeros)
    with opened(path) as store:
        store.ensure(PAPERS)
        assert ids_in(store, PAPERS) == ids
        assert named(store) == [PAPERS.name]


@pytest.mark.parametrize("part", ["data", "delta"])
def test_a_log_without_a_beginning_is_told(path: Path, part: str) -> None:
    with opened(path) as store:
        store.ensure(PAPERS)
        first = put(store, PAPERS, 1)
        flush(store, PAPERS)
        second = put(store, PAPERS, 2)
        store.delete(PAPERS.name, [rows_of("a", 1, first)])
        path = killed(path, store)
    (log,) = folder_of(path).glob(f"wal/wal_{part}_*.arrow")
    os.truncate(log, 0)
    with opened(path) as store:
        store.ensure(PAPERS)
        assert ids_in(store, PAPERS) == ([] if part == "data" else first + second)
        assert named(store) == [PAPERS.name]


def test_a_flipped_byte_in_the_head_of_a_log_is_told(path: Path) -> None:
    with opened(path) as store:
        store.ensure(PAPERS)
        starts = []
        written = []
        for run in range(1, 5):
            written.append(put(store, PAPERS, run))
            starts.append(next(folder_of(path).glob("wal/wal_data_*.arrow")).stat().st_size)
        path = killed(path, store)
    flip(log_of(path), starts[1] + 5)  # in the length of the third batch's head
    with opened(path) as store:
        store.ensure(PAPERS)
        assert ids_in(store, PAPERS) == written[0] + written[1]
        assert named(store) == [PAPERS.name]


def test_a_log_that_cannot_be_read_now_is_no_torn_one(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(path) as store:
        store.ensure(PAPERS)
        ids = put(store, PAPERS, 1)
        path = killed(path, store)
    with opened(path) as store:
        with monkeypatch.context() as patch:
            patch.setattr(logs, "_read", refusing(errno.EMFILE))
            with pytest.raises(S3ToMilvusError):
                store.ensure(PAPERS)
            with pytest.raises(S3ToMilvusError):
                store.count(PAPERS.name)
        assert ids_in(store, PAPERS) == ids
        assert store.incidents() == []


def test_a_missing_folder_of_logs_is_made_again(path: Path) -> None:
    """What it held is gone, and nothing tells it but the counts."""
    ids = made(path)
    shutil.rmtree(folder_of(path) / "wal")
    with opened(path) as store:
        store.ensure(PAPERS, max(ids[PAPERS.name]))
        assert ids_in(store, PAPERS) == ids[PAPERS.name][:10]
        later = put(store, PAPERS, 9)
        assert min(later) > max(ids[PAPERS.name])
        assert_others_work(store, ids)
    with opened(path) as store:
        assert ids_in(store, PAPERS) == ids[PAPERS.name][:10] + later


# files of a collection


def cut(byte_count: int) -> Callable[[Path], None]:
    def harm(folder: Path) -> None:
        file = data_file(folder)
        os.truncate(file, max(0, file.stat().st_size - byte_count))

    return harm


def data_file(folder: Path) -> Path:
    return next(folder.glob("partitions/*/data/*.parquet"))


def flip_page(folder: Path) -> None:
    """In the texts, which no reader would miss."""
    file = data_file(folder)
    flip(file, file.read_bytes().index(b"a 1 0"))


def tear(name: str, contents: bytes | None) -> Callable[[Path], None]:
    def harm(folder: Path) -> None:
        for file in [*folder.glob(name), *folder.glob(f"{name}.prev")]:
            if contents is None:
                file.unlink()
            else:
                file.write_bytes(contents)

    return harm


HARMS: dict[str, Callable[[Path], None]] = {
    "no schema": tear("schema.json", None),
    "empty schema": tear("schema.json", b""),
    "zeroed schema": tear("schema.json", b"\0" * 900),
    "garbage schema": tear("schema.json", b"{]"),
    "other schema": tear("schema.json", b"{}"),
    "schema of nothing": tear("schema.json", b'{"collection_name": "papers", "version": 1, "fields": [3]}'),
    "no manifests": tear("manifest.json", None),
    "empty manifests": tear("manifest.json", b""),
    "garbage manifests": tear("manifest.json", b"\xff\xfe{"),
    "manifests of something else": tear("manifest.json", b'{"partitions": [1]}'),
    "manifests of nothing": tear("manifest.json", b'{"partitions": {"_default": 7}}'),
    "manifests of numbers": tear("manifest.json", b'{"partitions": {"_default": {"data_files": [1]}}}'),
    "no data file": lambda folder: data_file(folder).unlink(),
    "empty data file": cut(1_000_000),
    "cut data file": cut(2_000),
    "cut tail": cut(1),
    "flipped page": flip_page,
    "no data folder": lambda folder: shutil.rmtree(folder / "partitions"),
}


CASES = [(harm, "ensure") for harm in HARMS] + [
    (harm, begin) for harm in ("flipped page", "cut data file", "no schema") for begin in ("count", "list", "insert")
]


@pytest.mark.parametrize(("harm", "begin"), CASES)
def test_a_damaged_collection_is_put_aside(path: Path, harm: str, begin: str) -> None:
    """Whatever it is first asked."""
    ids = made(path)
    HARMS[harm](folder_of(path))
    left = sorted(file.name for file in folder_of(path).rglob("*") if file.is_file())
    with opened(path) as store:
        if begin == "count":
            assert store.count(PAPERS.name) == 0
            assert store.mark(PAPERS.name) == ""
        elif begin == "list":
            assert OTHERS.name in store.collections()
        elif begin == "insert":
            with pytest.raises(SchemaMismatch):  # nothing is known of it yet
                put(store, PAPERS, 7)
        assert_others_work(store, ids)
        store.ensure(PAPERS, FAR)
        assert named(store) == [PAPERS.name]
        assert (store.count(PAPERS.name), store.mark(PAPERS.name)) == (0, "")
        (aside,) = (path / "damaged").iterdir()
        assert aside.name.startswith(f"{PAPERS.name}-")
        assert set(left) <= {file.name for file in aside.rglob("*")}, "something was deleted silently"
        ids[PAPERS.name] = put(store, PAPERS, 91)
        assert min(ids[PAPERS.name]) > FAR
        assert_others_work(store, ids)
    with opened(path) as store:
        for spec in BOTH:
            assert ids_in(store, spec) == ids[spec.name]
        assert store.incidents() == []


@pytest.mark.parametrize("contents", [None, b"", b"{]"], ids=["missing", "empty", "garbage"])
def test_a_manifest_that_is_gone_is_replaced_by_the_one_before(path: Path, contents: bytes | None) -> None:
    """It names all files but those of the last flush, whose log is gone: so it is told."""
    ids = made(path)
    with opened(path) as store:
        store.ensure(PAPERS)
        flush(store, PAPERS)
        ids[PAPERS.name] += put(store, PAPERS, 9)
    manifest = folder_of(path) / "manifest.json"
    assert manifest.with_name("manifest.json.prev").exists()
    if contents is None:
        manifest.unlink()
    else:
        manifest.write_bytes(contents)
    with opened(path) as store:
        store.ensure(PAPERS, FAR)
        assert PAPERS.name in named(store)
        assert set(ids_in(store, PAPERS)) <= set(ids[PAPERS.name])
        assert min(put(store, PAPERS, 91)) > FAR
        assert_others_work(store, ids)


def test_a_collection_damaged_twice_keeps_the_newest_remains(path: Path) -> None:
    made(path)
    for _ in range(3):
        (folder_of(path) / "schema.json").unlink()
        with opened(path) as store:
            store.ensure(PAPERS)
            put(store, PAPERS, 1)
            flush(store, PAPERS)
            assert named(store) == [PAPERS.name]
    assert len(list((path / "damaged").iterdir())) == 1


def test_what_was_never_written_to_is_not_damaged(path: Path) -> None:
    """Killed while the collection was made."""
    made(path)
    begun = folder_of(path).with_name("begun")
    begun.mkdir()
    (begun / "schema.json.tmp").write_bytes(b"{")
    with opened(path) as store:
        assert store.collections() == [OTHERS.name, PAPERS.name]
        assert store.incidents() == []
    assert not begun.exists()
    assert not (path / "damaged").exists()


def refusing(number: int) -> Callable[..., Any]:
    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError(number, os.strerror(number))

    return refuse


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENOSPC, errno.EACCES, errno.EIO])
@pytest.mark.parametrize("where", ["_read", "_is_readable"])
def test_what_the_system_refuses_is_no_damage(
    path: Path, monkeypatch: pytest.MonkeyPatch, number: int, where: str
) -> None:
    """It is said, nothing is moved, and the next call goes on."""
    ids = made(path)
    with opened(path) as store:
        with monkeypatch.context() as patch:
            patch.setattr(damage, where, refusing(number))
            for call in (lambda: store.ensure(PAPERS), lambda: store.count(PAPERS.name), store.collections):
                with pytest.raises(S3ToMilvusError):
                    call()
        assert ids_in(store, PAPERS) == ids[PAPERS.name]
        assert store.incidents() == []
        assert_others_work(store, ids)
    assert not (path / "damaged").exists()


def test_a_file_that_cannot_be_read_while_a_collection_loads_is_no_damage(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parquet = importlib.import_module("pyarrow.parquet")
    ids = made(path)
    with opened(path) as store:
        assert ids_in(store, OTHERS) == ids[OTHERS.name]
        with monkeypatch.context() as patch:
            patch.setattr(parquet, "read_table", refusing(errno.EMFILE))
            for call in (lambda: store.ensure(PAPERS), lambda: store.count(PAPERS.name)):
                with pytest.raises(S3ToMilvusError):
                    call()
            assert ids_in(store, OTHERS) == ids[OTHERS.name]
        assert ids_in(store, PAPERS) == ids[PAPERS.name]
        assert store.incidents() == []


# files that go under the open store


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
    monkeypatch.setattr(lite, "_FLUSH_ROWS", 1)
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
