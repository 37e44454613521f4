"""The clock of the machine."""

import random
import time
import uuid

__all__ = ["SystemClock"]

_RANDOM = random.SystemRandom()  # keeps no state: tests that watch the shared one are not disturbed


class SystemClock:
    """Real time, real waiting, random names."""

    def now(self) -> float:
        """Epoch seconds."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(max(0.0, seconds))

    def token(self) -> str:
        """32 hex digits, random."""
        return uuid.uuid4().hex

    def jitter(self) -> float:
        """A random number, 0 <= value < 1."""
        return _RANDOM.random()
