"""Messages of SNS: what it signed is taken, whatever else is said of it; everything else is refused."""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from s3_to_milvus.adapters.events.sns import Certificates, SnsMessages
from s3_to_milvus.errors import Rejected
from tests.support.sns import CERTIFICATE, TOPIC, Signer, confirmation, notification, sent_at

SIGNER = Signer()
Body = dict[str, Any]


class _Shelf:
    """Where certificates lie; every other address is asked for in vain."""

    def __init__(self, pem: bytes = SIGNER.pem, address: str = CERTIFICATE) -> None:
        self.pem, self.address = pem, address
        self.asked: list[str] = []

    def __call__(self, address: str) -> bytes:
        self.asked.append(address)
        assert address == self.address, address
        return self.pem


def _verified(content: bytes, shelf: _Shelf | None = None, topics: tuple[str, ...] = (TOPIC,)) -> Body:
    found: Body = json.loads(SnsMessages(topics, Certificates(shelf or _Shelf())).verified(content))
    return found


def _refusal(content: bytes, shelf: _Shelf | None = None) -> Rejected:
    with pytest.raises(Rejected) as caught:
        _verified(content, shelf)
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize(
    "make",
    [
        partial(notification, '{"Records": []}'),
        partial(notification, "여러 줄\n휴가 \U0001f600", Subject="Amazon S3 Notification"),
        partial(notification, "empty subject", Subject=""),
        confirmation,
        partial(confirmation, "UnsubscribeConfirmation"),
    ],
)
def test_what_sns_signed_is_taken(make: Callable[[], Body], version: str) -> None:
    body = make()
    found = _verified(SIGNER.sealed(body, version))
    assert found == {name: value for name, value in body.items() if name in found}
    assert found["Message"] == body["Message"]


def test_a_subject_that_is_null_is_no_subject() -> None:
    body = SIGNER.signed(notification("text"))
    assert _verified(json.dumps({**body, "Subject": None}).encode())["Message"] == "text"


def test_only_what_is_signed_is_left() -> None:
    body = {**SIGNER.signed(notification("text")), "Records": ["smuggled"], "SubscribeURL": "smuggled"}
    assert "smuggled" not in json.dumps(_verified(json.dumps(body).encode()))


@pytest.mark.parametrize("make", [partial(notification, "text", Subject="subject"), confirmation])
def test_no_field_may_be_changed(make: Callable[[], Body]) -> None:
    kind = make()
    signed = SIGNER.signed(kind)
    fields = [name for name in signed if name not in ("UnsubscribeURL", "SigningCertURL", "SignatureVersion")]
    other = {
        "Type": "UnsubscribeConfirmation" if "Token" in kind else "SubscriptionConfirmation",
        "TopicArn": f"{TOPIC}2",
        "Timestamp": sent_at(datetime.now(UTC) + timedelta(seconds=7)),
        "Signature": base64.b64encode(b"x" * 256).decode(),
    }
    for name in fields:
        changed = {**signed, name: other.get(name, f"{signed[name]} ")}
        with pytest.raises(Rejected):
            _verified(json.dumps(changed).encode(), topics=(TOPIC, f"{TOPIC}2"))
        _refusal(json.dumps({key: value for key, value in signed.items() if key != name}).encode())


def test_a_signature_of_another_key_or_version_is_wrong() -> None:
    assert "wrong" in _refusal(Signer(1).sealed(notification("text"))).message
    signed = SIGNER.signed(notification("text"), "1")
    assert "wrong" in _refusal(json.dumps({**signed, "SignatureVersion": "2"}).encode()).message
    assert "not known" in _refusal(json.dumps({**signed, "SignatureVersion": "3"}).encode()).message
    assert "cannot be read" in _refusal(json.dumps({**signed, "Signature": "no base 64!"}).encode()).message


def test_no_line_of_a_field_passes_for_another_field() -> None:
    """The same signed bytes, cut elsewhere: an id that swallows the subject."""
    signed = SIGNER.signed(notification("text", Subject="all is well"))
    moved = {**signed, "MessageId": f"{signed['MessageId']}\nSubject\n{signed['Subject']}"}
    del moved["Subject"]
    assert "several lines" in _refusal(json.dumps(moved).encode()).message


def test_a_topic_that_is_not_named_is_told_where_to_name_it() -> None:
    shelf = _Shelf()
    refusal = _refusal(SIGNER.sealed(notification("text", TopicArn=f"{TOPIC}-2")), shelf)
    assert "S2M_AUTH__SNS_TOPICS" in refusal.hint
    assert shelf.asked == []


