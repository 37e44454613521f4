"""Shapes of S3 and of servers that speak S3: records, EventBridge, Cloudflare R2, test messages."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from s3_to_milvus.adapters.events.notification.fields import HINT, candidates, events, form_decoded, text
from s3_to_milvus.domain.objects import EventType, ObjectEvent
from s3_to_milvus.errors import Rejected

__all__ = ["event_bridge", "r2", "s3_record", "test_message"]

_CREATED, _REMOVED = {"ObjectCreated"}, {"ObjectRemoved", "LifecycleExpiration"}
# Only what is said about an object changes, never its content (MinIO sends some of these as ObjectCreated).
_ABOUT_METADATA = {"PutTagging", "DeleteTagging", "PutRetention", "PutLegalHold", "NoOP"}
_QUIET = {"ObjectTagging", "ObjectAcl", "Replication", "IntelligentTiering", "LifecycleTransition", "ObjectAccessed"}
_BRIDGE_KINDS = {
    "Object Created": EventType.UPLOAD,
    "Object Deleted": EventType.DELETE,
    "Object Restore Completed": EventType.UNKNOWN,
    "Object Restore Expired": EventType.UNKNOWN,
}
_R2_KINDS = {
    "PutObject": EventType.UPLOAD,
    "CopyObject": EventType.UPLOAD,
    "CompleteMultipartUpload": EventType.UPLOAD,
    "DeleteObject": EventType.DELETE,
    "LifecycleDeletion": EventType.DELETE,
}


def test_message(body: Mapping[str, Any]) -> list[ObjectEvent] | None:
    """What AWS sends once to every new notification configuration."""
    return [] if body.get("Event") == "s3:TestEvent" else None


def s3_record(body: Mapping[str, Any]) -> list[ObjectEvent] | None:
    """One record of S3's own shape, also of servers that speak S3: the key encoded as in a form."""
    return list(_s3_record(body)) if "s3" in body else None


def _s3_record(record: Mapping[str, Any]) -> Iterator[ObjectEvent]:
    try:
        bucket, key = record["s3"]["bucket"]["name"], record["s3"]["object"]["key"]
    except (KeyError, TypeError) as error:
        raise Rejected("a record of S3 without s3.bucket.name and s3.object.key", hint=HINT) from error
    family, _, detail = str(record.get("eventName", "")).removeprefix("s3:").partition(":")
    keys = _KEYS_BY_SOURCE.get(str(record.get("eventSource", "")), candidates)(text(key, "key"))
    found = events(bucket, keys, _kind(family))
    if family in _QUIET or detail in _ABOUT_METADATA:
        list(found)  # names are checked all the same
        return
    yield from found


def _kind(family: str) -> EventType:
    if family in _CREATED:
        return EventType.UPLOAD
    return EventType.DELETE if family in _REMOVED else EventType.UNKNOWN


def _raw(key: str) -> list[str]:
    return [key]


_KEYS_BY_SOURCE: Mapping[str, Callable[[str], list[str]]] = {
    "aws:s3": form_decoded,
    "minio:s3": form_decoded,
    "ceph:s3": _raw,
}


def event_bridge(body: Mapping[str, Any]) -> list[ObjectEvent] | None:
    """S3 by EventBridge: one object, its key as it is."""
    detail = body.get("detail")
    if body.get("source") != "aws.s3" or not isinstance(detail, Mapping):
        return None
    try:
        bucket, key = detail["bucket"]["name"], detail["object"]["key"]
    except (KeyError, TypeError) as error:
        raise Rejected("an event of EventBridge without detail.bucket.name and detail.object.key", hint=HINT) from error
    kind = _BRIDGE_KINDS.get(str(body.get("detail-type", "")))
    found = list(events(bucket, [text(key, "key")], kind or EventType.UNKNOWN))
    return [] if kind is None else found


def r2(body: Mapping[str, Any]) -> list[ObjectEvent] | None:
    """Cloudflare R2, as its queue gives it."""
    found = body.get("object")
    if not {"account", "action", "bucket"} <= body.keys() or not isinstance(found, Mapping):
        return None
    kind = _R2_KINDS.get(str(body["action"]), EventType.UNKNOWN)
    return list(events(body["bucket"], [text(found.get("key"), "key")], kind))
