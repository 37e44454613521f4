"""The log that people read."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from s3_to_milvus.domain.records import (
    JournalEntry,
)

if TYPE_CHECKING:
    pass

__all__ = ["Journal"]


class Journal(Protocol):
    """The log that people read: structured log, Notion, webhook."""

    kind: str

    def deliver(self, entries: Sequence[JournalEntry]) -> None:
        """Write entries; all were written when it returns. May be called again with the same ids after an error.

        Raises a `PermanentError` where it refuses an entry for what it is: they are then given one by one, and those
        that are refused again hold no other. Any other error: all are given again later, before those that came
        meanwhile, and not before its ``retry_after_s`` where it has one.
        """

    def check(self) -> str:
        """As `ObjectStore.check`."""
