"""What to do after a failed attempt: a pure decision from the error and the number of attempts."""

import errno
import math
from dataclasses import dataclass

from s3_to_milvus.errors import (
    FatalError,
    Forbidden,
    LeaseLost,
    ParserCrashed,
    ParserKilled,
    ParserTimeout,
    PermanentError,
    RateLimited,
    S3ToMilvusError,
    SchemaMismatch,
    Superseded,
    TransientError,
    Unavailable,
)

__all__ = ["Bury", "Drop", "Hold", "NextStep", "RetryPolicy", "TryAgain", "as_known", "is_for_all", "next_step"]

_LIMITS_S = 5.0
_CRASHES = frozenset(kind.code for kind in (ParserCrashed, ParserKilled, ParserTimeout))


@dataclass(frozen=True, slots=True)
class TryAgain:
    """Another attempt after ``delay_s``; an attempt that is not charged does not count."""

    delay_s: float
    is_charged: bool = True


@dataclass(frozen=True, slots=True)
class Bury:
    """Dead letter: the file stays failed until it changes or a person asks for another try.

    Where its parsing process died or took too long, the machine may be to blame: then it is tried again by itself, too.
    """


@dataclass(frozen=True, slots=True)
class Hold:
    """Nothing will work: stop the queue for a while, burn no attempts."""


@dataclass(frozen=True, slots=True)
class Drop:
    """The object is not ours any more: somebody else finishes it."""


NextStep = TryAgain | Bury | Hold | Drop


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Back-off doubles from ``base_s`` to ``cap_s``, with full jitter over its upper half.

    Where the other side named a time, it is obeyed, but nobody comes again before ``base_s``: services say 0, too.

    ``defect_attempts``: how often an unexpected exception (our own defect) is tried, or a file whose parsing process
    was killed. ``death_cap_s``: the longest wait for an object in whose work the service died again and again.
    ``crashed_s``: when a dead letter is tried again whose parsing process died or took too long; it doubles up to
    ``crashed_growth`` times that, 0: never. ``blocked_s``: when an object is looked at again whose collection refuses
    it.
    """

    base_s: float = 1.0
    cap_s: float = 600.0
    defect_attempts: int = 3
    death_cap_s: float = 3_600.0
    crashed_s: float = 7_200.0
    crashed_growth: float = 32.0
    blocked_s: float = 60.0

    def backoff_s(self, attempts: int, jitter: float) -> float:
        """Seconds before the attempt after ``attempts`` (from 1); ``jitter`` is random, 0 <= jitter < 1."""
        full = min(self.cap_s, self.base_s * 2.0 ** min(attempts - 1, 30))
        return full * (0.5 + jitter / 2)

    def death_backoff_s(self, deaths: int) -> float:
        """How long the service lives before it reads an object that was in work at ``deaths`` (from 2) deaths."""
        return min(self.death_cap_s, self.base_s * 2.0 ** min(deaths - 2, 30))

    def next_try_of_crashed(self, error_code: str, failed_at: float, attempts: int = 1) -> float:
        """When a dead letter of this code is tried again by itself; infinity: never."""
        if error_code not in _CRASHES or not self.crashed_s:
            return math.inf
        return failed_at + self.crashed_s * min(self.crashed_growth, 2.0 ** min(max(attempts, 1) - 1, 30))


_LIMITS = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN}
)


def as_known(error: Exception) -> Exception:
    """The same, but for what a machine says that is at its limits (disk, open files): that is no defect of ours."""
    if not isinstance(error, OSError) or isinstance(error, S3ToMilvusError) or error.errno not in _LIMITS:
        return error
    where = f" ({error.filename})" if isinstance(error.filename, str) else ""
    return Unavailable(f"The machine is at its limits: {error.strerror}{where}.", retry_after_s=_LIMITS_S)


def is_for_all(error: BaseException | None) -> bool:
    """True where nothing else will work either: every fatal error but that of one object or one collection."""
    return isinstance(error, FatalError) and not isinstance(error, Forbidden | SchemaMismatch)


def next_step(error: BaseException, attempts: int, policy: RetryPolicy, jitter: float) -> NextStep:
    """Decide by the family of the error (see `s3_to_milvus.errors`)."""
    if isinstance(error, LeaseLost):
        return Drop()
    if is_for_all(error):
        return Hold()
    if isinstance(error, SchemaMismatch):
        return TryAgain(policy.blocked_s, is_charged=False)
    backoff_s = policy.backoff_s(attempts, jitter)
    if isinstance(error, PermanentError):
        is_hasty = isinstance(error, ParserKilled) and attempts < policy.defect_attempts
        return TryAgain(backoff_s) if is_hasty else Bury()
    if isinstance(error, Forbidden):
        return TryAgain(backoff_s)
    if isinstance(error, Superseded):
        # At once, but a file that never rests (a growing log) must not spin: from 0.1 s up to 30 s.
        return TryAgain(min(30.0, backoff_s / policy.base_s / 10))
    if isinstance(error, TransientError):
        asked_s = error.retry_after_s
        delay_s = backoff_s if asked_s is None else max(asked_s, policy.base_s) + jitter * policy.base_s
        return TryAgain(delay_s, is_charged=not isinstance(error, RateLimited))
    return Bury() if attempts >= policy.defect_attempts else TryAgain(backoff_s)
