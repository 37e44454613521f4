"""Every splitter keeps the contract."""

import pytest

from s3_to_milvus.adapters.splitters.blocks import BlocksSplitter
from s3_to_milvus.adapters.splitters.recursive import RecursiveSplitter
from s3_to_milvus.ports import Splitter
from s3_to_milvus.testing.contracts.splitter import SplitterContract
from s3_to_milvus.testing.fakes.splitter import FakeSplitter


class TestBlocksSplitter(SplitterContract):
    @pytest.fixture(params=["{}", '{"max_chars": 100, "min_chars": 50}', '{"max_chars": 16383, "min_chars": 2048}'])
    def splitter(self, request: pytest.FixtureRequest) -> Splitter:
        return BlocksSplitter(BlocksSplitter.Options.model_validate_json(request.param))


class TestRecursiveSplitter(SplitterContract):
    @pytest.fixture(params=["{}", '{"chunk_size": 30000, "chunk_overlap": 0}', '{"params": "label|500|50"}'])
    def splitter(self, request: pytest.FixtureRequest) -> Splitter:
        return RecursiveSplitter(RecursiveSplitter.Options.model_validate_json(request.param))


class TestFakeSplitter(SplitterContract):
    @pytest.fixture
    def splitter(self) -> Splitter:
        return FakeSplitter()
