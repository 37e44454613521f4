"""A splitter that anybody can follow in the head: one chunk for each block."""

from collections.abc import Iterator, Mapping

from s3_to_milvus.domain.chunking import cut_bytes, page_spans, row_line
from s3_to_milvus.domain.documents import Chunk, Document
from s3_to_milvus.domain.limits import TEXT_BYTES, storable_text

__all__ = ["FakeSplitter"]


class FakeSplitter:
    """One chunk per block, one per row of a table; only a text too large for Milvus is cut. Knows no headings."""

    kind = "fake"

    def __init__(self, fingerprint: str = "fake-1") -> None:
        self.fingerprint = fingerprint
        self.own_fingerprints: Mapping[str, str] = {}

    def split(self, document: Document, collection: str) -> Iterator[Chunk]:
        """See `ports.Splitter`."""
        number = 0
        for block in document.blocks:
            for text in (*map(row_line, block.rows), block.text):
                for part in cut_bytes(storable_text(text), TEXT_BYTES):
                    if stripped := part.strip():
                        yield Chunk(number, stripped, (), page_spans([block]))
                        number += 1

    def check(self) -> str:
        """Always well."""
        return "one chunk per block"
