"""Milvus Lite whose files are torn, damaged, missing, or replaced: it says so, loses no more, and takes writes."""

import errno
import importlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from s3_to_milvus.adapters.vector_stores.milvus import damage, logs
from s3_to_milvus.errors import S3ToMilvusError, SchemaMismatch
from s3_to_milvus.testing.contracts.vector_tools import rows_of
from tests.support.lite_data import (
    BOTH,
    OTHERS,
    PAPERS,
    assert_others_work,
    flip,
    flush,
    folder_of,
    ids_in,
    killed,
    made,
    named,
    opened,
    put,
)

FAR = 10_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "milvus.db"


def log_of(path: Path) -> Path:
    (found,) = folder_of(path).glob("wal/wal_data_*.arrow")
    return found


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


@pytest.mark.parametrize("name", ["aliases.json", "database_properties.json"])
@pytest.mark.parametrize("contents", [b"", b"\0" * 64, b"{]", b"\xff"])
def test_a_small_file_that_is_garbage_stops_nobody(path: Path, name: str, contents: bytes) -> None:
    ids = made(path)
    for _ in range(2):
        (path / name).write_bytes(contents)
        with opened(path) as store:
            for spec in BOTH:
                store.ensure(spec)
                assert ids_in(store, spec) == ids[spec.name]
            assert named(store) == [""]
            assert_others_work(store, ids)
    assert [each.read_bytes() for each in (path / "damaged").iterdir()] == [contents]


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
