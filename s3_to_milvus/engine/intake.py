"""Takes events in: is the object ours? Then mark it dirty, commit, and only then say yes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from s3_to_milvus.domain.objects import Lane, ObjectEvent, ObjectRef, sort_key
from s3_to_milvus.domain.routing import route_of
from s3_to_milvus.engine.observe import EVENTS
from s3_to_milvus.engine.parts import Parts

__all__ = ["Intake", "Taken"]


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a batch of events: refs marked dirty, and why others were left."""

    refs: tuple[ObjectRef, ...]
    ignored: tuple[tuple[ObjectRef, str], ...] = ()


class Intake:
    """The door of the engine for hints. ``wake`` is called after each commit.

    ``open_bucket`` may make a source of a bucket that none covers, or says why not (empty: it has nothing to say).
    """

    def __init__(
        self, parts: Parts, wake: Callable[[], None], open_bucket: Callable[[str], str] = lambda bucket: ""
    ) -> None:
        self._parts = parts
        self._wake = wake
        self._open_bucket = open_bucket

    def open_buckets(self, events: Sequence[ObjectEvent]) -> None:
        """Open what these need, which may take seconds. Raises `TransientError` where a bucket can't be looked at."""
        for event in events:
            self._why_not(event.ref)

    def is_quick(self, events: Sequence[ObjectEvent]) -> bool:
        """False where `take` may have to look at a bucket first."""
        return all(self._is_covered(event.ref) for event in events)

    def take(self, events: Sequence[ObjectEvent], lane: Lane = Lane.LIVE) -> Taken:
        """Durable when it returns. Unknown buckets and keys off every route are ignored, with the reason.

        Raises `TransientError`, and takes nothing, where a bucket must be looked at first and can't be.
        """
        refs: dict[ObjectRef, None] = {}
        ignored = []
        for event in events:
            reason = self._why_not(event.ref)
            if reason:
                ignored.append((event.ref, reason))
            else:
                refs[event.ref] = None
        if refs:
            self._parts.ledger.observe(list(refs), lane, self._parts.clock.now())
            self._wake()
        EVENTS.labels("taken").inc(len(refs))
        EVENTS.labels("ignored").inc(len(ignored))
        return Taken(tuple(refs), tuple(ignored))

    def _why_not(self, ref: ObjectRef) -> str:
        if not _is_possible(ref):
            return "No store can hold such a key."
        route = route_of(self._parts.routes, ref)
        if route is None or route.is_ignored:
            return "No route leads this key into a collection."
        if self._is_covered(ref):
            return ""
        reason = self._open_bucket(ref.bucket)
        if reason or self._is_covered(ref):
            return reason
        if ref.bucket not in self._parts.stores:
            return "No source of this service holds that bucket."
        return "No source of this service covers that key."

    def _is_covered(self, ref: ObjectRef) -> bool:
        prefixes = self._parts.scopes.get(ref.bucket, ("",))
        return ref.bucket in self._parts.stores and any(ref.key.startswith(prefix) for prefix in prefixes)


def _is_possible(ref: ObjectRef) -> bool:
    """False for an empty key and for one with surrogates that stand for no bytes: no store ever lists those."""
    try:
        return bool(sort_key(ref.key))
    except UnicodeEncodeError:
        return False
