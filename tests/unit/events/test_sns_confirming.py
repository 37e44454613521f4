"""Confirmation of a subscription of SNS: only addresses of SNS itself are ever opened."""

import json

import pytest

from s3_to_milvus.adapters.events.sns import confirm
from s3_to_milvus.errors import Rejected, Unavailable

_GOOD = "https://sns.ap-northeast-2.amazonaws.com/?Action=ConfirmSubscription&TopicArn=arn&Token=t"


def _body(address: object = _GOOD, kind: str = "SubscriptionConfirmation") -> bytes:
    return json.dumps({"Type": kind, "SubscribeURL": address}).encode()


def _never(address: str) -> int:
    raise AssertionError(address)


def test_the_address_of_sns_is_opened_once() -> None:
    opened: list[str] = []
    assert confirm(_body(), lambda address: opened.append(address) or 200)  # type: ignore[func-returns-value]
    assert opened == [_GOOD]


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"SubscriptionConfirmation", b'["SubscriptionConfirmation"]', _body(kind="Notification")],
)
def test_other_bodies_ask_for_nothing(content: bytes) -> None:
    assert not confirm(content, _never)


@pytest.mark.parametrize(
    "address",
    [
        "",
        None,
        "http://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription",
        "https://sns.us-east-1.amazonaws.com.evil.example/?Action=ConfirmSubscription",
        "https://evil.example/sns.us-east-1.amazonaws.com?Action=ConfirmSubscription",
        "https://sns.us-east-1.amazonaws.com@evil.example/?Action=ConfirmSubscription",
        "https://me@sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription",
        "https://sns.us-east-1.amazonaws.com:8443/?Action=ConfirmSubscription",
        "https://sns.us-east-1.amazonaws.com:x/?Action=ConfirmSubscription",
        "https://sns.us-east-1.amazonaws.com/?Action=Unsubscribe",
        "https://169.254.169.254/?Action=ConfirmSubscription",
        "https://[::1/?Action=ConfirmSubscription",
    ],
)
def test_no_other_address_is_opened(address: object) -> None:
    with pytest.raises(Rejected, match="not of SNS"):
        confirm(_body(address), _never)


def test_what_sns_does_not_confirm_is_asked_again() -> None:
    with pytest.raises(Unavailable, match="403"):
        confirm(_body(), lambda address: 403)

    def broken(address: str) -> int:
        raise OSError(address)

    with pytest.raises(Unavailable, match="OSError") as caught:
        confirm(_body(), broken)
    assert "Token" not in str(caught.value)
