"""A journal in memory that can refuse."""

import threading
from collections.abc import Sequence

from s3_to_milvus.domain.records import JournalEntry

__all__ = ["MemoryJournal"]


class MemoryJournal:
    """Keeps what was delivered, each id once. Errors put into ``failures`` are raised by the next calls, in order."""

    kind = "memory"

    def __init__(self) -> None:
        self._entries: dict[int, JournalEntry] = {}
        self._lock = threading.Lock()
        self.calls = 0
        self.failures: list[Exception] = []

    @property
    def entries(self) -> list[JournalEntry]:
        """What was delivered, in order of delivery."""
        with self._lock:
            return list(self._entries.values())

    def deliver(self, entries: Sequence[JournalEntry]) -> None:
        """See `ports.Journal`. A call that fails has written the first half: the outcome is unknown to the caller."""
        with self._lock:
            self.calls += 1
            failure = self.failures.pop(0) if self.failures else None
            written = entries[: len(entries) // 2] if failure else entries
            for entry in written:
                self._entries.setdefault(entry.id, entry)
            if failure:
                raise failure

    def check(self) -> str:
        """Always well."""
        return "in memory"
