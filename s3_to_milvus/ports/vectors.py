"""The vector store."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from s3_to_milvus.domain.rows import CollectionSpec, Hit, Row, RowIdentity, RowSet, StoredRow
from s3_to_milvus.ports.frozen import Frozen
from s3_to_milvus.ports.originals import Originals

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

__all__ = ["Incident", "VectorStore"]


@dataclass(frozen=True, slots=True)
class Incident:
    """Something that a store noticed about its own data: rows of ``collection`` may be lost. ``what`` is for people."""

    collection: str
    what: str


class VectorStore(Protocol):
    """Milvus. Every write may be repeated. An id is a hint; object and run say whose row it is."""

    kind: str
    folder: Path | None
    """What `freeze` copies; None: it lies on a server."""

    @property
    def originals(self) -> Originals | None:
        """Takes collections of the original system over; None where that can't be."""

    def ensure(self, spec: CollectionSpec, after_id: int = 0) -> None:
        """Make the collection if it is not there, and make it searchable. Raises `SchemaMismatch`.

        Where the store counts ids up, those that it gives from now on are greater than ``after_id``: one that lost
        data gives none a second time. (A server makes them of the time.)
        """

    def insert(self, collection: str, rows: Sequence[Row]) -> list[int]:
        """Insert all rows or none; their primary keys in row order.

        `PermanentError`: a row is refused, none was written. Any other error: unknown whether they were.
        """

    def delete(self, collection: str, rows: Sequence[RowSet]) -> None:
        """Delete these rows. An id that is not there, or that another object or run has, is left; so is a collection
        that is not there."""

    def delete_other_runs(self, collection: str, object_id: str, keep_run: int, before_run: int) -> None:
        """Delete every row of the object with ``run < before_run`` and ``run != keep_run``, recorded or not.

        ``keep_run`` 0 keeps none. ``before_run`` is the caller's own claim: rows of later claims are never touched,
        so that a worker that wakes up late can't delete what is the truth by then. No such collection is no error.
        """

    def sync(self, collections: Collection[str]) -> None:
        """What was written to these collections survives a power cut once this returns. Any error: unknown."""

    def fetch(self, collection: str, rows: RowSet, *, with_vectors: bool = False) -> list[StoredRow]:
        """Those of these rows that exist, in any order; never one of another object or run."""

    def search(self, collection: str, vector: "NDArray[float32]", limit: int) -> list[Hit]:
        """The nearest rows, best first; fewer than ``limit`` only when there are no more."""

    def identities(self, collection: str) -> Iterator[RowIdentity]:
        """Every row, in any order, without its text."""

    def count(self, collection: str, after_id: int = -1) -> int:
        """How many rows with a greater id than ``after_id`` the collection holds now (none is negative)."""

    def mark(self, collection: str) -> str:
        """What `put_mark` wrote last; empty: nothing, or no such collection."""

    def put_mark(self, collection: str, mark: str) -> None:
        """Write into the collection whose it is; ``mark`` is ASCII. It stays with the data, in copies too."""

    def incidents(self) -> list[Incident]:
        """What was noticed since the last call. Cheap."""

    def collections(self) -> list[str]:
        """Names of all collections there are."""

    def drop(self, collection: str) -> None:
        """Remove the collection with all its rows; not there is no error."""

    def tend(self, *, is_idle: bool) -> bool:
        """Housekeeping that is due now (flush, compaction); True when there was some. Cheap when there is none."""

    def check(self) -> str:
        """As `ObjectStore.check`."""

    def freeze(self, meanwhile: Callable[[], None]) -> Frozen | None:
        """All of it as it is now, to be copied; None where it lies on a server. ``meanwhile`` is called at that very
        moment: where a frozen store is given back, nobody inserts or deletes while it runs."""

    def close(self) -> None:
        """Flush what must be flushed and let go of files and connections."""
