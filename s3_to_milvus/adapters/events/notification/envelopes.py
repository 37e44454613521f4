"""What notifications come wrapped in: SQS and SNS records of a Lambda, SNS, Pub/Sub pushes. Each opens one layer."""

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["Envelope", "opened"]

Envelope = Callable[[Mapping[str, Any]], list[object] | None]
"""The bodies inside; None where it is no such envelope."""


def opened(body: Mapping[str, Any]) -> list[object] | None:
    """The bodies inside; None where the body is no envelope."""
    return next((inside for envelope in _ENVELOPES if (inside := envelope(body)) is not None), None)


def _lambda_records(body: Mapping[str, Any]) -> list[object] | None:
    """What a Lambda is given by SQS (``eventSource``) or SNS (``EventSource``)."""
    records = body.get("Records")
    if not isinstance(records, list) or not records:
        return None
    inside: list[object] = []
    for record in records:
        if not isinstance(record, Mapping):
            return None
        if record.get("eventSource") == "aws:sqs" and "body" in record:
            inside.append(record["body"])
        elif record.get("EventSource") == "aws:sns" and isinstance(record.get("Sns"), Mapping):
            inside.append(record["Sns"].get("Message"))
        else:
            return None
    return inside


def _sns(body: Mapping[str, Any]) -> list[object] | None:
    """SNS that is not asked for raw delivery, by SQS or HTTP. A confirmation holds no events."""
    if "TopicArn" not in body:
        return None
    if body.get("Type") in ("SubscriptionConfirmation", "UnsubscribeConfirmation"):
        return []
    return [body["Message"]] if "Message" in body else None


def _sqs_message(body: Mapping[str, Any]) -> list[object] | None:
    """A message as the API of SQS gives it."""
    return [body["Body"]] if {"MessageId", "ReceiptHandle", "Body"} <= body.keys() else None


def _pub_sub(body: Mapping[str, Any]) -> list[object] | None:
    """A push of Pub/Sub, or what it pushes: attributes tell all; without them the data does."""
    message = body.get("message")
    if isinstance(message, Mapping) and ("attributes" in message or "data" in message):
        return [message]
    attributes = body.get("attributes")
    if isinstance(attributes, Mapping) and "eventType" in attributes:
        return None
    if "data" in body and {"messageId", "message_id", "publishTime"} & body.keys():
        try:
            return [base64.b64decode(str(body["data"]), validate=True)]
        except (binascii.Error, ValueError):
            return None
    return None


_ENVELOPES: tuple[Envelope, ...] = (_lambda_records, _sns, _sqs_message, _pub_sub)
