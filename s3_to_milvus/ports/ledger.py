"""The ledger: durable memory and queue."""

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from s3_to_milvus.domain.access import AccessKey
from s3_to_milvus.domain.objects import Lane, ObjectRef
from s3_to_milvus.domain.quarantine import QuarantinedBody
from s3_to_milvus.domain.records import (
    Claim,
    Commit,
    Counts,
    Failure,
    IndexedLine,
    JournalEntry,
    ObjectState,
    ObjectStatus,
    Record,
    Run,
    RunStats,
    SettleState,
)
from s3_to_milvus.domain.rows import CollectionSpec
from s3_to_milvus.ports.frozen import Frozen

__all__ = ["CollectionCounts", "Ledger", "SourceEntry", "Standing"]


@dataclass(frozen=True, slots=True)
class Standing:
    """Which rows of an object are its truth: what search and check compare hits with."""

    ref: ObjectRef
    collection: str
    run: int


@dataclass(frozen=True, slots=True)
class CollectionCounts:
    """A collection with how many objects and chunks the ledger counts in it.

    ``last_id`` is the greatest id that a record of it ever named. ``is_marked``: the ledger's mark was written into it.
    ``is_suspect``: what it holds is not known to be what the ledger says, until the two were compared row by row.
    """

    spec: CollectionSpec
    objects: int
    chunks: int
    last_id: int = 0
    is_marked: bool = False
    is_suspect: bool = False


@dataclass(frozen=True, slots=True)
class SourceEntry:
    """A source that was mirrored at least once: ``name`` is the bucket its objects carry, ``uri`` where it lies.

    ``prefix`` is the part of the bucket that is mirrored.
    """

    name: str
    uri: str
    prefix: str = ""
    is_paused: bool = False
    last_scan_at: float | None = None

    @property
    def is_bucket(self) -> bool:
        """False for a folder."""
        return self.uri.startswith("s3://")


