"""Rates of outside services, kept in the ledger: all processes that share it share them, and no restart forgets."""

from s3_to_milvus.ports import Clock, Ledger

__all__ = ["LedgerLimits"]


class LedgerLimits:
    """What adapters ask for, over the ledger and a clock that all its processes agree on."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock

    def reserve(self, name: str, amount: float, interval_s: float, burst_s: float, most_s: float) -> float:
        """See `ports.Limits`."""
        return self._ledger.reserve(name, amount, interval_s, burst_s, self._clock.now(), most_s)

    def sleep(self, seconds: float) -> None:
        """See `ports.Limits`."""
        self._clock.sleep(seconds)
