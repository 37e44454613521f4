"""Rows of Milvus: what is written, what is read back, and compact ranges of their ids."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

    Vector: TypeAlias = NDArray[float32]

__all__ = ["CollectionSpec", "Hit", "IdRanges", "Row", "RowIdentity", "RowSet", "StoredRow"]


@dataclass(frozen=True, slots=True)
class IdRanges:
    """Primary keys as closed ranges, ascending and disjoint. Built only from ids that an insert returned."""

    ranges: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, ids: Iterable[int]) -> "IdRanges":
        """Compress ids, in any order, doubles allowed."""
        ranges: list[tuple[int, int]] = []
        for value in sorted(set(ids)):
            if ranges and value == ranges[-1][1] + 1:
                ranges[-1] = (ranges[-1][0], value)
            else:
                ranges.append((value, value))
        return cls(tuple(ranges))

    def __iter__(self) -> Iterator[int]:
        """Every id, ascending."""
        for first, last in self.ranges:
            yield from range(first, last + 1)

    def __len__(self) -> int:
        """How many ids."""
        return sum(last - first + 1 for first, last in self.ranges)

    def __bool__(self) -> bool:
        """True when there is at least one id."""
        return bool(self.ranges)

    @property
    def last(self) -> int:
        """The greatest id; 0 where there is none."""
        return self.ranges[-1][1] if self.ranges else 0


@dataclass(frozen=True, slots=True)
class RowSet:
    """Rows of one run of one object. An id alone is no identity: a store that lost data gives it a second time."""

    object_id: str
    run: int
    ids: IdRanges


@dataclass(frozen=True, slots=True)
class CollectionSpec:
    """A collection as the engine needs it. ``label`` is the folder name people see, which Milvus may not hold."""

    name: str
    label: str
    dim: int
    embedder: str


@dataclass(frozen=True, slots=True)
class Row:
    """One entity to insert (the primary key is given by Milvus).

    ``vector`` is float32 of the collection's dimension. All texts are already within the byte limits
    of the schema (see `domain.limits`).
    """

    vector: "Vector"
    text: str
    file_name: str
    file_date: str
    object_id: str
    run: int
    chunk_no: int
    bucket: str
    file_key: str
    page: int
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RowIdentity:
    """Whose row it is: enough to compare Milvus with the ledger."""

    id: int
    object_id: str
    run: int


@dataclass(frozen=True, slots=True)
class StoredRow:
    """A row read back by id. ``vector`` is None unless it was asked for. ``bucket`` and ``key`` may be clipped."""

    id: int
    object_id: str
    run: int
    chunk_no: int
    text: str
    page: int
    meta: Mapping[str, Any]
    vector: "Vector | None" = None
    bucket: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class Hit:
    """A row found by a search. ``distance`` is Milvus' raw value; ``score`` is larger for better in every metric."""

    score: float
    distance: float
    collection: str
    row: StoredRow
    bucket: str
    key: str
    file_name: str