@pytest.mark.parametrize(
    "address",
    [
        "",
        None,
        CERTIFICATE.replace("https://", "http://"),
        CERTIFICATE.replace(".com/", ".com.evil.example/"),
        CERTIFICATE.replace(".com/", ".com@evil.example/"),
        CERTIFICATE.replace("https://", "https://me:secret@"),
        CERTIFICATE.replace(".com/", ".com:8443/"),
        CERTIFICATE.replace(".com/", ".com.cn/"),
        CERTIFICATE.replace("ap-northeast-2", "us-east-1"),
        CERTIFICATE.replace("sns.ap-northeast-2", "sns.s3-ap-northeast-2"),
        CERTIFICATE.replace("sns.ap", "sns-ap"),
        CERTIFICATE.replace("sns.ap", "snsxap"),
        CERTIFICATE.replace("amazonaws.com", "amazonawsxcom"),
        CERTIFICATE.replace(".com/", ".com\\@evil.example/"),
        CERTIFICATE.replace(".com/", ".com/evil/../"),
        CERTIFICATE.replace(".pem", ".pem?x=.pem"),
        CERTIFICATE.replace(".pem", ".pem#.pem"),
        CERTIFICATE.replace(".pem", ".txt"),
        f"{CERTIFICATE}\n",
        f" {CERTIFICATE}",
        f"https://evil.example/{CERTIFICATE}",
        "file:///etc/ssl/x.pem",
    ],
)
def test_no_other_address_is_asked_for_a_certificate(address: object) -> None:
    shelf = _Shelf()
    _refusal(json.dumps({**SIGNER.signed(notification("text")), "SigningCertURL": address}).encode(), shelf)
    assert shelf.asked == []


@pytest.mark.parametrize(
    ("topic", "host"),
    [
        ("arn:aws-cn:sns:cn-north-1:123456789012:t", "sns.cn-north-1.amazonaws.com.cn"),
        ("arn:aws-us-gov:sns:us-gov-west-1:123456789012:t", "sns.us-gov-west-1.amazonaws.com"),
    ],
)
def test_other_partitions_have_their_own_hosts(topic: str, host: str) -> None:
    address = f"https://{host}/SimpleNotificationService-1.pem"
    body = {**SIGNER.signed(notification("text", TopicArn=topic)), "SigningCertURL": address}
    shelf = _Shelf(address=address)
    assert _verified(json.dumps(body).encode(), shelf, (topic,))["TopicArn"] == topic


@pytest.mark.parametrize(("hours", "is_taken"), [(0.9, True), (5.9, True), (6.1, False), (-0.2, True), (-0.3, False)])
def test_a_message_may_be_as_old_as_sns_tries_again(hours: float, is_taken: bool) -> None:
    sent = datetime.now(UTC) - timedelta(hours=hours)
    content = SIGNER.sealed(notification("text", Timestamp=sent_at(sent)))
    if is_taken:
        assert _verified(content)
    else:
        assert "older" in _refusal(content).message


@pytest.mark.parametrize("time", ["", "yesterday", "2012-13-01T00:00:00Z", "9999-12-31T23:59:59-23:59", "0001-01-01"])
def test_odd_times_are_refused(time: str) -> None:
    _refusal(SIGNER.sealed(notification("text", Timestamp=time)))


@pytest.mark.parametrize(
    "content", [b"", b"\xff\x00", b"[" * 100_000, b'["Notification"]', b'{"Records": []}'], ids=len
)
def test_other_bodies_are_refused(content: bytes) -> None:
    _refusal(content)


@pytest.mark.parametrize(
    "other",
    [
        {"Type": "Other"},
        {"Type": ["Notification"]},
        {"Type": None},
        {"Message": {"an": "object"}},
        {"Message": "\udce9"},
        {"Subject": 7},
        {"TopicArn": [TOPIC]},
        {"Timestamp": 1_700_000_000},
        {"SignatureVersion": 2},
        {"Signature": ""},
        {"Signature": None},
    ],
)
def test_fields_that_are_something_else_are_refused(other: Body) -> None:
    _refusal(json.dumps({**SIGNER.signed(notification("text")), **other}).encode())


def test_raw_delivery_is_named() -> None:
    assert "raw message delivery" in _refusal(b'{"Records": [{"eventSource": "aws:s3"}]}').hint
