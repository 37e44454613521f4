"""What OpenAI and Upstage charge is told to whoever asked: all of it, once, and at the price of the settings."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from s3_to_milvus.adapters.embedders.openai import OpenAIEmbedder
from s3_to_milvus.adapters.parsers.upstage import UpstageParser
from s3_to_milvus.adapters.tickets import MemoryTickets
from s3_to_milvus.domain.usage import Usage
from s3_to_milvus.errors import S3ToMilvusError
from s3_to_milvus.ports import Meter, ParserInput, metered
from tests.support import openai_server as openai
from tests.support import upstage_server as upstage
from tests.support.line import line_over
from tests.support.pdfs import make_pdf

MODEL = "text-embedding-3-small"
PDF = "application/pdf"


@pytest.fixture
def embeddings() -> Iterator[openai.OpenAIServer]:
    with openai.openai_server() as server:
        yield server


@pytest.fixture
def documents() -> Iterator[upstage.UpstageServer]:
    with upstage.upstage_server() as server:
        yield server


def _embedder(server: openai.OpenAIServer, **options: Any) -> OpenAIEmbedder:
    given = {"api_key": openai.KEY, "base_url": server.url, "model": MODEL, "dimensions": 16, **options}
    return OpenAIEmbedder(OpenAIEmbedder.Options.model_validate(given))


def _parser(server: upstage.UpstageServer, tickets: MemoryTickets | None = None, **options: Any) -> UpstageParser:
    given = {"api_key": upstage.KEY, "api_url": server.url, "requests_per_second": 1_000, "poll_s": 0.01, **options}
    return UpstageParser(UpstageParser.Options.model_validate(given), tickets=tickets)


def _embedded(embedder: OpenAIEmbedder, texts: list[str]) -> Usage:
    meter = Meter()
    with metered(meter), contextlib.suppress(S3ToMilvusError):
        embedder.embed_documents(texts)
    return meter.total


def _parsed(parser: UpstageParser, source: ParserInput) -> Usage:
    meter = Meter()
    with metered(meter), contextlib.suppress(S3ToMilvusError):
        list(parser.parse(source).blocks)
    return meter.total


def _pdf(pages: int) -> ParserInput:
    data = make_pdf([[f"Title {number}", "Line."] for number in range(1, pages + 1)])
    return ParserInput(PDF, "x", len(data), data=data)


def test_tokens_of_all_requests_of_a_call_count(embeddings: openai.OpenAIServer) -> None:
    texts = [f"글 {number}" for number in range(50)]
    embedder = _embedder(embeddings, max_inputs=7, price_per_million_tokens=0.02)
    tokens = sum(map(len, texts))  # the server counts characters
    assert _embedded(embedder, texts) == Usage(tokens=tokens, nano_usd=20 * tokens)
    assert len(embeddings.requests) > 1
    assert _embedded(embedder, ["다른 글"]).tokens == 4
    assert embedder.tokens_used == tokens + 4
    embedder.embed_documents(["nobody asks what this costs"])


@pytest.mark.parametrize("kind", ["twice", "drop", "garbled", "nan", "short"])
def test_an_answer_that_is_of_no_use_was_charged(embeddings: openai.OpenAIServer, kind: str) -> None:
    embeddings.faults = [openai.Fault(kind)]
    embedder = _embedder(embeddings)
    assert _embedded(embedder, ["abc", "de"]).tokens == 5
    assert _embedded(embedder, ["abc", "de"]).tokens == 5


def test_what_was_refused_or_never_came_was_not(embeddings: openai.OpenAIServer) -> None:
    embeddings.faults = [openai.Fault(status=429), openai.Fault("cut"), openai.Fault(status=500)]
    embedder = _embedder(embeddings)
    assert [_embedded(embedder, ["abc"]).tokens for _ in range(4)] == [0, 0, 0, 3]


def test_what_was_kept_from_a_failed_call_is_not_charged_again(embeddings: openai.OpenAIServer) -> None:
    embedder = _embedder(embeddings, max_inputs=1, concurrency=1)
    texts = ["aaaa", "bbb", "cc"]
    embeddings.faults = [openai.Fault("none"), openai.Fault(status=503)]
    assert [_embedded(embedder, texts).tokens for _ in range(3)] == [4, 5, 0]


def test_prices_are_those_of_the_model_where_openai_itself_answers(embeddings: openai.OpenAIServer) -> None:
    def price(**options: Any) -> float:
        made = OpenAIEmbedder(OpenAIEmbedder.Options.model_validate({"dim": 8, **options}))
        return made._price_of(made._document_model)

    assert (price(), price(model=MODEL), price(model="another")) == (0.13, 0.02, 0.0)
    assert price(base_url="http://localhost:8080/v1") == 0.0
    assert price(base_url="http://localhost:8080/v1", price_per_million_tokens=1.5) == 1.5
    assert price(price_per_million_tokens=0) == 0.0
    assert _embedded(_embedder(embeddings), ["abc"]) == Usage(tokens=3)
    with pytest.raises(ValueError, match="greater"):
        price(price_per_million_tokens=-1)


def test_prices_change_no_fingerprint() -> None:
    embedders = [OpenAIEmbedder.Options(), OpenAIEmbedder.Options(price_per_million_tokens=3)]
    assert len({OpenAIEmbedder(each).fingerprint for each in embedders}) == 1
    parsers = [UpstageParser.Options(), UpstageParser.Options(price_per_page=3)]
    assert len({UpstageParser(each).fingerprint for each in parsers}) == 1


def test_pages_are_charged_as_the_answers_say(documents: upstage.UpstageServer) -> None:
    parser = _parser(documents, price_per_page=0.01, part_pages=4)
    assert _parsed(parser, _pdf(10)) == Usage(pages=10, nano_usd=100_000_000)
    assert _parsed(parser, replace(_pdf(9), pages=(3, 7))).pages == 2


def test_parts_that_were_read_before_one_failed_were_charged(documents: upstage.UpstageServer) -> None:
    documents.faults = [upstage.Fault(200, body=b'{"elements": [], "usage": {"pages": 4}}'), upstage.Fault(503)]
    parser = _parser(documents, part_pages=4)
    assert _parsed(parser, _pdf(10)).pages == 4
    assert _parsed(parser, _pdf(10)).pages == 6  # the others
    assert _parsed(parser, _pdf(10)).pages == 0


def test_a_page_that_is_held_is_not_charged_again(documents: upstage.UpstageServer) -> None:
    parser, page = _parser(documents), replace(_pdf(3), pages=(2,))
    assert [_parsed(parser, page).pages for _ in range(3)] == [1, 0, 0]


def test_a_submitted_document_is_charged_once_whoever_fetches_it(documents: upstage.UpstageServer) -> None:
    tickets, source = MemoryTickets(), _pdf(12)
    documents.polls_needed = 1_000
    assert _parsed(_parser(documents, tickets, sync_pages=5, patience_s=0.02), source).pages == 0
    documents.polls_needed = 1
    documents.expiring = 1_000
    assert _parsed(_parser(documents, tickets, sync_pages=5), source).pages == 0  # the results cannot be fetched yet
    documents.expiring = 0
    # Each parser is that of a process that was started again.
    assert [_parsed(_parser(documents, tickets, sync_pages=5), source).pages for _ in range(3)] == [12, 0, 0]
    assert len(documents.posts) == 1
    documents.requests.clear()  # the service forgot it: it is sent, and charged, anew
    again = _parser(documents, tickets, sync_pages=5)
    assert [_parsed(again, source).pages for _ in range(3)] == [0, 12, 0]


def test_a_document_that_was_read_in_part_is_charged_once(documents: upstage.UpstageServer) -> None:
    documents.failing_pages = {11}
    parser = _parser(documents, sync_pages=1)
    assert [_parsed(parser, _pdf(25)).pages for _ in range(2)] == [15, 0]
    assert len(documents.posts) == 1


@pytest.mark.parametrize("usage", ["{}", '{"pages": "9"}', '{"pages": -1}', "7", "null"])
def test_nonsense_is_no_number_of_pages(documents: upstage.UpstageServer, usage: str) -> None:
    documents.faults = [upstage.Fault(200, body=f'{{"elements": [], "usage": {usage}}}'.encode())]
    assert _parsed(_parser(documents, price_per_page=1), _pdf(1)) == Usage()


def test_prices_of_pages_are_those_of_the_mode_where_upstage_itself_answers() -> None:
    def price(**options: Any) -> float:
        return UpstageParser(UpstageParser.Options.model_validate(options))._price

    assert (price(), price(mode="enhanced"), price(mode="auto"), price(api_url="")) == (0.01, 0.03, 0.03, 0.01)
    assert price(api_url="https://api.upstage.ai/v1/document-ai/document-parse") == 0.01
    assert price(api_url="http://10.0.0.7/v1", mode="enhanced") == 0.0
    assert price(api_url="http://10.0.0.7/v1", price_per_page=0.5) == 0.5


def test_the_whole_line_records_and_reports_it(
    embeddings: openai.OpenAIServer, documents: upstage.UpstageServer, tmp_path: Path
) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    for name, pages in (("a.pdf", 1), ("b.pdf", 3)):
        (docs / name).write_bytes(_pdf(pages).read())
    paid = {
        "parser__kind": "upstage",
        "parser__upstage": {
            "api_key": upstage.KEY,
            "api_url": documents.url,
            "requests_per_second": 100,
            "price_per_page": 0.01,
        },
        "embedder__kind": "openai",
        "embedder__openai": {
            "api_key": openai.KEY,
            "base_url": embeddings.url,
            "model": MODEL,
            "price_per_million_tokens": 0.02,
        },
    }
    with line_over(tmp_path / "data", [docs], **paid) as line:
        report = line.sync()
        tokens = sum(len(text) for body in embeddings.requests for text in body["input"])
        assert (report.tokens, report.pages) == (tokens, 4)
        assert report.usd == Usage.of(tokens=tokens, usd=0.04 + tokens * 0.02 / 1e6).usd
        runs = line.mirror.parts.ledger.runs()
        assert sorted(run.stats.usage.pages for run in runs) == [1, 3]
        assert sum((run.stats.usage for run in runs), Usage()).usd == report.usd
        again = line.sync()
        assert (again.tokens, again.pages, again.usd) == (0, 0, 0.0)
