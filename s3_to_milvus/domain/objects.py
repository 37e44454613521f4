"""Objects of a store: which one (ref), which state of it (version), a hint about it (event)."""

import hashlib
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["EventType", "Lane", "ListedObject", "ObjectEvent", "ObjectRef", "ObjectVersion", "object_id_of", "sort_key"]


def sort_key(key: str) -> bytes:
    """Bytes by which keys are ordered everywhere: UTF-8, as S3 lists (undecodable file names survive)."""
    return key.encode("utf-8", "surrogateescape")


def object_id_of(bucket: str, key: str) -> str:
    """64 hex digits that name the object in Milvus; the only text that ever stands in a filter."""
    return hashlib.sha256(bucket.encode() + b"\0" + sort_key(key)).hexdigest()


@dataclass(frozen=True, slots=True, order=True)
class ObjectRef:
    """One object: bucket and decoded key, exactly as the store spells them (no Unicode normalisation)."""

    bucket: str
    key: str

    @property
    def object_id(self) -> str:
        """See `object_id_of`."""
        return object_id_of(self.bucket, self.key)

    @property
    def file_name(self) -> str:
        """The part of the key after its last slash (the whole key where that is empty)."""
        return self.key.rstrip("/").rpartition("/")[2] or self.key

    @property
    def is_folder_name(self) -> bool:
        """True for keys that end in a slash; with size 0 such an object is a folder marker, not a document."""
        return self.key.endswith("/")


@dataclass(frozen=True, slots=True)
class ObjectVersion:
    """The identity of an object's content: equal (etag, size, version id) means the same bytes.

    ``modified_at`` (epoch seconds) is for people and for freshness figures only; it is never compared.
    """

    etag: str
    size_bytes: int
    version_id: str | None = None
    modified_at: float | None = None

    def is_same_as(self, other: "ObjectVersion | None") -> bool:
        """True when both name the same content. A version id counts only where both sides know one."""
        if other is None or (self.etag, self.size_bytes) != (other.etag, other.size_bytes):
            return False
        return None in (self.version_id, other.version_id) or self.version_id == other.version_id


@dataclass(frozen=True, slots=True)
class ListedObject:
    """One line of a listing. A listing knows no version ids."""

    key: str
    etag: str
    size_bytes: int
    modified_at: float | None = None

    @property
    def is_folder_marker(self) -> bool:
        """True for the empty objects that consoles make to show a folder."""
        return self.size_bytes == 0 and self.key.endswith("/")


class EventType(StrEnum):
    """What an event claims to have happened. Only people read it; the engine looks at the bucket."""

    UPLOAD = "upload"
    DELETE = "delete"
    UNKNOWN = "unknown"


class Lane(StrEnum):
    """Priority: live work always goes before backfill."""

    LIVE = "live"
    BACKFILL = "backfill"


@dataclass(frozen=True, slots=True)
class ObjectEvent:
    """A hint which object to look at; never trusted for what happened to it."""

    ref: ObjectRef
    type: EventType = EventType.UNKNOWN
