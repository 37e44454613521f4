"""Bodies of events as they come in by any door: decoded, taken, and what nobody understands put into quarantine."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from s3_to_milvus.domain.objects import ObjectEvent
from s3_to_milvus.domain.quarantine import Decoded, QuarantinedBody, Refused
from s3_to_milvus.engine.intake import Taken
from s3_to_milvus.engine.observe import EVENTS, log
from s3_to_milvus.ports import Clock, Ledger

__all__ = ["Hints", "Replayed"]


_PAGE = 1_000


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

    def chosen(self, ids: Sequence[int] | None) -> list[QuarantinedBody]:
        """The bodies in quarantine with these ids (None: all)."""
        found: list[QuarantinedBody] = []
        while page := self._ledger.quarantined(found[-1].id if found else 0, _PAGE):
            found += page
        return [each for each in found if ids is None or each.id in ids]

    def drop(self, ids: Sequence[int] | None) -> Replayed:
        """Forget these (None: all)."""
        self._ledger.unquarantine([each.id for each in self.chosen(ids)])
        return Replayed(0, len(self.chosen(None)))

    def replay(self, ids: Sequence[int] | None) -> Replayed:
        """Decode these (None: all) once more, take what is understood now, and forget it; the others stay."""
        bodies = self.chosen(ids)
        understood: list[int] = []
        events: list[ObjectEvent] = []
        for each in bodies:
            found = self.decode(each.body)
            if not found.refused:
                understood.append(each.id)
                events += found.events
        if events:
            self._take(events)
        self._ledger.unquarantine(understood)
        return Replayed(len(understood), len(bodies) - len(understood))
