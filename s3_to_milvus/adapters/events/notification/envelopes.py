"""What notifications come wrapped in: lists of records (of S3, of SQS and SNS for a Lambda), SNS, Pub/Sub pushes.

Each opens one layer.
"""

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["Envelope", "opened"]

Envelope = Callable[[Mapping[str, Any]], list[object] | None]
"""The bodies inside; None where it is no such envelope."""


def opened(body: Mapping[str, Any]) -> list[object] | None:
    """The bodies inside; None where the body is no envelope."""
    return next((inside for envelope in _ENVELOPES if (inside := envelope(body)) is not None), None)


def _records(body: Mapping[str, Any]) -> list[object] | None:
    """Each record by itself; of what SQS (``eventSource``) or SNS (``EventSource``) gives a Lambda, its body."""
    records = body.get("Records")
    if not isinstance(records, list):
        return None
    return [_of_lambda(record) if isinstance(record, Mapping) else record for record in records]


def _of_lambda(record: Mapping[str, Any]) -> object:
    if record.get("eventSource") == "aws:sqs" and "body" in record:
        return record["body"]
    if record.get("EventSource") == "aws:sns" and isinstance(record.get("Sns"), Mapping):
        return record["Sns"].get("Message")
    return record


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


def _cloud_event(body: Mapping[str, Any]) -> list[object] | None:
    """A CloudEvent whose data is JSON in base64 (CloudEvents 1.0, JSON format, 3.1.1): as if it stood there plainly."""
    if not {"specversion", "type", "data_base64"} <= body.keys():
        return None
    try:
        data = json.loads(base64.b64decode(str(body["data_base64"]), validate=True))
    except (binascii.Error, ValueError, RecursionError):
        return None
    return [{name: value for name, value in body.items() if name != "data_base64"} | {"data": data}]


_ENVELOPES: tuple[Envelope, ...] = (_records, _sns, _sqs_message, _pub_sub, _cloud_event)
