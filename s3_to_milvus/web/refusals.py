"""Events that are refused for want of a right key: the log says so, and who repeats them without a pause waits.

Ceph repeats a refused event of a persistent topic at once and for ever, hundreds of times a second (measured, 16.2.15);
its topics have a pause between attempts since Squid, but none by default.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from s3_to_milvus.engine.observe import log

__all__ = ["Refusals"]

_AT_ONCE = 20
_MORE_PER_S = 0.2
_HOLD_S = 1.5  # shorter than the service waits for open requests when it stops
_MOST_HELD = 256
_SAY_EVERY_S = 60.0
_HINT = "Give the sender a key of `s3-to-milvus keys add NAME --role events`; the next scan heals what it told."


class Refusals:
    """One service's refused events. Used by one event loop."""

    def __init__(
        self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._sleep = sleep
        self._now = now
        self._at_once = float(_AT_ONCE)
        self._counted_at = now()
        self._said_at: float | None = None
        self._times = 0
        self._held = 0

    async def heed(self, sender: str, *, has_key: bool) -> None:
        """Returns when the refusal may be sent: at once, unless there were many of late."""
        self._say(sender, "nobody knows its key" if has_key else "it has no key")
        if self._may_go_at_once() or self._held >= _MOST_HELD:
            return
        self._held += 1
        try:
            await self._sleep(_HOLD_S)
        finally:
            self._held -= 1

    def _say(self, sender: str, reason: str) -> None:
        self._times += 1
        now = self._now()
        if self._said_at is None or now - self._said_at >= _SAY_EVERY_S:
            log.warning("events.refused", sender=sender, reason=reason, times=self._times, hint=_HINT)
            self._said_at, self._times = now, 0

    def _may_go_at_once(self) -> bool:
        now = self._now()
        self._at_once = min(_AT_ONCE, self._at_once + (now - self._counted_at) * _MORE_PER_S)
        self._counted_at = now
        if self._at_once < 1:
            return False
        self._at_once -= 1
        return True
