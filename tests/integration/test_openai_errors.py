"""Answers that OpenAI and the servers that speak its API give in bad hours: what is held, retried, cut, and kept."""

import logging
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import numpy as np
import pytest

from s3_to_milvus.adapters.embedders.openai import OpenAIEmbedder
from s3_to_milvus.adapters.embedders.openai.kept import Kept
from s3_to_milvus.domain.retrying import Bury, Hold, RetryPolicy, TryAgain, next_step
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
DIM = 16


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with openai_server() as server:
        yield server


def _made(server: OpenAIServer, **options: Any) -> OpenAIEmbedder:
    given = {"api_key": KEY, "base_url": server.url, "model": MODEL, "dimensions": DIM, **options}
    return OpenAIEmbedder(OpenAIEmbedder.Options.model_validate(given))


def _expected(texts: list[str]) -> Any:
    return np.stack([vector_of(MODEL, text, DIM) for text in texts])


def _failure(embedder: OpenAIEmbedder, texts: list[str]) -> S3ToMilvusError:
    with pytest.raises(S3ToMilvusError) as caught:
        embedder.embed_documents(texts)
    for secret in ("비밀", KEY[:8]):
        assert secret not in f"{caught.value}{caught.value.hint}"
    return caught.value


@pytest.mark.parametrize(
    ("fault", "expected", "step"),
    [
        (Fault(status=404, code="model_not_found"), FatalError, Hold),
        (Fault("short"), FatalError, Hold),
        (Fault(status=400, param="dimensions"), FatalError, Hold),
        (Fault(status=400, message="This model does not support specifying dimensions."), FatalError, Hold),
        (Fault(status=402), QuotaExhausted, Hold),
        (Fault(status=429, type="insufficient_quota"), QuotaExhausted, Hold),
        (Fault(status=401), Unauthorized, Hold),
        (Fault(status=400, code="비밀 in a code", message="비밀"), Rejected, Bury),
        (Fault("nan"), Rejected, Bury),
        (Fault("zero"), Rejected, Bury),
        (Fault(status=500, message="It took too long."), Unavailable, TryAgain),
        (Fault("cut"), Unavailable, TryAgain),
        (Fault("half"), Unavailable, TryAgain),
        (Fault("broken"), Unavailable, TryAgain),
        (Fault("page"), Unavailable, TryAgain),
        (Fault("empty"), Unavailable, TryAgain),
        (Fault("unnumbered"), Unavailable, TryAgain),
        (Fault("garbled"), Unavailable, TryAgain),
        (Fault("odd"), Unavailable, TryAgain),
    ],
)
def test_no_document_is_buried_for_what_it_cannot_help(
    server: OpenAIServer, fault: Fault, expected: type[S3ToMilvusError], step: type
) -> None:
    server.faults = [fault]
    error = _failure(_made(server), ["비밀 문서", "b"])
    assert type(error) is expected
    assert len(server.requests) == 1
    assert isinstance(next_step(error, 9, RetryPolicy(), 0.0), step)


@pytest.mark.parametrize(
    ("headers", "least_s", "most_s"),
    [
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0, 0),
        ({"retry-after": "inf", "x-ratelimit-reset-tokens": "2.5s"}, 2.5, 2.5),
        ({"retry-after": "1e9"}, 86_400, 86_400),
        ({"x-ratelimit-reset-tokens": "20ms", "x-ratelimit-reset-requests": "1s"}, 1, 1),
        ({"x-ratelimit-reset-requests": "1h2m3s"}, 60, 60),
        ({"x-ratelimit-reset-tokens": "soon"}, None, None),
    ],
)
def test_it_comes_again_when_the_answer_says(
    server: OpenAIServer, headers: dict[str, str], least_s: float | None, most_s: float | None
) -> None:
    server.faults = [Fault(status=429, headers=headers)]
    error = _failure(_made(server), ["a"])
    assert isinstance(error, RateLimited)
    if least_s is None or most_s is None:
        assert error.retry_after_s is None
    else:
        assert error.retry_after_s is not None
        assert least_s <= error.retry_after_s <= most_s


