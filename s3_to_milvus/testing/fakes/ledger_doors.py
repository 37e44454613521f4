"""What the doors keep, in memory: bodies in quarantine, tickets, access keys."""

from collections.abc import Sequence
from dataclasses import replace

from s3_to_milvus.domain.access import AccessKey
from s3_to_milvus.domain.limits import storable_text
from s3_to_milvus.domain.quarantine import (
    MAX_BODY_CHARS,
    MAX_QUARANTINED,
    MAX_QUARANTINED_CHARS,
    TICKET_S,
    QuarantinedBody,
)
from s3_to_milvus.testing.fakes.ledger_state import MemoryTables, locked

__all__ = ["MemoryDoors"]


class MemoryDoors(MemoryTables):
    """The small tables of `ports.Ledger` that only doors use."""

    @locked
    def quarantine(self, bodies: Sequence[QuarantinedBody]) -> None:
        """As `Ledger.quarantine`."""
        for each in bodies:
            self.last_unread += 1
            body, reason = storable_text(each.body)[:MAX_BODY_CHARS], each.reason[:1_000]
            self.unread[self.last_unread] = replace(each, id=self.last_unread, body=body, reason=reason)
        for old in sorted(self.unread)[:-MAX_QUARANTINED]:
            del self.unread[old]
        while sum(len(each.body) for each in self.unread.values()) > MAX_QUARANTINED_CHARS:
            del self.unread[min(self.unread)]

    @locked
    def quarantined(self, after: int = 0, limit: int = 100) -> list[QuarantinedBody]:
        """As `Ledger.quarantined`."""
        return [self.unread[number] for number in sorted(self.unread) if number > after][:limit]

    @locked
    def unquarantine(self, ids: Sequence[int]) -> None:
        """As `Ledger.unquarantine`."""
        for each in ids:
            self.unread.pop(each, None)

    @locked
    def ticket(self, key: str) -> str | None:
        """As `Ledger.ticket`."""
        return self.tickets[key][0] if key in self.tickets else None

    @locked
    def put_ticket(self, key: str, value: str, now: float) -> None:
        """As `Ledger.put_ticket`."""
        self.tickets[key] = (value, now)
        self.tickets = {each: kept for each, kept in self.tickets.items() if kept[1] >= now - TICKET_S}

    @locked
    def drop_ticket(self, key: str) -> None:
        """As `Ledger.drop_ticket`."""
        self.tickets.pop(key, None)

    @locked
    def access_keys(self) -> list[AccessKey]:
        """As `Ledger.access_keys`."""
        return sorted(self.keys.values(), key=lambda key: key.name)

    @locked
    def put_access_key(self, key: AccessKey) -> None:
        """As `Ledger.put_access_key`."""
        self.keys[key.name] = key

    @locked
    def drop_access_key(self, name: str) -> bool:
        """As `Ledger.drop_access_key`."""
        return self.keys.pop(name, None) is not None
