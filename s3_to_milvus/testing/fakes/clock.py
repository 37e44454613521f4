"""A clock that a test turns by hand."""

import threading
from random import Random

__all__ = ["FakeClock"]


class FakeClock:
    """Time stands still until `sleep` or `advance` moves it. The same seed gives the same tokens and jitter."""

    def __init__(self, now: float = 1_700_000_000.0, seed: int = 0) -> None:
        self._now = now
        self._random = Random(seed)
        self._tokens = 0
        self._lock = threading.Lock()
        self.slept: list[float] = []

    def now(self) -> float:
        """Epoch seconds, as the test set them."""
        with self._lock:
            return self._now

    def advance(self, seconds: float) -> None:
        """Move time on (or back: machines do that, too)."""
        with self._lock:
            self._now += seconds

    def sleep(self, seconds: float) -> None:
        """Move time on at once, and remember that somebody waited."""
        with self._lock:
            self.slept.append(seconds)
            self._now += max(0.0, seconds)

    def token(self) -> str:
        """``token-1``, ``token-2``, …"""
        with self._lock:
            self._tokens += 1
            return f"token-{self._tokens}"

    def jitter(self) -> float:
        """A seeded random number, 0 <= value < 1."""
        with self._lock:
            return self._random.random()
