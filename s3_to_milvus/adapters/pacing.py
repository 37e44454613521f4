"""How fast requests may follow each other: rates per minute, and how many are in flight."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from s3_to_milvus.errors import RateLimited

__all__ = ["Flight", "Pace"]

_MINUTE_S = 60.0
_PATIENCE_S = 5.0


class Pace:
    """A rate shared by all threads; 0: any. What is used in ``burst_s`` may be used at once.

    A wait that would be long is left to the queue, which holds no worker.
    """

    def __init__(
        self,
        per_minute: float,
        burst_s: float = _MINUTE_S,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._per_minute = per_minute
        self._burst_s = burst_s
        self._clock, self._sleep = clock, sleep
        self._free_at = 0.0
        self._lock = threading.Lock()

    def wait(self, amount: float) -> None:
        """Wait until so much may be used. Raises `RateLimited` where that takes more than seconds."""
        if not self._per_minute:
            return
        with self._lock:
            now = self._clock()
            start = max(self._free_at, now - self._burst_s)
            wait_s = start - now
            if wait_s > _PATIENCE_S:
                raise RateLimited("The rate of the settings is used up.", retry_after_s=wait_s)
            self._free_at = start + amount * _MINUTE_S / self._per_minute
        if wait_s > 0:
            self._sleep(wait_s)


class Flight:
    """How many requests run at once: fewer after the other side asked to slow down, then slowly more again."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._allowed = float(most)
        self._running = 0
        self._changed = threading.Condition()

    @property
    def allowed(self) -> int:
        """How many may run now."""
        return max(1, int(self._allowed))

    @contextmanager
    def one(self) -> Iterator[None]:
        """Room for one request."""
        with self._changed:
            self._changed.wait_for(lambda: self._running < self.allowed)
            self._running += 1
        try:
            yield
        except RateLimited:
            self._set(self._allowed / 2)
            raise
        else:
            self._set(self._allowed + 1 / self.allowed)
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    def _set(self, allowed: float) -> None:
        with self._changed:
            self._allowed = min(float(self._most), max(1.0, allowed))
            self._changed.notify_all()
