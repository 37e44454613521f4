"""A rate that many share, by one number: when it is free again (the generic cell rate algorithm).

https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm
"""

import math
from typing import NamedTuple

__all__ = ["MOST_DEBT_S", "WRONG_CLOCK_S", "Reserved", "reserved"]

MOST_DEBT_S = 3_600.0
"""For longer than this no use keeps others waiting."""
WRONG_CLOCK_S = 2 * MOST_DEBT_S
"""A rate that is not free for longer than this was written by a clock that was wrong: no debt reaches so far."""


class Reserved(NamedTuple):
    """How long to wait before use, and when the rate is free again; None: as before, for the wait is too long."""

    wait_s: float
    free_at: float | None


def reserved(
    free_at: float | None, amount: float, interval_s: float, burst_s: float, now: float, most_s: float = math.inf
) -> Reserved:
    """As `Ledger.reserve`, for a rate that is free at ``free_at`` (None: never used)."""
    if free_at is None or free_at > now + WRONG_CLOCK_S:
        free_at = -math.inf
    start = max(free_at, now - burst_s)
    wait_s = max(0.0, start - now)
    return Reserved(wait_s, min(start + amount * interval_s, now + MOST_DEBT_S) if wait_s <= most_s else None)
