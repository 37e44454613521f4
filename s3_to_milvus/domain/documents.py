"""Documents as parsers give them: blocks in reading order. Chunks as splitters give them."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice
from pathlib import Path

from s3_to_milvus.errors import PermanentError

__all__ = ["Attachment", "Block", "BlockKind", "Box", "Chunk", "Document", "PageSpan", "embedded_text", "scanned_pages"]


_PICTURE_BYTES = 4_096
_MAX_PICTURES = 500


class BlockKind(StrEnum):
    """What a block is. A table is one block with its cells in ``rows``; a figure says what is known of a picture
    (its alternative text, or the text in it), and its caption is a block of its own beside it."""

    HEADING = "heading"
    PARAGRAPH = "paragraph"
    LIST_ITEM = "list_item"
    TABLE = "table"
    CODE = "code"
    CAPTION = "caption"
    FIGURE = "figure"


@dataclass(frozen=True, slots=True)
class Box:
    """Where a block stands on its page: fractions of width and height, origin top left, 0 <= value <= 1."""

    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True, slots=True)
class Block:
    """One piece of a document in reading order.

    ``text`` is plain text (empty for tables). ``level`` is 1-6 for headings, else 0. ``rows`` holds a
    table's cells, row by row; ``has_header`` says that its first row is one. ``page`` starts at 1.
    """

    kind: BlockKind
    text: str = ""
    level: int = 0
    rows: tuple[tuple[str, ...], ...] = ()
    has_header: bool = False
    page: int | None = None
    box: Box | None = None


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file inside a file: of an e-mail, a ZIP archive. Exactly one of ``data``, ``path`` and ``error`` is set.

    ``name`` is for people and titles, never opened. What ``path`` names is there until the next one is asked for.
    ``error``: why it could not be taken out; the others can.
    """

    name: str
    data: bytes | None = None
    path: Path | None = None
    error: PermanentError | None = None


def scanned_pages(pictures: Iterable[tuple[str, bytes]]) -> list[Attachment]:
    """Pictures that may hold a page of text, as attachments of a document that has no text of its own."""
    large = ((name, data) for name, data in pictures if len(data) >= _PICTURE_BYTES)
    return [Attachment(name, data) for name, data in islice(large, _MAX_PICTURES)]


@dataclass(frozen=True, slots=True)
class Document:
    """What a parser made of a file. ``blocks`` may be a one-pass stream: a large file is never whole in memory.

    ``unread_pages`` (from 1, ascending): pages without text of their own, to be read as pictures. ``attachments``
    are read after the blocks, one at a time; they may be a one-pass stream, too.
    """

    blocks: Iterable[Block]
    media_type: str
    title: str = ""
    language: str = ""
    page_count: int | None = None
    warnings: tuple[str, ...] = ()
    unread_pages: tuple[int, ...] = ()
    attachments: Iterable[Attachment] = ()


@dataclass(frozen=True, slots=True)
class PageSpan:
    """A page (from 1) that a chunk touches, and where on it, if known."""

    page: int
    box: Box | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of text to embed and to show. ``heading`` is the path of headings above it, outermost first."""

    number: int
    text: str
    heading: tuple[str, ...] = ()
    pages: tuple[PageSpan, ...] = field(default=())

    @property
    def page(self) -> int | None:
        """The first page the chunk touches."""
        return self.pages[0].page if self.pages else None


def embedded_text(file_name: str, heading: tuple[str, ...], text: str) -> str:
    """The text that is embedded for a chunk: where it stands, then what it says.

    The document's name and headings raise recall of short chunks; nothing positional (page or chunk
    numbers) goes in, so that an edit changes only the chunks it touches.
    """
    context = " > ".join((file_name.rpartition(".")[0] or file_name, *heading))
    return f"{context}\n{text}"
