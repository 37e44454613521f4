"""Vectors of unchanged chunks, taken from the rows that stand instead of embedding them again."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, TypeAlias

from s3_to_milvus.domain.documents import embedded_text
from s3_to_milvus.domain.limits import storable_text
from s3_to_milvus.domain.rows import IdRanges, StoredRow

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

__all__ = ["ReadRows", "Reuse"]

_PAGE = 1_000

ReadRows: TypeAlias = Callable[[IdRanges, bool], list[StoredRow]]
"""Reads rows by their ids, with their vectors or without."""


def _digest(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _pages(ids: IdRanges) -> Iterator[IdRanges]:
    page: list[int] = []
    for each in ids:
        page.append(each)
        if len(page) == _PAGE:
            yield IdRanges.of(page)
            page = []
    if page:
        yield IdRanges.of(page)


class Reuse:
    """Maps what was embedded for the standing rows to their ids; vectors are fetched when they are wanted.

    A digest and an id per chunk are kept, never a text: a document of 20,000 chunks costs about 2 MB.
    """

    def __init__(self, read_rows: ReadRows, file_name: str) -> None:
        self._read_rows = read_rows
        self._file_name = file_name
        self._id_of: dict[bytes, int] = {}

    def read(self, ids: IdRanges) -> Iterator[StoredRow]:
        """These rows, as they are fetched; each is known once it is given. One that is gone is left out."""
        for page in _pages(ids):
            for row in sorted(self._read_rows(page, False), key=lambda row: row.id):
                heading = tuple(row.meta.get("heading", ()))
                text = embedded_text(self._file_name, heading, storable_text(row.text))
                self._id_of[_digest(text)] = row.id
                yield row

    def vectors_for(self, texts: Sequence[str]) -> "dict[int, NDArray[float32]]":
        """By position in ``texts``, the vectors that stand already."""
        wanted = {place: self._id_of.get(_digest(text)) for place, text in enumerate(texts)}
        found = self._fetch(each for each in wanted.values() if each is not None)
        return {place: found[each] for place, each in wanted.items() if each is not None and each in found}

    def _fetch(self, ids: Iterable[int]) -> "dict[int, NDArray[float32]]":
        found: dict[int, NDArray[float32]] = {}
        for page in _pages(IdRanges.of(ids)):
            for row in self._read_rows(page, True):
                if row.vector is not None:
                    found[row.id] = row.vector
        return found
