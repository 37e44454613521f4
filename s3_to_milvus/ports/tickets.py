"""What outside services call jobs that were started there."""

from typing import Protocol

__all__ = ["Tickets"]


class Tickets(Protocol):
    """A small durable memory, so that a crash starts (and pays, or writes) nothing twice."""

    def ticket(self, key: str) -> str | None:
        """What was remembered under this key; None: nothing."""

    def put_ticket(self, key: str, value: str) -> None:
        """Remember it; durable when it returns. Forgotten after ``TICKET_S``."""

    def drop_ticket(self, key: str) -> None:
        """Forget it."""
