"""Buckets that no setting names: mirrored from the first event on that speaks of them (``s3://*``)."""

import math
import re
import threading
import time
from collections.abc import Callable, Container

from s3_to_milvus.errors import (
    ConfigError,
    FatalError,
    Forbidden,
    NoSuchBucket,
    PermanentError,
    S3ToMilvusError,
    TransientError,
    Unavailable,
)

__all__ = ["NamedBuckets"]

_AGAIN_S = 60.0
_PAUSE_S = 5.0
_REMEMBERED = 1_000
# What botocore takes for a bucket's name; access points (ARNs) need a setting.
_POSSIBLE = re.compile(r"[A-Za-z0-9._-]{1,255}")


class NamedBuckets:
    """``check`` lists a bucket, ``open_source`` makes a source of it.

    A bucket that there is not, or that we may not list, is asked for again after a minute at the earliest, so that
    events which make names up cost no more than that; a store that did not answer, after five seconds.
    """

    def __init__(
        self,
        check: Callable[[str], object],
        open_source: Callable[[str], object],
        limited: Container[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``limited``: buckets of which the settings say what is mirrored. They are not for us."""
        self._check = check
        self._open_source = open_source
        self._limited = limited
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, S3ToMilvusError]] = {}

    def is_known(self, bucket: str) -> bool:
        """Whether `open` answers without looking at the bucket."""
        if bucket in self._limited or not _POSSIBLE.fullmatch(bucket):
            return True
        with self._lock:
            return self._clock() < self._known.get(bucket, (-math.inf,))[0]

    def open(self, bucket: str) -> str:
        """Why it can't be opened; empty: it is, or is not for us. Raises `TransientError` where nobody can tell now."""
        if bucket in self._limited:
            return ""
        if not _POSSIBLE.fullmatch(bucket):
            return "No bucket can have such a name."
        with self._lock:
            again_at, error = self._known.get(bucket, (0.0, None))
        if error is None or self._clock() >= again_at:
            error = self._try(bucket)
        if isinstance(error, TransientError) and not isinstance(error, NoSuchBucket):
            raise error
        return "" if error is None else error.message

    def _try(self, bucket: str) -> S3ToMilvusError | None:
        try:
            self._check(bucket)
        except (NoSuchBucket, Forbidden, ConfigError, PermanentError) as error:
            return self._remember(bucket, error, _AGAIN_S)
        except TransientError as error:
            return self._remember(bucket, error, _PAUSE_S)
        except FatalError as error:  # of our credentials, not of this bucket: whoever tells of it shall keep it
            told = Unavailable(f"{bucket} can't be looked at: {error.message}", hint=error.hint)
            return self._remember(bucket, told, _PAUSE_S)
        self._open_source(f"s3://{bucket}")
        with self._lock:
            self._known.pop(bucket, None)
        return None

    def _remember(self, bucket: str, error: S3ToMilvusError, seconds: float) -> S3ToMilvusError:
        with self._lock:
            self._known.pop(bucket, None)
            self._known[bucket] = (self._clock() + seconds, error)
            while len(self._known) > _REMEMBERED:
                del self._known[next(iter(self._known))]  # the oldest
        return error
