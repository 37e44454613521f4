"""From a file to vectors: parser, splitter, embedder."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from s3_to_milvus.domain.document_limits import DocumentLimits
from s3_to_milvus.domain.documents import Chunk, Document
from s3_to_milvus.domain.formats import Format

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

__all__ = ["Embedder", "Parser", "ParserInput", "Splitter"]


@dataclass(frozen=True, slots=True)
class ParserInput:
    """A file to parse. Exactly one of ``data`` and ``path`` is set; ``path`` has a name that we chose.

    ``media_type`` was detected by content. ``file_name`` is for titles only, never opened. ``passwords`` are tried
    in this order where the file asks for one. ``pages`` (from 1): read just these pages, as pictures; None: the file
    as it is. ``limits``: what the document may hold. ``must_isolate``: the service died repeatedly while this file was
    in work, so nobody decodes it in the service's own process.
    """

    media_type: str
    file_name: str
    size_bytes: int
    data: bytes | None = None
    path: Path | None = None
    passwords: tuple[str, ...] = field(default=(), repr=False)
    pages: tuple[int, ...] | None = None
    limits: DocumentLimits = field(default_factory=DocumentLimits)
    must_isolate: bool = False

    def read(self) -> bytes:
        """All bytes of the file."""
        if self.data is not None:
            return self.data
        if self.path is None:
            raise ValueError("a parser needs data or a path")
        return self.path.read_bytes()


class Parser(Protocol):
    """Turns a file into a document.

    ``page_media_types``: kinds of files whose pages it can read as pictures (``ParserInput.pages``), usually by OCR.
    ``formats``: the same in words for people; every media type of a built-in parser has one.
    """

    kind: str
    fingerprint: str
    media_types: frozenset[str]
    page_media_types: frozenset[str]
    formats: tuple[Format, ...]

    def parse(self, source: ParserInput) -> Document:
        """Blocks in reading order. Raises `UnreadableDocument` (and kinds of it) or `DocumentTooLarge`.

        No text at all is no error here: a document without blocks; the engine makes it the outcome ``empty``.
        Pages without text that another parser may read as pictures are named in ``unread_pages``.
        """

    def check(self) -> str:
        """As `ObjectStore.check`."""


class Splitter(Protocol):
    """Cuts a document into chunks.

    ``own_fingerprints``: by collection, where its chunks are made in a way of its own; others are as ``fingerprint``.
    """

    kind: str
    fingerprint: str
    own_fingerprints: Mapping[str, str]

    def split(self, document: Document, collection: str) -> Iterator[Chunk]:
        """Chunks numbered from 0, none empty, each within `limits.TEXT_BYTES` of UTF-8; reads blocks as a stream.

        ``collection`` is the label, for splitters whose sizes differ by collection.
        """

    def check(self) -> str:
        """See that it works, and say how it cuts. Raises `ConfigError`."""


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
