"""What every event source must do."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest

from s3_to_milvus.domain.objects import ObjectEvent, ObjectRef
from s3_to_milvus.ports import EventSource

__all__ = ["Collector", "EventSourceContract", "covers", "running"]

_PATIENCE_S = 60.0


def covers(event: ObjectEvent, ref: ObjectRef) -> bool:
    """True when the event says that this object is to be looked at: by its key, or by a prefix."""
    key = event.ref.key
    is_prefix = not key or (key.endswith("/") and ref.key.startswith(key))
    return event.ref.bucket == ref.bucket and (is_prefix or key == ref.key)


class Collector:
    """Takes batches, and refuses one with a `ConnectionError` after `refuse_next`."""

    def __init__(self) -> None:
        self.events: list[ObjectEvent] = []
        self.refused: list[ObjectEvent] = []
        self._is_refusing = False
        self._changed = threading.Condition()

    def refuse_next(self) -> None:
        """Forget what came; the next batch is not taken."""
        with self._changed:
            self.events.clear()
            self._is_refusing = True

    def __call__(self, events: Sequence[ObjectEvent]) -> None:
        """What ``run`` calls."""
        with self._changed:
            is_refused, self._is_refusing = self._is_refusing, False
            (self.refused if is_refused else self.events).extend(events)
            self._changed.notify_all()
        if is_refused:
            raise ConnectionError("this batch is not taken")

    def wait(self, is_enough: Callable[["Collector"], bool], seconds: float = _PATIENCE_S) -> bool:
        """Wait until it is enough; False when that does not come."""
        with self._changed:
            return self._changed.wait_for(lambda: is_enough(self), seconds)

    def has(self, ref: ObjectRef) -> bool:
        """True when an event covers this object."""
        return any(covers(event, ref) for event in list(self.events))

    def names(self, ref: ObjectRef) -> bool:
        """True when an event names exactly this key."""
        return any(event.ref == ref for event in list(self.events))


@contextmanager
def running(source: EventSource, emit: Callable[[Sequence[ObjectEvent]], None]) -> Iterator[threading.Thread]:
    """Run a source in a thread, again after each failure, until the block ends."""
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set():
            try:
                source.run(emit, stop.is_set)
            except ConnectionError:
                continue

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield thread
    finally:
        stop.set()
        thread.join(_PATIENCE_S)
        assert not thread.is_alive(), "it must end soon after it was asked to stop"


class EventSourceContract:
    """Inherit it, provide the fixtures ``source`` and ``bucket``, and the method that changes an object."""

    @pytest.fixture
    def source(self) -> EventSource:
        """The source."""
        raise NotImplementedError

    @pytest.fixture
    def bucket(self) -> str:
        """A bucket that it tells about."""
        raise NotImplementedError

    def change(self, source: EventSource, ref: ObjectRef, number: int) -> None:
        """Create or change an object, so that it has another content for each number."""
        raise NotImplementedError

    def change_until_told(self, source: EventSource, collector: Collector, ref: ObjectRef) -> None:
        """Change an object again and again until an event names it: the source may still be starting."""
        for number in range(100):
            self.change(source, ref, number)
            if collector.wait(lambda seen: seen.names(ref), 0.1):
                return
        pytest.fail(f"no event came for {ref}")

    @pytest.mark.parametrize(
        "key", ["a.txt", "인사규정/휴가 규정.txt", "cafe\u0301 100%+.txt", "deep/er/and/deeper.md"]
    )
    def test_a_change_is_told(self, source: EventSource, bucket: str, key: str) -> None:
        """By the exact key."""
        collector = Collector()
        with running(source, collector):
            self.change_until_told(source, collector, ObjectRef(bucket, key))

    def test_every_change_is_told(self, source: EventSource, bucket: str) -> None:
        """Also of many objects at once."""
        collector = Collector()
        refs = [ObjectRef(bucket, f"f{number % 5}/{number:03d}.txt") for number in range(100)]
        with running(source, collector):
            self.change_until_told(source, collector, ObjectRef(bucket, "first.txt"))
            collector.events.clear()
            for ref in refs:
                self.change(source, ref, 0)
            assert collector.wait(lambda seen: all(map(seen.has, refs)))

    def test_it_stops_when_asked(self, source: EventSource, bucket: str) -> None:
        """Soon, also when nothing happens."""
        with running(source, Collector()):
            time.sleep(0.05)
            started = time.monotonic()
        assert time.monotonic() - started < _PATIENCE_S

    def test_what_was_not_taken_is_told_again(self, source: EventSource, bucket: str) -> None:
        """A batch counts as told when ``emit`` returned."""
        collector = Collector()
        ref = ObjectRef(bucket, "a.txt")
        with running(source, collector):
            self.change_until_told(source, collector, ObjectRef(bucket, "first.txt"))
            collector.refuse_next()
            self.change(source, ref, 0)
            assert collector.wait(lambda seen: bool(seen.refused))
            assert collector.wait(lambda seen: seen.has(ref))

    def test_it_can_be_checked(self, source: EventSource, bucket: str) -> None:
        """One line for people."""
        assert source.check()
        assert "\n" not in source.check()
