"""Collections that the original system made, seen by who takes them over."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from s3_to_milvus.domain.adopting import OriginalRow
from s3_to_milvus.domain.rows import CollectionSpec, IdRanges, StoredRow

__all__ = ["OriginalCollection", "Originals", "RowReader"]


class RowReader(Protocol):
    """Something that has rows."""

    def fetch(self, collection: str, ids: IdRanges, *, with_vectors: bool = False) -> list[StoredRow]:
        """The rows with these ids that exist, in any order."""


@dataclass(frozen=True, slots=True)
class OriginalCollection:
    """``name`` is what the collection is called itself, where it was asked for by an alias.

    ``is_ours``: it has our columns already (it is the successor, or was never the original's).
    """

    name: str
    dim: int
    is_ours: bool = False


class Originals(RowReader, Protocol):
    """What a vector store offers for the take-over. Rows are only read; the one change is that of a name."""

    def describe(self, name: str) -> OriginalCollection | None:
        """The collection with this name or alias; None: there is none. `SchemaMismatch`: made by somebody else."""

    def prepare(self, spec: CollectionSpec, like: str) -> None:
        """As `VectorStore.ensure`, with an index of the kind, metric and parameters that ``like`` has."""

    def rows(self, collection: str) -> Iterator[OriginalRow]:
        """Every row, ascending by id, as it stood when the first was asked for or later."""

    def fetch(self, collection: str, ids: IdRanges, *, with_vectors: bool = False) -> list[StoredRow]:
        """As `VectorStore.fetch`; rows of the original have no object id, run, place or page: empty and 0."""

    def succeed(self, collection: str, kept: str, successor: str) -> None:
        """Rename the collection to ``kept`` and make its name an alias of the successor. May be repeated.

        Between the two steps (milliseconds) the name leads nowhere.
        """
