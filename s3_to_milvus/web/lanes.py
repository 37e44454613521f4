"""Threads of their own for work that must not wait for other work, and that other work must not wait for."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import TypeVar

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

__all__ = ["Lane"]

_T = TypeVar("_T")
_RETRY_AFTER = {"Retry-After": "5"}


class Lane:
    """A few at a time, and a few more that wait; the others are told to come again (429). Used by one event loop."""

    def __init__(self, name: str, running: int, waiting: int, patience_s: float | None = None) -> None:
        """``patience_s``: how long one waits for its turn at most."""
        self._executor = ThreadPoolExecutor(running, name)
        self._turns = asyncio.Semaphore(running)
        self._most = running + waiting
        self._patience_s = patience_s
        self._inside = 0

    def refuse_if_full(self) -> None:
        """Raises `HTTPException` (429) where nobody else is let in now."""
        if self._inside >= self._most:
            raise _busy()

    async def run(self, work: Callable[[], _T], is_gone: Callable[[], Awaitable[bool]] | None = None) -> _T:
        """Do it in a thread. ``is_gone``: nobody waits for it any more, asked when its turn comes.

        Raises `HTTPException` (429), `ClientDisconnect`, and what the work raises.
        """
        self.refuse_if_full()
        self._inside += 1
        try:
            await self._turn()
            try:
                if is_gone is not None and await is_gone():
                    raise ClientDisconnect
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(self._executor, partial(copy_context().run, work))
            finally:
                self._turns.release()
        finally:
            self._inside -= 1

    def close(self) -> None:
        """Take nothing more."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def _turn(self) -> None:
        try:
            async with asyncio.timeout(self._patience_s):
                await self._turns.acquire()
        except TimeoutError:
            raise _busy() from None


def _busy() -> HTTPException:
    return HTTPException(429, "Too many documents are being read for others.", headers=_RETRY_AFTER)
