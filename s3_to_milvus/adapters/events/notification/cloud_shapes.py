"""Shapes of Google Cloud Storage (Pub/Sub, CloudEvents) and Azure Blob Storage (Event Grid)."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from s3_to_milvus.adapters.events.notification.fields import HINT, events, text
from s3_to_milvus.domain.objects import EventType, ObjectEvent
from s3_to_milvus.errors import Rejected

__all__ = ["azure", "azure_handshake", "gcs_attributes", "gcs_object"]

_GCS_KINDS = {
    "OBJECT_FINALIZE": EventType.UPLOAD,
    "OBJECT_DELETE": EventType.DELETE,
    "OBJECT_ARCHIVE": EventType.DELETE,
}
_GCS_QUIET = "OBJECT_METADATA_UPDATE"
_GCS_TYPE = "google.cloud.storage.object.v1."
_AZURE_TYPE = re.compile(r"Microsoft\.Storage\.(\w+)")
_AZURE_KINDS = {
    "BlobCreated": EventType.UPLOAD,
    "BlobDeleted": EventType.DELETE,
    "BlobRenamed": EventType.UNKNOWN,
    "BlobTierChanged": None,
    "BlobPropertiesUpdated": None,
}
_AZURE_BEGUN = {"CreateFile", "SftpCreate"}  # another event comes when the file is written
_AZURE_SUBJECT = re.compile(r"/blobServices/default/containers/([^/]+)/blobs/(.+)", re.DOTALL)
_AZURE_VALIDATION = "Microsoft.EventGrid.SubscriptionValidationEvent"


def gcs_attributes(body: Mapping[str, Any]) -> list[ObjectEvent] | None:
    """A message of Pub/Sub: everything is in its attributes."""
    attributes = body.get("attributes")
    if not isinstance(attributes, Mapping) or not {"eventType", "bucketId", "objectId"} <= attributes.keys():
        return None
    kind = str(attributes["eventType"])
    found = list(
        events(attributes["bucketId"], [text(attributes["objectId"], "objectId")], _GCS_KINDS.get(kind, _UNKNOWN))
    )
    return [] if kind == _GCS_QUIET else found


def gcs_object(body: Mapping[str, Any]) -> list[ObjectEvent] | None:
    """A CloudEvent of Google, or the object that is its data (and that of Pub/Sub)."""
    kind = str(body.get("type", ""))
    data = body.get("data") if kind.startswith(_GCS_TYPE) else body
    if not isinstance(data, Mapping) or (data is body and body.get("kind") != "storage#object"):
        return None
    found = list(events(data.get("bucket"), [text(data.get("name"), "name")], _gcs_kind(kind)))
    return [] if kind == f"{_GCS_TYPE}metadataUpdated" else found


def _gcs_kind(kind: str) -> EventType:
    name = kind.removeprefix(_GCS_TYPE)
    if name == "finalized":
        return EventType.UPLOAD
    return EventType.DELETE if name in ("deleted", "archived") else _UNKNOWN


def azure(body: Mapping[str, Any]) -> list[ObjectEvent] | None:
    """An event of Event Grid, in its own schema or as a CloudEvent; the container is the bucket."""
    kind = _AZURE_TYPE.fullmatch(str(body.get("eventType") or body.get("type") or ""))
    if kind is None:
        return None
    subject = _AZURE_SUBJECT.fullmatch(str(body.get("subject", "")))
    if subject is None:
        raise Rejected("an event of Azure without a container and a blob in its subject", hint=HINT)
    name, data = kind[1], body.get("data")
    found = list(events(subject[1], [text(subject[2], "blob")], _AZURE_KINDS.get(name) or _UNKNOWN))
    if not isinstance(data, Mapping):
        data = {}
    if name == "BlobRenamed":
        found += _azure_source(data.get("sourceUrl"))
    is_quiet = name in _AZURE_KINDS and _AZURE_KINDS[name] is None
    return [] if is_quiet or data.get("api") in _AZURE_BEGUN else found


def _azure_source(url: object) -> list[ObjectEvent]:
    """What a blob was called before: ``https://account.host/container/blob``."""
    container, _, blob = unquote(urlsplit(str(url or "")).path).lstrip("/").partition("/")
    return list(events(container, [text(blob, "blob")], EventType.DELETE)) if container and blob else []


def azure_handshake(body: Mapping[str, Any]) -> list[ObjectEvent] | None:
    """The question of Event Grid whether somebody listens; its answer is the door's business."""
    return [] if body.get("eventType") == _AZURE_VALIDATION else None


_UNKNOWN = EventType.UNKNOWN
