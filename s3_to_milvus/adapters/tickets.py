"""Tickets in memory: for checks, and where nothing durable is at hand."""

__all__ = ["MemoryTickets"]


class MemoryTickets:
    """Implements `ports.Tickets`; forgets everything when the process ends."""

    def __init__(self) -> None:
        self._held: dict[str, str] = {}

    def ticket(self, key: str) -> str | None:
        """See `ports.Tickets`."""
        return self._held.get(key)

    def put_ticket(self, key: str, value: str) -> None:
        """See `ports.Tickets`."""
        self._held[key] = value

    def drop_ticket(self, key: str) -> None:
        """See `ports.Tickets`."""
        self._held.pop(key, None)