def test_a_date_is_counted_from_the_moment_of_the_answer(server: OpenAIServer) -> None:
    began = datetime.now(UTC).replace(microsecond=0)
    date = format_datetime(began + timedelta(hours=1), usegmt=True)
    server.faults = [Fault(status=429, headers={"retry-after": date})]
    error = _failure(_made(server), ["a"])
    spent_s = (datetime.now(UTC) - began).total_seconds()
    assert isinstance(error, RateLimited)
    assert error.retry_after_s is not None
    assert max(0.0, 3_600 - spent_s) <= error.retry_after_s <= 3_600


def test_a_slow_answer_is_not_waited_for(server: OpenAIServer) -> None:
    server.delay_s = 2.0  # who waits for it gets an answer
    assert type(_failure(_made(server, timeout_s=0.1), ["a"])) is Unavailable
    server.delay_s = 0.0


def test_an_address_where_nobody_is_is_tried_again() -> None:
    given = {"api_key": KEY, "base_url": "http://127.0.0.1:9/v1"}
    with pytest.raises(Unavailable):
        OpenAIEmbedder(OpenAIEmbedder.Options.model_validate(given)).embed_query("a")


@pytest.mark.parametrize("url", ["localhost:8080/v1", "", "ftp://host/v1", "http://[::1", "https:///v1"])
def test_what_is_no_address_is_refused_at_the_start(url: str) -> None:
    with pytest.raises(ConfigError, match="address"):
        OpenAIEmbedder(OpenAIEmbedder.Options(base_url=url))


def test_a_key_may_end_with_the_line_of_its_file_but_not_hold_other_signs(server: OpenAIServer) -> None:
    assert _made(server, api_key=f" {KEY}\n").embed_query("a").shape == (DIM,)
    for key in ("열쇠", f"{KEY}\n{KEY}", "\n"):
        with pytest.raises(Unauthorized):
            _made(server, api_key=key).embed_query("a")
    assert len(server.requests) == 1


def test_the_name_and_password_of_an_address_are_not_shown(server: OpenAIServer) -> None:
    embedder = _made(server, base_url=server.url.replace("//", "//me:hidden@"))
    with pytest.raises(Unauthorized) as caught:
        embedder.check()
    assert "hidden" not in f"{caught.value}{caught.value.hint}"
    assert embedder._host == f"127.0.0.1:{server.server_address[1]}"


def test_no_line_of_a_log_holds_a_text(server: OpenAIServer, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        _made(server).embed_documents(["비밀 문서"])
    assert "비밀" not in caplog.text
    assert KEY not in caplog.text


def test_servers_that_send_numbers_are_understood(server: OpenAIServer) -> None:
    server.sends_numbers = True
    assert np.allclose(_made(server).embed_documents(["a", "b"]), _expected(["a", "b"]))


@pytest.mark.parametrize(
    "message",
    [
        "This model's maximum context length is 8192 tokens, however you requested 9000 tokens",
        "Invalid 'input[0]': maximum input length is 8192 tokens.",
        "the input length exceeds the context length",
        "Input validation error: `inputs` must have less than 512 tokens. Given: 534",
    ],
)
def test_every_way_to_say_too_long_leads_to_windows(server: OpenAIServer, message: str) -> None:
    server.too_long = message
    long = "낱말 " * 3_000
    first, second = _made(server).embed_documents([long, "kurz"])
    assert np.isclose(np.linalg.norm(first), 1.0)
    assert np.array_equal(second, vector_of(MODEL, "kurz", DIM))


def test_a_server_whose_limit_is_lower_gets_smaller_windows(server: OpenAIServer) -> None:
    server.max_tokens_of_text = 500
    vectors = _made(server).embed_documents(["word " * 700, "가" * 900])
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0)
    server.max_tokens_of_text = 1  # says so of everything: it is given up, soon
    server.requests.clear()
    assert isinstance(_failure(_made(server), ["word " * 700]), Rejected)
    assert len(server.requests) < 20


def test_every_window_has_the_prefix_and_the_limits_hold(server: OpenAIServer) -> None:
    limits = {"max_input_tokens": 1_000, "max_request_tokens": 2_000, "concurrency": 1}
    embedder = _made(server, document_prefix="passage: ", **limits)
    embedder.embed_documents(["", "a", "word " * 2_000])
    texts = [text for body in server.requests for text in body["input"]]
    assert texts[:2] == ["passage: .", "passage: a"]
    assert all(text.startswith("passage: ") for text in texts)
    assert "".join(text.removeprefix("passage: ") for text in texts[2:]) == "word " * 2_000
    assert all(len(text) <= 1_000 for text in texts)
    assert all(sum(map(len, body["input"])) <= 2_000 for body in server.requests)


