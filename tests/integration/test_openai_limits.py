"""An account's limits: requests and tokens per minute, what is too large for them, and who waits for whom."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from s3_to_milvus.adapters.embedders.openai import OpenAIEmbedder
from s3_to_milvus.adapters.limits import MemoryLimits
from s3_to_milvus.adapters.pacing import Backoff
from s3_to_milvus.errors import RateLimited, Rejected, S3ToMilvusError
from s3_to_milvus.testing.fakes.clock import FakeClock
from tests.support.application import until
from tests.support.http_server import running
from tests.support.line import Line, line_over
from tests.support.openai_server import KEY, Fault, OpenAIServer, openai_server, vector_of

MODEL = "text-embedding-3-small"
DIM = 16


class Account(OpenAIServer):
    """Its minutes pass as the test says."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self.clock = clock

    def now(self) -> float:
        return self.clock.now()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def account(clock: FakeClock) -> Iterator[Account]:
    with running(Account(clock)) as server:
        yield server


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with openai_server() as server:
        yield server


def _made(server: Account, **options: Any) -> OpenAIEmbedder:
    given = {"api_key": KEY, "base_url": server.url, "model": MODEL, "dimensions": DIM, "concurrency": 1, **options}
    limits = MemoryLimits(server.clock.now, server.clock.sleep)
    embedder = OpenAIEmbedder(OpenAIEmbedder.Options.model_validate(given), limits)
    embedder._client._backoff = Backoff(server.clock.now)
    return embedder


def _insist(embedder: OpenAIEmbedder, clock: FakeClock, texts: list[str], tries: int = 200) -> Any:
    """As the queue does: come again when it was said, or after a second."""
    for _ in range(tries):
        try:
            return embedder.embed_documents(texts)
        except RateLimited as error:
            clock.advance(max(1.0, error.retry_after_s or 0.0))
    raise AssertionError("it never ends")


def _expected(texts: list[str]) -> Any:
    return np.stack([vector_of(MODEL, text, DIM) for text in texts])


def _texts(count: int, size: int = 1_000) -> list[str]:
    return [f"{number:05d} ".ljust(size, "w") for number in range(count)]


def _sizes(server: OpenAIServer) -> list[int]:
    return [sum(map(len, body["input"])) for body in server.requests]


def test_a_request_that_no_minute_has_room_for_is_halved_and_not_tried_again(
    account: Account, clock: FakeClock
) -> None:
    account.tokens.per_minute = 40_000
    texts = _texts(75)
    embedder = _made(account)
    assert np.array_equal(_insist(embedder, clock, texts, tries=10), _expected(texts))
    assert embedder.tokens_used == 75_000
    assert sum(size > 40_000 for size in _sizes(account)) == 1
    # It is known from now on.
    account.requests.clear()
    clock.advance(60)
    _insist(embedder, clock, _texts(75, 999), tries=10)
    assert max(_sizes(account)) <= 40_000


def test_a_limit_in_the_settings_holds_from_the_first_request_on(account: Account, clock: FakeClock) -> None:
    account.tokens.per_minute = 40_000
    texts = _texts(75)
    embedder = _made(account, tokens_per_minute=40_000)
    assert np.array_equal(_insist(embedder, clock, texts), _expected(texts))
    assert max(_sizes(account)) <= 40_000 / 10
    assert len(account.answers) == len(account.requests)  # nothing was refused


def test_few_requests_per_minute_hold_more_each(account: Account, clock: FakeClock) -> None:
    account.tokens.per_minute, account.calls.per_minute = 60_000, 6
    embedder = _made(account, tokens_per_minute=60_000, requests_per_minute=6)
    _insist(embedder, clock, _texts(60))
    assert len(account.requests) <= 8


def test_a_text_that_no_minute_has_room_for_is_cut(account: Account, clock: FakeClock) -> None:
    account.tokens.per_minute = 3_000
    (vector,) = _insist(_made(account), clock, ["word " * 1_500])
    assert np.isclose(np.linalg.norm(vector), 1.0)


def test_no_text_is_buried_for_an_account_that_may_nothing(account: Account, clock: FakeClock) -> None:
    said = "Request too large for x in organization y on tokens per min (TPM): Limit 0, Requested 3."
    account.faults = [Fault(status=429, code="rate_limit_exceeded", message=said)] * 9
    with pytest.raises(RateLimited):
        _made(account).embed_documents(["one", "two"])


@pytest.mark.parametrize("said", ["Request too large for x", "on tokens per min: Limit 5, Used 0, Requested 8. Wait."])
def test_every_way_to_say_that_waiting_does_not_help(account: Account, said: str) -> None:
    account.faults = [Fault(status=429, code="rate_limit_exceeded", message=said, headers={"retry-after": "30"})]
    embedder = _made(account, tokens_per_minute=10**6)
    assert np.array_equal(embedder.embed_documents(["a", "b"]), _expected(["a", "b"]))
    assert [body["input"] for body in account.requests] == [["a", "b"], ["a"], ["b"]]


