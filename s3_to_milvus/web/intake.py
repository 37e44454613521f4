"""Events from concurrent requests, taken in together: one commit of the ledger for all that came meanwhile."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from s3_to_milvus.domain.objects import ObjectEvent
from s3_to_milvus.engine.intake import Taken
from s3_to_milvus.errors import RateLimited

__all__ = ["Intake"]

_MOST_WAITING = 10_000
_MOST_OPENING = 1_000
_BATCH = 1_000


class Intake:
    """Batches by itself: while one commit runs, the next batch gathers. An idle service waits for nothing.

    What is not quick has its buckets opened first, so that it delays and fails for nobody else.
    """

    def __init__(
        self,
        take: Callable[[Sequence[ObjectEvent]], Taken],
        is_quick: Callable[[Sequence[ObjectEvent]], bool] = lambda events: True,
        open_buckets: Callable[[Sequence[ObjectEvent]], Mapping[str, str]] = lambda events: {},
    ) -> None:
        """``take`` looks at no bucket; ``open_buckets`` says by bucket why it could not be opened."""
        self._take = take
        self._is_quick = is_quick
        self._open_buckets = open_buckets
        self._executor = ThreadPoolExecutor(1, "s2m-intake")
        self._opener = ThreadPoolExecutor(1, "s2m-buckets")
        self._waiting: list[tuple[Sequence[ObjectEvent], asyncio.Future[dict[object, str]]]] = []
        self._opening = 0
        self._task: asyncio.Task[None] | None = None

    async def take(self, events: Sequence[ObjectEvent]) -> list[str]:
        """Durable when it returns: for each event, why it was ignored (empty: it was taken).

        Raises what the ledger raises, `TransientError` where a bucket can't be looked at, and `RateLimited` when far
        too many are waiting.
        """
        loop = asyncio.get_running_loop()
        closed = {} if self._is_quick(events) else await self._open(loop, events)
        if len(self._waiting) >= _MOST_WAITING:
            raise RateLimited("Too many events at once.", retry_after_s=1.0)
        future: asyncio.Future[dict[object, str]] = loop.create_future()
        self._waiting.append((events, future))
        if self._task is None:
            self._task = loop.create_task(self._drain(loop))
        ignored = await future
        return [_reason(event, ignored, closed) for event in events]

    def close(self) -> None:
        """Take nothing more."""
        self._executor.shutdown(wait=False)
        self._opener.shutdown(wait=False, cancel_futures=True)

    async def _open(self, loop: asyncio.AbstractEventLoop, events: Sequence[ObjectEvent]) -> Mapping[str, str]:
        if self._opening >= _MOST_OPENING:
            raise RateLimited("Too many events of buckets that were not looked at yet.", retry_after_s=5.0)
        self._opening += 1
        try:
            return await loop.run_in_executor(self._opener, self._open_buckets, events)
        finally:
            self._opening -= 1

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


def _reason(event: ObjectEvent, ignored: Mapping[object, str], closed: Mapping[str, str]) -> str:
    """Why an event was ignored; why its bucket could not be opened tells more than that nobody holds it."""
    reason = ignored.get(event.ref, "")
    return closed.get(event.ref.bucket, reason) if reason else ""
