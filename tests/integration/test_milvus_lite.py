"""Milvus Lite under our adapter: opening, crashes, repairs, failed writes, compaction."""

import fcntl
import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from s3_to_milvus.adapters.vector_stores.milvus import MilvusVectorStore, compaction, pending
from s3_to_milvus.domain.rows import CollectionSpec
from s3_to_milvus.errors import ConfigError, DataInUse, S3ToMilvusError, SchemaMismatch, Unavailable
from s3_to_milvus.testing.contracts.vector_store import DIM, all_rows, make_row, make_vector, rows_of
from tests.support.original_system import make_collection

SPEC = CollectionSpec("papers", "논문 모음", DIM, "embedder-1")
ROOT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "milvus.db"


@pytest.fixture(autouse=True)
def _eager_flush(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending, "_FLUSH_ROWS", 10)
    monkeypatch.setattr(compaction, "_IDLE_TOMBSTONES", 20)


@contextmanager
def opened(path: Path) -> Iterator[MilvusVectorStore]:
    store = MilvusVectorStore(MilvusVectorStore.Options(), path)
    try:
        yield store
    finally:
        store.close()


def engine_of(store: MilvusVectorStore) -> Any:
    return store._connection.lite._engines[SPEC.name]


def rest(store: MilvusVectorStore) -> None:
    while store.tend(is_idle=True):
        engine_of(store)._wait_for_bg()


def filled(store: MilvusVectorStore, count: int = 60, key: str = "a", run: int = 1) -> list[int]:
    store.ensure(SPEC)
    return store.insert(SPEC.name, [make_row(key, run, number) for number in range(count)])


def folder_of(path: Path) -> Path:
    return path / "collections" / SPEC.name


def test_nothing_is_imported_or_made_before_it_is_used(path: Path) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from s3_to_milvus.adapters.vector_stores.milvus import MilvusVectorStore\n"
        f"store = MilvusVectorStore(MilvusVectorStore.Options(), Path({str(path)!r}))\n"
        "store.tend(is_idle=True); store.close(); store.close()\n"
        "print([name for name in ('pymilvus', 'milvus_lite', 'grpc', 'pyarrow', 'pandas') if name in sys.modules])"
    )
    assert run(program) == "[]"
    assert not path.exists()


def test_pandas_is_never_imported_and_still_can_be(path: Path) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from s3_to_milvus.adapters.vector_stores.milvus import MilvusVectorStore\n"
        "from s3_to_milvus.testing.contracts.vector_store import *\n"
        "from s3_to_milvus.domain.rows import CollectionSpec\n"
        f"store = MilvusVectorStore(MilvusVectorStore.Options(), Path({str(path)!r}))\n"
        "store.ensure(CollectionSpec('x', 'x', DIM, 'e'))\n"
        "store.insert('x', [make_row('a')]); store.search('x', make_vector(1.0), 3); store.close()\n"
        "had = 'pandas' in sys.modules\n"
        "import pandas, pymilvus.orm.types as types\n"
        "print(had, pandas.DataFrame({'a': [1]}).shape, types.infer_dtype_bydata(1.5).name)"
    )
    assert run(program) == "False (1, 1) DOUBLE"


