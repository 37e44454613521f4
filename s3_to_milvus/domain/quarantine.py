"""Bodies of events that nobody understands: kept, so that they can be looked at and played again."""

from dataclasses import dataclass, field

from s3_to_milvus.domain.objects import ObjectEvent

__all__ = [
    "MAX_BODY_CHARS",
    "MAX_QUARANTINED",
    "MAX_QUARANTINED_CHARS",
    "TICKET_S",
    "Decoded",
    "QuarantinedBody",
    "Refused",
]

MAX_BODY_CHARS = 1_048_576
"""Longer bodies are cut (no door takes more, and a message of SQS has at most as much)."""

MAX_QUARANTINED = 10_000
"""Beyond that the oldest are forgotten."""

MAX_QUARANTINED_CHARS = 64 * MAX_BODY_CHARS
"""Of all bodies together; beyond that the oldest are forgotten, too."""


TICKET_S = 30 * 86_400.0
"""How long tickets of outside services are kept: they keep results no longer."""


@dataclass(frozen=True, slots=True)
class QuarantinedBody:
    """``id`` 0: not stored yet. ``source`` is the door it came in by."""

    body: str
    reason: str
    source: str
    received_at: float
    id: int = 0


@dataclass(frozen=True, slots=True)
class Refused:
    """A body that nobody understands, as text, and why."""

    body: str
    reason: str


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a body holds; the parts of a batch are understood each by itself."""

    events: list[ObjectEvent] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
