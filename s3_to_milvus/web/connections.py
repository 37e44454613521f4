"""The connections of one server: how many there may be, and how long each may take to ask.

It stands between the server's transports and its HTTP protocol (uvicorn's, any), and knows of it only ``cycle``: the
request that is answered, with ``more_body`` and ``response_complete``.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable
from enum import Enum
from typing import Any

from s3_to_milvus.engine.observe import log
from s3_to_milvus.web.callers import address_of
from s3_to_milvus.web.seldom import Seldom

__all__ = ["Connections", "Guarded", "Phase"]

_HEAD_S = 10.0
_LINGER_S = 5.0
_STUCK_S = 60.0
_TICK_S = 1.0
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\n"
    b"content-type: application/problem+json\r\ncontent-length: %d\r\n\r\n%s"
)
_PROBLEM = (
    b'{"type":"urn:s3-to-milvus:problem:too_many_connections","title":"Too many connections","status":503,'
    b'"detail":"There are too many connections.","code":"too_many_connections","hint":"Raise S2M_MAX_CONNECTIONS."}'
)


class Phase(Enum):
    """What a connection is about."""

    HEAD = "the head of a request is awaited"
    BODY = "the body is awaited"
    WORK = "an answer is made"
    REST = "the answer was sent before the body was there"


class Connections:
    """Where one more would be too many, the one that has waited longest without asking goes."""

    def __init__(self, most: int, now: Callable[[], float] = time.monotonic, seldom: Seldom | None = None) -> None:
        self._most = most
        self.now = now
        self._all: dict[Guarded, None] = {}
        self._by_address: Counter[str] = Counter()
        self._seldom = Seldom() if seldom is None else seldom
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._all)

    def guard(self, protocol: Callable[..., asyncio.Protocol]) -> Callable[..., "Guarded"]:
        """The same protocol, watched over."""
        return lambda *args, **facts: Guarded(protocol(*args, **facts), self)

    def admit(self, new: "Guarded") -> bool:
        """Whether there is room for one more; half of all for each address that is not this machine's."""
        is_shared = bool(new.address) and self._by_address[new.address] >= max(1, self._most // 2)
        mine = [each for each in self._all if each.address == new.address] if is_shared else []
        if (is_shared and not self._evict(mine)) or (len(self._all) >= self._most and not self._evict(self._all)):
            return False
        self._all[new] = None
        self._by_address[new.address] += 1
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_TICK_S, self._tick)
        return True

    def forget(self, gone: "Guarded") -> None:
        """It is closed, or is about to be."""
        if gone in self._all:
            del self._all[gone]
            self._by_address[gone.address] -= 1
            if not self._by_address[gone.address]:
                del self._by_address[gone.address]

    def _evict(self, candidates: Iterable["Guarded"]) -> bool:
        """Close the oldest one that has not asked yet, else the oldest whose body is not there yet."""
        if times := self._seldom.times("full"):
            hint = "Somebody holds many open, or S2M_MAX_CONNECTIONS and the limit of open files (ulimit -n) are small."
            log.warning("connections.full", limit=self._most, times=times, hint=hint)
        for phases in ((Phase.HEAD, Phase.REST), (Phase.BODY,)):
            found = next((each for each in candidates if each.phase in phases), None)
            if found is not None:
                found.abort()
                return True
        return False

    def _tick(self) -> None:
        now = self.now()
        for each in list(self._all):
            each.tick(now)
        running = asyncio.get_running_loop()
        self._timer = running.call_later(_TICK_S, self._tick) if self._all else None


class Guarded(asyncio.Protocol):
    """One connection."""

    def __init__(self, inner: asyncio.Protocol, connections: Connections) -> None:
        self._inner = inner
        self._connections = connections
        self._transport: Any = None
        self._is_refused = False
        self._asking_since: float | None = None
        self._rest: tuple[Any, float] = (None, 0.0)
        self._stuck_since: float | None = None
        self.address = ""

    @property
    def phase(self) -> Phase:
        """What it is about now."""
        cycle = getattr(self._inner, "cycle", None)
        if cycle is None:
            return Phase.HEAD
        if cycle.response_complete:
            return Phase.REST if cycle.more_body else Phase.HEAD
        return Phase.BODY if cycle.more_body else Phase.WORK

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = transport
        peer = transport.get_extra_info("peername")
        address = address_of(str(peer[0])) if isinstance(peer, tuple) and peer else None
        self.address = "" if address is None or address.is_loopback else str(address)
        if not self._connections.admit(self):
            self._is_refused = True
            self._transport.write(_FULL % (len(_PROBLEM), _PROBLEM))
            self._transport.close()
            return
        self._asking_since = self._connections.now()
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        if self._is_refused or self._transport.is_closing():
            return
        before = getattr(self._inner, "cycle", None)
        self._inner.data_received(data)
        if getattr(self._inner, "cycle", None) is not before:
            self._asking_since = None
        elif self._asking_since is None and self.phase is Phase.HEAD:
            self._asking_since = self._connections.now()

    def eof_received(self) -> bool | None:
        """See `asyncio.Protocol`."""
        return None if self._is_refused else self._inner.eof_received()

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._stuck_since = self._connections.now()
        if not self._is_refused:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._stuck_since = None
        if not self._is_refused:
            self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._connections.forget(self)
        if not self._is_refused:
            self._inner.connection_lost(exc)

    def abort(self) -> None:
        """Close it at once."""
        self._connections.forget(self)
        self._transport.abort()

    def tick(self, now: float) -> None:
        """Close it where the other side takes too long."""
        if self._transport.is_closing() and self._stuck_since is None:
            self._stuck_since = now  # what is written last should be read, too
        if self._is_overdue(now):
            self.abort()

    def _is_overdue(self, now: float) -> bool:
        if self._stuck_since is not None and now - self._stuck_since > _STUCK_S:
            return True
        phase = self.phase
        if phase is Phase.HEAD:
            return self._asking_since is not None and now - self._asking_since > _HEAD_S
        cycle = getattr(self._inner, "cycle", None)
        if phase is not Phase.REST:
            return False
        if self._rest[0] is not cycle:
            self._rest = (cycle, now)
        return now - self._rest[1] > _LINGER_S
