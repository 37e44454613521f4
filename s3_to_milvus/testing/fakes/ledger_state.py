"""The state of the ledger in memory: work rows, objects, tables, and how a work row changes."""

import functools
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import uuid4

from s3_to_milvus.domain.access import AccessKey
from s3_to_milvus.domain.objects import Lane, ObjectRef
from s3_to_milvus.domain.quarantine import QuarantinedBody
from s3_to_milvus.domain.records import Garbage, JournalEntry, ObjectState, Outcome, Record, Run, Suspicion
from s3_to_milvus.domain.rows import CollectionSpec
from s3_to_milvus.ports import SourceEntry

__all__ = ["KEPT_RUNS", "LANES", "CollectionFacts", "MemoryItem", "MemoryTables", "MemoryWork", "locked"]

KEPT_RUNS = 50
LANES = (Lane.LIVE, Lane.BACKFILL)

_Call = TypeVar("_Call", bound=Callable[..., Any])


@dataclass(slots=True)
class MemoryWork:
    """The work row of a dirty object. ``due`` None: dead letter. ``run`` 0: nobody holds it.

    ``is_settled``: nothing that was observed waits here; a dead letter, or only the later look at a suspect object.
    ``next_since`` and ``is_retry_next`` belong to what was observed while a claim holds the object.
    """

    lane: Lane
    due: float | None
    generation: int
    dirty_since: float
    attempts: int = 0
    deaths: int = 0
    is_begun: bool = False
    not_before: float | None = None
    suspicion: Suspicion = Suspicion.NONE
    is_retry: bool = False
    is_settled: bool = False
    owner: str = ""
    run: int = 0
    run_generation: int = 0
    is_committed: bool = False
    next_since: float | None = None
    is_retry_next: bool = False
    error_code: str = ""
    error: str = ""

    @property
    def is_moved(self) -> bool:
        """True when the object was observed since it was claimed."""
        return self.generation != self.run_generation

    def observe(self, lane: Lane, now: float, *, is_retry: bool) -> None:
        """One more observation of an object that is dirty already."""
        self.generation += 1
        if self.run:
            self.next_since = now if self.next_since is None else self.next_since
            self.is_retry_next = self.is_retry_next or is_retry
        elif self.is_settled:
            self.lane, self.dirty_since, self.is_retry = lane, now, is_retry
        self.lane = min(self.lane, lane, key=LANES.index)
        self.is_settled = False
        if self.run:
            return
        self.is_retry = self.is_retry or is_retry
        if self.suspicion is Suspicion.RECHECK and self.due is not None and self.due > now:
            self.suspicion = Suspicion.TAKEOVER  # too early to be the later look
        self.due = now if self.due is None else min(self.due, now)
        self.attempts = 0
        self.not_before = now if is_retry else self.not_before
        self.error_code = self.error = ""

    def suspect(self, now: float) -> None:
        """Rows may be missing or too many: see `Ledger.suspect`."""
        is_early = self.suspicion is Suspicion.RECHECK and self.due is not None and self.due > now
        is_known = self.suspicion is Suspicion.TAKEOVER
        self.suspicion = Suspicion.TAKEOVER if is_known or self.run or is_early else Suspicion.RECHECK
        if self.is_settled and not self.run:
            self.generation += 1
            self.lane, self.dirty_since, self.due, self.is_settled = Lane.BACKFILL, now, now, False
            self.attempts = 0
            self.error_code = self.error = ""

    @property
    def is_deadly(self) -> bool:
        """True when somebody died, or seems to have died, while he held the object."""
        return bool(self.deaths or self.run)

    def take(self, run: int, owner: str, lease_until: float) -> None:
        """A new claim holds the object."""
        if self.run:
            self.suspicion = Suspicion.TAKEOVER
            if not self.deaths or self.is_begun:
                self.deaths += 1
                self.not_before = None
        else:
            self.attempts += 1
        self.owner, self.run, self.run_generation = owner, run, self.generation
        self.due = lease_until
        self.is_begun = False
        self.is_committed = False
        self._take_over_observations()

    def let_go(self, due: float | None) -> None:
        """Nobody holds the object any more; what was observed meanwhile counts for the next claim."""
        self.owner, self.run, self.due = "", 0, due
        self._take_over_observations()
        if self.is_moved:
            self.attempts = 0

    def _take_over_observations(self) -> None:
        self.is_retry = self.is_retry or self.is_retry_next
        self.is_retry_next, self.next_since = False, None

    def resolve(self, now: float, recheck_s: float) -> bool:
        """End the claim. True, and the row waits, where the object must be looked at once more."""
        is_suspect = self.suspicion is Suspicion.TAKEOVER
        since, is_retry, is_moved = self.next_since, self.is_retry_next, self.is_moved
        self.error_code = self.error = ""
        self.let_go(now if is_moved else now + recheck_s)
        self.is_retry = is_retry
        if is_moved:
            self.dirty_since = now if since is None else since
            self.suspicion = Suspicion.TAKEOVER if is_suspect else Suspicion.NONE
        else:
            self.is_settled = True
            self.suspicion = Suspicion.RECHECK if is_suspect else Suspicion.NONE
        if is_suspect:
            self.attempts = 0
        self.deaths, self.not_before = 0, None
        return is_moved or is_suspect


@dataclass(slots=True)
class CollectionFacts:
    """What is known of a collection, as in `CollectionCounts`."""

    last_id: int = 0
    is_marked: bool = False
    is_suspect: bool = False


@dataclass(slots=True)
class MemoryItem:
    """Everything about one object. ``number`` grows with the order in which objects were first seen."""

    ref: ObjectRef
    number: int
    generation: int = 0
    record: Record | None = None
    garbage: list[Garbage] = field(default_factory=list)
    work: MemoryWork | None = None

    @property
    def is_failed(self) -> bool:
        """True when the last finished look failed."""
        return self.record is not None and self.record.outcome is Outcome.FAILED

    @property
    def state(self) -> ObjectState | None:
        """As `ObjectStatus` says it; None: gone, but for a later look."""
        work = self.work
        if work is not None and work.run:
            return ObjectState.RUNNING
        if work is not None and work.due is None:
            return ObjectState.FAILED
        if work is not None and not work.is_settled:
            return ObjectState.WAITING
        return ObjectState(self.record.outcome.value) if self.record else None


class MemoryTables:
    """All that the ledger remembers. ``journal`` maps entry ids to (due, entry); ``fresh`` runs to seconds."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.items: dict[ObjectRef, MemoryItem] = {}
        self.history: dict[ObjectRef, deque[Run]] = {}
        self.fresh: dict[int, float] = {}
        self.journal: dict[int, tuple[float, JournalEntry]] = {}
        self.mark = uuid4().hex
        self.specs: dict[str, CollectionSpec] = {}
        self.collection_facts: dict[str, CollectionFacts] = {}
        self.source_entries: dict[str, SourceEntry] = {}
        self.limits: dict[str, float] = {}
        self.unread: dict[int, QuarantinedBody] = {}
        self.last_unread = 0
        self.tickets: dict[str, tuple[str, float]] = {}
        self.keys: dict[str, AccessKey] = {}
        self.last_run = 0
        self.last_entry = 0
        self.last_number = 0


def locked(method: _Call) -> _Call:
    """One call at a time: every method is a transaction."""

    @functools.wraps(method)
    def call(self: MemoryTables, *args: object, **options: object) -> object:
        with self.lock:
            return method(self, *args, **options)

    return call  # type: ignore[return-value] # the same signature
