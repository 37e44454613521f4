"""What the ledger remembers: records of indexed objects, claims, runs, journal entries."""

from dataclasses import dataclass
from enum import StrEnum

from s3_to_milvus.domain.objects import Lane, ObjectRef, ObjectVersion
from s3_to_milvus.domain.rows import IdRanges, RowSet
from s3_to_milvus.domain.usage import Usage

__all__ = [
    "Claim",
    "Commit",
    "Counts",
    "Failure",
    "Garbage",
    "IndexedLine",
    "JournalEntry",
    "ObjectState",
    "ObjectStatus",
    "Outcome",
    "Record",
    "Run",
    "RunStats",
    "SettleState",
    "Suspicion",
]


class Outcome(StrEnum):
    """How the last look at an object ended. ``EMPTY``: bytes in, no text out. ``FAILED``: dead letter."""

    INDEXED = "indexed"
    EMPTY = "empty"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Record:
    """What was last made of an object, and which rows of Milvus are its truth.

    ``version``, ``recipe`` and ``outcome`` tell what the last finished look saw and made. ``collection``,
    ``run``, ``ids`` and ``chunk_count`` name the rows that stand (``run`` 0 and no ids: none). After a
    failure the rows of an older version may still stand, as the settings say. ``error`` without an ``error_code``:
    what of an indexed or empty document could not be read.
    """

    ref: ObjectRef
    version: ObjectVersion
    outcome: Outcome
    recipe: str
    content_hash: str = ""
    collection: str = ""
    run: int = 0
    ids: IdRanges = IdRanges()
    chunk_count: int = 0
    indexed_at: float = 0.0
    error_code: str = ""
    error: str = ""
    media_type: str = ""

    @property
    def rows(self) -> RowSet:
        """The rows that stand."""
        return RowSet(self.ref.object_id, self.run, self.ids)


@dataclass(frozen=True, slots=True)
class Garbage:
    """Rows that a commit replaced: still in Milvus until deleted, remembered so that a crash loses none.

    ``run`` made them; 0: not known (ledgers of version 0.1.0 did not keep it).
    """

    collection: str
    ids: IdRanges
    run: int


class Suspicion(StrEnum):
    """Whether rows that nobody recorded may exist for a claimed object.

    ``TAKEOVER``: an earlier claim was never resolved (crash, lost lease, unclean retry): clean up by filter, and
    look again later. ``RECHECK``: that later look: clean up by filter; done afterwards.
    """

    NONE = "none"
    TAKEOVER = "takeover"
    RECHECK = "recheck"


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to work on one object until ``lease_until`` (epoch seconds).

    ``run`` is unique over all time and stamps every row of the attempt; it is the fencing token of
    commit, settle, retry and bury. ``attempts`` counts this one. ``is_retry``: a person asked for
    another try, whatever stands. ``deaths`` counts the claims of this object in a row that nobody resolved (the
    service died or stood still, whatever killed it; see `Ledger.claim`). ``not_before``: when an object with deaths is
    read at the latest; None: nobody decided since the last death.
    ``dirty_since`` is when the object was first observed since it was last settled.
    """

    ref: ObjectRef
    run: int
    generation: int
    attempts: int
    lane: Lane
    lease_until: float
    suspicion: Suspicion = Suspicion.NONE
    record: Record | None = None
    garbage: tuple[Garbage, ...] = ()
    dirty_since: float = 0.0
    is_retry: bool = False
    deaths: int = 0
    not_before: float | None = None


@dataclass(frozen=True, slots=True)
class RunStats:
    """Costs of one attempt, for the timeline. ``stage_seconds`` maps stage names to seconds."""

    chunks: int = 0
    embedded: int = 0
    size_bytes: int = 0
    stage_seconds: tuple[tuple[str, float], ...] = ()
    usage: Usage = Usage()


@dataclass(frozen=True, slots=True)
class Commit:
    """Make ``record`` the truth of the claimed object. ``record`` None: the object is gone, no rows are its truth.

    The rows of the record before become garbage, unless ``record`` names the same run.
    """

    claim: Claim
    record: Record | None
    action: str = "replace"
    stats: RunStats = RunStats()


class SettleState(StrEnum):
    """How `Ledger.settle` ended: the work row is gone, the object is due again, or the claim was not ours any more."""

    DONE = "done"
    AGAIN = "again"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt failed, for people: a stable code, a message, and (for our own defects) a traceback."""

    code: str
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class IndexedLine:
    """The few facts of a record that a scan compares, in key order. Kept tiny: there may be millions.

    ``is_queued``: the object was observed, and is looked at whatever a scan finds.
    """

    key: str
    etag: str
    size_bytes: int
    recipe: str
    has_rows: bool
    is_queued: bool = False


class ObjectState(StrEnum):
    """Where an object stands now, as `status` and `show` say it."""

    INDEXED = "indexed"
    EMPTY = "empty"
    FAILED = "failed"
    WAITING = "waiting"
    RUNNING = "running"


@dataclass(frozen=True, slots=True)
class ObjectStatus:
    """One object with its record (None: never finished) and its place in the queue."""

    ref: ObjectRef
    state: ObjectState
    record: Record | None
    attempts: int = 0
    due: float | None = None
    error_code: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """One attempt, as the timeline shows it. ``finished_at`` None: running, or its worker died."""

    run: int
    ref: ObjectRef
    action: str
    outcome: str
    started_at: float
    finished_at: float | None
    attempt: int
    error_code: str = ""
    error: str = ""
    stats: RunStats = RunStats()


@dataclass(frozen=True, slots=True)
class Counts:
    """How many objects are in which state. ``failed`` counts dead letters."""

    indexed: int = 0
    waiting: int = 0
    running: int = 0
    failed: int = 0
    empty: int = 0
    retrying: int = 0


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One finished job, as people read it in a journal. ``id`` is unique, so that a journal can drop doubles."""

    id: int
    ref: ObjectRef
    action: str
    outcome: str
    started_at: float
    elapsed_s: float
    message: str = ""
