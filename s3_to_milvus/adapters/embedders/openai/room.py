"""How much one request may hold, in tokens by `batching.token_bound`: what the service was seen to take."""

import math
import threading

__all__ = ["Room"]

_LEAST = 1_000  # below it a batch is not what the service minds
_STEPS = 64  # so many answers lead from nothing back to the most


class Room:
    """Halved where the service refuses twice in a row, then slowly more. What it calls too large is not tried again."""

    def __init__(self, most: int) -> None:
        self._lock = threading.Lock()
        self._most = float(most)
        self._now = float(most)

    @property
    def most(self) -> int:
        """The service takes no more, as far as is known."""
        return int(self._most)

    @property
    def now(self) -> int:
        """How large a request of several texts should be."""
        return int(self._now)

    def too_large(self, size: int) -> None:
        """The service takes no request of this size, now or later."""
        with self._lock:
            self._most = min(self._most, max(_LEAST, size / 2))
            self._now = min(self._now, self._most)

    def refused(self, size: int) -> None:
        """The service asked to slow down, again, when it got a request of this size."""
        with self._lock:
            self._now = min(self._now, max(_LEAST, size / 2))

    def answered(self) -> None:
        """A request was taken."""
        with self._lock:
            self._now = min(self._most, self._now + math.ceil(self._most / _STEPS))
