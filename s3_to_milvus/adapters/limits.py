"""Rates of this process alone: for checks, and where no ledger is at hand. And what shared rates are called."""

import hashlib
import threading
import time
from collections.abc import Callable

from s3_to_milvus.domain.rates import reserved

__all__ = ["MemoryLimits", "limit_name"]


def limit_name(service: str, key: str, what: str) -> str:
    """What the rate of ``what`` is called that a service allows the owner of a key. The key can't be read from it."""
    return f"{service} {what} {hashlib.sha256(key.strip().encode()).hexdigest()[:16]}"


class MemoryLimits:
    """Implements `ports.Limits`; forgets everything when the process ends."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._clock, self._sleep = clock, sleep
        self._lock = threading.Lock()
        self._free_at: dict[str, float] = {}

    def reserve(self, name: str, amount: float, interval_s: float, burst_s: float, most_s: float) -> float:
        """See `ports.Limits`."""
        with self._lock:
            wait_s, free_at = reserved(self._free_at.get(name), amount, interval_s, burst_s, self._clock(), most_s)
            if free_at is not None:
                self._free_at[name] = free_at
        return wait_s

    def sleep(self, seconds: float) -> None:
        """See `ports.Limits`."""
        self._sleep(seconds)