def run(program: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.strip()


def test_rows_are_there_after_a_restart_flushed_or_not(path: Path) -> None:
    with opened(path) as store:
        flushed = filled(store)
        rest(store)
        fresh = store.insert(SPEC.name, [make_row("b", 2)])
        store.delete(SPEC.name, [rows_of("a", 1, flushed[:5])])
    with opened(path) as store:
        assert {each.id for each in store.identities(SPEC.name)} == {*flushed[5:], *fresh}
        assert len(store.search(SPEC.name, make_vector(1.0), 100)) == store.count(SPEC.name) == 56
        assert not set(store.insert(SPEC.name, [make_row("c")])) & {*flushed, *fresh}


def test_ids_are_never_given_twice(path: Path) -> None:
    with opened(path) as store:
        ids = filled(store, 3)
        refused = [{**entity("x" * 300), "meta": [1], "chunk_no": number} for number in range(50)]
        with store._connection.gate() as client, pytest.raises(Exception, match="exceeds max"):
            client.insert(SPEC.name, refused, retry_times=0)
        store._connection.lite.failed(SPEC.name)
        ids += store.insert(SPEC.name, [make_row("b")])
    with opened(path) as store:
        ids += store.insert(SPEC.name, [make_row("c", 1, number) for number in range(60)])
        assert len(ids) == len(set(ids)) == store.count(SPEC.name)


def entity(file_name: str) -> dict[str, Any]:
    row = make_row("a")
    texts = {name: getattr(row, name) for name in ("file_date", "text", "object_id", "bucket", "file_key")}
    return {**texts, "file_name": file_name, "vector": row.vector, "run": 1, "page": 0, "meta": {"nested": [1, None]}}


def test_rows_of_other_shapes_go_the_engines_own_way(path: Path) -> None:
    with opened(path) as store:
        ids = filled(store, 2)
        with store._connection.gate() as client:
            row = {**entity("f"), "chunk_no": 7, "meta": [1, "zwei"]}
            ids += client.insert(SPEC.name, [row])["ids"]
        (stored,) = store.fetch(SPEC.name, rows_of("a", 1, ids[2:]), with_vectors=True)
        assert (stored.chunk_no, stored.text) == (7, "a 1 0")
        assert store.count(SPEC.name) == 3


@pytest.mark.parametrize("keep", [0, 1, 100, -20])
def test_a_torn_index_is_built_anew(path: Path, keep: int) -> None:
    with opened(path) as store:
        filled(store)
        rest(store)
    torn = list(folder_of(path).rglob("*.idx"))
    assert torn
    for index in torn:
        index.write_bytes(index.read_bytes()[: keep or None] if keep else b"")
    with opened(path) as store:
        hits = store.search(SPEC.name, make_vector(7.2), 60)
        assert [hit.row.chunk_no for hit in hits[:3]] == [7, 8, 6]
        assert len(hits) == 60
    assert [index.stat().st_size > 200 for index in torn] == [True] * len(torn)


def test_a_log_that_was_flushed_already_is_not_replayed(path: Path, tmp_path: Path) -> None:
    with opened(path) as store:
        ids = filled(store)
        store.delete(SPEC.name, [rows_of("a", 1, ids[:10])])
        shutil.copytree(folder_of(path) / "wal", tmp_path / "wal")
        rest(store)
    shutil.copytree(tmp_path / "wal", folder_of(path) / "wal", dirs_exist_ok=True)  # as after a kill within the flush
    with opened(path) as store:
        assert store.count(SPEC.name) == len(store.search(SPEC.name, make_vector(0.0), 100)) == 50
        filled(store)
        rest(store)
        assert store.count(SPEC.name) == 110


def test_halves_of_collections_are_cleared_away(path: Path) -> None:
    with opened(path) as store:
        filled(store)
    (path / "collections" / "half" / "wal").mkdir(parents=True)
    shutil.copytree(folder_of(path), path / "collections" / "_s3_to_milvus_dropped")
    with opened(path) as store:
        assert store.collections() == [SPEC.name]
        store.ensure(CollectionSpec("half", "half", DIM, "e"))
        assert store.insert("half", [make_row("a")]) != []


def test_an_index_that_was_never_made_is_made(path: Path) -> None:
    with opened(path) as store:
        store.collections()
        with store._connection.gate() as client:
            schema = importlib.import_module("s3_to_milvus.adapters.vector_stores.milvus.schema")
            client.create_collection(SPEC.name, schema=schema.make_schema(SPEC))
        filled(store)
        with store._connection.gate() as client:
            assert client.describe_index(SPEC.name, "vector")["index_type"] == "IVF_FLAT"


def test_another_process_is_told_at_once(path: Path) -> None:
    with opened(path) as store:
        filled(store)
    with (path / "LOCK").open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with opened(path) as store, pytest.raises(DataInUse, match=str(path)):
            store.collections()
    with opened(path) as store:
        assert store.count(SPEC.name) == 60


def test_two_stores_of_one_process_share_the_database(path: Path) -> None:
    with opened(path) as first, opened(path.parent / ".." / "data" / "milvus.db") as second:
        filled(first)
        assert second.count(SPEC.name) == 60
        first.close()
        assert second.count(SPEC.name) == 60
        with pytest.raises(Unavailable):
            first.count(SPEC.name)


def test_closing_waits_for_what_is_under_way(path: Path) -> None:
    with opened(path) as store, ThreadPoolExecutor(3) as pool:
        filled(store)
        calls = [pool.submit(filled, store, 50, "b", run) for run in range(2, 12)]
        calls[0].result()
        store.close()
        done = [call.result() for call in calls if call.exception() is None]
        assert all(isinstance(call.exception(), Unavailable) for call in calls if call.exception() is not None)
    with opened(path) as store:
        assert store.count(SPEC.name) == 60 + sum(map(len, done))


def test_a_flush_that_fails_loses_nothing(path: Path) -> None:
    with opened(path) as store:
        ids = filled(store)
        data = folder_of(path) / "partitions" / "_default" / "data"
        data.parent.mkdir(parents=True, exist_ok=True)
        data.write_text("in the way, as a full disk is")
        for _ in range(2):
            with pytest.raises(S3ToMilvusError):
                store.tend(is_idle=True)
            assert store.count(SPEC.name) == 60
        ids += store.insert(SPEC.name, [make_row("b", 2)])
        data.unlink()
        rest(store)
        assert list(data.glob("*.parquet"))
        assert {each.id for each in store.identities(SPEC.name)} == set(ids)
    with opened(path) as store:
        assert {row.id for row in all_rows(store, SPEC.name)} == set(ids)
        assert len(ids) == 61


def test_after_a_failed_write_the_log_is_begun_anew(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(path) as store:
        filled(store, 4)
        wal = importlib.import_module("milvus_lite.storage.wal").WAL
        original = wal.write_insert

        def tear(log: Any, batch: Any) -> None:
            log._data_sink.write(b"\xff\xff\xff\xff\x90\x00")
            log._data_sink.flush()
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(wal, "write_insert", tear)
        with pytest.raises(S3ToMilvusError) as caught:
            store.insert(SPEC.name, [make_row("b")])
        assert caught.value.code == "disk_full"
        monkeypatch.setattr(wal, "write_insert", original)
        store.insert(SPEC.name, [make_row("c", 1, number) for number in range(5)])
        shutil.copytree(path, path.with_name("killed.db"), ignore=shutil.ignore_patterns("socket"))
    with opened(path.with_name("killed.db")) as store:
        assert store.count(SPEC.name) == 9


def test_compaction_keeps_ids_and_drops_what_was_deleted(path: Path) -> None:
    with opened(path) as store:
        ids = filled(store)
        rest(store)
        for run in range(2, 9):
            new = filled(store, 20, "b", run)
            store.delete(SPEC.name, [rows_of("a", 1, ids[-20:]), rows_of("b", run - 1, ids[-20:])])
            ids = ids[:-20] + new
            rest(store)
        vectors = {row.id: row.chunk_no for row in all_rows(store, SPEC.name)}
        assert sorted(vectors) == sorted(ids)
        assert len(engine_of(store)._delta_index) < 20
        assert len(list(folder_of(path).rglob("delta_*.parquet"))) <= 1
        assert sum(segment.num_rows for segment in engine_of(store)._segments_snapshot()) < 100
        hits = store.search(SPEC.name, make_vector(3.0), 100)
        assert sorted(hit.row.id for hit in hits) == sorted(ids)
    with opened(path) as store:
        assert {each.id for each in store.identities(SPEC.name)} == set(ids)
        assert not set(filled(store, 5, "c")) & set(ids)


def test_compaction_gives_way_to_a_flush_between(path: Path) -> None:
    with opened(path) as store:
        ids = filled(store)
        rest(store)
        store.delete(SPEC.name, [rows_of("a", 1, ids[:30])])
        rest_one(store)
        engine, held = engine_of(store), 0

        @contextmanager
        def gate() -> Iterator[None]:
            nonlocal held
            held += 1
            if held == 2:  # after the first look, before the swap
                store.delete(SPEC.name, [rows_of("a", 1, ids[30:40])])
                engine.flush()
            with store._connection.lite.gate():
                yield

        assert compaction.compact(engine, gate) is False
        assert {each.id for each in store.identities(SPEC.name)} == set(ids[40:])
        rest(store)
        assert {each.id for each in store.identities(SPEC.name)} == set(ids[40:])
        assert len(list(folder_of(path).rglob("data_*.parquet"))) == 1


def rest_one(store: MilvusVectorStore) -> None:
    """Flush only."""
    with store._connection.lite.gate():
        engine_of(store).flush()
    engine_of(store)._wait_for_bg()


def test_a_collection_without_rows_left_is_compacted_to_nothing(path: Path) -> None:
    with opened(path) as store:
        ids = filled(store)
        rest(store)
        store.delete(SPEC.name, [rows_of("a", 1, ids)])
        store._connection.lite._pending[SPEC.name].is_in_doubt = True
        rest(store)
        assert list(folder_of(path).rglob("d*_*.parquet")) == []
        assert store.search(SPEC.name, make_vector(1.0), 5) == []
        assert filled(store, 3, "b")[0] > ids[-1]


def test_collections_of_the_original_system_are_left_alone(path: Path) -> None:
    with opened(path) as store:
        with store._connection.gate() as client:
            make_collection(client, SPEC.name, DIM)
        with pytest.raises(SchemaMismatch, match="original system") as caught:
            store.ensure(SPEC)
        assert f"s3-to-milvus adopt --collection {SPEC.name}" in caught.value.hint


def test_names_and_labels_of_any_kind(path: Path) -> None:
    with opened(path) as store:
        store.ensure(SPEC)
        with store._connection.gate() as client:
            described = client.describe_collection(SPEC.name)
        assert "논문 모음" in str(described["properties"])
        assert str(path) in store.check()


@pytest.mark.parametrize("metric", ["L2", "IP", "COSINE"])
@pytest.mark.parametrize("index", ["IVF_FLAT", "FLAT", "HNSW"])
def test_index_and_metric_are_settings(path: Path, index: str, metric: str) -> None:
    options = MilvusVectorStore.Options.model_validate({"index_type": index, "metric_type": metric})
    store = MilvusVectorStore(options, path)
    random = np.random.default_rng(3).normal(size=(80, DIM)).astype(np.float32)
    random /= np.linalg.norm(random, axis=1, keepdims=True)
    try:
        store.ensure(SPEC)
        store.insert(SPEC.name, [make_row("a", 1, number, vector=random[number]) for number in range(80)])
        for _ in range(2):
            hits = store.search(SPEC.name, random[5], 10)
            nearest = np.argsort(-(random @ random[5]))[:10].tolist()
            assert [hit.row.chunk_no for hit in hits] == nearest
            assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
            rest(store)
    finally:
        store.close()


def test_a_database_name_is_for_servers(path: Path) -> None:
    with pytest.raises(ConfigError, match="db_name"):
        MilvusVectorStore(MilvusVectorStore.Options(db_name="other"), path)
