"""The webhook journal keeps the contract, signs what it sends, and says in our words what goes wrong."""

import hashlib
import hmac
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from s3_to_milvus.adapters.journals.webhook import WebhookJournal
from s3_to_milvus.domain.objects import ObjectRef
from s3_to_milvus.domain.records import JournalEntry
from s3_to_milvus.engine.delivery import Delivery
from s3_to_milvus.errors import ConfigError, RateLimited, Rejected, S3ToMilvusError, Unauthorized, Unavailable
from s3_to_milvus.ports import Journal
from s3_to_milvus.testing.contracts.journal import JournalContract
from s3_to_milvus.testing.fakes.clock import FakeClock
from s3_to_milvus.testing.fakes.ledger import MemoryLedger
from tests.support.receiver import Answer, Receiver, receiver

SECRET = "a-secret-that-must-never-be-shown"
ENTRY = JournalEntry(4, ObjectRef("b", "휴가.txt"), "replace", "indexed", 1_700_000_000.5, 1.23456, "3 chunks")


@pytest.fixture
def server() -> Iterator[Receiver]:
    with receiver() as server:
        yield server


@pytest.fixture
def journal(server: Receiver) -> WebhookJournal:
    return _journal(server.url)


def _journal(url: str) -> WebhookJournal:
    options = WebhookJournal.Options.model_validate({"url": url, "secret": SECRET, "timeout_s": 2})
    return WebhookJournal(options, now=lambda: 1_800_000_000.7)


def _entries(server: Receiver) -> list[dict[str, Any]]:
    return [entry for _, _, body in server.taken for entry in json.loads(body)["entries"]]


class TestWebhookJournal(JournalContract):
    @pytest.fixture
    def journal(self, server: Receiver) -> Journal:
        self.server = server
        return _journal(server.url)

    def written(self, journal: Journal) -> list[tuple[int, str, str]]:
        return [(each["id"], _as_given(each["key"]), each["outcome"]) for each in _entries(self.server)]


def _as_given(name: str) -> str:
    return re.sub(r"\\u(d[89a-f]..)", lambda found: chr(int(found[1], 16)), name)


def test_a_delivery_is_one_signed_batch(server: Receiver, journal: WebhookJournal) -> None:
    journal.deliver([ENTRY, ENTRY])
    [(_, headers, body)] = server.taken
    assert json.loads(body)["entries"][0] == {
        "id": 4,
        "bucket": "b",
        "key": "휴가.txt",
        "action": "replace",
        "outcome": "indexed",
        "started_at": "2023-11-14T22:13:20.500+00:00",
        "elapsed_s": 1.235,
        "message": "3 chunks",
    }
    expected = hmac.new(SECRET.encode(), b"1800000000." + body, hashlib.sha256).hexdigest()
    assert headers["X-S2M-Timestamp"] == "1800000000"
    assert headers["X-S2M-Signature"] == f"v1={expected}"
    assert headers["Content-Type"].startswith("application/json")


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer(401), Unauthorized),
        (Answer(403), Unauthorized),
        (Answer(404), ConfigError),
        (Answer(410), ConfigError),
        (Answer(400), Rejected),
        (Answer(409), Unavailable),
        (Answer(500), Unavailable),
        (Answer(503), Unavailable),
        (Answer(0), Unavailable),
    ],
)
def test_failures_come_in_our_words(
    server: Receiver, journal: WebhookJournal, answer: Answer, error: type[S3ToMilvusError]
) -> None:
    server.answers.append(answer)
    with pytest.raises(error) as caught:
        journal.deliver([ENTRY])
    assert "secret-path" not in f"{caught.value} {caught.value.hint} {caught.value.__cause__}"
    assert SECRET not in f"{caught.value} {caught.value.hint}"


def test_it_says_when_to_come_again(server: Receiver, journal: WebhookJournal) -> None:
    server.answers.append(Answer(429, {"Retry-After": "7"}))
    with pytest.raises(RateLimited) as caught:
        journal.deliver([ENTRY])
    assert caught.value.retry_after_s == 7


def test_no_redirect_is_followed(server: Receiver, journal: WebhookJournal) -> None:
    with receiver() as other:
        server.answers.append(Answer(307, {"Location": other.url}))
        with pytest.raises(ConfigError, match="redirects are not followed"):
            journal.deliver([ENTRY])
        assert other.asked == 0


def test_nobody_there() -> None:
    with receiver() as gone:
        journal = _journal(gone.url)
    with pytest.raises(Unavailable, match=r"does not answer at 127\.0\.0\.1"):
        journal.check()


@pytest.mark.parametrize("url", ["", "example.com/hook", "file:///etc/passwd", "https://"])
def test_addresses_are_checked(url: str) -> None:
    with pytest.raises(ValidationError) as caught:
        WebhookJournal.Options.model_validate({"url": url, "secret": SECRET})
    assert SECRET not in str(caught.value)


def test_a_receiver_that_is_busy_once_gets_all_in_order_when_it_said(server: Receiver, journal: WebhookJournal) -> None:
    clock, ledger = FakeClock(), MemoryLedger()
    for number in range(1, 251):
        ledger.journal[number] = (0.0, replace(ENTRY, id=number))
    delivery = Delivery(ledger, clock, journal, lambda text: None)
    server.answers.append(Answer(503, {"Retry-After": "3600"}))
    assert delivery.step() == pytest.approx(3_600)
    for _ in range(300):
        clock.advance(1)
        delivery.step()
    assert server.asked == 1
    clock.advance(3_300)
    while not delivery.step():
        pass
    assert [each["id"] for each in _entries(server)] == list(range(1, 251))
