"""Collections of the original system in memory."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from s3_to_milvus.domain.adopting import OriginalRow
from s3_to_milvus.domain.rows import CollectionSpec, IdRanges, StoredRow
from s3_to_milvus.errors import SchemaMismatch
from s3_to_milvus.ports import OriginalCollection

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

__all__ = ["MemoryOriginals"]


class MemoryOriginals:
    """Beside the collections of a store (``specs``, made by ``ensure``). ``aliases`` shows the names that were taken
    over."""

    def __init__(self, ensure: Callable[[CollectionSpec], None], specs: Mapping[str, CollectionSpec]) -> None:
        self._ensure = ensure
        self._specs = specs
        self._rows: dict[str, list[tuple[OriginalRow, NDArray[float32]]]] = {}
        self.aliases: dict[str, str] = {}

    @property
    def names(self) -> list[str]:
        """Of all collections of the original system."""
        return list(self._rows)

    def fill(self, collection: str, rows: Sequence[tuple[OriginalRow, "NDArray[float32]"]]) -> None:
        """Make a collection of the original system, or add to it; rows ascending by id, with their vectors."""
        self._rows.setdefault(collection, []).extend(rows)

    def remove(self, collection: str, row_id: int) -> None:
        """Delete one row, as the original would."""
        self._rows[collection] = [each for each in self._rows[collection] if each[0].id != row_id]

    def drop(self, collection: str) -> None:
        """Remove a collection of the original system, if it is one."""
        self._rows.pop(collection, None)

    def describe(self, name: str) -> OriginalCollection | None:
        """See `ports.Originals`."""
        name = self.aliases.get(name, name)
        if rows := self._rows.get(name):
            return OriginalCollection(name, len(rows[0][1]))
        spec = self._specs.get(name)
        return None if spec is None else OriginalCollection(spec.name, spec.dim, is_ours=True)

    def prepare(self, spec: CollectionSpec, like: str) -> None:
        """See `ports.Originals`."""
        if like not in self._rows:
            raise SchemaMismatch(f"There is no collection {like}.")
        self._ensure(spec)

    def rows(self, collection: str) -> Iterator[OriginalRow]:
        """See `ports.Originals`."""
        return iter([row for row, _ in self._rows[collection]])

    def fetch(self, collection: str, ids: IdRanges, *, with_vectors: bool = False) -> list[StoredRow]:
        """See `ports.Originals`."""
        wanted = set(ids)
        return [
            StoredRow(row.id, "", 0, 0, row.text, 0, {}, vector if with_vectors else None)
            for row, vector in self._rows[collection]
            if row.id in wanted
        ]

    def succeed(self, collection: str, kept: str, successor: str) -> None:
        """See `ports.Originals`."""
        if collection in self._rows:
            self._rows[kept] = self._rows.pop(collection)
        self.aliases[collection] = successor
