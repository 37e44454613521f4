"""What commands ask for, and who answers: the engine in this process, or the service that owns the data."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

__all__ = ["Answer", "Checked", "Desk", "OnProgress", "Step", "Synced"]

Answer = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Step:
    """How far a piece of work is."""

    done: int = 0
    total: int = 0
    chunks: int = 0


OnProgress = Callable[[Step], None]


@dataclass(frozen=True, slots=True)
class Synced:
    """The report of a sync, how many of its failures are still being tried again, and the first of them."""

    report: Answer
    retrying: int = 0
    failures: list[Answer] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check found (after a repair: what is left), and how much was repaired."""

    report: Answer
    repaired: int = 0


class Desk(Protocol):
    """Every answer is as the JSON of the command prints it."""

    is_remote: bool

    def sync(self, source: str, *, is_dry_run: bool, is_confirmed: bool, on_progress: OnProgress) -> Synced:
        """Bring a source in line."""

    def search(self, query: str, top: int, collection: str | None) -> Answer:
        """Hits for a question."""

    def status(self) -> Answer:
        """The state of everything."""

    def find(self, key: str) -> list[Answer]:
        """Every object with this key, with timeline and chunks."""

    def retry(self, ids: Sequence[str] | None, on_progress: OnProgress) -> int:
        """Try objects again (None: all that failed) and wait for them, where waiting is ours; how many."""

    def check(self, *, is_repairing: bool, on_progress: OnProgress) -> Checked:
        """Compare bucket, ledger and Milvus."""

    def backup(self, folder: Path, on_progress: OnProgress) -> Answer:
        """Copy ledger and vectors to this folder (absolute); steps count bytes."""

    def keys(self) -> list[Answer]:
        """All API keys, without themselves."""

    def add_key(self, name: str, role: str) -> Answer:
        """A new key, with itself."""

    def drop_key(self, name: str) -> bool:
        """Whether there was such a key."""

    def quarantined(self) -> list[Answer]:
        """Bodies of events that nobody understood."""

    def replay(self, ids: Sequence[int] | None) -> Answer:
        """Understand them once more (None: all)."""

    def drop_quarantined(self, ids: Sequence[int] | None) -> Answer:
        """Forget them (None: all)."""

    def close(self) -> None:
        """Let go."""
