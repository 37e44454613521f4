"""Scans that failed: remembered, and due again until they succeed."""

import threading
import time
from dataclasses import dataclass, field

from s3_to_milvus.errors import DiskFull

__all__ = ["Rescans"]

_MOST_PREFIXES = 100
_FIRST_S = 1.0
_CAP_S = 60.0
_DISK_S = 2.0


@dataclass(slots=True)
class _Pending:
    """What of one source is to be scanned again; a None among the prefixes: all of it."""

    prefixes: set[str | None] = field(default_factory=set)
    failures: int = 0
    due: float = 0.0


class Rescans:
    """By source (its address). Thread-safe; bounded: of very many prefixes the whole source remains.

    Each failure in a row doubles the wait, up to a minute. For a full disk it stays at two seconds, since nobody says
    when there is space again. A scan that takes long is not begun again before it has waited as long.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pending: dict[str, _Pending] = {}

    def failed(self, uri: str, prefix: str | None, error: Exception, took_s: float) -> None:
        """The scan of a source (None) or of a prefix of it did not come to its end."""
        with self._lock:
            pending = self._pending.setdefault(uri, _Pending())
            pending.failures += 1
            pending.prefixes.add(prefix)
            if None in pending.prefixes or len(pending.prefixes) > _MOST_PREFIXES:
                pending.prefixes = {None}
            wait_s = _DISK_S if isinstance(error, DiskFull) else min(_CAP_S, _FIRST_S * 2.0 ** (pending.failures - 1))
            pending.due = time.monotonic() + max(wait_s, took_s)

    def done(self, uri: str, prefix: str | None) -> bool:
        """That scan came to its end, and all below it. True when nothing of the source is left."""
        with self._lock:
            pending = self._pending.get(uri)
            if pending is None:
                return True
            pending.failures = 0
            pending.prefixes = {each for each in pending.prefixes if not _is_below(each, prefix)}
            if not pending.prefixes:
                del self._pending[uri]
            return not pending.prefixes

    def due(self) -> list[tuple[str, str | None]]:
        """What is to be scanned now: (source, prefix)."""
        now = time.monotonic()
        with self._lock:
            return [
                (uri, prefix)
                for uri, pending in self._pending.items()
                if pending.due <= now
                for prefix in sorted(pending.prefixes, key=lambda each: each or "")
            ]


def _is_below(prefix: str | None, done: str | None) -> bool:
    return done is None or (prefix is not None and prefix.startswith(done))
