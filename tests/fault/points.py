"""The points at which a process may die: before and after every call of a port."""

from dataclasses import dataclass, field
from typing import Any

from tests.fault.simulation.scheduler import Crash

__all__ = ["Countdown", "Watched"]

CALLS = frozenset(
    {"get", "claim", "commit", "settle", "retry", "bury", "release", "put_off", "begin", "note_run", "add_collection"}
    | {"ensure", "insert", "delete", "delete_other_runs", "sync", "fetch", "mark", "put_mark", "count"}
    | {"observe", "requeue", "suspect", "set_collection"}
    | {"embed_documents", "parse", "describe", "prepare", "succeed", "rows"}
)


@dataclass
class Countdown:
    """Crashes at one of the points before and after port calls; counts them all where ``at`` is None."""

    at: int | None = None
    passed: int = 0
    names: list[str] = field(default_factory=list)

    def point(self, name: str) -> None:
        self.names.append(name)
        self.passed += 1
        if self.at is not None and self.passed == self.at + 1:
            raise Crash


class Watched:
    """A port that passes a point before and after each call."""

    def __init__(self, inner: Any, countdown: Countdown) -> None:
        self._inner = inner
        self._countdown = countdown

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name not in CALLS or not callable(found):  # a ledger has a mark, a vector store is asked for one
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            self._countdown.point(f"before {name}")
            answer = found(*args, **kwargs)
            self._countdown.point(f"after {name}")
            return answer

        return call
