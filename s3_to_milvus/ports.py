"""What the engine needs from outside: one small protocol per outside system.

Adapters implement these as plain classes (no base class) and raise only errors of `s3_to_milvus.errors`.
All calls block; all may be made from several threads at once. Each protocol has a contract suite in
`s3_to_milvus.testing.contracts`.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from s3_to_milvus.domain.documents import Chunk, Document
from s3_to_milvus.domain.objects import Lane, ListedObject, ObjectEvent, ObjectRef, ObjectVersion
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
from s3_to_milvus.domain.rows import CollectionSpec, Hit, IdRanges, Row, RowIdentity, StoredRow

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

__all__ = [
    "UNCHANGED",
    "Clock",
    "CollectionCounts",
    "Content",
    "Embedder",
    "EventSource",
    "Journal",
    "Ledger",
    "ObjectStore",
    "Parser",
    "ParserInput",
    "SourceEntry",
    "Splitter",
    "Standing",
    "Unchanged",
    "VectorStore",
]


class Unchanged(Enum):
    """The type of `UNCHANGED`: the store confirmed that the object is still the version we named."""

    UNCHANGED = "unchanged"


UNCHANGED = Unchanged.UNCHANGED


class Content(Protocol):
    """An open object, bound to one version. Close it; closing without reading is cheap."""

    version: ObjectVersion

    def read(self, size: int = -1) -> bytes:
        """The next bytes, ``b""`` at the end.

        Raises `Superseded`, at the latest instead of the final ``b""``, when what was read is not wholly the
        content of ``version`` (changed meanwhile, cut short).
        """

    def close(self) -> None:
        """Give the connection or file back. May be called twice."""


class ObjectStore(Protocol):
    """A store of objects: S3, a folder. Keys are exact: never normalised, never re-encoded."""

    kind: str

    def get(self, ref: ObjectRef, unless: ObjectVersion | None = None) -> Content | Unchanged | None:
        """Open the object as it is now.

        `UNCHANGED`: it still is ``unless``. None: the store says that a bucket that exists holds no such key;
        nothing else may return None. A missing bucket, a refusal or an outage raises `Unauthorized`,
        `Unavailable` or `Archived`. A key that ends in ``/`` and has no content is None (folder marker).
        """

    def list(self, bucket: str, prefix: str = "") -> Iterator[ListedObject]:
        """All objects below a prefix, strictly ascending by `sort_key`; folder markers are left out.

        Raises instead of ending early: an iterator that ends without an error was complete.
        """

    def check(self, bucket: str) -> str:
        """Prove with harmless calls that reading and listing work; one line for people. Raises otherwise."""


class EventSource(Protocol):
    """Something that tells which objects changed: a folder watch, a queue."""

    kind: str

    def run(self, emit: Callable[[Sequence[ObjectEvent]], None], should_stop: Callable[[], bool]) -> None:
        """Block and call ``emit`` for each batch until ``should_stop``; acknowledge only after emit returned.

        After a gap (overflow, reconnect) it emits nothing special: scans heal what was lost.
        """

    def check(self) -> str:
        """As `ObjectStore.check`."""


@dataclass(frozen=True, slots=True)
class ParserInput:
    """A file to parse. Exactly one of ``data`` and ``path`` is set; ``path`` has a name that we chose.

    ``media_type`` was detected by content. ``file_name`` is for titles only, never opened.
    """

    media_type: str
    file_name: str
    size_bytes: int
    data: bytes | None = None
    path: Path | None = None


class Parser(Protocol):
    """Turns a file into a document."""

    kind: str
    fingerprint: str
    media_types: frozenset[str]

    def parse(self, source: ParserInput) -> Document:
        """Blocks in reading order. Raises `UnreadableDocument` (and kinds of it) or `DocumentTooLarge`.

        No text at all is no error here: a document without blocks; the engine makes it the outcome ``empty``.
        """

    def check(self) -> str:
        """As `ObjectStore.check`."""


class Splitter(Protocol):
    """Cuts a document into chunks."""

    kind: str
    fingerprint: str

    def split(self, document: Document, collection: str) -> Iterator[Chunk]:
        """Chunks numbered from 0, none empty, each within `limits.TEXT_BYTES` of UTF-8; reads blocks as a stream.

        ``collection`` is the label, for splitters whose sizes differ by collection.
        """


class Embedder(Protocol):
    """Turns texts into vectors. Documents and questions may need different treatment."""

    kind: str
    fingerprint: str
    dim: int
    max_batch_texts: int

    def embed_documents(self, texts: Sequence[str]) -> "NDArray[float32]":
        """float32 array of shape (len(texts), dim), finite, in the order of the texts.

        A `PermanentError` means that at least one of the texts is refused; the caller bisects.
        """

    def embed_query(self, text: str) -> "NDArray[float32]":
        """float32 array of shape (dim,)."""

    def check(self) -> str:
        """As `ObjectStore.check`."""


class VectorStore(Protocol):
    """Milvus. Every write may be repeated."""

    kind: str

    def ensure(self, spec: CollectionSpec) -> None:
        """Make the collection if it is not there, and make it searchable. Raises `SchemaMismatch`."""

    def insert(self, collection: str, rows: Sequence[Row]) -> list[int]:
        """Insert all rows or none; their primary keys in row order.

        `PermanentError`: a row is refused, none was written. Any other error: unknown whether they were.
        """

    def delete(self, collection: str, ids: IdRanges) -> None:
        """Delete by primary key; ids (or a collection) that are not there are no error."""

    def delete_other_runs(self, collection: str, object_id: str, keep_run: int, before_run: int) -> None:
        """Delete every row of the object with ``run < before_run`` and ``run != keep_run``, recorded or not.

        ``keep_run`` 0 keeps none. ``before_run`` is the caller's own claim: rows of later claims are never touched,
        so that a worker that wakes up late can't delete what is the truth by then. No such collection is no error.
        """

    def fetch(self, collection: str, ids: IdRanges, *, with_vectors: bool = False) -> list[StoredRow]:
        """The rows with these ids that exist, in any order."""

    def search(self, collection: str, vector: "NDArray[float32]", limit: int) -> list[Hit]:
        """The nearest rows, best first; fewer than ``limit`` only when there are no more."""

    def identities(self, collection: str) -> Iterator[RowIdentity]:
        """Every row, in any order, without its text."""

    def count(self, collection: str) -> int:
        """How many rows the collection holds now."""

    def collections(self) -> list[str]:
        """Names of all collections there are."""

    def drop(self, collection: str) -> None:
        """Remove the collection with all its rows; not there is no error."""

    def tend(self, *, is_idle: bool) -> bool:
        """Housekeeping that is due now (flush, compaction); True when there was some. Cheap when there is none."""

    def check(self) -> str:
        """As `ObjectStore.check`."""

    def close(self) -> None:
        """Flush what must be flushed and let go of files and connections."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Which rows of an object are its truth: what search and check compare hits with."""

    ref: ObjectRef
    collection: str
    run: int


