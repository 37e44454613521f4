"""What every shape does with names of buckets and keys."""

from collections.abc import Iterator
from urllib.parse import unquote_plus

from s3_to_milvus.domain.objects import EventType, ObjectEvent, ObjectRef
from s3_to_milvus.errors import Rejected

__all__ = ["HINT", "candidates", "events", "form_decoded", "text"]

HINT = "Send {bucket_name, file_key, event_type}, {bucket, key}, a list of those, or the body of a notification."
_MAX_KEY_BYTES = 4_096


def events(bucket: object, keys: list[str], kind: EventType) -> Iterator[ObjectEvent]:
    """An event for each key that a notification could mean. Raises `Rejected`."""
    name = text(bucket, "bucket")
    for key in keys:
        yield ObjectEvent(ObjectRef(name, key), kind)


def text(value: object, what: str, *, may_be_empty: bool = False) -> str:
    """A name that can be stored and looked up; raises `Rejected` otherwise."""
    if not isinstance(value, str) or not (value or may_be_empty):
        raise Rejected(f"{what} must be a text that is not empty", hint=HINT)
    try:
        size_bytes = len(value.encode())
    except UnicodeEncodeError as error:
        raise Rejected(f"{what} is no valid Unicode", hint=HINT) from error
    if size_bytes > _MAX_KEY_BYTES:
        raise Rejected(f"{what} is longer than {_MAX_KEY_BYTES} bytes", hint=HINT)
    return value


def candidates(key: str) -> list[str]:
    """The key as it is, and decoded where that differs."""
    return list(dict.fromkeys((key, *form_decoded(key))))


def form_decoded(key: str) -> list[str]:
    """A key that is encoded as in a form; as it is where it can't be one."""
    try:
        return [unquote_plus(key, errors="strict")]
    except UnicodeDecodeError:
        return [key]
