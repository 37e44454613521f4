"""How adapters of paid services say what was used, without a word of it in the ports' methods."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from s3_to_milvus.domain.usage import Usage

__all__ = ["Meter", "metered", "spend"]


class Meter:
    """Adds up what is spent, by any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._total = Usage()

    @property
    def total(self) -> Usage:
        """Everything so far."""
        return self._total

    def add(self, usage: Usage) -> None:
        """Count it."""
        with self._lock:
            self._total += usage


_METER: ContextVar[Meter | None] = ContextVar("s2m_meter", default=None)


@contextmanager
def metered(meter: Meter) -> Iterator[None]:
    """What is spent in this block, and in threads that run with a copy of its context, counts in ``meter`` alone."""
    token = _METER.set(meter)
    try:
        yield
    finally:
        _METER.reset(token)


def spend(usage: Usage) -> None:
    """Say what a paid service charged, as soon as it is known and whether or not its answer is of use.

    Called by an adapter in the thread of the call it serves. Threads of the adapter's own carry the context there:
    ``executor.submit(contextvars.copy_context().run, work)``. What is known already costs nothing and is not told.
    """
    meter = _METER.get()
    if meter is not None:
        meter.add(usage)
