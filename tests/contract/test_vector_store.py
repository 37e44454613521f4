"""Every vector store keeps the contract: in memory, Milvus Lite, and (marked ``soak``) a real Milvus server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from s3_to_milvus.adapters.vector_stores.milvus import MilvusVectorStore
from s3_to_milvus.testing.contracts.vector_store import VectorStoreContract
from s3_to_milvus.testing.fakes.vector_store import MemoryVectorStore
from tests.support.milvus_server import milvus_server, why_not


class TestMemoryVectorStore(VectorStoreContract):
    many_rows = 2_000

    @pytest.fixture
    def store(self) -> MemoryVectorStore:
        return MemoryVectorStore()


@pytest.fixture(scope="module")
def lite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusVectorStore]:
    store = MilvusVectorStore(MilvusVectorStore.Options(), Path(tmp_path_factory.mktemp("lite")) / "milvus.db")
    yield store
    store.close()


class TestMilvusLite(VectorStoreContract):
    @pytest.fixture
    def store(self, lite: MilvusVectorStore) -> MilvusVectorStore:
        return lite


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusVectorStore]:
    if reason := why_not():
        pytest.skip(reason)
    with milvus_server(Path(tmp_path_factory.mktemp("milvus"))) as uri:
        store = MilvusVectorStore(MilvusVectorStore.Options(uri=uri))
        yield store
        store.close()


@pytest.mark.soak
class TestMilvusServer(VectorStoreContract):
    patience_s = 15.0

    @pytest.fixture
    def store(self, server: MilvusVectorStore) -> MilvusVectorStore:
        return server
