"""How fast requests may follow each other: rates per minute, how many are in flight, what the other side asks for."""

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC
from email.utils import parsedate_to_datetime

from s3_to_milvus.adapters.limits import MemoryLimits
from s3_to_milvus.errors import RateLimited
from s3_to_milvus.ports import Limits

__all__ = ["Flight", "Pace", "retry_after_s"]

_MINUTE_S = 60.0
_PATIENCE_S = 5.0
_MOST_S = 86_400.0
_PAUSE_MOST_S = 600.0  # then somebody asks again: a whim of the service must not stop everything for a day


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
    """A rate, shared by all who go by the same ``limits`` and ``name``; 0: any, and nobody is asked.

    What was not used in the last ``burst_s`` may be used at once. A wait that would be long is left to the queue, which
    holds no worker.
    """

    def __init__(
        self, per_minute: float, burst_s: float = _MINUTE_S, *, name: str = "", limits: Limits | None = None
    ) -> None:
        self._interval_s = _MINUTE_S / per_minute if per_minute else 0.0
        self._burst_s = burst_s
        self._name = name
        self._limits: Limits = MemoryLimits() if limits is None else limits

    @property
    def is_limited(self) -> bool:
        """Whether there is a rate to keep to."""
        return self._interval_s > 0

    def wait(self, amount: float) -> None:
        """Wait until so much may be used. Raises `RateLimited` where that takes more than seconds."""
        if not self.is_limited:
            return
        wait_s = self._limits.reserve(self._name, amount, self._interval_s, self._burst_s, _PATIENCE_S)
        if wait_s > _PATIENCE_S:
            raise RateLimited("The allowed rate is used up, or the service asked to wait.", retry_after_s=wait_s)
        if wait_s > 0:
            self._limits.sleep(wait_s)

    def pause(self, seconds: float | None) -> None:
        """The service asked to wait (None: it did not): nobody uses the rate for so long, at most for some minutes."""
        if self.is_limited and seconds:
            self._limits.reserve(self._name, 0.0, 0.0, -min(seconds, _PAUSE_MOST_S), math.inf)


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
