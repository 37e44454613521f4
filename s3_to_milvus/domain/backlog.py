"""What a watch has seen and nobody took yet: remembered within bounds, and given again."""

from collections.abc import Sequence

from s3_to_milvus.domain.objects import ObjectEvent, ObjectRef

__all__ = ["Backlog"]

_MOST_EVENTS = 10_000


class Backlog:
    """Events in the order they came, the newest for each ref; of very many, "anything in the bucket" remains."""

    def __init__(self, most_events: int = _MOST_EVENTS) -> None:
        self._most_events = most_events
        self._events: dict[ObjectRef, ObjectEvent] = {}

    def __bool__(self) -> bool:
        """True while something waits."""
        return bool(self._events)

    def add(self, events: Sequence[ObjectEvent]) -> None:
        """Remember these."""
        for event in events:
            if ObjectRef(event.ref.bucket, "") not in self._events:
                self._events.pop(event.ref, None)
                self._events[event.ref] = event
            if not event.ref.key or len(self._events) > self._most_events:
                self._shrink(event.ref.bucket)

    def take(self) -> list[ObjectEvent]:
        """All of them, files before folders; they stay until `clear`."""
        return sorted(self._events.values(), key=lambda event: event.ref.key.endswith("/") or not event.ref.key)

    def clear(self) -> None:
        """They were taken."""
        self._events.clear()

    def _shrink(self, bucket: str) -> None:
        """Anything in the bucket may have changed: that says all that is known of it."""
        whole = ObjectEvent(ObjectRef(bucket, ""))
        self._events = {ref: event for ref, event in self._events.items() if ref.bucket != bucket}
        self._events[whole.ref] = whole
