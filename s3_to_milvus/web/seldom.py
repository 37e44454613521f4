"""Log lines that many requests would cause: said once, then counted."""

import time
from collections.abc import Callable

__all__ = ["Seldom"]

_EVERY_S = 60.0


class Seldom:
    """At most one line a minute for each thing that is said."""

    def __init__(self, every_s: float = _EVERY_S, now: Callable[[], float] = time.monotonic) -> None:
        self._every_s = every_s
        self._now = now
        self._said: dict[str, tuple[float, int]] = {}

    def times(self, what: str) -> int:
        """How often ``what`` happened since it was said last, where it should be said now; else 0."""
        now = self._now()
        said_at, times = self._said.get(what, (None, 0))
        is_due = said_at is None or now - said_at >= self._every_s
        self._said[what] = (now, 0) if said_at is None or is_due else (said_at, times + 1)
        return times + 1 if is_due else 0
