"""Rates of paid services over one ledger: shared by all who use them, remembered by a restart, never asked in vain."""

import json
import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from s3_to_milvus.adapters.embedders.openai import OpenAIEmbedder
from s3_to_milvus.adapters.journals.notion import NotionJournal
from s3_to_milvus.adapters.ledger.sqlite import SqliteLedger
from s3_to_milvus.adapters.parsers.upstage import UpstageParser
from s3_to_milvus.bootstrap.ledger_limits import LedgerLimits
from s3_to_milvus.errors import RateLimited, Unavailable
from s3_to_milvus.ports import Ledger, ParserInput
from s3_to_milvus.testing.fakes.clock import FakeClock
from s3_to_milvus.testing.fakes.ledger import MemoryLedger
from tests.support import notion_server as notion
from tests.support import openai_server as openai
from tests.support import upstage_server as upstage
from tests.support.http_server import running
from tests.support.line import line_over
from tests.support.notion_entries import entry, options_for

MODEL = "text-embedding-3-small"
HWP = ParserInput("application/x-hwp", "x.hwp", 3, data=b"hwp")


class Embeddings(openai.OpenAIServer):
    """Notes when each request came, and how many tokens it asked for, by the clock of the test."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self.clock = clock
        self.times: list[float] = []

    def next_fault(self) -> openai.Fault | None:
        self.times.append(self.clock.now())
        return super().next_fault()

    def used(self) -> list[tuple[float, int]]:
        """When, and how many tokens."""
        sizes = [sum(map(len, body["input"])) for body in self.requests]
        return list(zip(self.times, sizes, strict=True))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def server(clock: FakeClock) -> Iterator[Embeddings]:
    with running(Embeddings(clock)) as server:
        yield server


@pytest.fixture
def documents() -> Iterator[upstage.UpstageServer]:
    with upstage.upstage_server() as server:
        yield server


Opened = Callable[[], Ledger]


@pytest.fixture(params=["memory", "sqlite"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opened]:
    """The ledger as a process that starts now has it."""
    if request.param == "memory":
        memory = MemoryLedger()
        yield lambda: memory
        return
    ledgers: list[SqliteLedger] = []

    def open_one() -> Ledger:
        ledgers.append(SqliteLedger(SqliteLedger.Options(), tmp_path / "ledger.db"))
        return ledgers[-1]

    yield open_one
    for each in ledgers:
        each.close()


def _embedder(server: Embeddings, ledger: Ledger | None, **options: Any) -> OpenAIEmbedder:
    given = {"api_key": openai.KEY, "base_url": server.url, "model": MODEL, "dimensions": 8, **options}
    limits = None if ledger is None else LedgerLimits(ledger, server.clock)
    return OpenAIEmbedder(OpenAIEmbedder.Options.model_validate(given), limits)


def _insist(clock: FakeClock, embedder: OpenAIEmbedder, text: str) -> None:
    """As the queue does: come again when it was said."""
    while True:
        try:
            embedder.embed_documents([text])
            return
        except RateLimited as error:
            clock.advance(error.retry_after_s or 0.0)


def _most_over(used: list[tuple[float, float]], per_s: float) -> float:
    """By how much any stretch of time saw more than the rate: the burst that it took."""
    found = 0.0
    for at, (start, _) in enumerate(used):
        total = 0.0
        for end, amount in used[at:]:
            found = max(found, total - (end - start) * per_s)
            total += amount
    return found


def test_two_processes_never_make_more_requests_together_than_one_may(
    server: Embeddings, opened: Opened, clock: FakeClock
) -> None:
    chance = random.Random(3)
    both = [_embedder(server, opened(), requests_per_minute=30) for _ in range(2)]
    for number in range(120):
        _insist(clock, chance.choice(both), f"text {number}")
        clock.advance(chance.choice((0.0, 0.1, 1.0)))
    assert len(server.times) == 120
    assert server.times[-1] - server.times[0] >= (120 - 2) * 2
    assert _most_over([(at, 1) for at in server.times], 0.5) <= 2


def test_two_processes_never_use_more_tokens_together_than_one_may(
    server: Embeddings, opened: Opened, clock: FakeClock
) -> None:
    chance = random.Random(4)
    both = [_embedder(server, opened(), tokens_per_minute=6_000) for _ in range(2)]
    for number in range(80):  # no text twice: it would be kept
        _insist(clock, chance.choice(both), f"{number:02d}" + "x" * chance.choice((8, 498, 898)))
    assert sum(tokens for _, tokens in server.used()) > 12_000
    assert _most_over([(at, float(tokens)) for at, tokens in server.used()], 100.0) <= 900 + 0.01


def test_a_restart_does_not_forget_what_was_used(server: Embeddings, opened: Opened, clock: FakeClock) -> None:
    first = _embedder(server, opened(), requests_per_minute=10)
    first.embed_documents(["text"])
    again = _embedder(server, opened(), requests_per_minute=10)
    with pytest.raises(RateLimited) as caught:
        again.embed_documents(["one more"])
    assert caught.value.retry_after_s == pytest.approx(6.0, abs=0.01)
    assert len(server.times) == 1
    clock.advance(6.0)
    again.embed_documents(["one more"])
    # What a process keeps for itself alone is forgotten when it ends.
    _embedder(server, None, requests_per_minute=10).embed_documents(["another"])


def test_what_the_service_asks_one_process_to_wait_all_wait(
    server: Embeddings, opened: Opened, clock: FakeClock
) -> None:
    one, other = (_embedder(server, opened(), requests_per_minute=600, tokens_per_minute=10**6) for _ in range(2))
    server.faults = [openai.Fault(status=429, headers={"retry-after": "20"})] * 2
    with pytest.raises(RateLimited):
        one.embed_documents(["a"])
    for embedder in (one, other):
        with pytest.raises(RateLimited) as caught:
            embedder.embed_documents(["b"])
        assert caught.value.retry_after_s == pytest.approx(20, abs=0.01)
    assert len(server.times) == 1
    clock.advance(20)
    with pytest.raises(RateLimited):
        other.embed_documents(["c"])
    clock.advance(20)
    one.embed_documents(["d"])
    other.embed_documents(["e"])


def test_a_limit_is_asked_once_for_a_request_and_never_where_there_is_none(
    server: Embeddings, clock: FakeClock
) -> None:
    class Counting(MemoryLedger):
        def reserve(self, *args: Any, **options: Any) -> float:
            asked.append(args[0])
            return super().reserve(*args, **options)

    asked: list[str] = []
    texts = [f"text {number}" for number in range(50)]
    _embedder(server, Counting(), max_inputs=7).embed_documents(texts)
    server.faults = [openai.Fault(status=429, headers={"retry-after": "20"})]
    with pytest.raises(RateLimited):
        _embedder(server, Counting()).embed_documents(texts)
    assert asked == []
    server.requests.clear()
    limited = {"requests_per_minute": 10**6, "tokens_per_minute": 10**9}
    _embedder(server, Counting(), max_inputs=7, **limited).embed_documents(texts)
    assert len(server.requests) == 8
    assert len(asked) == 16
    assert len(set(asked)) == 2


def test_owners_of_other_keys_have_rates_of_their_own(server: Embeddings) -> None:
    ledger = MemoryLedger()
    for key in (openai.KEY, "sk-another"):
        _embedder(server, ledger, api_key=key, requests_per_minute=1)._client._requests.wait(1)
    host = f"127.0.0.1:{server.server_address[1]}"
    assert len(ledger.limits) == 2
    for name in ledger.limits:
        assert name.startswith(f"{host} requests ")
        assert not any(part in name for part in ("sk-", "another", "test-key"))


def _parser(server: upstage.UpstageServer, limits: LedgerLimits, per_second: float) -> UpstageParser:
    given = {"api_key": upstage.KEY, "api_url": server.url, "requests_per_second": per_second}
    return UpstageParser(UpstageParser.Options.model_validate(given), limits=limits)


def test_documents_are_sent_at_one_rate_by_all(
    documents: upstage.UpstageServer, opened: Opened, clock: FakeClock
) -> None:
    both = [_parser(documents, LedgerLimits(opened(), clock), 2) for _ in range(2)]
    began = clock.now()
    for number in range(20):
        both[number % 2].parse(replace(HWP, data=b"hwp %d" % number))
    assert len(documents.posts) == 20
    assert clock.now() - began >= (20 - 3) / 2 - 0.01


def test_a_service_that_is_overloaded_is_left_alone_by_all(
    documents: upstage.UpstageServer, opened: Opened, clock: FakeClock
) -> None:
    one, other = (_parser(documents, LedgerLimits(opened(), clock), 2) for _ in range(2))
    documents.faults = [upstage.Fault(503, {"Retry-After": "40"})]
    with pytest.raises(Unavailable):
        one.parse(HWP)
    with pytest.raises(RateLimited) as caught:
        other.parse(HWP)
    assert caught.value.retry_after_s == pytest.approx(40, abs=0.01)
    clock.advance(40)
    other.parse(HWP)


def test_the_store_of_results_does_not_hold_the_service_up(documents: upstage.UpstageServer, clock: FakeClock) -> None:
    limits = LedgerLimits(MemoryLedger(), clock)
    parser = _parser(documents, limits, 2)
    documents.faults = [upstage.Fault(503, {"Retry-After": "40"})]
    with pytest.raises(Unavailable):
        parser._client._get(f"{documents.url}/download/request-0/0/1", is_signed=True)
    parser.parse(HWP)


def test_rows_of_notion_are_written_at_one_rate_by_all(opened: Opened, clock: FakeClock) -> None:
    with notion.notion_server() as server:
        database = server.add_database(notion.ORIGINAL)
        options = NotionJournal.Options.model_validate(options_for(server, database, requests_per_second=3))
        began = clock.now()
        for number in range(10):
            journal = NotionJournal(options, LedgerLimits(opened(), clock))
            journal.deliver([entry(number)])
        assert len(server.rows()) == 10
        assert clock.now() - began >= (len(server.requests) - 4) / 3 - 0.01


def test_the_service_keeps_the_rates_in_its_ledger(server: Embeddings, tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "a.txt").write_text("words", encoding="utf-8")
    options = {"api_key": openai.KEY, "base_url": server.url, "model": MODEL}
    for limit, names in ((0, 0), (1_000, 1)):
        data = tmp_path / f"data {limit}"
        paid = {"embedder__kind": "openai", "embedder__openai": {**options, "requests_per_minute": limit}}
        with line_over(data, [docs], **paid) as line:
            assert line.sync().added == 1
        with closing(sqlite3.connect(data / "ledger.db")) as plain:
            found = plain.execute("SELECT name FROM limits").fetchall()
        assert len(found) == names
        assert openai.KEY not in json.dumps(found)
