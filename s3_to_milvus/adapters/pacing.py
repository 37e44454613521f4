"""How fast requests may follow each other: rates per minute, how many are in flight, what the other side asks for."""

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC
from email.utils import parsedate_to_datetime

from s3_to_milvus.adapters.limits import MemoryLimits
from s3_to_milvus.errors import RateLimited
from s3_to_milvus.ports import Limits

__all__ = ["PATIENCE_S", "Backoff", "Flight", "Pace", "retry_after_s"]

PATIENCE_S = 5.0
"""How long a thread waits for a rate; the queue waits for longer, which holds no worker."""

_MINUTE_S = 60.0
_BURST_S = 3.0  # a twentieth of a minute: services look at any sixty seconds, not at those of the clock
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
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            wait_s = moment.timestamp() - (time.time() if now is None else now)
        except (ValueError, OverflowError):
            return None
    return min(max(0.0, wait_s), _MOST_S) if math.isfinite(wait_s) else None


class Pace:
    """A rate, shared by all who go by the same ``limits`` and ``name``; 0: any, and nobody is asked.

    What was not used in the last ``burst_s`` may be used at once; 0, for services that count by the second: uses come
    evenly. So a minute sees a twentieth more than the rate, and what a single use may be larger than another one.
    """

    def __init__(
        self, per_minute: float, burst_s: float = _BURST_S, *, name: str = "", limits: Limits | None = None
    ) -> None:
        self._interval_s = _MINUTE_S / per_minute if per_minute else 0.0
        self._burst_s = burst_s
        self._name = name
        self._limits: Limits = MemoryLimits() if limits is None else limits

    @property
    def is_limited(self) -> bool:
        """Whether there is a rate to keep to."""
        return self._interval_s > 0

    def wait(self, amount: float, patience_s: float = PATIENCE_S) -> None:
        """Wait until so much may be used. Raises `RateLimited` where that takes longer than ``patience_s``."""
        if not self.is_limited:
            return
        # The rate is free when something is left, not when all of it is: this use is a part of the burst.
        burst_s = max(0.0, self._burst_s - amount * self._interval_s)
        wait_s = self._limits.reserve(self._name, amount, self._interval_s, burst_s, patience_s)
        if wait_s > patience_s:
            raise RateLimited("The allowed rate is used up, or the service asked to wait.", retry_after_s=wait_s)
        if wait_s > 0:
            self._limits.sleep(wait_s)

    def owe(self, amount: float) -> None:
        """Use so much now, whatever the rate says: those who wait for it wait longer."""
        if self.is_limited and amount > 0:
            self._limits.reserve(self._name, amount, self._interval_s, self._burst_s, math.inf)

    def pause(self, seconds: float | None) -> None:
        """The service asked to wait (None: it did not): nobody uses the rate for so long, at most for some minutes."""
        if self.is_limited and seconds:
            self._limits.reserve(self._name, 0.0, 0.0, -min(seconds, _PAUSE_MOST_S), math.inf)


class Backoff:
    """Staying away from a service that refuses again and again, whatever time it names, or none.

    After the first refusal whoever was refused comes again as it was asked to. From the second in a row on nobody asks
    for two seconds, four, and so on to a minute, or for as long as the service says (at most for some minutes).
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._in_a_row = 0
        self._closed_until = -math.inf

    @property
    def is_repeated(self) -> bool:
        """Whether it was refused twice in a row, or more."""
        return self._in_a_row > 1

    def enter(self) -> int:
        """A ticket to ask once, for `refused` or `answered`. Raises `RateLimited` while nobody asks."""
        with self._lock:
            wait_s = self._closed_until - self._clock()
            if wait_s > 0:
                raise RateLimited("The service refused several times in a row.", retry_after_s=wait_s)
            return self._in_a_row

    def refused(self, ticket: int, asked_s: float | None) -> float | None:
        """The service asked to wait for ``asked_s`` (None: it named no time); when to come again, None: as you like."""
        with self._lock:
            if ticket == self._in_a_row:  # else somebody was refused in the same moment: that is no second time
                self._in_a_row += 1
            if self._in_a_row < 2:
                return asked_s
            wait_s = max(asked_s or 0.0, min(_MINUTE_S, 2.0 ** min(self._in_a_row - 1, 10)))
            self._closed_until = max(self._closed_until, self._clock() + min(wait_s, _PAUSE_MOST_S))
            return wait_s

    def answered(self, ticket: int) -> None:
        """All is well again, unless somebody who asked later was refused."""
        with self._lock:
            if ticket == self._in_a_row:
                self._in_a_row = 0
                self._closed_until = -math.inf


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
