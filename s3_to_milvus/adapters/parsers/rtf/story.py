"""Paragraphs, rows and tables as they come, put together as blocks."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from s3_to_milvus.domain.charsets import clean_text
from s3_to_milvus.domain.documents import Block, BlockKind
from s3_to_milvus.domain.plain import bounded
from s3_to_milvus.domain.tables import table_blocks

__all__ = ["Story"]


@dataclass(slots=True)
class Story:
    """What has been read so far. ``level`` of a paragraph: 1-6 for a heading, else 0."""

    blocks: list[Block] = field(default_factory=list)
    _text: list[str] = field(default_factory=list)
    _label: list[str] = field(default_factory=list)
    _is_item: bool = False
    _cells: list[str] = field(default_factory=list)
    _rows: list[list[str]] = field(default_factory=list)
    _later: list[Block] = field(default_factory=list)

    def add(self, text: str) -> None:
        """Some text of the paragraph."""
        self._text.append(text)

    def add_label(self, text: str) -> None:
        """A bullet or number: the paragraph is an item of a list."""
        self._is_item = True
        self._label.append(text)

    def add_note(self, text: str) -> None:
        """A note, to stand behind its paragraph."""
        lines = "\n".join(" ".join(line.split()) for line in text.split("\n"))
        self._later += (Block(BlockKind.PARAGRAPH, part) for part in bounded(lines))

    def add_box(self, blocks: list[Block]) -> None:
        """What stands in a box beside the text: behind the paragraph that is open, never in the middle of it."""
        is_open = self._text or self._cells or self._rows
        (self._later if is_open else self.blocks).extend(blocks)

    def end_paragraph(self, *, level: int, is_in_table: bool) -> None:
        """A paragraph ends, of a cell or of the text."""
        if is_in_table:
            self._text.append("\n")
            return
        self.end_table()
        text, label = self._taken(), clean_text("".join(self._label)).strip()
        if level:
            self._put(BlockKind.HEADING, " ".join(text.split()), level)
        elif self._is_item:
            has_number = any(char.isalnum() for char in label) and text
            self._put(BlockKind.LIST_ITEM, f"{label} {text}" if has_number else text)
        else:
            self._put(BlockKind.PARAGRAPH, text)
        self._label, self._is_item = [], False
        self._put_later()

    def end_cell(self) -> None:
        """A cell ends."""
        label = clean_text("".join(self._label)).strip()
        self._cells.append(" ".join(f"{label} {self._taken()}".split()))
        self._label, self._is_item = [], False

    def end_row(self) -> None:
        """A row ends."""
        if any(self._cells):
            self._rows.append(self._cells)
        self._cells = []

    def end_table(self) -> None:
        """What follows is no row any more."""
        if self._cells:
            self.end_row()
        rows, self._rows = self._rows, []
        if not rows:
            return
        if max(map(len, rows)) > 1:
            self.blocks += table_blocks(rows, has_header=len(rows) > 1)
        else:  # a frame around paragraphs
            for row in rows:
                self._put(BlockKind.PARAGRAPH, row[0])
        self._put_later()

    def end(self) -> Iterator[Block]:
        """All blocks."""
        self.end_paragraph(level=0, is_in_table=False)
        yield from self.blocks

    def _taken(self) -> str:
        text = clean_text("".join(self._text)).strip()
        self._text = []
        return text

    def _put(self, kind: BlockKind, text: str, level: int = 0) -> None:
        self.blocks += (Block(kind, part, level=level) for part in bounded(text))

    def _put_later(self) -> None:
        later, self._later = self._later, []
        self.blocks += later
