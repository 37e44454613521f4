"""How fast outside services may be asked."""

from typing import Protocol

__all__ = ["Limits"]


class Limits(Protocol):
    """Rates that are shared by all who use a service, wherever they run."""

    def reserve(self, name: str, amount: float, interval_s: float, burst_s: float, most_s: float) -> float:
        """As `Ledger.reserve`, now."""

    def sleep(self, seconds: float) -> None:
        """Wait, by the clock that `reserve` goes by."""
