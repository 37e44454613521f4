"""The vector store."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from s3_to_milvus.domain.rows import CollectionSpec, Hit, IdRanges, Row, RowIdentity, StoredRow
from s3_to_milvus.ports.frozen import Frozen
from s3_to_milvus.ports.originals import Originals

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

__all__ = ["VectorStore"]


class VectorStore(Protocol):
    """Milvus. Every write may be repeated."""

    kind: str
    folder: Path | None
    """What `freeze` copies; None: it lies on a server."""

    @property
    def originals(self) -> Originals | None:
        """Takes collections of the original system over; None where that can't be."""

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

    def freeze(self, meanwhile: Callable[[], None]) -> Frozen | None:
        """All of it as it is now, to be copied; None where it lies on a server. ``meanwhile`` is called at that very
        moment: where a frozen store is given back, nobody inserts or deletes while it runs."""

    def close(self) -> None:
        """Flush what must be flushed and let go of files and connections."""
