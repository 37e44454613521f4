"""Takes events in: is the object ours? Then mark it dirty, commit, and only then say yes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from s3_to_milvus.domain.objects import Lane, ObjectEvent, ObjectRef, sort_key
from s3_to_milvus.domain.routing import is_left_out, route_of
from s3_to_milvus.engine.observe import EVENTS
from s3_to_milvus.engine.parts import Parts
from s3_to_milvus.errors import RateLimited

__all__ = ["MEANINGLESS", "Intake", "Taken"]

_NO_ROUTE = "No route leads this key into a collection."
_NO_KEY = "No store can hold such a key."
MEANINGLESS = frozenset({_NO_ROUTE, _NO_KEY})
"""Why events are ignored that no further source would make use of."""

_MOST_LOOKS = 64


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a batch of events: refs marked dirty, and why others were left."""

    refs: tuple[ObjectRef, ...]
    ignored: tuple[tuple[ObjectRef, str], ...] = ()


class Intake:
    """The door of the engine for hints. ``wake`` is called after each commit.

    ``open_bucket`` may make a source of a bucket that none covers, or says why not (empty: it has nothing to say);
    ``is_known`` whether it can say so without looking at the bucket.
    """

    def __init__(
        self,
        parts: Parts,
        wake: Callable[[], None],
        open_bucket: Callable[[str], str] = lambda bucket: "",
        is_known: Callable[[str], bool] = lambda bucket: True,
    ) -> None:
        self._parts = parts
        self._wake = wake
        self._open_bucket = open_bucket
        self._is_known = is_known

    def is_quick(self, events: Sequence[ObjectEvent]) -> bool:
        """False where `open_buckets` may have to look at a bucket before `take`."""
        return all(self._is_covered(event.ref) for event in events)

    def open_buckets(self, events: Sequence[ObjectEvent]) -> dict[str, str]:
        """Open what these need, which may take seconds; by bucket, why that could not be done.

        Raises `TransientError` where nobody can tell now, and for more buckets than are looked at for one sender.
        """
        refs = [event.ref for event in events]
        wanted = dict.fromkeys(ref.bucket for ref in refs if not self._is_covered(ref) and not self._meaningless(ref))
        found: dict[str, str] = {}
        looks = 0
        for bucket in wanted:
            looks += not self._is_known(bucket)
            if looks > _MOST_LOOKS:  # those that were looked at are known when the sender comes again
                raise RateLimited("The events name many buckets that were not looked at yet.", retry_after_s=1.0)
            if reason := self._open_bucket(bucket):
                found[bucket] = reason
        return found

    def take(
        self, events: Sequence[ObjectEvent], lane: Lane = Lane.LIVE, reasons: Mapping[str, str] | None = None
    ) -> Taken:
        """Durable when it returns. Unknown buckets and keys off every route are ignored, with the reason.

        Looks at no bucket: call `open_buckets` before, and give its ``reasons``.
        """
        refs: dict[ObjectRef, None] = {}
        ignored = []
        for event in events:
            reason = self._why_not(event.ref, reasons or {})
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

    def _why_not(self, ref: ObjectRef, reasons: Mapping[str, str]) -> str:
        if reason := self._meaningless(ref):
            return reason
        if self._is_covered(ref):
            return ""
        if ref.bucket not in self._parts.stores:
            return reasons.get(ref.bucket) or "No source of this service holds that bucket."
        return "No source of this service covers that key."

    def _meaningless(self, ref: ObjectRef) -> str:
        if not _is_possible(ref):
            return _NO_KEY
        return _NO_ROUTE if is_left_out(route_of(self._parts.routes, ref), ref) else ""

    def _is_covered(self, ref: ObjectRef) -> bool:
        prefixes = self._parts.scopes.get(ref.bucket, ("",))
        return ref.bucket in self._parts.stores and any(ref.key.startswith(prefix) for prefix in prefixes)


def _is_possible(ref: ObjectRef) -> bool:
    """False for an empty key and for one with surrogates that stand for no bytes: no store ever lists those."""
    try:
        return bool(sort_key(ref.key))
    except UnicodeEncodeError:
        return False
