"""Bodies of events as they come in by any door: decoded, taken, and what nobody understands put into quarantine."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from s3_to_milvus.domain.objects import ObjectEvent
from s3_to_milvus.domain.quarantine import Decoded, QuarantinedBody, Refused
from s3_to_milvus.engine.intake import MEANINGLESS, Taken
from s3_to_milvus.engine.observe import EVENTS, log
from s3_to_milvus.errors import TransientError
from s3_to_milvus.ports import Clock, Ledger

__all__ = ["Hints", "Replayed"]


_PAGE = 50


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of bodies that were played again."""

    taken: int
    left: int


class Hints:
    """``decode`` understands the parts of a body one by one; ``take`` makes events durable."""

    def __init__(
        self,
        ledger: Ledger,
        clock: Clock,
        decode: Callable[[object], Decoded],
        take: Callable[[Sequence[ObjectEvent]], Taken],
    ) -> None:
        self._ledger, self._clock = ledger, clock
        self.decode = decode
        self._take = take

    def keep(self, refused: Sequence[Refused], source: str) -> None:
        """Put what nobody understands into quarantine; durable when it returns."""
        if not refused:
            return
        now = self._clock.now()
        self._ledger.quarantine([QuarantinedBody(each.body, each.reason, source, now) for each in refused])
        EVENTS.labels("quarantined").inc(len(refused))
        log.warning("events.quarantined", source=source, count=len(refused), reason=refused[0].reason)

    def chosen(self, ids: Sequence[int] | None) -> Iterator[QuarantinedBody]:
        """The bodies in quarantine with these ids (None: all), some at a time: each may be a megabyte."""
        if ids is not None:
            for each in sorted(set(ids)):
                yield from (found for found in self._ledger.quarantined(each - 1, 1) if found.id == each)
            return
        page = self._ledger.quarantined(0, _PAGE)
        while page:
            yield from page
            page = self._ledger.quarantined(page[-1].id, _PAGE)

    def drop(self, ids: Sequence[int] | None) -> Replayed:
        """Forget these (None: all)."""
        self._ledger.unquarantine(list(ids) if ids is not None else [each.id for each in self.chosen(None)])
        return Replayed(0, sum(1 for _ in self.chosen(None)))

    def replay(self, ids: Sequence[int] | None) -> Replayed:
        """Decode these (None: all) once more, take what is understood now, and forget it; the others stay.

        Raises what taking raises where nothing could be taken at all.
        """
        taken = left = 0
        failure: TransientError | None = None
        for each in self.chosen(ids):
            found = self.decode(each.body)
            try:
                is_taken = not found.refused and self._is_taken(found.events)
            except TransientError as error:
                failure, is_taken = error, False
            if is_taken:
                self._ledger.unquarantine([each.id])
            taken, left = taken + is_taken, left + (not is_taken)
        if failure is not None and not taken:
            raise failure
        return Replayed(taken, left)

    def _is_taken(self, events: Sequence[ObjectEvent]) -> bool:
        """True where they are durable, or mean nothing to us. A bucket that no source holds may be one tomorrow."""
        done = self._take(events)
        return bool(done.refs) or all(reason in MEANINGLESS for _, reason in done.ignored)