class Ledger(Protocol):
    """The durable memory and queue. Every method is one transaction, committed when it returns.

    Times are epoch seconds given by the caller; a ledger never looks at a clock. One row per object; one work row per
    dirty object; at most one live claim per object; ``generation`` grows with every observation.
    """

    kind: str

    @property
    def mark(self) -> str:
        """What tells this ledger from all others, for good: 32 hexadecimal digits."""

    # intake
    def observe(self, refs: Sequence[ObjectRef], lane: Lane, now: float) -> None:
        """Mark objects dirty: generation + 1; due now unless a claim holds it (then: due again when it settles).

        The better lane wins. Unclaimed: attempts back to 0, back-off ends, a dead letter lives again. Deaths and
        ``not_before`` stay: what is observed may be a hint for the file that killed the service.
        """

    def requeue(self, refs: Sequence[ObjectRef] | None, now: float) -> int:
        """As `observe` in the live lane, and the claims say ``is_retry``; ``not_before`` is now. None: all failed
        objects. Returns how many; refs that the ledger does not know are left out."""

    def suspect(self, refs: Sequence[ObjectRef], now: float) -> int:
        """Rows of these objects may be missing, or stand that no record names: the next claim of each has
        ``Suspicion.RECHECK`` at least. Due now in the backfill lane where nothing waited; else as it was. Returns how
        many; refs that the ledger does not know are left out."""

    # queue
    def claim(self, owner: str, limit: int, now: float, lease_s: float) -> list[Claim]:
        """Take up to ``limit`` objects that are due, live lane first, oldest due first; attempts + 1 at once.

        A claim over an expired, unresolved one has ``Suspicion.TAKEOVER``. The unresolved one is a death, no attempt:
        the first one in any case, since anything may have been in work, later ones where they had begun (see `begin`).
        **An object with deaths is claimed alone**, so that a second death can only be due to it: it is the only claim
        of its call where it is first, and left for a later call where it is not.
        """

    def heartbeat(self, claims: Sequence[Claim], now: float, lease_s: float) -> list[bool]:
        """Extend leases; False where the claim is not ours any more."""

    def begin(self, claim: Claim) -> bool:
        """Note that an object with deaths is read from now on: if nobody resolves the claim, that is one more death.
        False where the claim is not ours any more."""

    def commit(self, commits: Sequence[Commit], now: float) -> list[bool]:
        """Make records the truth (see `Commit`); False, and nothing done, where the claim is not ours any more.

        Finishes the run in the timeline and puts one journal entry into the outbox, in the same transaction.
        """

    def settle(self, claims: Sequence[Claim], now: float, recheck_s: float) -> list[SettleState]:
        """Resolve claims whose garbage is deleted: garbage is forgotten, and the work row goes, unless
        the generation moved (``AGAIN``, due now, attempts 0), or the claim was a TAKEOVER (``AGAIN``, due at
        now + recheck_s as RECHECK). An object with no record and nothing to do is forgotten. Not ours any more:
        ``LOST``, nothing done. A failed record keeps its work row as dead letter (see `bury`).
        """

    def retry(
        self,
        claim: Claim,
        failure: Failure,
        now: float,
        due: float,
        *,
        is_unclean: bool,
        is_charged: bool,
        stats: RunStats = RunStats(),
    ) -> SettleState:
        """Give the claim back for another attempt at ``due``; ``stats``: what this one cost. Unclean: unknown rows may
        exist, the next claim is a TAKEOVER (a TAKEOVER claim stays one in any case). Not charged: the attempt is not
        counted. Generation moved: due now.
        """

    def put_off(self, claim: Claim, failure: Failure, now: float, due: float, not_before: float) -> SettleState:
        """Hand back a claim of an object with deaths, unread: as `release`, but due at ``due`` (generation moved: now),
        and further claims say ``not_before`` until one of them dies.
        """

    def bury(
        self, claim: Claim, failure: Failure, now: float, recheck_s: float, retry_at: float | None = None
    ) -> SettleState:
        """As `settle`, but the work row stays as dead letter (``DONE``): due at ``retry_at`` with its attempts counted
        on (None: never), or when it is observed or requeued."""

    def release(self, claims: Sequence[Claim], now: float) -> None:
        """Hand back claims whose work never began: due now, attempt not counted, suspicion as it was."""

    def expire_all(self, now: float) -> int:
        """End every lease now; how many. Only for the sole owner of the ledger, at start: nobody else can hold one."""

    def raise_runs(self, least: int) -> None:
        """Runs of claims from now on are greater than ``least``. At start, with the time in microseconds: a ledger that
        was put back from an older copy gives no run a second time."""

    # reading
    def next_due(self) -> float | None:
        """When the earliest unclaimed or expiring work row is due; None when there is none that ever will be."""

    def status(self, ref: ObjectRef) -> ObjectStatus | None:
        """Where one object stands; None: unknown."""

    def find(self, object_id: str) -> ObjectRef | None:
        """The object with this `object_id_of`."""

    def objects(
        self,
        *,
        bucket: str | None = None,
        prefix: str = "",
        state: ObjectState | None = None,
        after: ObjectRef | None = None,
        limit: int = 100,
    ) -> list[ObjectStatus]:
        """A page of objects ordered by (bucket, key bytes), those after ``after``."""

    def lines(self, bucket: str, prefix: str = "") -> Iterator[IndexedLine]:
        """All objects with a record below a prefix, strictly ascending by `sort_key`; others may write meanwhile."""

    def records(self, bucket: str | None = None, prefix: str = "", collection: str | None = None) -> Iterator[Record]:
        """As `lines`, whole records, ordered by (bucket, key bytes). ``collection``: those with rows in it."""

    def standing(self, object_ids: Collection[str]) -> dict[str, Standing]:
        """By object id, which rows are the truth; objects without rows are left out."""

    def counts(self, bucket: str | None = None, prefix: str = "") -> Counts:
        """How many objects are in which state."""

    def runs(self, ref: ObjectRef | None = None, limit: int = 50) -> list[Run]:
        """The newest attempts, newest first."""

    def freshness(self, limit: int = 1000) -> list[float]:
        """Seconds from first observation to commit of the newest successful runs."""

    # collections and sources
    def add_collection(self, spec: CollectionSpec) -> CollectionSpec:
        """Remember a collection; where (label, embedder) is known already, the one that is known."""

    def collections(self) -> list[CollectionCounts]:
        """All collections with counts, by name."""

    def set_collection(
        self, name: str, *, is_marked: bool | None = None, is_suspect: bool | None = None, after_id: int = 0
    ) -> None:
        """Change what is said of a collection (None: as it is); ``last_id`` becomes ``after_id`` at least."""

    def newest(self, collection: str) -> Record | None:
        """The record with the greatest id of those whose rows stand in the collection."""

    def put_source(self, entry: SourceEntry) -> None:
        """Insert or replace a source by its address; several may be parts of one bucket."""

    def sources(self) -> list[SourceEntry]:
        """All sources, by name and address."""

    # outbox and shared limits
    def outbox(self, now: float, limit: int) -> list[JournalEntry]:
        """Entries that are due for delivery, oldest first."""

    def outbox_done(self, ids: Sequence[int]) -> None:
        """Forget delivered entries."""

    def outbox_later(self, ids: Sequence[int], due: float) -> None:
        """Try these again at ``due``."""

    def reserve(
        self, name: str, amount: float, interval_s: float, burst_s: float, now: float, most_s: float = math.inf
    ) -> float:
        """Reserve ``amount`` units of a shared rate (one per ``interval_s``); seconds to wait before use (GCRA).

        What was not used in the last ``burst_s`` may be used at once; negative: nobody may use it for so many seconds.
        Where the wait is longer than ``most_s``, nothing is reserved. See `domain.rates`.
        """

    # what the doors keep
    def quarantine(self, bodies: Sequence[QuarantinedBody]) -> None:
        """Keep bodies that nobody understands; the newest ``MAX_QUARANTINED``, and about ``MAX_QUARANTINED_CHARS``."""

    def quarantined(self, after: int = 0, limit: int = 100) -> list[QuarantinedBody]:
        """Those with a greater id than ``after``, oldest first."""

    def unquarantine(self, ids: Sequence[int]) -> None:
        """Forget these."""

    def ticket(self, key: str) -> str | None:
        """What an outside service calls the job that was started there under this key; None: none is known."""

    def put_ticket(self, key: str, value: str, now: float) -> None:
        """Remember it, in place of another one. Those older than ``TICKET_S`` are forgotten."""

    def drop_ticket(self, key: str) -> None:
        """The job is done, or unknown there."""

    def access_keys(self) -> list[AccessKey]:
        """All keys, by name."""

    def put_access_key(self, key: AccessKey) -> None:
        """Keep a key, in place of another one of its name."""

    def drop_access_key(self, name: str) -> bool:
        """Whether there was such a key."""

    def note_run(self, claim: Claim, action: str, outcome: str, now: float, stats: RunStats) -> None:
        """Finish a run that makes no commit (skipped, or lost to another claim) in the timeline."""

    def check(self) -> str:
        """As `ObjectStore.check`."""

    def freeze(self) -> Frozen:
        """What is committed now, to be copied. Raises `LedgerDamaged`, `LedgerLost`."""

    def close(self) -> None:
        """Finish what is queued and let go of the files."""
