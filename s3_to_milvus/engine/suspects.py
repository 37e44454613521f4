"""Objects in whose work the service died: looked at at once, read alone and ever later, never blamed for it."""

import threading
from collections.abc import Iterable
from typing import NamedTuple

from s3_to_milvus.domain.records import Claim
from s3_to_milvus.domain.retrying import RetryPolicy
from s3_to_milvus.errors import Interrupted
from s3_to_milvus.ports import Clock

__all__ = ["Suspects", "Wait", "is_deadly"]

_INNOCENT_DEATHS = 1
"""So many deaths say nothing: whoever was claimed when the service was killed has one."""


def is_deadly(claim: Claim) -> bool:
    """True where the service died again and again while it worked on this object: it may be the reason."""
    return claim.deaths > _INNOCENT_DEATHS


class Wait(NamedTuple):
    """When to look again, and from when on the object is read whatever else holds."""

    due: float
    not_before: float


class Suspects:
    """Decides when an object with deaths may be read. Shared by the workers of one process; thread-safe.

    A kill from outside and a file that kills look alike, so nobody is buried for a death. But what the service dies of
    again and again must not keep it from everything else. So from the second death on such an object is read while no
    other one like it is, and only once the service has lived for a while, twice as long after each further death. Then
    a file that kills does so ever more rarely; and while somebody kills the service every few seconds, an innocent
    file is soon not read at all, and as soon as the service lives longer than that.
    """

    def __init__(self, clock: Clock, policy: RetryPolicy) -> None:
        self._clock = clock
        self._policy = policy
        self._started_at = clock.now()
        self._lock = threading.Lock()
        self._reading: int | None = None

    def wait_of(self, claim: Claim) -> Wait | None:
        """How long the object of this claim waits; None: it is read now, and no other suspect is until `release`."""
        if not is_deadly(claim):
            return None
        now, policy = self._clock.now(), self._policy
        # Processes that never live that long (a command, a service that is deployed all the time) read it some day.
        not_before = now + policy.death_cap_s if claim.not_before is None else claim.not_before
        until = min(not_before, self._started_at + policy.death_backoff_s(claim.deaths))
        if now < until:
            return Wait(until, not_before)
        with self._lock:
            if self._reading not in (None, claim.run):
                return Wait(now + policy.base_s * (0.5 + self._clock.jitter()), not_before)
            self._reading = claim.run
        return None

    def release(self, claims: Iterable[Claim]) -> None:
        """The work on these has ended."""
        with self._lock:
            if any(claim.run == self._reading for claim in claims):
                self._reading = None

    def reason(self, claim: Claim) -> Interrupted:
        """Why it waits, for people."""
        return Interrupted(
            f"The service ended {claim.deaths} times while it worked on this file: it was killed, or the memory or "
            "the power ran out. The file is read by itself, a little later each time."
        )
