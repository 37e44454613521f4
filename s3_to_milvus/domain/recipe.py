"""Recipes: parser, splitter and embedder with their options, and the fingerprint stored with what they made."""

import hashlib
from dataclasses import dataclass

__all__ = ["Recipe", "fingerprint_of"]


def fingerprint_of(*parts: str) -> str:
    """16 hex digits that change whenever any part changes."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Recipe:
    """The fingerprints of the three steps that turn bytes into rows."""

    parser: str
    splitter: str
    embedder: str

    @property
    def fingerprint(self) -> str:
        """16 hex digits over all three steps."""
        return fingerprint_of(self.parser, self.splitter, self.embedder)
