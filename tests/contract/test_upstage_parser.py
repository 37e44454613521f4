"""Upstage's parser keeps the contract, over a server of its documented API."""

from collections.abc import Iterator

import pytest

from s3_to_milvus.adapters.parsers.upstage import UpstageParser
from s3_to_milvus.ports import Parser
from s3_to_milvus.testing.contracts.parser import ParserContract, Sample
from tests.support.pdfs import make_pdf
from tests.support.upstage_server import KEY, UpstageServer, upstage_server


@pytest.fixture(scope="module")
def server() -> Iterator[UpstageServer]:
    with upstage_server() as server:
        yield server


class TestUpstageParser(ParserContract):
    @pytest.fixture
    def parser(self, server: UpstageServer) -> Parser:
        options = {"api_key": KEY, "api_url": server.url, "requests_per_second": 1_000}
        return UpstageParser(UpstageParser.Options.model_validate(options))

    @pytest.fixture
    def sample(self) -> Sample:
        pages = [["Heading one", "First line."], ["Heading two", "Second line."]]
        phrases = ("Heading one", "First line.", "이름 쪽 연차 1", "그림 설명", "Heading two", "Second line.", "연차 2")
        return Sample(make_pdf(pages), "application/pdf", phrases)

    @pytest.fixture
    def damaged(self) -> Sample | None:
        return Sample(b"%PDF-1.7 nothing", "application/pdf")