@dataclass(frozen=True, slots=True)
class CollectionCounts:
    """A collection with how many objects and chunks the ledger counts in it."""

    spec: CollectionSpec
    objects: int
    chunks: int


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


class Ledger(Protocol):
    """The durable memory and queue. Every method is one transaction, committed when it returns.

    Times are epoch seconds given by the caller; a ledger never looks at a clock. See `DESIGN.md`: one row per object;
    one work row per dirty object; at most one live claim per object; ``generation`` grows with every observation.
    """

    kind: str

    # intake
    def observe(self, refs: Sequence[ObjectRef], lane: Lane, now: float) -> None:
        """Mark objects dirty: generation + 1; due now unless a claim holds it (then: due again when it settles).

        The better lane wins. Unclaimed: attempts back to 0, back-off ends, a dead letter lives again.
        """

    def requeue(self, refs: Sequence[ObjectRef] | None, now: float) -> int:
        """As `observe` in the live lane, and the claims say ``is_retry``. None: all failed objects. Returns how many;
        refs that the ledger does not know are left out."""

    # queue
    def claim(self, owner: str, limit: int, now: float, lease_s: float) -> list[Claim]:
        """Take up to ``limit`` objects that are due, live lane first, oldest due first; attempts + 1 at once.

        A claim over an expired, unresolved one has ``Suspicion.TAKEOVER``.
        """

    def heartbeat(self, claims: Sequence[Claim], now: float, lease_s: float) -> list[bool]:
        """Extend leases; False where the claim is not ours any more."""

    def commit(self, commits: Sequence[Commit], now: float) -> list[bool]:
        """Make records the truth (see `Commit`); False, and nothing done, where the claim is not ours any more.

        Finishes the run in the timeline and puts one journal entry into the outbox, in the same transaction.
        """

    def settle(self, claims: Sequence[Claim], now: float, recheck_s: float) -> list[SettleState]:
        """Resolve claims whose garbage is deleted: garbage is forgotten, and the work row goes, unless
        the generation moved (``AGAIN``, due now, attempts 0) or the claim was a TAKEOVER (``AGAIN``, due at now + recheck_s as RECHECK).
        An object with no record and nothing to do is forgotten. Not ours any more: ``LOST``, nothing done.
        A failed record keeps its work row as dead letter (see `bury`)."""

    def retry(self, claim: Claim, failure: Failure, now: float, due: float, *, is_unclean: bool, is_charged: bool) -> SettleState:
        """Give the claim back for another attempt at ``due``. Unclean: unknown rows may exist, the next claim is a TAKEOVER
        (a TAKEOVER claim stays one in any case). Not charged: the attempt is not counted. Generation moved: due now."""

    def bury(self, claim: Claim, failure: Failure, now: float, recheck_s: float) -> SettleState:
        """As `settle`, but the work row stays as dead letter (``DONE``), never due until observed or requeued."""

    def release(self, claims: Sequence[Claim], now: float) -> None:
        """Hand back claims whose work never began: due now, attempt not counted, suspicion as it was."""

    def expire_all(self, now: float) -> int:
        """End every lease now. Only for the sole owner of the ledger, at start: after a crash nobody else can hold one."""

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
        """All objects with a record below a prefix, strictly ascending by `sort_key`; may be read while others write."""

    def records(self, bucket: str | None = None, prefix: str = "") -> Iterator[Record]:
        """As `lines`, whole records, ordered by (bucket, key bytes)."""

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

    def put_source(self, entry: SourceEntry) -> None:
        """Insert or replace a source by its name."""

    def sources(self) -> list[SourceEntry]:
        """All sources, by name."""

    # outbox and shared limits
    def outbox(self, now: float, limit: int) -> list[JournalEntry]:
        """Entries that are due for delivery, oldest first."""

    def outbox_done(self, ids: Sequence[int]) -> None:
        """Forget delivered entries."""

    def outbox_later(self, ids: Sequence[int], due: float) -> None:
        """Try these again at ``due``."""

    def reserve(self, name: str, amount: float, interval_s: float, burst_s: float, now: float) -> float:
        """Reserve ``amount`` units of a shared rate limit (one per ``interval_s``); seconds to wait before using them (GCRA)."""

    def note_run(self, claim: Claim, action: str, outcome: str, now: float, stats: RunStats) -> None:
        """Finish a run that makes no commit (skipped, superseded) in the timeline."""

    def check(self) -> str:
        """As `ObjectStore.check`."""

    def close(self) -> None:
        """Finish what is queued and let go of the files."""


class Journal(Protocol):
    """The log that people read: structured log, Notion, webhook."""

    kind: str

    def deliver(self, entries: Sequence[JournalEntry]) -> None:
        """Write entries; all were written when it returns. May be called again with the same ids after an error."""

    def check(self) -> str:
        """As `ObjectStore.check`."""


class Clock(Protocol):
    """Time and chance, so that a simulation can own them."""

    def now(self) -> float:
        """Epoch seconds."""

    def sleep(self, seconds: float) -> None:
        """Wait."""

    def token(self) -> str:
        """A fresh name, never given before."""

    def jitter(self) -> float:
        """A random number, 0 <= value < 1."""
