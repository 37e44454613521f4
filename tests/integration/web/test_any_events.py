"""``POST /events``: notifications of every cloud as they came; what nobody understands waits in quarantine."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from starlette.testclient import TestClient

from s3_to_milvus.domain.access import AccessKey, Role, digest_of
from s3_to_milvus.domain.objects import ObjectEvent
from s3_to_milvus.domain.quarantine import QuarantinedBody
from s3_to_milvus.domain.records import ObjectState
from s3_to_milvus.engine.intake import Taken
from s3_to_milvus.errors import Unavailable
from tests.support.application import BUCKET, FakeApplication, until
from tests.support.web import is_problem


def _record(key: str, bucket: str = BUCKET) -> dict[str, Any]:
    s3 = {"bucket": {"name": bucket}, "object": {"key": key}}
    return {"Records": [{"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": s3}]}


def test_an_event_of_any_shape_brings_the_object_in(client: TestClient, application: FakeApplication) -> None:
    application.store.put(BUCKET, "새 글/a+b.txt", "새로 온 글".encode())
    bridge = {"source": "aws.s3", "detail-type": "Object Created", "detail": {}}
    bridge["detail"] = {"bucket": {"name": BUCKET}, "object": {"key": "새 글/a+b.txt"}}
    sqs = {"Records": [{"eventSource": "aws:sqs", "body": json.dumps(bridge)}]}
    assert client.post("/events", json=sqs).json() == {"taken": 1, "ignored": 0, "quarantined": 0}
    until(lambda: application.mirror.status().counts.indexed == 3)


def test_minio_tells_by_its_webhook(client: TestClient, application: FakeApplication) -> None:
    """The body and the header that its documentation shows: the key of ``auth_token`` stands in `Authorization`."""
    application.store.put(BUCKET, "한글 폴더/a+b c.txt", "새로 온 글".encode())
    application.ledger.put_access_key(AccessKey("minio", Role.EVENTS, digest_of("s2m_minio"), 1.0))
    quoted = "%ED%95%9C%EA%B8%80+%ED%8F%B4%EB%8D%94%2Fa%2Bb+c.txt"
    record = {"eventVersion": "2.0", "eventSource": "minio:s3", "eventName": "s3:ObjectCreated:Put"}
    record |= {"s3": {"bucket": {"name": BUCKET}, "object": {"key": quoted, "sequencer": "16B4F6D3C1A8E2B0"}}}  # type: ignore[dict-item]
    body = {"EventName": "s3:ObjectCreated:Put", "Key": f"{BUCKET}/한글 폴더/a+b c.txt", "Records": [record]}
    answer = client.post("/events", json=body, headers={"Authorization": "Bearer s2m_minio"})
    assert answer.json() == {"taken": 1, "ignored": 0, "quarantined": 0}
    until(lambda: application.mirror.status().counts.indexed == 3)


def test_test_messages_and_foreign_buckets_do_no_harm(client: TestClient) -> None:
    answer = client.post("/events", json={"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": BUCKET})
    assert (answer.status_code, answer.json()["taken"]) == (202, 0)
    assert client.post("/events", json=_record("a.txt", "foreign")).json()["ignored"] == 1


def test_a_subscription_of_sns_is_confirmed(client: TestClient, application: FakeApplication) -> None:
    body = {"Type": "SubscriptionConfirmation", "SubscribeURL": "https://sns.us-east-1.amazonaws.com/?x"}
    assert client.post("/events", json=body, headers={"content-type": "text/plain"}).status_code == 202
    assert [json.loads(each) for each in application.confirmed] == [body]
    # SNS asks again when it hears that it did not work.
    assert is_problem(client.post("/events", json={**body, "SubscribeURL": "away"}), 503, "unavailable")


def test_what_nobody_understands_waits_in_quarantine(client: TestClient, application: FakeApplication) -> None:
    good = json.dumps(_record("guides/start.md"))
    batch = {"Records": [{"eventSource": "aws:sqs", "body": body} for body in (good, "no json", '{"odd": "글"}')]}
    assert client.post("/events", json=batch).json() == {"taken": 1, "ignored": 0, "quarantined": 2}
    assert client.post("/events", content=b"\xff\x00").status_code == 202
    page = client.get("/api/v1/quarantine", params={"limit": 2}).json()
    assert [each["body"] for each in page["bodies"]] == ["no json", '{"odd": "글"}']
    assert {each["source"] for each in page["bodies"]} == {"http"}
    rest = client.get("/api/v1/quarantine", params={"after": page["next"]}).json()
    assert len(rest["bodies"]) == 1
    assert client.post("/api/v1/quarantine/replay", json={}).json() == {"taken": 0, "left": 3}
    ids = [each["id"] for each in page["bodies"]]
    assert client.post("/api/v1/quarantine/drop", json={"ids": ids}).json() == {"taken": 0, "left": 1}
    assert is_problem(client.post("/api/v1/quarantine/drop", json={"ids": "x"}), 422, "invalid_request")


def test_a_body_that_is_understood_later_is_taken_then(client: TestClient, application: FakeApplication) -> None:
    hints = application.hints
    understand, hints.decode = hints.decode, lambda body: understand("{}")
    application.store.put(BUCKET, "later.txt", b"later")
    assert client.post("/events", json=_record("later.txt")).json()["quarantined"] == 1
    hints.decode = understand
    (body,) = client.get("/api/v1/quarantine").json()["bodies"]
    application.ledger.unread[body["id"]] = type(application.ledger.unread[body["id"]])(
        json.dumps(_record("later.txt")), "", "http", 0.0, body["id"]
    )
    assert client.post("/api/v1/quarantine/replay", json={"ids": [body["id"]]}).json() == {"taken": 1, "left": 0}
    until(lambda: len(application.ledger.objects(state=ObjectState.INDEXED)) == 3)
    assert client.get("/api/v1/quarantine").json()["bodies"] == []


def test_one_body_that_cannot_be_taken_now_does_not_keep_the_others_in_quarantine(
    client: TestClient, application: FakeApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies = [json.dumps(_record(key)) for key in ("one.txt", "refused.txt", "two.txt")]
    application.ledger.quarantine([QuarantinedBody(body, "not known yet", "http", 1.0) for body in bodies])
    take = application.mirror.take

    def sometimes(events: Sequence[ObjectEvent]) -> Taken:
        if any(event.ref.key == "refused.txt" for event in events):
            raise Unavailable("Its bucket does not answer.")
        return take(events)

    monkeypatch.setattr(application.hints, "_take", sometimes)
    assert client.post("/api/v1/quarantine/replay", json={}).json() == {"taken": 2, "left": 1}
    assert is_problem(client.post("/api/v1/quarantine/replay", json={}), 503, "unavailable")


def test_a_body_of_a_bucket_that_nobody_mirrors_yet_stays_in_quarantine(
    client: TestClient, application: FakeApplication
) -> None:
    body = json.dumps(_record("a.txt", "tomorrow"))
    application.ledger.quarantine([QuarantinedBody(body, "not known yet", "http", 1.0)])
    assert client.post("/api/v1/quarantine/replay", json={}).json() == {"taken": 0, "left": 1}


def test_a_question_of_azure_beside_events_loses_none(client: TestClient) -> None:
    question = {"eventType": "Microsoft.EventGrid.SubscriptionValidationEvent", "data": {"validationCode": "x"}}
    created = {"eventType": "Microsoft.Storage.BlobCreated", "data": {}}
    created["subject"] = f"/blobServices/default/containers/{BUCKET}/blobs/new.txt"
    assert client.post("/events", json=[question, created]).json() == {"taken": 1, "ignored": 0, "quarantined": 0}
    deep = f'["{question["eventType"]}",{"[" * 100_000}'
    assert client.post("/events", content=deep.encode()).json() == {"taken": 0, "ignored": 0, "quarantined": 1}


def test_azure_asks_whether_somebody_listens(client: TestClient) -> None:
    event = {"eventType": "Microsoft.EventGrid.SubscriptionValidationEvent", "data": {"validationCode": "512d38b6"}}
    assert client.post("/events", json=[event]).json() == {"validationResponse": "512d38b6"}
    answer = client.options("/events", headers={"WebHook-Request-Origin": "eventgrid.azure.net"})
    assert answer.headers["webhook-allowed-origin"] == "eventgrid.azure.net"
