"""The byte gate: bounds what all workers together hold in memory, before they download it."""

import threading

__all__ = ["ByteGate"]


class ByteGate:
    """A counter of bytes shared by threads. One request larger than the gate passes when nobody else holds any."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._held = 0
        self._changed = threading.Condition()

    def try_take(self, size_bytes: int) -> bool:
        """Take bytes if they fit now."""
        with self._changed:
            if self._held and self._held + size_bytes > self._limit:
                return False
            self._held += size_bytes
            return True

    def take(self, size_bytes: int) -> None:
        """Wait until the bytes fit, then take them. Never call it while holding some: that could wait for ever."""
        with self._changed:
            self._changed.wait_for(lambda: not self._held or self._held + size_bytes <= self._limit)
            self._held += size_bytes

    def give(self, size_bytes: int) -> None:
        """Give bytes back."""
        with self._changed:
            self._held -= size_bytes
            self._changed.notify_all()
