"""Turns the body of a notification into events: which objects to look at. Pure; nothing in a body is trusted further.

One function per shape, asked in the order of ``_SHAPES``: it returns None for a body that is not of its shape. A new
shape is one more function.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote_plus

from s3_to_milvus.domain.objects import EventType, ObjectEvent, ObjectRef
from s3_to_milvus.errors import Rejected

__all__ = ["decode"]

_Shape = Callable[[Mapping[str, Any]], list[ObjectEvent] | None]
_ORIGINAL_TYPES = {"upload": EventType.UPLOAD, "delete": EventType.DELETE}
_MAX_KEY_BYTES = 4_096
_MAX_WRAPPINGS = 4
_HINT = "Send {bucket_name, file_key, event_type}, {bucket, key}, a list of those, or the body of an S3 notification."


def decode(body: object) -> list[ObjectEvent]:
    """The events in a body (parsed JSON, or JSON as text, also as text within text); [] for a test message.

    A key that several decodings could mean yields every candidate. Raises `Rejected` for a body that holds anything
    else: it is all understood, or it is none.
    """
    for _ in range(_MAX_WRAPPINGS):
        if not isinstance(body, str | bytes):
            break
        try:
            body = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise Rejected(f"the body is no JSON: {error}", hint=_HINT) from error
    if isinstance(body, list):
        return [event for item in body for event in _decode_one(item)]
    return _decode_one(body)


def _decode_one(body: object) -> list[ObjectEvent]:
    if isinstance(body, Mapping):
        for shape in _SHAPES:
            events = shape(body)
            if events is not None:
                return events
    names = ", ".join(sorted(map(repr, body))[:8]) if isinstance(body, Mapping) else type(body).__name__
    raise Rejected(f"no known shape of event: {names}"[:300], hint=_HINT)


def _test_message(body: Mapping[str, Any]) -> list[ObjectEvent] | None:
    """What AWS sends once to every new notification configuration."""
    return [] if body.get("Event") == "s3:TestEvent" else None


def _s3_records(body: Mapping[str, Any]) -> list[ObjectEvent] | None:
    """S3's own shape, also of servers that speak S3: several records, keys encoded as in a form."""
    records = body.get("Records")
    if not isinstance(records, list) or not all(isinstance(record, Mapping) and "s3" in record for record in records):
        return None
    return [event for record in records for event in _s3_record(record)]


def _s3_record(record: Mapping[str, Any]) -> Iterator[ObjectEvent]:
    try:
        bucket, key = record["s3"]["bucket"]["name"], record["s3"]["object"]["key"]
    except (KeyError, TypeError) as error:
        raise Rejected("a record of S3 without s3.bucket.name and s3.object.key", hint=_HINT) from error
    kind = _s3_type(str(record.get("eventName", "")))
    source = str(record.get("eventSource", ""))
    yield from _events(bucket, _KEYS_BY_SOURCE.get(source, _candidates)(_text(key, "key")), kind)


def _s3_type(name: str) -> EventType:
    family = name.removeprefix("s3:").partition(":")[0]
    if family == "ObjectCreated":
        return EventType.UPLOAD
    return EventType.DELETE if family in {"ObjectRemoved", "LifecycleExpiration"} else EventType.UNKNOWN


def _original(body: Mapping[str, Any]) -> list[ObjectEvent] | None:
    """The shape of ``POST /process_s3_event``; whether its key is encoded depends on who sends it."""
    if not {"bucket_name", "file_key"} <= body.keys():
        return None
    name = _text(body.get("event_type", ""), "event_type", may_be_empty=True)
    kind = _ORIGINAL_TYPES.get(name, EventType.UNKNOWN)
    return list(_events(body["bucket_name"], _candidates(_text(body["file_key"], "file_key")), kind))


def _ours(body: Mapping[str, Any]) -> list[ObjectEvent] | None:
    """``{bucket, key}``: the key as it is."""
    if not {"bucket", "key"} <= body.keys():
        return None
    return list(_events(body["bucket"], [_text(body["key"], "key")], EventType.UNKNOWN))


_SHAPES: tuple[_Shape, ...] = (_test_message, _s3_records, _original, _ours)


def _events(bucket: object, keys: list[str], kind: EventType) -> Iterator[ObjectEvent]:
    name = _text(bucket, "bucket")
    for key in keys:
        yield ObjectEvent(ObjectRef(name, key), kind)


def _text(value: object, what: str, *, may_be_empty: bool = False) -> str:
    """A name that can be stored and looked up; raises `Rejected` otherwise."""
    if not isinstance(value, str) or not (value or may_be_empty):
        raise Rejected(f"{what} must be a text that is not empty", hint=_HINT)
    try:
        size_bytes = len(value.encode())
    except UnicodeEncodeError as error:
        raise Rejected(f"{what} is no valid Unicode", hint=_HINT) from error
    if size_bytes > _MAX_KEY_BYTES:
        raise Rejected(f"{what} is longer than {_MAX_KEY_BYTES} bytes", hint=_HINT)
    return value


def _candidates(key: str) -> list[str]:
    """The key as it is, and decoded where that differs."""
    return list(dict.fromkeys((key, *_decoded(key))))


def _decoded(key: str) -> list[str]:
    """The key of a record of S3; as it is where that can't be an encoded key."""
    try:
        return [unquote_plus(key, errors="strict")]
    except UnicodeDecodeError:
        return [key]


def _raw(key: str) -> list[str]:
    return [key]


_KEYS_BY_SOURCE: Mapping[str, Callable[[str], list[str]]] = {
    "aws:s3": _decoded,
    "minio:s3": _decoded,
    "ceph:s3": _raw,
}
