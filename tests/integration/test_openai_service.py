"""What OpenAI's API may answer, and what becomes of it: every documented error, limits, orders, pace, secrets."""

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from s3_to_milvus.adapters.embedders.openai import OpenAIEmbedder
from s3_to_milvus.adapters.embedders.openai.batching import batches, token_bound, windows
from s3_to_milvus.adapters.pacing import Flight
from s3_to_milvus.errors import (
    ConfigError,
    FatalError,
    QuotaExhausted,
    RateLimited,
    Rejected,
    S3ToMilvusError,
    TransientError,
    Unauthorized,
    Unavailable,
)
from tests.support.openai_server import KEY, Fault, OpenAIServer, openai_server, vector_of

MODEL = "text-embedding-3-small"


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with openai_server() as server:
        yield server


def _made(server: OpenAIServer, **options: Any) -> OpenAIEmbedder:
    given = {"api_key": KEY, "base_url": server.url, "model": MODEL, "dimensions": 16, **options}
    return OpenAIEmbedder(OpenAIEmbedder.Options.model_validate(given))


@pytest.mark.parametrize(
    ("fault", "expected", "wait_s"),
    [
        (Fault(status=429, headers={"retry-after": "7"}), RateLimited, 7.0),
        (Fault(status=429, headers={"retry-after-ms": "300", "retry-after": "1"}), RateLimited, 0.3),
        (Fault(status=429), RateLimited, None),
        (Fault(status=429, code="insufficient_quota"), QuotaExhausted, None),
        (Fault(status=401, code="invalid_api_key"), Unauthorized, None),
        (Fault(status=403), Unauthorized, None),
        (Fault(status=404, code="model_not_found"), FatalError, None),
        (Fault(status=400, code="invalid_value"), Rejected, None),
        (Fault(status=422), Rejected, None),
        (Fault(status=408), Unavailable, None),
        (Fault(status=409), Unavailable, None),
        (Fault(status=500), Unavailable, None),
        (Fault(status=503, headers={"retry-after": "3"}), Unavailable, 3.0),
        (Fault("cut"), Unavailable, None),
        (Fault("drop"), Unavailable, None),
        (Fault("twice"), Unavailable, None),
        (Fault("nan"), Rejected, None),
        (Fault("short"), FatalError, None),
    ],
)
def test_every_failure_has_its_family(
    server: OpenAIServer, fault: Fault, expected: type[S3ToMilvusError], wait_s: float | None
) -> None:
    embedder = _made(server)
    server.faults = [fault]
    with pytest.raises(expected) as caught:
        embedder.embed_documents(["비밀 문서", "b"])
    assert getattr(caught.value, "retry_after_s", None) == wait_s
    assert len(server.requests) == 1  # it is never asked again behind our back
    for secret in ("비밀", KEY, KEY[:8], "sk-"):
        assert secret not in str(caught.value) + caught.value.hint
    assert embedder.embed_documents(["비밀 문서"]).shape == (1, 16)


def test_the_key_of_somebody_else_is_refused_in_our_words(server: OpenAIServer) -> None:
    with pytest.raises(Unauthorized) as caught:
        _made(server, api_key="sk-wrong").check()
    assert "sk-" not in str(caught.value)
    with pytest.raises(Unauthorized, match="No key"):
        _made(server, api_key="").check()
    assert "sk-wrong" not in repr(_made(server, api_key="sk-wrong")._options)


def test_vectors_are_those_of_their_texts_whatever_the_order(server: OpenAIServer) -> None:
    texts = [f"글 {number}" for number in range(50)]
    found = _made(server, max_inputs=7).embed_documents(texts)
    expected = np.stack([vector_of(MODEL, text, 16) for text in texts])
    assert np.array_equal(found, expected)


def test_requests_keep_to_the_limits(server: OpenAIServer) -> None:
    texts = ["가" * 1_000] * 700 + ["a" * 8_000] * 50 + ["x"] * 3_000
    embedder = _made(server)
    assert embedder.embed_documents(texts).shape == (len(texts), 16)
    assert all(len(body["input"]) <= 2_048 for body in server.requests)
    assert all(sum(map(token_bound, body["input"])) <= 300_000 for body in server.requests)
    assert server.most_in_flight <= 4
    assert embedder.tokens_used == sum(map(len, texts))
    assert embedder.requests_made == len(server.requests)


