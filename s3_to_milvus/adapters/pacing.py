"""How fast requests may follow each other: rates per minute, how many are in flight, what the other side asks for."""

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC
from email.utils import parsedate_to_datetime

from s3_to_milvus.errors import RateLimited

__all__ = ["Flight", "Pace", "retry_after_s"]

_MINUTE_S = 60.0
_PATIENCE_S = 5.0
_MOST_S = 86_400.0


def retry_after_s(text: str, now: float | None = None) -> float | None:
    """The wait that a ``Retry-After`` asks for, from 0 to a day; None where it says nothing that can be understood.

    Seconds or a date (RFC 9110, 10.2.3). ``now`` in epoch seconds; None: the clock on the wall.
    """
    try:
        wait_s = float(text)
    except ValueError:
        try:
            moment = parsedate_to_datetime(text)
        except ValueError:
            return None
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        wait_s = moment.timestamp() - (time.time() if now is None else now)
    return min(max(0.0, wait_s), _MOST_S) if math.isfinite(wait_s) else None


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
