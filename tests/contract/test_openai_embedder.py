"""The embedder over OpenAI's API keeps the contract, through the real SDK against a server of its protocol."""

from collections.abc import Iterator

import pytest

from s3_to_milvus.adapters.embedders.openai import OpenAIEmbedder
from s3_to_milvus.ports import Embedder
from s3_to_milvus.testing.contracts.embedder import EmbedderContract
from tests.support.openai_server import KEY, OpenAIServer, openai_server


@pytest.fixture(scope="module")
def server() -> Iterator[OpenAIServer]:
    with openai_server() as server:
        yield server


class TestOpenAIEmbedder(EmbedderContract):
    @pytest.fixture
    def embedder(self, server: OpenAIServer) -> Embedder:
        options = {"api_key": KEY, "base_url": server.url, "dimensions": 64, "max_inputs": 100}
        return OpenAIEmbedder(OpenAIEmbedder.Options.model_validate(options))


class TestTwoModels(EmbedderContract):
    """One model for documents, one for questions, as Upstage Solar has them."""

    @pytest.fixture
    def embedder(self, server: OpenAIServer) -> Embedder:
        models = {"document_model": "passage", "query_model": "query", "dim": 8, "query_prefix": "Q: "}
        options = {"api_key": KEY, "base_url": server.url, "concurrency": 1, "max_inputs": 100, **models}
        return OpenAIEmbedder(OpenAIEmbedder.Options.model_validate(options))
