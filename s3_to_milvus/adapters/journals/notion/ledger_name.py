"""Which ledger the ids of entries are from."""

import secrets
from collections.abc import Callable

from s3_to_milvus.adapters.tickets import MemoryTickets
from s3_to_milvus.ports import Tickets

__all__ = ["LedgerName"]

_KEY = "journal.notion.ledger"
_REFRESH_S = 86_400.0


class LedgerName:
    """A random name, made once and kept among the tickets of the ledger: two ledgers never have the same.

    Without tickets each process makes its own. Nothing is lost then, but a job whose delivery had no clear end may be
    counted by two of them.
    """

    def __init__(self, tickets: Tickets | None, clock: Callable[[], float]) -> None:
        self._tickets: Tickets = MemoryTickets() if tickets is None else tickets
        self._clock = clock
        self._name = ""
        self._kept_at = 0.0

    def get(self) -> str:
        """The name; durable when this returns, and put again each day, since old tickets are forgotten."""
        now = self._clock()
        if not self._name or now >= self._kept_at + _REFRESH_S:
            name = self._name or self._tickets.ticket(_KEY) or secrets.token_hex(8)
            self._tickets.put_ticket(_KEY, name)
            self._name, self._kept_at = name, now
        return self._name