def test_a_batch_that_is_refused_is_smaller_next_time_and_grows_again(account: Account, clock: FakeClock) -> None:
    embedder, texts = _made(account), _texts(64)
    account.faults = [Fault(status=429)] * 4
    for _ in range(4):
        with pytest.raises(RateLimited):
            embedder.embed_documents(texts)
        clock.advance(60)
    assert _sizes(account) == [64_000, 64_000, 32_000, 16_000]
    account.requests.clear()
    _insist(embedder, clock, texts)
    assert max(_sizes(account)) <= 8_000
    for number in range(70):
        embedder.embed_documents([f"text {number}"])
    account.requests.clear()
    embedder.embed_documents(_texts(64, 1_001))
    assert len(account.requests) == 1


def test_no_minute_sees_more_than_a_tenth_above_the_limit(account: Account, clock: FakeClock) -> None:
    for most in (300_000, 90_000):
        account.answers.clear()
        clock.advance(3_600)
        embedder = _made(account, tokens_per_minute=100_000, max_request_tokens=most)
        began = clock.now()
        _insist(embedder, clock, _texts(300, 1_000))
        assert account.most_in_a_minute() <= 110_000
        assert clock.now() - began <= 200  # nor is it much slower than it may be


def test_documents_of_another_language_do_not_overrun_it(account: Account, clock: FakeClock) -> None:
    embedder = _made(account, tokens_per_minute=60_000)
    _insist(embedder, clock, ["가" * 900 + str(number) for number in range(60)])  # three bytes are a token here
    account.answers.clear()
    _insist(embedder, clock, _texts(180))  # and now one is
    assert account.most_in_a_minute() <= 60_000 * 1.15


def test_a_rate_of_tokens_is_not_used_up_by_bytes(account: Account, clock: FakeClock) -> None:
    embedder, began = _made(account, tokens_per_minute=30_000), clock.now()
    texts = ["가" * 900 + str(number) for number in range(30)]  # 27,000 tokens for this server, 81,000 bytes
    assert np.array_equal(_insist(embedder, clock, texts), _expected(texts))
    assert clock.now() - began <= 60


def test_a_question_waits_for_no_documents_but_they_wait_for_it(account: Account, clock: FakeClock) -> None:
    embedder = _made(account, tokens_per_minute=60_000, requests_per_minute=60)
    embedder._client._tokens.wait(30_000)
    for number in range(50):
        assert embedder.embed_query(f"question {number}").shape == (DIM,)
    assert clock.slept == []
    with pytest.raises(RateLimited) as caught:
        embedder.embed_documents(["a document"])
    assert (caught.value.retry_after_s or 0) > 27


def test_a_question_passes_a_service_that_refuses_documents(account: Account, clock: FakeClock) -> None:
    embedder = _made(account)
    account.faults = [Fault(status=429)] * 2
    for _ in range(3):
        with pytest.raises(RateLimited):
            embedder.embed_documents(["a"])
    assert len(account.requests) == 2
    embedder.embed_query("?")
    with pytest.raises(RateLimited):  # which says nothing about large requests
        embedder.embed_documents(["a"])
    assert len(account.requests) == 3


@pytest.mark.parametrize("headers", [{}, {"retry-after": "0"}, {"retry-after": "-5"}, {"retry-after": "1"}])
def test_it_stays_away_longer_from_a_service_that_refuses_again(
    account: Account, clock: FakeClock, headers: dict[str, str]
) -> None:
    embedder = _made(account)
    account.faults = [Fault(status=429, headers=headers)] * 100
    times = []
    for _ in range(600):  # many documents, or an eager queue: each second one
        before = len(account.requests)
        with pytest.raises(RateLimited):
            embedder.embed_documents(["a"])
        times += [clock.now()] * (len(account.requests) - before)
        clock.advance(1)
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert gaps[:7] == [1, 2, 4, 8, 16, 32, 60]
    assert max(gaps) == 60
    account.faults = []
    clock.advance(60)
    embedder.embed_documents(["a"])
    account.faults = [Fault(status=429, headers={"retry-after": "7"})]
    with pytest.raises(RateLimited) as caught:
        embedder.embed_documents(["b"])
    assert caught.value.retry_after_s == 7.0


def test_the_first_loads_of_a_document_are_not_paid_again_where_a_later_one_fails(account: Account) -> None:
    """The engine makes the whole document anew."""
    embedder, loads = _made(account), [["one", "two"], ["three"], ["four"]]
    account.faults = [Fault("none"), Fault(status=429)]
    embedder.embed_documents(loads[0])
    with pytest.raises(RateLimited):
        embedder.embed_documents(loads[1])
    for load in loads:
        embedder.embed_documents(load)
    assert [request["input"] for request in account.requests] == [loads[0], loads[1], loads[1], loads[2]]