def test_a_text_that_is_too_long_gets_the_mean_of_its_windows(server: OpenAIServer) -> None:
    server.max_tokens_of_text = 5_000
    long = "낱말 " * 4_000
    first, second = _made(server, max_input_tokens=4_000).embed_documents([long, "kurz"])
    assert np.isclose(np.linalg.norm(first), 1.0)
    assert np.array_equal(second, vector_of(MODEL, "kurz", 16))
    # A text that might fit is tried whole, and cut only when the server says that it is too long.
    server.requests.clear()
    may_fit = "가" * 3_000
    (vector,) = _made(server, max_input_tokens=4_000).embed_documents([may_fit])
    assert np.array_equal(vector, vector_of(MODEL, may_fit, 16))
    server.max_tokens_of_text = 2_000
    (vector,) = _made(server, max_input_tokens=4_000).embed_documents([may_fit])
    assert np.isclose(np.linalg.norm(vector), 1.0)


def test_a_request_that_is_too_large_after_all_is_halved(server: OpenAIServer) -> None:
    server.faults = [Fault(status=400, code="max_tokens_per_request"), Fault(status=413)]
    texts = [f"글 {number}" for number in range(8)]
    found = _made(server).embed_documents(texts)
    assert np.array_equal(found, np.stack([vector_of(MODEL, text, 16) for text in texts]))
    assert len(server.requests) == 5


def test_one_refused_text_refuses_its_request(server: OpenAIServer) -> None:
    with pytest.raises(Rejected):
        _made(server).embed_documents(["a", "%REFUSE this secret", "b"])


def test_a_model_that_nobody_knows_needs_its_length(server: OpenAIServer) -> None:
    with pytest.raises(ConfigError, match="is not known"):
        OpenAIEmbedder(OpenAIEmbedder.Options(model="my-own"))
    assert OpenAIEmbedder(OpenAIEmbedder.Options(model="my-own", dim=5)).dim == 5
    assert OpenAIEmbedder(OpenAIEmbedder.Options()).dim == 3_072


def test_the_fingerprint_follows_what_changes_vectors() -> None:
    def mark(**options: Any) -> str:
        return OpenAIEmbedder(OpenAIEmbedder.Options.model_validate(options)).fingerprint

    assert mark() == mark(base_url="http://other/v1", concurrency=2, api_key="x")
    assert len({mark(), mark(model=MODEL), mark(dimensions=64), mark(document_prefix="p"), mark(query_prefix="q")}) == 5


def test_many_texts_arrive_through_faults(server: OpenAIServer) -> None:
    chance = random.Random(7)
    kinds = [Fault(status=429), Fault(status=500), Fault("cut"), Fault("drop"), Fault("twice")]
    embedder = _made(server, max_inputs=50)
    texts = [f"글 {number}" for number in range(5_000)]
    done: list[Any] = []
    for start in range(0, len(texts), 500):
        while True:
            server.faults = [chance.choice(kinds)] if chance.random() < 0.3 else []
            try:
                done.append(embedder.embed_documents(texts[start : start + 500]))
                break
            except TransientError:
                continue
    assert np.array_equal(np.concatenate(done), np.stack([vector_of(MODEL, text, 16) for text in texts]))


def test_fewer_requests_run_after_a_refusal_and_more_again_later() -> None:
    flight = Flight(8)
    for expected in (4, 2, 1, 1):
        with pytest.raises(RateLimited), flight.one():
            raise RateLimited("slow down")
        assert flight.allowed == expected
    for _ in range(200):
        with flight.one():
            pass
    assert flight.allowed == 8


def test_batches_and_windows_lose_nothing() -> None:
    texts = ["a" * size for size in (5, 5, 20, 1, 1, 1)]
    assert list(batches(texts, 2, 10)) == [range(2), range(2, 3), range(3, 5), range(5, 6)]
    assert list(batches([], 2, 10)) == []
    for text in ("가나다 라마바 " * 50, "x" * 100, "🙂" * 40, ""):
        pieces = windows(text, 31)
        assert "".join(pieces) == text
        assert all(token_bound(piece) <= 31 for piece in pieces)
