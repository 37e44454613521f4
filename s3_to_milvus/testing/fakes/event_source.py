"""An event source that a test pushes into."""

import threading
from collections import deque
from collections.abc import Callable, Sequence

from s3_to_milvus.domain.objects import ObjectEvent

__all__ = ["MemoryEventSource"]

_POLL_S = 0.02


class MemoryEventSource:
    """Gives out pushed batches in order; a batch is kept until ``emit`` returned for it, and given again otherwise."""

    kind = "memory"

    def __init__(self) -> None:
        self._batches: deque[tuple[ObjectEvent, ...]] = deque()
        self._changed = threading.Condition()

    def push(self, *events: ObjectEvent) -> None:
        """Add one batch."""
        with self._changed:
            self._batches.append(events)
            self._changed.notify_all()

    @property
    def waiting(self) -> int:
        """How many batches were not acknowledged yet."""
        with self._changed:
            return len(self._batches)

    def drain(self, emit: Callable[[Sequence[ObjectEvent]], None]) -> None:
        """Give out all that waits, without blocking: for simulations."""
        while self._batches:
            emit(self._batches[0])
            self._batches.popleft()

    def run(self, emit: Callable[[Sequence[ObjectEvent]], None], should_stop: Callable[[], bool]) -> None:
        """See `EventSource.run`."""
        while not should_stop():
            with self._changed:
                if not self._batches:
                    self._changed.wait(_POLL_S)
                batch = self._batches[0] if self._batches else None
            if batch is not None:
                emit(batch)
                with self._changed:
                    self._batches.popleft()

    def check(self) -> str:
        """See `EventSource.check`."""
        return "events in memory"
