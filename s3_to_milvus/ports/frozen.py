"""One moment of a store, to be copied while the store goes on."""

from pathlib import Path
from typing import Protocol

__all__ = ["Frozen"]


class Frozen(Protocol):
    """What a store held when it was frozen. To be closed: until then, the store keeps what it would throw away."""

    size_bytes: int
    paused_s: float
    """How long nobody could write because of it."""

    def write(self, target: Path) -> None:
        """Copy it to ``target`` (a file or a folder, which is not there yet), as the store would find it when opened.

        Not synced. Raises what the store raises where it is damaged, and `OSError`.
        """

    def close(self) -> None:
        """Let go. May be called twice."""
