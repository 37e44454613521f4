"""Takes events in: is the object ours? Then mark it dirty, commit, and only then say yes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from s3_to_milvus.domain.objects import Lane, ObjectEvent, ObjectRef, sort_key
from s3_to_milvus.domain.routing import route_of
from s3_to_milvus.engine.observe import EVENTS
from s3_to_milvus.engine.parts import Parts

__all__ = ["UNKNOWN_BUCKET", "Intake", "Taken"]

UNKNOWN_BUCKET = "No source of this service holds that bucket."


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a batch of events: refs marked dirty, and why others were left."""

    refs: tuple[ObjectRef, ...]
    ignored: tuple[tuple[ObjectRef, str], ...] = ()


class Intake:
    """The door of the engine for hints. ``wake`` is called after each commit.

    ``open_bucket`` makes a source of a bucket that has none, or says why not.
    """

    def __init__(
        self, parts: Parts, wake: Callable[[], None], open_bucket: Callable[[str], str] = lambda bucket: UNKNOWN_BUCKET
    ) -> None:
        self._parts = parts
        self._wake = wake
        self._open_bucket = open_bucket

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
        if ref.bucket not in self._parts.stores and (reason := self._open_bucket(ref.bucket)):
            return reason
        if not any(ref.key.startswith(prefix) for prefix in self._parts.scopes.get(ref.bucket, ("",))):
            return "No source of this service covers that key."
        return ""


def _is_possible(ref: ObjectRef) -> bool:
    """False for an empty key and for one with surrogates that stand for no bytes: no store ever lists those."""
    try:
        return bool(sort_key(ref.key))
    except UnicodeEncodeError:
        return False
