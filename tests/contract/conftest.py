"""Vector stores that several contracts share: Milvus Lite, and a real Milvus server for tests marked ``soak``."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from s3_to_milvus.adapters.vector_stores.milvus import MilvusVectorStore
from tests.support.milvus_server import milvus_or_skip


@pytest.fixture(scope="module")
def lite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusVectorStore]:
    store = MilvusVectorStore(MilvusVectorStore.Options(), Path(tmp_path_factory.mktemp("lite")) / "milvus.db")
    yield store
    store.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusVectorStore]:
    with milvus_or_skip(Path(tmp_path_factory.mktemp("milvus"))) as uri:
        store = MilvusVectorStore(MilvusVectorStore.Options(uri=uri))
        yield store
        store.close()
