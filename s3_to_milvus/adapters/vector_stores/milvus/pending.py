"""When a flush of Milvus Lite pays."""

from dataclasses import dataclass

__all__ = ["Pending"]

_QUIET_S = 2.0
_FLUSH_ROWS = 4_000
_FLUSH_ROWS_QUIET = 500
_FLUSH_ROWS_SEARCHED = 500
_FLUSH_DELETES = 2_000


@dataclass(slots=True)
class Pending:
    """What a collection holds in memory and in its log only."""

    rows: int = 0
    deletes: int = 0
    written_at: float = 0.0
    is_searched: bool = False
    is_in_doubt: bool = False  # a write failed half-way: what follows it in the log could not be replayed

    def is_due(self, now: float) -> bool:
        """True when a flush pays."""
        if self.is_in_doubt or self.rows >= _FLUSH_ROWS or self.deletes >= _FLUSH_DELETES:
            return True
        if self.is_searched and self.rows >= _FLUSH_ROWS_SEARCHED:
            return True
        return self.rows >= _FLUSH_ROWS_QUIET and now - self.written_at >= _QUIET_S
