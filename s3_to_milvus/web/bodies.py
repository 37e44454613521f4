"""Bodies of requests as they come in: how large, how slowly, and how much of all of them together."""

import asyncio
from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.types import Message, Receive

__all__ = ["Body", "Pool", "Room"]

_PATIENCE_S = 20.0
_LEAST_BYTES_PER_S = 8_192
_RETRY_AFTER = {"Retry-After": "10"}


class Pool:
    """Bytes that are held at the same time for requests under way. Used by one event loop.

    Large ones leave a quarter to small ones. One that is larger than everything is let in when it is alone.
    """

    def __init__(self, size_bytes: int) -> None:
        self._size_bytes = size_bytes
        self.used_bytes = 0

    def take(self, more_bytes: int, whole_bytes: int) -> bool:
        """Make room for more of a request of this size so far; False: there is none."""
        is_small = whole_bytes <= self._size_bytes >> 4
        allowed = self._size_bytes if is_small else self._size_bytes - (self._size_bytes >> 2)
        is_alone = self.used_bytes == whole_bytes - more_bytes
        if self.used_bytes + more_bytes > allowed and not is_alone:
            return False
        self.used_bytes += more_bytes
        return True

    def give(self, size_bytes: int) -> None:
        """Room that is not needed any more."""
        self.used_bytes -= size_bytes


@dataclass(frozen=True, slots=True)
class Room:
    """How large one body may be, and the pool that it counts in. ``is_reserved``: from the start, as it is declared."""

    allowed_bytes: int
    pool: Pool
    is_reserved: bool = False


class Body:
    """One body on its way in.

    Whoever sends is given 20 s, and more for what comes in, so that 64 kbit/s are enough and holding the line is not.
    """

    def __init__(self, receive: Receive, room: Room, declared_bytes: int, patience_s: float = _PATIENCE_S) -> None:
        self._receive = receive
        self._room = room
        self._declared_bytes = declared_bytes if room.is_reserved else 0
        self._most_s = self._patience_s = patience_s
        self._size_bytes = 0
        self._held_bytes = 0
        self.is_whole = False

    def fits(self) -> bool:
        """Whether there is room for what is declared; it is taken then."""
        return self._hold(self._declared_bytes)

    def release(self) -> None:
        """Nothing of it is kept any more. May be called twice."""
        self._room.pool.give(self._held_bytes)
        self._held_bytes = 0

    async def receive(self) -> Message:
        """The next piece. Raises `HTTPException` where it is too much, too slow, or there is no room."""
        if self.is_whole:
            return await self._receive()
        message = await self._piece()
        size = len(message.get("body", b""))
        self.is_whole = not message.get("more_body", False)
        self._size_bytes += size
        self._patience_s = min(self._most_s, self._patience_s + size / _LEAST_BYTES_PER_S)
        if self._size_bytes > self._room.allowed_bytes:
            raise HTTPException(413, f"The body is larger than {self._room.allowed_bytes} bytes.")
        if not self._hold(self._size_bytes):
            raise HTTPException(429, "Other requests take all room there is.", headers=_RETRY_AFTER)
        return message

    async def _piece(self) -> Message:
        loop = asyncio.get_running_loop()
        asked_at = loop.time()
        try:
            async with asyncio.timeout_at(asked_at + self._patience_s):
                return await self._receive()
        except TimeoutError:
            raise HTTPException(408, "The body came too slowly.", headers={"Connection": "close"}) from None
        finally:
            self._patience_s -= loop.time() - asked_at

    def _hold(self, size_bytes: int) -> bool:
        more = size_bytes - self._held_bytes
        if more <= 0:
            return True
        is_held = self._room.pool.take(more, size_bytes)
        self._held_bytes += more if is_held else 0
        return is_held
