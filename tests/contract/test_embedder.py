"""Every embedder keeps the contract."""

import pytest

from s3_to_milvus.ports import Embedder
from s3_to_milvus.testing.contracts.embedder import EmbedderContract
from s3_to_milvus.testing.fakes.embedder import FakeEmbedder
from s3_to_milvus.testing.hash_embedder import HashEmbedder
from tests.support.local_model import local_embedder


class TestLocalEmbedder(EmbedderContract):
    @pytest.fixture
    def embedder(self) -> Embedder:
        return local_embedder()


class TestHashEmbedder(EmbedderContract):
    @pytest.fixture(params=[384, 8])
    def embedder(self, request: pytest.FixtureRequest) -> Embedder:
        return HashEmbedder(HashEmbedder.Options(dim=request.param))


class TestFakeEmbedder(EmbedderContract):
    @pytest.fixture
    def embedder(self) -> Embedder:
        return FakeEmbedder()