def test_one_long_text_does_not_repeat_its_neighbours(server: OpenAIServer) -> None:
    texts = [f"글 {number}" for number in range(300)]
    vectors = _made(server).embed_documents([*texts[:150], "x " * 50_000, *texts[150:]])
    assert np.array_equal(np.delete(vectors, 150, axis=0), _expected(texts))
    assert len(server.requests) == 2


def test_a_call_over_the_budget_of_a_minute_gets_done_and_nothing_is_paid_twice(server: OpenAIServer) -> None:
    texts = [f"{number:06d} " + "w " * 2_000 for number in range(300)]
    embedder = _made(server, max_request_tokens=100_000, concurrency=1)
    answered = Fault("none")
    for attempt in range(1, 7):
        server.faults = [answered, answered, Fault(status=429, headers={"retry-after": "20"})]
        with pytest.raises(RateLimited) as caught:
            embedder.embed_documents(texts)
        assert caught.value.retry_after_s == 20.0
        assert len(server.requests) == 3 * attempt  # after a refusal nothing more is sent
    server.faults = []
    assert np.array_equal(embedder.embed_documents(texts), _expected(texts))
    assert embedder.tokens_used == sum(map(len, texts))


def test_neighbours_of_a_refused_text_are_not_paid_twice(server: OpenAIServer) -> None:
    embedder = _made(server, max_inputs=2, concurrency=1)
    assert isinstance(_failure(embedder, ["a", "b", "c", "%REFUSE", "d"]), Rejected)
    assert np.array_equal(embedder.embed_documents(["a", "b", "c", "d"]), _expected(["a", "b", "c", "d"]))
    assert [body["input"] for body in server.requests] == [["a", "b"], ["c", "%REFUSE"], ["c", "d"]]


def test_what_holds_the_queue_is_told_before_what_only_waits(server: OpenAIServer) -> None:
    embedder = _made(server, max_inputs=1, concurrency=2)
    server.delay_s = 0.05  # both are on their way before one is answered
    server.faults = [Fault(status=429), Fault(status=401)]
    assert isinstance(_failure(embedder, ["a", "b"]), Unauthorized)


def test_kept_vectors_are_bounded_and_those_asked_for_stay() -> None:
    kept = Kept(3 * 4 * DIM)
    kept.put("m", [(str(number), np.full(DIM, number, np.float32)) for number in range(5)])
    kept.put("m", [("4", np.full(DIM, 4, np.float32))])
    assert kept.take("other", ["4"]) == {}
    assert list(kept.take("m", ["0", "2", "4", "4"])) == [1, 2, 3]
    assert list(kept.take("m", ["2", "4"])) == [0, 1]
    kept.put("m", [("5", np.full(DIM, 5, np.float32))])
    assert list(kept.take("m", ["2", "3", "4", "5"])) == [0, 2, 3]


def test_twenty_thousand_texts_arrive_through_faults(server: OpenAIServer) -> None:
    server.chance = 0.05
    server.kinds = [
        Fault(status=429, headers={"retry-after-ms": "1"}),
        Fault(status=500),
        Fault(status=503),
        *map(Fault, ("cut", "half", "broken", "page", "drop", "twice", "garbled")),
    ]
    texts = [f"글 {number}" for number in range(20_000)]
    embedder = _made(server, max_inputs=100)
    order = list(range(0, len(texts), 1_000))
    random.Random(3).shuffle(order)
    found = np.zeros((len(texts), DIM), np.float32)
    failures = 0
    while order:
        start = order.pop(0)
        try:
            found[start : start + 1_000] = embedder.embed_documents(texts[start : start + 1_000])
        except TransientError:
            failures += 1
            order.append(start)
    assert failures >= 5
    assert np.array_equal(found, _expected(texts))
    spoilt = len(server.requests) - 200
    assert spoilt < 40  # every request that was answered well was made once
