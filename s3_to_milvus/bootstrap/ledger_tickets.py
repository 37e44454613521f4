"""Tickets of outside services, kept in the ledger."""

from s3_to_milvus.ports import Clock, Ledger

__all__ = ["LedgerTickets"]


class LedgerTickets:
    """What a parser asks for, over the ledger and a clock."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock

    def ticket(self, key: str) -> str | None:
        """See `Ledger.ticket`."""
        return self._ledger.ticket(key)

    def put_ticket(self, key: str, value: str) -> None:
        """See `Ledger.put_ticket`."""
        self._ledger.put_ticket(key, value, self._clock.now())

    def drop_ticket(self, key: str) -> None:
        """See `Ledger.drop_ticket`."""
        self._ledger.drop_ticket(key)
