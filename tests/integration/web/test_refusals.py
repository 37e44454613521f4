"""Events that are refused: the log says so, and who repeats them without a pause is answered late."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from starlette.testclient import TestClient
from structlog.testing import capture_logs

from s3_to_milvus.domain.access import AccessKey, Role, digest_of
from s3_to_milvus.web.app import create_app
from s3_to_milvus.web.refusals import Refusals
from tests.support.application import FakeApplication

EVENT = {"bucket": "docs", "key": "a.txt"}
RIGHT, WRONG = {"Authorization": "Bearer s2m_right"}, {"Authorization": "Bearer s2m_wrong"}


@pytest.fixture(autouse=True)
def _loud() -> None:
    structlog.reset_defaults()


@pytest.fixture
def public(application: FakeApplication) -> Iterator[TestClient]:
    application.ledger.put_access_key(AccessKey("ceph", Role.EVENTS, digest_of("s2m_right"), 1.0))
    with TestClient(create_app(application.as_real), base_url="http://192.168.7.7:8510") as client:
        yield client


def _seconds(client: TestClient, times: int, status: int, headers: dict[str, str], path: str = "/events") -> float:
    begun = time.monotonic()
    for _ in range(times):
        assert client.post(path, json=EVENT, headers=headers).status_code == status
    return time.monotonic() - begun


def test_who_repeats_refused_events_without_a_pause_is_answered_late(public: TestClient) -> None:
    assert _seconds(public, 10, 401, WRONG) < 8  # late answers to all would take 15
    assert _seconds(public, 21, 401, WRONG) >= 1
    assert _seconds(public, 1, 401, {}, "/process_s3_event") >= 1
    assert _seconds(public, 30, 202, RIGHT) < 20  # late ones would take 45


def test_an_answer_that_sns_waits_for_is_never_late(public: TestClient) -> None:
    """SNS sends the key of its address only after it was asked for it, so every message of it is refused once."""
    with capture_logs() as lines:
        assert _seconds(public, 30, 401, {"x-amz-sns-message-type": "Notification"}) < 20
    assert _refused(lines) == []


def test_the_log_says_that_events_are_refused_and_no_key(public: TestClient) -> None:
    with capture_logs() as lines:
        _seconds(public, 3, 401, WRONG)
        _seconds(public, 1, 202, RIGHT)
        assert public.get("/api/v1/status", headers=WRONG).status_code == 401
    line = {"event": "events.refused", "log_level": "warning", "sender": "testclient", "times": 1}
    assert [line | said for said in _refused(lines)] == _refused(lines)
    assert [said["reason"] for said in _refused(lines)] == ["nobody knows its key"]
    assert "s2m_" not in str(lines)


def test_the_log_says_it_once_a_minute_and_how_often() -> None:
    moment = [100.0]
    refusals = Refusals(now=lambda: moment[0])

    def refuse(times: int, sender: str = "10.0.0.7") -> list[tuple[Any, Any, Any]]:
        with capture_logs() as lines:
            for _ in range(times):
                asyncio.run(refusals.heed(sender, "it has no key"))
        return [(line["sender"], line["times"], line["reason"]) for line in _refused(lines)]

    assert refuse(3) == [("10.0.0.7", 1, "it has no key")]
    moment[0] += 59
    assert refuse(2) == []
    moment[0] += 1
    assert refuse(1, "10.0.0.8") == [("10.0.0.8", 5, "it has no key")]


def test_no_more_than_some_hundred_senders_are_kept_waiting() -> None:
    waiting: list[float] = []

    async def storm() -> None:
        release = asyncio.Event()

        async def sleep(seconds: float) -> None:
            waiting.append(seconds)
            await release.wait()

        refusals = Refusals(sleep=sleep)
        calls = [asyncio.create_task(refusals.heed("10.0.0.7", "nobody knows its key")) for _ in range(1_000)]
        for _ in range(20):
            await asyncio.sleep(0)
        assert sum(not call.done() for call in calls) == len(waiting)
        release.set()
        await asyncio.gather(*calls)

    with capture_logs():
        asyncio.run(storm())
    assert 100 <= len(waiting) <= 500


def _refused(lines: Any) -> list[Any]:
    return [line for line in lines if line["event"] == "events.refused"]
