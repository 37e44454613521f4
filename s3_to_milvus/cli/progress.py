"""How far a piece of work is, on stderr: a bar with rate and time left on a terminal, a line now and then elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from s3_to_milvus.cli.desk import OnProgress, Step
from s3_to_milvus.cli.output import note, shown

__all__ = ["Lines", "progress"]

_EVERY_S = 5.0


@contextmanager
def progress(label: str) -> Iterator[OnProgress]:
    """Give the function that is told of every step."""
    if sys.stderr.isatty():
        with _bar(label) as tell:
            yield tell
    else:
        yield Lines(label)


class Lines:
    """At most a line every few seconds; short work says nothing."""

    def __init__(self, label: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._label = shown(label)
        self._clock = clock
        self._started = self._last = clock()

    def __call__(self, step: Step) -> None:
        """Say how far it is, if it is time to."""
        now = self._clock()
        if now - self._last < _EVERY_S:
            return
        self._last = now
        rate = step.done / (now - self._started)
        left = f", {(step.total - step.done) / rate:,.0f} s left" if rate and step.total > step.done else ""
        note(f"{self._label}: {step.done:,} of {step.total:,}, {rate:,.1f}/s{left}, {step.chunks:,} chunks")


@contextmanager
def _bar(label: str) -> Iterator[OnProgress]:
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[chunks]:,} chunks"),
    )
    started = time.monotonic()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(escape(shown(label)), total=None, rate="", chunks=0)

        def tell(step: Step) -> None:
            rate = step.done / max(0.001, time.monotonic() - started)
            bars.update(task, total=step.total or None, completed=step.done, rate=f"{rate:,.1f}/s", chunks=step.chunks)

        yield tell
