"""Rows of a collection of the original system, given to the object that they are right for."""

from collections.abc import Iterator
from dataclasses import dataclass

from s3_to_milvus.domain.documents import Chunk
from s3_to_milvus.domain.objects import ObjectVersion
from s3_to_milvus.domain.rows import IdRanges, StoredRow
from s3_to_milvus.engine.reuse import Reuse
from s3_to_milvus.ports import RowReader

__all__ = ["Donation"]


@dataclass(frozen=True, slots=True)
class Donation:
    """The rows ``ids`` of ``collection``, in document order, were made of this ``version`` of an object."""

    rows: RowReader
    collection: str
    version: ObjectVersion
    ids: tuple[int, ...]
    file_date: str

    def reuse(self, file_name: str) -> Reuse:
        """Gives the vectors of those that `chunks` has given."""
        return Reuse(self._read_rows, file_name)

    def _read_rows(self, ids: IdRanges, with_vectors: bool) -> list[StoredRow]:
        return self.rows.fetch(self.collection, ids, with_vectors=with_vectors)

    def chunks(self, reuse: Reuse) -> Iterator[Chunk]:
        """The rows as chunks; one that is gone is left out."""
        for number, row in enumerate(reuse.read(IdRanges.of(self.ids))):
            yield Chunk(number, row.text)
