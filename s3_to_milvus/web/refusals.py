"""Events that are refused for want of a right key: the log says so, and who repeats them without a pause waits.

Ceph repeats a refused event of a persistent topic at once and for ever, hundreds of times a second (measured, 16.2.15);
its topics have a pause between attempts since Squid, but none by default.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from s3_to_milvus.engine.observe import log

__all__ = ["Refusals", "refusals_in", "sender_in"]

_KEY = "s2m.refusals"

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

    async def heed(self, sender: str, reason: str, hint: str = _HINT) -> None:
        """Returns when the refusal may be sent: at once, unless there were many of late."""
        self._say(sender, reason, hint)
        if self._may_go_at_once() or self._held >= _MOST_HELD:
            return
        self._held += 1
        try:
            await self._sleep(_HOLD_S)
        finally:
            self._held -= 1

    def _say(self, sender: str, reason: str, hint: str) -> None:
        self._times += 1
        now = self._now()
        if self._said_at is None or now - self._said_at >= _SAY_EVERY_S:
            log.warning("events.refused", sender=sender, reason=reason, times=self._times, hint=hint)
            self._said_at, self._times = now, 0

    def _may_go_at_once(self) -> bool:
        now = self._now()
        self._at_once = min(_AT_ONCE, self._at_once + (now - self._counted_at) * _MORE_PER_S)
        self._counted_at = now
        if self._at_once < 1:
            return False
        self._at_once -= 1
        return True

    def put_into(self, scope: MutableMapping[str, Any]) -> None:
        """For doors behind the gate; see `refusals_in`."""
        scope[_KEY] = self


def refusals_in(scope: Mapping[str, Any]) -> Refusals:
    """Those of the service that this request came to."""
    found: Refusals = scope[_KEY]
    return found


def sender_in(scope: Mapping[str, Any]) -> str:
    """Where a request comes from."""
    return str(scope["client"][0]) if scope.get("client") else "unknown"
