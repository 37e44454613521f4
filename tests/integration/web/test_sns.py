"""Messages that SNS signed for a topic of the settings need no key at ``POST /events``; nowhere else they count."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from s3_to_milvus.bootstrap import build
from s3_to_milvus.domain.access import AccessKey, Role, digest_of
from s3_to_milvus.errors import Rejected, Unavailable
from s3_to_milvus.settings import AuthSettings, Settings
from s3_to_milvus.web.app import create_app
from tests.support.application import BUCKET, FakeApplication
from tests.support.sns import CERTIFICATE, TOPIC, Signer, confirmation, notification
from tests.support.web import LOOPBACK, is_problem

PUBLIC = "http://192.168.7.7:8510"
SIGNER = Signer()
KEY = "s2m_key-for-events"
_S3 = {"bucket": {"name": BUCKET}, "object": {"key": "guides/start.md"}}
EVENT = json.dumps({"Records": [{"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": _S3}]})
FOREIGN = EVENT.replace(BUCKET, "foreign")
NOTHING = {"taken": 0, "ignored": 0, "quarantined": 0}
TAKEN = {**NOTHING, "taken": 1}


@pytest.fixture
def application(application: FakeApplication) -> FakeApplication:
    application.ledger.put_access_key(AccessKey("sns", Role.EVENTS, digest_of(KEY), 1.0))
    application.settings = _settings(application)
    application.certificate = {CERTIFICATE: SIGNER.pem}.__getitem__
    return application


def _settings(application: FakeApplication, **auth: Any) -> Settings:
    given = AuthSettings.model_validate({"sns_topics": TOPIC, **auth})
    return Settings(data_dir=application.data_dir, auth=given)


@pytest.fixture
def public(application: FakeApplication) -> Iterator[TestClient]:
    with TestClient(create_app(application.as_real), base_url=PUBLIC) as client:
        yield client


def _post(client: TestClient, content: bytes, path: str = "/events", **headers: str) -> Any:
    """As SNS posts."""
    kind = {"x-amz-sns-message-type": "Notification", "content-type": "text/plain; charset=UTF-8"}
    return client.post(path, content=content, headers={**kind, **headers})


def _is_refused(application: FakeApplication, answer: Any, word: str) -> bool:
    assert is_problem(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"].startswith("Basic ")
    assert application.ledger.unread == {}
    assert application.confirmed == []
    return word in answer.json()["detail"] + answer.json()["hint"]


@pytest.mark.parametrize("version", ["1", "2"])
def test_a_signed_message_needs_no_key(public: TestClient, version: str) -> None:
    answer = _post(public, SIGNER.sealed(notification(EVENT, Subject="Amazon S3 Notification"), version))
    assert (answer.status_code, answer.json()) == (202, TAKEN)


def test_a_subscription_is_confirmed_when_sns_signed_that_it_asks(
    public: TestClient, application: FakeApplication
) -> None:
    assert _is_refused(application, _post(public, json.dumps(confirmation()).encode()), "no SigningCertURL")
    assert _is_refused(application, _post(public, Signer(1).sealed(confirmation())), "signature")
    body = confirmation()
    assert _post(public, SIGNER.sealed(body)).json() == NOTHING
    (confirmed,) = application.confirmed
    assert json.loads(confirmed)["SubscribeURL"] == body["SubscribeURL"]


def test_the_end_of_a_subscription_opens_nothing(public: TestClient, application: FakeApplication) -> None:
    assert _post(public, SIGNER.sealed(confirmation("UnsubscribeConfirmation"))).json() == NOTHING
    assert application.confirmed == []


def test_forged_messages_are_refused_and_not_kept(public: TestClient, application: FakeApplication) -> None:
    signed = SIGNER.signed(notification(EVENT))
    for forged, word in [
        (notification(EVENT), "raw message delivery"),
        ({**signed, "Message": FOREIGN}, "signature"),
        (Signer(1).signed(notification(EVENT)), "signature"),
        (SIGNER.signed(notification(EVENT, TopicArn=f"{TOPIC}2")), "S2M_AUTH__SNS_TOPICS"),
        ({**signed, "SigningCertURL": "https://sns.ap-northeast-2.amazonaws.com.evil.example/x.pem"}, "certificate"),
        (json.loads(EVENT), "raw message delivery"),
    ]:
        assert _is_refused(application, _post(public, json.dumps(forged).encode()), word)


def test_only_what_is_signed_is_taken(public: TestClient, application: FakeApplication) -> None:
    """A message that was once signed carries nothing else in."""
    smuggled = {**SIGNER.signed(notification(FOREIGN)), "Records": json.loads(EVENT)["Records"]}
    assert _post(public, json.dumps(smuggled).encode()).json() == {**NOTHING, "ignored": 1}
    handshake = {"eventType": "Microsoft.EventGrid.SubscriptionValidationEvent", "data": {"validationCode": "x"}}
    assert is_problem(_post(public, json.dumps([handshake]).encode()), 401, "unauthorized")


def test_a_signed_message_that_nobody_understands_waits_in_quarantine(
    public: TestClient, application: FakeApplication
) -> None:
    assert _post(public, SIGNER.sealed(notification("no event"))).json() == {**NOTHING, "quarantined": 1}
    (kept,) = application.ledger.unread.values()
    assert kept.body == "no event"


@pytest.mark.parametrize("path", ["/process_s3_event", "/api/v1/search", "/api/v1/retry", "/upload_parse_document"])
def test_a_signed_message_opens_no_other_door(public: TestClient, path: str) -> None:
    answer = _post(public, SIGNER.sealed(notification(EVENT)), path)
    assert is_problem(answer, 401, "unauthorized")
    assert "S2M_AUTH__SNS_TOPICS" not in answer.json()["hint"]


def test_only_posts_reach_the_check(public: TestClient) -> None:
    headers = {"x-amz-sns-message-type": "Notification"}
    assert is_problem(public.options("/events", headers=headers), 401, "unauthorized")
    assert is_problem(public.get("/events", headers=headers), 401, "unauthorized")


def test_without_a_topic_in_the_settings_no_signature_counts(application: FakeApplication) -> None:
    application.settings = _settings(application, sns_topics=[])
    with TestClient(create_app(application.as_real), base_url=PUBLIC) as client:
        answer = _post(client, SIGNER.sealed(notification(EVENT)))
        assert is_problem(answer, 401, "unauthorized")
        assert "Bearer" in answer.json()["hint"]


def test_sns_asks_again_when_the_certificate_cannot_be_had(public: TestClient, application: FakeApplication) -> None:
    def away(address: str) -> bytes:
        raise Unavailable("SNS cannot be reached for its certificate.")

    application.certificate = away
    assert is_problem(_post(public, SIGNER.sealed(notification(EVENT))), 503, "unavailable")


def test_a_key_serves_as_before(public: TestClient, application: FakeApplication) -> None:
    """Of a topic that nobody named, and with a subscription that asks for raw delivery."""
    basic = "Basic " + base64.b64encode(f"sns:{KEY}".encode()).decode()
    other = json.dumps(notification(EVENT, TopicArn=f"{TOPIC}2")).encode()
    assert _post(public, other, authorization=basic).json() == TAKEN
    assert _post(public, EVENT.encode(), authorization=basic).json() == TAKEN
    assert _post(public, json.dumps(confirmation()).encode(), authorization=basic).json() == NOTHING
    assert len(application.confirmed) == 1
    wrong = {"authorization": "Basic " + base64.b64encode(b"sns:wrong").decode()}
    assert _post(public, SIGNER.sealed(notification(EVENT)), **wrong).json() == TAKEN


@pytest.mark.parametrize(("mode", "url"), [("auto", LOOPBACK), ("none", PUBLIC)])
def test_where_nobody_is_asked_no_signature_is_needed(application: FakeApplication, mode: str, url: str) -> None:
    application.settings = _settings(application, mode=mode)
    with TestClient(create_app(application.as_real), base_url=url) as client:
        assert _post(client, json.dumps(notification(EVENT)).encode()).json() == TAKEN
        assert _post(client, json.dumps(confirmation()).encode()).json() == NOTHING
        assert len(application.confirmed) == 1


def test_the_whole_system_knows_the_topics_of_its_settings(application: FakeApplication, tmp_path: Path) -> None:
    application.settings = Settings(data_dir=tmp_path / "data", auth=application.settings.auth)
    system = build(application.settings, [])
    elsewhere = {**SIGNER.signed(notification(EVENT)), "SigningCertURL": CERTIFICATE.replace("ap-", "us-")}
    try:
        with pytest.raises(Rejected, match="certificate"):  # of another region: nothing is fetched
            system.signed_by_sns(json.dumps(elsewhere).encode())
        with pytest.raises(Rejected, match="topic"):
            system.signed_by_sns(SIGNER.sealed(notification(EVENT, TopicArn=f"{TOPIC}2")))
    finally:
        system.stop()
