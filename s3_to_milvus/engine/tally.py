"""Counts what became of the objects of one source while a sync runs."""

import threading
from dataclasses import dataclass
from sys import intern

from s3_to_milvus.domain.records import Counts
from s3_to_milvus.domain.usage import Usage
from s3_to_milvus.engine.resolve import Done

__all__ = ["SyncReport", "Tally"]


@dataclass(frozen=True, slots=True)
class SyncReport:
    """The state of a source after a sync; every object is counted once, except that ``removed`` are gone.

    ``failed`` counts permanent failures, and with them what is still being retried (``retrying``) when the sync ends.
    ``tokens``, ``pages`` and ``usd`` are what paid services charged for all attempts, those that failed too.
    """

    source: str
    added: int = 0
    changed: int = 0
    removed: int = 0
    unchanged: int = 0
    failed: int = 0
    empty: int = 0
    chunks: int = 0
    embedded: int = 0
    tokens: int = 0
    pages: int = 0
    usd: float = 0.0
    seconds: float = 0.0
    retrying: int = 0
    plan: tuple[tuple[str, str, str], ...] | None = None


class Tally:
    """Listens to finished attempts below one prefix. Thread-safe."""

    def __init__(self, bucket: str, prefix: str) -> None:
        self._bucket = bucket
        self._prefix = prefix
        self._lock = threading.Lock()
        self._last: dict[int, str] = {}
        self.chunks = 0
        self.embedded = 0
        self.usage = Usage()
        self.finished = 0

    def take(self, done: Done) -> None:
        """Count one attempt, if it is of this source."""
        ref = done.claim.ref
        if ref.bucket != self._bucket or not ref.key.startswith(self._prefix):
            return
        with self._lock:
            self.usage += done.stats.usage
            if done.outcome == "lost":
                return
            if done.outcome != "retry":
                self.finished += 1
                self.chunks += done.stats.chunks
                self.embedded += done.stats.embedded
            if done.action == "skip":
                return
            name = hash(ref)  # a number and one of a few texts for each object: there may be millions
            was_added = self._last.get(name, "").startswith("add ")
            action = "add" if was_added and done.action == "change" else done.action
            self._last[name] = intern(f"{action} {done.outcome}")

    def report(self, source: str, counts: Counts, seconds: float) -> SyncReport:
        """The report, with ``counts`` being what the ledger counts in this source now."""
        with self._lock:
            ends = list(self._last.values())
        added = ends.count("add indexed")
        changed = ends.count("change indexed")
        retrying = counts.waiting + counts.running
        return SyncReport(
            source=source,
            added=added,
            changed=changed,
            removed=ends.count("remove removed"),
            unchanged=max(0, counts.indexed - added - changed),
            failed=counts.failed + retrying,
            empty=counts.empty,
            chunks=self.chunks,
            embedded=self.embedded,
            tokens=self.usage.tokens,
            pages=self.usage.pages,
            usd=self.usage.usd,
            seconds=round(seconds, 3),
            retrying=retrying,
        )
