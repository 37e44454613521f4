"""Events from concurrent requests, taken in together: one commit of the ledger for all that came meanwhile."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from s3_to_milvus.domain.objects import ObjectEvent
from s3_to_milvus.engine.intake import Taken
from s3_to_milvus.errors import RateLimited

__all__ = ["Intake"]

_MOST_WAITING = 10_000
_BATCH = 1_000


class Intake:
    """Batches by itself: while one commit runs, the next batch gathers. An idle service waits for nothing."""

    def __init__(self, take: Callable[[Sequence[ObjectEvent]], Taken]) -> None:
        self._take = take
        self._executor = ThreadPoolExecutor(1, "s2m-intake")
        self._waiting: list[tuple[Sequence[ObjectEvent], asyncio.Future[dict[object, str]]]] = []
        self._task: asyncio.Task[None] | None = None

    async def take(self, events: Sequence[ObjectEvent]) -> list[str]:
        """Durable when it returns: for each event, why it was ignored (empty: it was taken).

        Raises what the ledger raises, and `RateLimited` when far too many are waiting.
        """
        if len(self._waiting) >= _MOST_WAITING:
            raise RateLimited("Too many events at once.", retry_after_s=1.0)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[dict[object, str]] = loop.create_future()
        self._waiting.append((events, future))
        if self._task is None:
            self._task = loop.create_task(self._drain(loop))
        ignored = await future
        return [ignored.get(event.ref, "") for event in events]

    def close(self) -> None:
        """Take nothing more."""
        self._executor.shutdown(wait=False)

    async def _drain(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:_BATCH], self._waiting[_BATCH:]
                await self._commit(loop, batch)
        finally:
            self._task = None

    async def _commit(
        self,
        loop: asyncio.AbstractEventLoop,
        batch: list[tuple[Sequence[ObjectEvent], "asyncio.Future[dict[object, str]]"]],
    ) -> None:
        flat = [event for events, _ in batch for event in events]
        try:
            taken = await loop.run_in_executor(self._executor, self._take, flat)
        except Exception as error:  # noqa: BLE001 - everyone who waits is told
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        ignored: dict[object, str] = dict(taken.ignored)
        for _, future in batch:
            if not future.done():
                future.set_result(ignored)
