"""Shapes without a cloud: the original system's, and ours."""

from collections.abc import Mapping
from typing import Any

from s3_to_milvus.adapters.events.notification.fields import candidates, events, text
from s3_to_milvus.domain.objects import EventType, ObjectEvent

__all__ = ["original", "ours"]

_ORIGINAL_TYPES = {"upload": EventType.UPLOAD, "delete": EventType.DELETE}


def original(body: Mapping[str, Any]) -> list[ObjectEvent] | None:
    """The shape of ``POST /process_s3_event``; whether its key is encoded depends on who sends it."""
    if not {"bucket_name", "file_key"} <= body.keys():
        return None
    name = text(body.get("event_type", ""), "event_type", may_be_empty=True)
    kind = _ORIGINAL_TYPES.get(name, EventType.UNKNOWN)
    return list(events(body["bucket_name"], candidates(text(body["file_key"], "file_key")), kind))


def ours(body: Mapping[str, Any]) -> list[ObjectEvent] | None:
    """``{bucket, key}``: the key as it is."""
    if not {"bucket", "key"} <= body.keys():
        return None
    return list(events(body["bucket"], [text(body["key"], "key")], EventType.UNKNOWN))
