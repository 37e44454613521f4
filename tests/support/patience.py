"""How long tests wait for what must happen: long enough for a slow or busy machine; what happens in time costs nothing.

A test never demands a speed. Where something must not be waited for, the thing itself takes far longer than `SOON_S`.
"""

__all__ = ["HANGS_S", "LEASE_S", "SOON_S"]

SOON_S = 60.0
"""By then it has happened, on any machine."""

HANGS_S = 250.0
"""What takes this long takes for ever: longer than any test waits, shorter than the limit of a test."""

LEASE_S = 1e6
"""A claim that nobody takes over, however slow the machine and whatever its wall clock does."""
