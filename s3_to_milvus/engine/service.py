"""The service's loops around a mirror: event sources, periodic scans, journal delivery."""

import math
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

from s3_to_milvus.domain.objects import ObjectEvent, ObjectRef
from s3_to_milvus.engine.delivery import Delivery
from s3_to_milvus.engine.mirror import Mirror
from s3_to_milvus.engine.observe import OBJECTS, log
from s3_to_milvus.engine.rescans import Rescans
from s3_to_milvus.errors import RemovalGuard, S3ToMilvusError
from s3_to_milvus.ports import EventSource, Journal, SourceEntry

__all__ = ["Service"]

_JOIN_S = 0.5
_MEASURE_S = 5.0
_FAILED_S = 1.0
_WORKS_S = 5.0
_RESCAN_S = 0.5


class Service:
    """Runs until stopped. ``sources`` (which may grow) are scanned at the start and then every ``scan_interval_s``."""

    def __init__(
        self, mirror: Mirror, sources: Sequence[SourceEntry], events: Sequence[EventSource], journal: Journal
    ) -> None:
        self.mirror = mirror
        self.sources = sources
        self._events = list(events)
        parts = mirror.parts
        self._delivery = Delivery(parts.ledger, parts.clock, journal, self._warn_of_journal)
        self._stop = threading.Event()
        self._scan_lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._next_scan = 0.0
        self._rescans = Rescans()
        self.is_ready = False

    def start(self) -> None:
        """Start every loop; returns at once."""
        self.mirror.start()
        for source in self._events:
            self._spawn(f"s2m-events-{source.kind}", partial(self._watch, source))
        self._spawn("s2m-scan", self._scan_due)
        self._spawn("s2m-rescan", self._rescan_due)
        self._spawn("s2m-journal", self._delivery.step)

    def add_events(self, sources: Sequence[EventSource]) -> None:
        """Listen to more sources of events; at once where the service runs."""
        self._events.extend(sources)
        if self._threads:
            for source in sources:
                self._spawn(f"s2m-events-{source.kind}", partial(self._watch, source))

    def stop(self) -> None:
        """Stop the loops, then the mirror."""
        self._stop.set()
        deadline = time.monotonic() + _JOIN_S
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self.mirror.stop()

    def scan_now(self, entry: SourceEntry, prefix: str | None = None) -> None:
        """Scan a source (or a prefix); a tripped removal guard is kept as a warning of the status.

        A scan that fails is repeated until it, or one of the whole source, comes to its end.
        """
        with self._scan_lock:
            began = time.monotonic()
            try:
                self._scan(entry, prefix)
            except RemovalGuard as guard:
                self.mirror.guards[entry.uri] = guard.told
                self._scanned(entry, prefix)
                log.warning("scan.guarded", source=entry.name, removals=guard.removals, indexed=guard.indexed)
            except Exception as error:  # noqa: BLE001 - one source's trouble is not that of the others
                self._rescans.failed(entry.uri, prefix, error, time.monotonic() - began)
                known = error.told if isinstance(error, S3ToMilvusError) else f"unexpected {type(error).__name__}"
                self.mirror.guards[_failure_of(entry)] = f"The last scan failed: {known}"
                log.warning("scan.failed", source=entry.name, code=getattr(error, "code", "defect"), message=known)

    def _scan(self, entry: SourceEntry, prefix: str | None) -> None:
        self.mirror.scan(entry, prefix=prefix)
        self._scanned(entry, prefix)
        if prefix is None:
            self.mirror.guards.pop(entry.uri, None)

    def _scanned(self, entry: SourceEntry, prefix: str | None) -> None:
        if self._rescans.done(entry.uri, prefix):
            self.mirror.guards.pop(_failure_of(entry), None)

    def _rescan_due(self) -> float:
        """Repeat what failed."""
        entries = {entry.uri: entry for entry in list(self.sources)}
        for uri, prefix in self._rescans.due():
            entry = entries.get(uri)
            if entry is None or entry.is_paused:
                self._rescans.done(uri, None)
            elif not self._stop.is_set():
                self.scan_now(entry, prefix)
        return _RESCAN_S

    def emit(self, events: Sequence[ObjectEvent]) -> None:
        """Take events of a source in. For a folder, a key that ends in ``/`` says that anything below may have changed;
        in a bucket it is an object like any other.

        Raises what taking raises: then the source gives them again. Scans that fail are repeated by the service.
        """
        entries = {entry.name: entry for entry in self.sources if not entry.is_bucket}
        folders = {event.ref: None for event in events if _is_folder(event.ref) and event.ref.bucket in entries}
        self.mirror.take([event for event in events if event.ref not in folders])
        for ref in folders:
            self.scan_now(entries[ref.bucket], ref.key or None)

    def _spawn(self, name: str, step: Callable[[], float]) -> None:
        thread = threading.Thread(target=self._repeat, args=(step,), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _repeat(self, step: Callable[[], float]) -> None:
        """Take a step and wait as many seconds as it says, until stopped: no failure ends a loop before that."""
        while not self._stop.is_set():
            try:
                wait_s = step()
            except Exception as error:  # noqa: BLE001 - scans heal what is missed meanwhile
                known = error.told if isinstance(error, S3ToMilvusError) else ""
                name, loop = type(error).__name__, threading.current_thread().name
                log.warning("loop.failed", loop=loop, error=name, message=known or None)
                wait_s = _FAILED_S
            self._stop.wait(wait_s)

    def _watch(self, source: EventSource) -> float:
        """Listen until stopped. A source that fails is a warning of the status until it has worked for a while."""
        began, name = time.monotonic(), f"events {source.kind}"
        is_refused = False

        def emit(events: Sequence[ObjectEvent]) -> None:
            nonlocal is_refused
            try:
                self.emit(events)
            except S3ToMilvusError as error:
                self.mirror.guards[name] = f"Events of {source.kind} wait: {error.told}"
                is_refused = True
                raise
            if is_refused:
                is_refused = False
                self.mirror.guards.pop(name, None)

        def should_stop() -> bool:
            if time.monotonic() - began > _WORKS_S and not is_refused:
                self.mirror.guards.pop(name, None)
            return self._stop.is_set()

        try:
            source.run(emit, should_stop)
        except S3ToMilvusError as error:
            self.mirror.guards[name] = f"Events of {source.kind}: {error.told}"
            raise
        return 0.0

    def _scan_due(self) -> float:
        now = time.monotonic()
        if now >= self._next_scan:
            self.mirror.compare()
            for entry in list(self.sources):
                if not entry.is_paused and not self._stop.is_set():
                    self.scan_now(entry)
            self.mirror.tick()
            self.is_ready = True
            self._next_scan = time.monotonic() + (self.mirror.parts.config.scan_interval_s or math.inf)
        self._measure()
        return max(0.0, min(_MEASURE_S, self._next_scan - time.monotonic()))

    def _measure(self) -> None:
        self.mirror.tick()
        counts = self.mirror.parts.ledger.counts()
        for state in ("indexed", "waiting", "running", "failed", "empty"):
            OBJECTS.labels(state).set(getattr(counts, state))

    def _warn_of_journal(self, text: str) -> None:
        if text:
            self.mirror.guards["journal"] = text
        else:
            self.mirror.guards.pop("journal", None)


def _failure_of(entry: SourceEntry) -> str:
    """Under which name the failure of its scans is a warning of the status."""
    return f"scan {entry.uri}"


def _is_folder(ref: ObjectRef) -> bool:
    return ref.is_folder_name or not ref.key
