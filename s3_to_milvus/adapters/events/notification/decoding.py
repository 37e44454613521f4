"""Opens what a notification is wrapped in, and asks each shape in turn.

A shape is a function that returns None for a body that is not of its shape. A new one is one more function.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from s3_to_milvus.adapters.events.notification import cloud_shapes, plain_shapes, s3_shapes
from s3_to_milvus.adapters.events.notification.envelopes import opened
from s3_to_milvus.adapters.events.notification.fields import HINT
from s3_to_milvus.domain.objects import ObjectEvent
from s3_to_milvus.domain.quarantine import Decoded, Refused
from s3_to_milvus.errors import Rejected

__all__ = ["decode", "decode_each"]

_Shape = Callable[[Mapping[str, Any]], list[ObjectEvent] | None]
_SHAPES: tuple[_Shape, ...] = (
    s3_shapes.test_message,
    s3_shapes.s3_record,
    s3_shapes.event_bridge,
    cloud_shapes.azure_handshake,
    cloud_shapes.azure,
    cloud_shapes.gcs_attributes,
    cloud_shapes.gcs_object,
    s3_shapes.r2,
    plain_shapes.original,
    plain_shapes.ours,
)
_MAX_WRAPPINGS = 8
_MAX_BODIES = 50_000  # more than a megabyte can hold of events
_MOST_REFUSED = 16
_THE_REST = object()


def decode(body: object) -> list[ObjectEvent]:
    """The events in a body (parsed JSON, or JSON as text, also as text within text); [] for a test message.

    A key that several decodings could mean yields every candidate. Raises `Rejected` for a body that holds anything
    else: it is all understood, or it is none.
    """
    found = decode_each(body)
    if found.refused:
        raise Rejected(found.refused[0].reason, hint=HINT)
    return found.events


def decode_each(body: object) -> Decoded:
    """As `decode`, but what is not understood is given back beside the events. Raises nothing."""
    events: list[ObjectEvent] = []
    refused: list[tuple[object, str]] = []
    for part in _parts(body):
        try:
            events += _events(part)
        except Rejected as error:
            refused.append((part, error.message))
    if any(part is _THE_REST for part, _ in refused) or len(refused) > _MOST_REFUSED:
        refused = [(body, refused[-1][1])]  # once, as a whole
    return Decoded(events, [Refused(_as_text(part), reason) for part, reason in refused])


def _parts(body: object) -> Iterator[object]:
    """The innermost bodies; at last `_THE_REST` where there are too many. Layers are opened without recursion."""
    waiting: list[tuple[object, int]] = [(body, 0)]
    count = 0
    while waiting:
        if count == _MAX_BODIES:
            yield _THE_REST
            return
        part, depth = waiting.pop()
        inside = _inside(part) if depth < _MAX_WRAPPINGS else None
        if inside is None:
            count += 1
            yield part
        else:
            waiting += [(each, depth + 1) for each in reversed(inside)]


def _inside(part: object) -> list[object] | None:
    """The next layer; None for what holds no other."""
    if isinstance(part, str | bytes):
        try:
            return [json.loads(part)]
        except (ValueError, RecursionError):
            return None
    if isinstance(part, list):
        return part
    return opened(part) if isinstance(part, Mapping) else None


def _events(part: object) -> list[ObjectEvent]:
    if part is _THE_REST:
        raise Rejected(f"the body holds more than {_MAX_BODIES} others", hint=HINT)
    if isinstance(part, Mapping):
        for shape in _SHAPES:
            events = shape(part)
            if events is not None:
                return events
    if isinstance(part, str | bytes):
        raise Rejected("the body is no JSON", hint=HINT)
    names = ", ".join(sorted(map(repr, part))[:8]) if isinstance(part, Mapping) else type(part).__name__
    raise Rejected(f"no known shape of event: {names}"[:300], hint=HINT)


def _as_text(part: object) -> str:
    """The body as it came, or written anew as JSON."""
    if isinstance(part, bytes):
        return part.decode("utf-8", "replace")
    if isinstance(part, str):
        return part
    try:
        return json.dumps(part, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return "(nested too deeply to be shown)"
