"""Every vector store keeps the contract: in memory, Milvus Lite, and (marked ``soak``) a real Milvus server."""

import pytest

from s3_to_milvus.adapters.vector_stores.milvus import MilvusVectorStore
from s3_to_milvus.testing.contracts.vector_store import VectorStoreContract
from s3_to_milvus.testing.fakes.vector_store import MemoryVectorStore


class TestMemoryVectorStore(VectorStoreContract):
    many_rows = 2_000

    @pytest.fixture
    def store(self) -> MemoryVectorStore:
        return MemoryVectorStore()


class TestMilvusLite(VectorStoreContract):
    @pytest.fixture
    def store(self, lite: MilvusVectorStore) -> MilvusVectorStore:
        return lite


@pytest.mark.soak
class TestMilvusServer(VectorStoreContract):
    patience_s = 15.0

    @pytest.fixture
    def store(self, server: MilvusVectorStore) -> MilvusVectorStore:
        return server
