"""What a store in memory held at one moment."""

from pathlib import Path

__all__ = ["MemoryFrozen"]


class MemoryFrozen:
    """Implements `ports.Frozen`: one file with this content."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.size_bytes = len(content)
        self.paused_s = 0.0
        self.is_closed = False

    def write(self, target: Path) -> None:
        """See `Frozen`."""
        target.write_bytes(self._content)

    def close(self) -> None:
        """See `Frozen`."""
        self.is_closed = True
