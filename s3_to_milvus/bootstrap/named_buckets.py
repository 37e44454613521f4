"""Buckets that no setting names: mirrored from the first event on that speaks of them (``s3://*``)."""

import threading
import time
from collections.abc import Callable

from s3_to_milvus.errors import ConfigError, PermanentError, Unauthorized

__all__ = ["NamedBuckets"]

_AGAIN_S = 60.0
_REMEMBERED = 1_000


class NamedBuckets:
    """``check`` reads a bucket, ``open_source`` makes a source of it.

    A bucket that can't be read is asked for again after a minute at the earliest, so that events which make names up
    cost no more than that.
    """

    def __init__(
        self,
        check: Callable[[str], object],
        open_source: Callable[[str], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._check = check
        self._open_source = open_source
        self._clock = clock
        self._lock = threading.Lock()
        self._refused: dict[str, tuple[float, str]] = {}

    def open(self, bucket: str) -> str:
        """Why it can't be opened; empty where it is. Raises `TransientError` where its store does not answer."""
        with self._lock:
            again_at, reason = self._refused.get(bucket, (0.0, ""))
            if reason and self._clock() < again_at:
                return reason
            try:
                self._check(bucket)
            except (ConfigError, PermanentError, Unauthorized) as error:
                if len(self._refused) >= _REMEMBERED:
                    self._refused.clear()
                self._refused[bucket] = (self._clock() + _AGAIN_S, error.message)
                return error.message
            self._refused.pop(bucket, None)
            self._open_source(f"s3://{bucket}")
            return ""
