"""The claims this process holds, and until when: renewed by a heartbeat, asked before every write."""

import threading
from collections.abc import Sequence

from s3_to_milvus.domain.records import Claim
from s3_to_milvus.ports import Clock, Ledger

__all__ = ["Leases"]


class Leases:
    """Claims in work, by run. Thread-safe."""

    def __init__(self, ledger: Ledger, clock: Clock, lease_s: float) -> None:
        self._ledger = ledger
        self._clock = clock
        self._lease_s = lease_s
        self._lock = threading.Lock()
        self._until: dict[int, tuple[Claim, float]] = {}

    def hold(self, claims: Sequence[Claim]) -> None:
        """Start watching claims."""
        with self._lock:
            self._until.update((claim.run, (claim, claim.lease_until)) for claim in claims)

    def drop(self, claims: Sequence[Claim]) -> None:
        """They are resolved, or given up."""
        with self._lock:
            for claim in claims:
                self._until.pop(claim.run, None)

    def is_live(self, claim: Claim) -> bool:
        """True while the lease surely holds. A fence of the ledger decides in the end; this saves useless writes."""
        held = self._until.get(claim.run)
        return held is not None and self._clock.now() < held[1]

    def held(self) -> list[Claim]:
        """All claims in work."""
        with self._lock:
            return [claim for claim, _ in self._until.values()]

    def renew(self) -> None:
        """Extend what has used more than a third of its lease; what turned out to be lost is not live any more."""
        now = self._clock.now()
        with self._lock:
            due = [claim for claim, until in self._until.values() if until - now < self._lease_s * 2 / 3]
        if not due:
            return
        answers = self._ledger.heartbeat(due, now, self._lease_s)
        with self._lock:
            for claim, is_ours in zip(due, answers, strict=True):
                if claim.run in self._until:
                    self._until[claim.run] = (claim, now + self._lease_s if is_ours else 0.0)
