"""What only a real Milvus server can show."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from s3_to_milvus.adapters.vector_stores.milvus import MilvusVectorStore
from s3_to_milvus.domain.rows import CollectionSpec
from s3_to_milvus.errors import SchemaMismatch
from s3_to_milvus.testing.contracts.vector_store import DIM, make_row, make_vector
from tests.support.milvus_server import milvus_or_skip

pytestmark = pytest.mark.soak
SPEC = CollectionSpec("papers", '논문 "모음"', DIM, "embedder-1")


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with milvus_or_skip(Path(tmp_path_factory.mktemp("milvus"))) as uri:
        yield uri


def test_the_collection_is_as_designed(uri: str) -> None:
    store = MilvusVectorStore(MilvusVectorStore.Options(uri=uri))
    store.ensure(SPEC)
    with store._connection.gate() as client:
        described = client.describe_collection(SPEC.name)
        indexes = {name: client.describe_index(SPEC.name, name) for name in client.list_indexes(SPEC.name)}
    store.close()
    fields = [field["name"] for field in described["fields"]]
    assert fields[:5] == ["id", "vector", "file_name", "file_date", "text"]
    assert fields[5:] == ["object_id", "run", "chunk_no", "bucket", "file_key", "page", "meta"]
    assert described["num_shards"] == 1
    assert "논문" in described["description"]
    assert (indexes["vector"]["index_type"], indexes["vector"]["metric_type"]) == ("IVF_FLAT", "L2")
    assert indexes["object_id"]["index_type"] == "Trie"


def test_the_largest_load_is_one_request(uri: str) -> None:
    """32 MiB of vectors, and 2,048 texts of 8 MiB together, as Korean as can be."""
    store = MilvusVectorStore(MilvusVectorStore.Options(uri=uri))
    dim, count = 4_096, 2_048
    spec = CollectionSpec("large", "large", dim, "embedder-1")
    store.ensure(spec)
    rows = [
        make_row("a", number=number, text="느" * 1_365, vector=make_vector(1.0, dim=dim)) for number in range(count)
    ]
    assert len(store.insert(spec.name, rows)) == count
    assert store.count(spec.name) == count
    store.drop(spec.name)
    store.close()


def test_a_second_process_sees_the_same(uri: str) -> None:
    first, second = (MilvusVectorStore(MilvusVectorStore.Options(uri=uri)) for _ in range(2))
    first.ensure(SPEC)
    first.insert(SPEC.name, [make_row("a")])
    assert second.count(SPEC.name) == 1
    with pytest.raises(SchemaMismatch):
        second.ensure(CollectionSpec(SPEC.name, SPEC.label, DIM, "embedder-2"))
    second.drop(SPEC.name)
    assert first.search(SPEC.name, make_vector(1.0), 3) == []
    assert first.insert(SPEC.name, [make_row("b")]) != []
    assert first.count(SPEC.name) == 1
    first.close()
    second.close()
