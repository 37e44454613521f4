"""Collections of the original system: in memory, in Milvus Lite, and (marked ``soak``) on a real Milvus server."""

import itertools
import time
from collections.abc import Sequence

import pytest
from pymilvus import DataType

from s3_to_milvus.adapters.vector_stores.milvus import MilvusVectorStore
from s3_to_milvus.domain.adopting import OriginalRow
from s3_to_milvus.domain.rows import CollectionSpec
from s3_to_milvus.errors import SchemaMismatch
from s3_to_milvus.testing.contracts.originals import Fill, OriginalsContract
from s3_to_milvus.testing.contracts.vector_store import DIM, make_row, make_vector
from s3_to_milvus.testing.fakes.vector_store import MemoryVectorStore
from tests.support import original_system


class TestMemoryOriginals(OriginalsContract):
    @pytest.fixture
    def store(self) -> MemoryVectorStore:
        return MemoryVectorStore()

    @pytest.fixture
    def fill(self, store: MemoryVectorStore) -> Fill:
        ids = itertools.count(1)

        def fill(name: str, rows: Sequence[tuple[str, str, str]]) -> None:
            store.originals.fill(
                name, [(OriginalRow(next(ids), *row), make_vector(float(n))) for n, row in enumerate(rows)]
            )

        return fill


def _filler(store: MilvusVectorStore) -> Fill:
    def fill(name: str, rows: Sequence[tuple[str, str, str]]) -> None:
        with store._connection.gate() as client:
            if not client.has_collection(name):
                original_system.make_collection(client, name, DIM)
            vectors = [[float(value) for value in make_vector(float(n))] for n in range(len(rows))]
            original_system.insert(client, name, vectors, rows)

    return fill


class TestLiteOriginals(OriginalsContract):
    @pytest.fixture
    def store(self, lite: MilvusVectorStore) -> MilvusVectorStore:
        return lite

    @pytest.fixture
    def fill(self, lite: MilvusVectorStore) -> Fill:
        return _filler(lite)


@pytest.mark.soak
class TestServerOriginals(OriginalsContract):
    @pytest.fixture
    def store(self, server: MilvusVectorStore) -> MilvusVectorStore:
        return server

    @pytest.fixture
    def fill(self, server: MilvusVectorStore) -> Fill:
        return _filler(server)


class _OfMilvus:
    """What only Milvus has: kinds of indexes, other people's columns."""

    def test_the_successor_has_the_index_of_the_original(self, store: MilvusVectorStore, name: str) -> None:
        with store._connection.gate() as client:
            original_system.make_collection(client, name, DIM, metric="IP", nlist=64)
            original_system.insert(client, name, [[1.0] * DIM], [("a.txt", "d", "text")])
        spec = CollectionSpec(f"{name}_new", name, DIM, "embedder-1")
        store.originals.prepare(spec, name)
        store.insert(spec.name, [make_row("a")])
        with store._connection.gate() as client:
            index = client.describe_index(spec.name, "vector")
        assert (index["index_type"], index["metric_type"]) == ("IVF_FLAT", "IP")
        assert store._is_lite or int(index["nlist"]) == 64
        assert store._metrics[spec.name][0] == "IP"

    @pytest.mark.parametrize(
        ("fields", "reason"), [("vector,text", "it has no file_name, file_date"), ("more", "more")]
    )
    def test_collections_of_others_are_refused(
        self, store: MilvusVectorStore, name: str, fields: str, reason: str
    ) -> None:
        with store._connection.gate() as client:
            schema = client.create_schema(auto_id=True)
            schema.add_field("id", DataType.INT64, is_primary=True, auto_id=True)
            schema.add_field("vector", DataType.FLOAT_VECTOR, dim=DIM)
            for each in ("text",) if fields != "more" else ("file_name", "file_date", "text", "more"):
                schema.add_field(each, DataType.VARCHAR, max_length=255)
            client.create_collection(name, schema=schema)
        with pytest.raises(SchemaMismatch, match=reason):
            store.originals.describe(name)


class TestLiteOriginalsOnly(_OfMilvus):
    @pytest.fixture
    def store(self, lite: MilvusVectorStore) -> MilvusVectorStore:
        return lite

    @pytest.fixture
    def name(self) -> str:
        return f"original_{time.time_ns()}"


@pytest.mark.soak
class TestServerOriginalsOnly(_OfMilvus):
    @pytest.fixture
    def store(self, server: MilvusVectorStore) -> MilvusVectorStore:
        return server

    @pytest.fixture
    def name(self) -> str:
        return f"original_{time.time_ns()}"
