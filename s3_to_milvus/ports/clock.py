"""Time and chance."""

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    pass

__all__ = ["Clock"]


class Clock(Protocol):
    """Time and chance, so that a simulation can own them."""

    def now(self) -> float:
        """Epoch seconds."""

    def sleep(self, seconds: float) -> None:
        """Wait."""

    def token(self) -> str:
        """A fresh name, never given before."""

    def jitter(self) -> float:
        """A random number, 0 <= value < 1."""
