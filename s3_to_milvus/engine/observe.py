"""One place for logs and metrics: ``with stage("parse")`` writes the histogram and the log line together."""

import time
from types import TracebackType
from typing import Self

import structlog
from prometheus_client import Counter, Gauge, Histogram

from s3_to_milvus.domain.usage import Usage
from s3_to_milvus.ports import Meter

__all__ = ["EVENTS", "FRESHNESS", "OBJECTS", "RUNS", "CountedMeter", "StageClock", "log", "stage"]

log: structlog.stdlib.BoundLogger = structlog.get_logger("s3_to_milvus")

_BUCKETS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300)
STAGES = Histogram("s2m_stage_seconds", "Seconds per stage of the work.", ["stage"], buckets=_BUCKETS)
FRESHNESS = Histogram(
    "s2m_freshness_seconds", "From an object's change being seen to its rows being searchable.", buckets=_BUCKETS
)
RUNS = Counter("s2m_runs_total", "Finished attempts.", ["action", "outcome"])
EVENTS = Counter("s2m_events_total", "Events taken in.", ["result"])
OBJECTS = Gauge("s2m_objects", "Objects by state.", ["state"])
TOKENS = Counter("s2m_usage_tokens_total", "Tokens that services charged.")
PAGES = Counter("s2m_usage_pages_total", "Pages that services charged.")
COST = Counter("s2m_usage_usd_total", "What was charged, in US dollars at the prices of the settings.")


class CountedMeter(Meter):
    """A meter whose sums are metrics, too."""

    def add(self, usage: Usage) -> None:
        """Count it in both places."""
        super().add(usage)
        TOKENS.inc(usage.tokens)
        PAGES.inc(usage.pages)
        COST.inc(usage.usd)


class StageClock:
    """Adds up the seconds that one piece of work spends in each stage."""

    __slots__ = ("seconds",)

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def add(self, name: str, seconds: float) -> None:
        """Count ``seconds`` for a stage."""
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds

    def as_tuple(self) -> tuple[tuple[str, float], ...]:
        """All stages in the order they were entered, rounded to microseconds."""
        return tuple((name, round(seconds, 6)) for name, seconds in list(self.seconds.items()))


class stage:
    """Times a block of work into the histogram and, if given, into a `StageClock`."""

    __slots__ = ("_clock", "_name", "_started")

    def __init__(self, name: str, clock: StageClock | None = None) -> None:
        self._name = name
        self._clock = clock
        self._started = 0.0

    def __enter__(self) -> Self:
        """Start."""
        self._started = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop and count, failed or not."""
        spent_s = time.perf_counter() - self._started
        STAGES.labels(self._name).observe(spent_s)
        if self._clock is not None:
            self._clock.add(self._name, spent_s)