def test_halves_that_were_answered_are_not_paid_again(account: Account, clock: FakeClock) -> None:
    account.max_tokens_of_request = 5_000
    embedder, texts = _made(account), _texts(20)
    fine = Fault("none")
    account.faults = [fine, fine, fine, fine, fine, Fault(status=429)]  # some say that they are too large
    with pytest.raises(RateLimited):
        embedder.embed_documents(texts)
    assert embedder.tokens_used > 0
    account.faults = [fine, Fault(status=429)]
    _insist(embedder, clock, texts)
    assert embedder.tokens_used == 20_000


def test_windows_that_were_answered_are_not_paid_again(account: Account, clock: FakeClock) -> None:
    embedder = _made(account, max_input_tokens=1_000, max_request_tokens=2_000)
    long = "".join(f"word {number} " for number in range(1_000))
    fine = Fault("none")
    for _ in range(3):
        account.faults = [fine, Fault(status=503)]
        with pytest.raises(S3ToMilvusError):
            embedder.embed_documents(["short", long])
    account.faults = []
    first, second = embedder.embed_documents(["short", long])
    assert np.array_equal(first, vector_of(MODEL, "short", DIM))
    assert np.isclose(np.linalg.norm(second), 1.0)
    assert embedder.tokens_used == len(long) + len("short")


def test_neighbours_of_a_text_without_a_vector_are_not_paid_again(account: Account) -> None:
    embedder, texts = _made(account), _texts(29)
    with pytest.raises(Rejected):
        embedder.embed_documents([*texts[:11], "%NAN", *texts[11:]])
    assert np.array_equal(embedder.embed_documents(texts), _expected(texts))
    assert len(account.requests) == 1
    with pytest.raises(Rejected):
        embedder.embed_documents(["%NAN"])


def _files(folder: Path, count: int, words: Callable[[int], str]) -> Path:
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:03d}.txt").write_text(words(number), encoding="utf-8")
    return folder


def _paid(server: OpenAIServer, **options: Any) -> dict[str, Any]:
    given = {"api_key": KEY, "base_url": server.url, "model": MODEL, "dimensions": DIM, **options}
    return {"embedder__kind": "openai", "embedder__openai": given}


def _syncing(line: Line) -> threading.Thread:
    """It goes on until the line is stopped."""

    def sync() -> None:
        with contextlib.suppress(S3ToMilvusError):
            line.sync()

    thread = threading.Thread(target=sync, daemon=True)
    thread.start()
    return thread


def test_a_file_above_the_minute_of_the_account_is_indexed(server: OpenAIServer, tmp_path: Path) -> None:
    server.tokens.per_minute, server.speed = 40_000, 60.0
    docs = _files(
        tmp_path / "docs", 1, lambda _: "\n\n".join(f"Paragraph {each}. " + "word " * 90 for each in range(150))
    )
    with line_over(tmp_path / "data", [docs], **_paid(server)) as line:
        assert line.sync().failed == 0
        assert line.indexed() == {"000.txt"}
        line.expect_equal()
    assert len(server.requests) < 20


def test_searches_are_answered_during_a_backfill(server: OpenAIServer, tmp_path: Path) -> None:
    docs = _files(tmp_path / "docs", 1, lambda _: "The giraffe.")
    with line_over(tmp_path / "data", [docs], **_paid(server, tokens_per_minute=100_000)) as line:
        line.sync()
        for number in range(400):
            (docs / f"more {number}.txt").write_text(f"Number {number}. " + "tall animal " * 700, encoding="utf-8")
        thread, before = _syncing(line), len(server.requests)
        until(lambda: len(server.requests) > before + 5)
        slowest = 0.0
        for _ in range(20):
            began = time.monotonic()
            assert line.hits("giraffe", 1)
            slowest = max(slowest, time.monotonic() - began)
            time.sleep(0.05)
        assert thread.is_alive()  # it is not over yet
        assert slowest < 15  # nobody stands in the line of the backfill, which takes minutes


@pytest.mark.parametrize("headers", [{}, {"retry-after": "0"}])
def test_many_files_do_not_hammer_a_service_that_refuses(
    server: OpenAIServer, tmp_path: Path, headers: dict[str, str]
) -> None:
    server.chance, server.kinds = 1.0, [Fault(status=429, headers=headers)]
    docs = _files(tmp_path / "docs", 200, lambda number: f"file {number}")
    with line_over(tmp_path / "data", [docs], **_paid(server)) as line:
        _syncing(line)
        until(lambda: len(server.requests) >= 2)
        time.sleep(3)
        assert len(server.requests) <= 20
        assert not any(each.attempts > 1 for each in line.mirror.parts.ledger.objects(limit=5))
