"""Blocks out of the events of an HTML parser (start, end, data): a flat state machine, no recursion."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from s3_to_milvus.domain.documents import Block, BlockKind
from s3_to_milvus.domain.plain import bounded
from s3_to_milvus.domain.tables import table_blocks

__all__ = ["HtmlBlocks"]

_SKIPPED = {"script", "style", "noscript", "template", "iframe", "object", "svg"}
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_KINDS = {
    "li": BlockKind.LIST_ITEM,
    "dt": BlockKind.LIST_ITEM,
    "dd": BlockKind.LIST_ITEM,
    "pre": BlockKind.CODE,
    "figcaption": BlockKind.CAPTION,
    "caption": BlockKind.CAPTION,
}
_BLOCK_NAMES = """
    address article aside blockquote body caption center dd dialog dir div dl dt fieldset figcaption figure footer form
    h1 h2 h3 h4 h5 h6 header hr html li main menu nav ol optgroup option p pre section summary details
    table tbody td tfoot th thead title tr ul
"""
_BLOCKS = frozenset(_BLOCK_NAMES.split())
_VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"}
_SPACE = re.compile(r"\s+")
_SPACE_RUN = re.compile(r"[^\S\n]+")
_AROUND_BREAK = re.compile(r" *\n[ \n]*")
_MAX_COLUMNS = 256
_MAX_REPEATED_CHARS = 200


@dataclass(slots=True)
class _Cell:
    """One cell as it is read."""

    parts: list[str]
    colspan: int
    rowspan: int
    is_header: bool

    @property
    def text(self) -> str:
        """Its text on one line."""
        return " ".join("".join(self.parts).split())


@dataclass(slots=True)
class _Table:
    """One table as it is read. ``is_layout``: it holds other tables, so its cells are read as running text."""

    rows: list[list[_Cell]] = field(default_factory=list)
    cell: _Cell | None = None
    is_layout: bool = False
    is_head: bool = False
    head_rows: int = 0
    caption_depth: int = 0


class HtmlBlocks:
    """Takes the events of one page; afterwards ``blocks``, ``title`` and ``language`` are there.

    Usable as the target of an lxml parser. Tags come in lower case, text without regard to piece borders.
    """

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.title = ""
        self.language = ""
        self._page: int | None = None
        self._text: list[str] = []
        self._kinds: list[tuple[str, BlockKind, int]] = []
        self._tables: list[_Table] = []
        self._skipped = 0
        self._title_parts: list[str] | None = None

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        """An element begins."""
        if self._skipped or tag in _SKIPPED:
            self._skipped += tag in _SKIPPED
            return
        self._note(tag, attributes)
        if tag == "br":
            self._put("\n")
        elif tag == "title" and not self._kinds_above("body"):
            self._title_parts = [] if not self.title else None
        elif self._cell_tag(tag, attributes):
            return
        elif tag in _BLOCKS:
            self._open(tag)

    def end(self, tag: str) -> None:
        """An element ends."""
        if self._skipped:
            self._skipped -= tag in _SKIPPED
            return
        if tag == "title" and self._title_parts is not None:
            self.title, self._title_parts = " ".join("".join(self._title_parts).split()), None
        elif tag == "table":
            self._end_table()
        elif self._tables and not self._tables[-1].is_layout and self._end_in_table(tag):
            return
        elif tag in _BLOCKS and tag not in _VOID:
            self._close(tag)

    def data(self, text: str) -> None:
        """Text between tags."""
        if not self._skipped:
            self._put(text)

    def comment(self, text: str) -> None:
        """Comments say nothing."""

    def pi(self, target: str, data: str | None = None) -> None:
        """Processing instructions say nothing."""

    def close(self) -> None:
        """The page is over: what is held becomes blocks. May be called twice."""
        while self._tables:
            self._end_table()
        self._flush()
        if self._title_parts is not None:
            self.title, self._title_parts = " ".join("".join(self._title_parts).split()), None

    def _note(self, tag: str, attributes: Mapping[str, str]) -> None:
        """Attributes that say something about the page."""
        number = attributes.get("data-page") or attributes.get("data-page-number")
        if number and number.isdecimal() and int(number[:9]) > 0:
            if not self._tables:
                self._flush()
            self._page = int(number[:9])
        if tag == "html" and not self.language:
            self.language = (attributes.get("lang") or attributes.get("xml:lang") or "").strip()[:35]

    def _put(self, text: str) -> None:
        """Text goes to the title, the open cell, or the block that is being collected."""
        if self._title_parts is not None:
            self._title_parts.append(text)
        elif self._tables and not self._tables[-1].is_layout and not self._tables[-1].caption_depth:
            if cell := self._tables[-1].cell:
                cell.parts.append(text)
            elif not text.isspace():
                self._text.append(text)
        elif text == "\n" or self._is_code():
            self._text.append(text)
        else:
            self._text.append(_SPACE.sub(" ", text))

    def _is_code(self) -> bool:
        """True inside preformatted text."""
        return bool(self._kinds) and self._kinds[-1][1] is BlockKind.CODE

    def _kinds_above(self, tag: str) -> bool:
        """True inside an element of this name."""
        return any(name == tag for name, _, _ in self._kinds[:4])

    def _open(self, tag: str) -> None:
        """A block-level element begins: what was collected is a block."""
        self._flush()
        if tag in _VOID:
            return
        above = self._kinds[-1] if self._kinds else ("", BlockKind.PARAGRAPH, 0)
        if tag in _HEADINGS:
            self._kinds.append((tag, BlockKind.HEADING, _HEADINGS[tag]))
        else:
            self._kinds.append((tag, _KINDS.get(tag, above[1]), above[2] if tag not in _KINDS else 0))

    def _close(self, tag: str) -> None:
        """A block-level element ends; an end without a start changes nothing."""
        self._flush()
        if self._kinds and self._kinds[-1][0] == tag:
            self._kinds.pop()
            return
        for index in range(len(self._kinds) - 1, max(-1, len(self._kinds) - 64), -1):
            if self._kinds[index][0] == tag:
                del self._kinds[index:]
                return

    def _flush(self) -> None:
        """What was collected becomes a block."""
        if not self._text:
            return
        text = "".join(self._text)
        self._text.clear()
        if not text or text.isspace():
            return
        _, kind, level = self._kinds[-1] if self._kinds else ("", BlockKind.PARAGRAPH, 0)
        is_code = kind is BlockKind.CODE
        text = text.strip("\n") if is_code else _AROUND_BREAK.sub("\n", _SPACE_RUN.sub(" ", text))
        if kind is BlockKind.HEADING:
            text = " ".join(text.split())
        self.blocks.extend(Block(kind, part, level=level, page=self._page) for part in bounded(text))

    def _cell_tag(self, tag: str, attributes: Mapping[str, str]) -> bool:
        """Handles the start of tags that belong to a table that is read as one; False: treat as running text."""
        if tag == "table":
            self._start_table()
            return True
        if not self._tables or self._tables[-1].is_layout:
            return False
        table = self._tables[-1]
        if tag in ("td", "th"):
            self._flush()
            table.cell = _Cell([], _span(attributes, "colspan"), _span(attributes, "rowspan"), tag == "th")
            if not table.rows:
                table.rows.append([])
            table.rows[-1].append(table.cell)
        elif tag == "tr":
            table.cell = None
            table.rows.append([])
            table.head_rows += table.is_head
        elif tag == "thead":
            table.is_head = True
        elif tag == "caption":
            table.caption_depth = 1
            self._open(tag)
        elif tag in _BLOCKS and table.cell:
            table.cell.parts.append(" ")
        return True

    def _end_in_table(self, tag: str) -> bool:
        """Handles the end of tags inside a table; False: not a table's."""
        table = self._tables[-1]
        if tag == "caption" and table.caption_depth:
            table.caption_depth = 0
            self._close(tag)
        elif tag in ("td", "th", "tr"):
            table.cell = None
        elif tag in ("thead", "tbody", "tfoot"):
            table.is_head = False
        elif tag in _BLOCKS and table.cell:
            table.cell.parts.append(" ")
        return True

    def _start_table(self) -> None:
        """A table begins; one that stands in another makes the outer one a mere layout."""
        if self._tables and not self._tables[-1].is_layout:
            outer = self._tables[-1]
            open_cell = outer.rows[-1].pop() if outer.cell and outer.rows and outer.rows[-1] else None
            self._emit_table(outer)
            outer.rows, outer.cell, outer.is_layout = [], None, True
            if open_cell and open_cell.text:
                self.blocks.extend(
                    Block(BlockKind.PARAGRAPH, part, page=self._page) for part in bounded(open_cell.text)
                )
        self._open("table")
        self._tables.append(_Table())

    def _end_table(self) -> None:
        """The innermost table is complete."""
        if self._tables:
            self._flush()
            table = self._tables.pop()
            if not table.is_layout:
                self._emit_table(table)
            self._close("table")

    def _emit_table(self, table: _Table) -> None:
        """Its rows as blocks; with a single column as paragraphs."""
        rows = _without_empty_columns(_grid(table.rows))
        if max(map(len, rows), default=0) <= 1:
            for row in rows:
                for cell in row:
                    self.blocks.extend(Block(BlockKind.PARAGRAPH, part, page=self._page) for part in bounded(cell))
            return
        first = next((row for row in table.rows if any(cell.text for cell in row)), [])
        has_header = table.head_rows > 0 or (bool(first) and all(cell.is_header for cell in first))
        self.blocks.extend(table_blocks(rows, has_header=has_header, page=self._page))


def _span(attributes: Mapping[str, str], name: str) -> int:
    """How many rows or columns a cell covers: at least 1; nonsense is 1."""
    value = (attributes.get(name) or "1").strip()
    return max(1, min(int(value[:6]), 1000)) if value[:6].isdecimal() else 1


def _grid(rows: list[list[_Cell]]) -> list[list[str]]:
    """Cells at their columns, spanned ones repeated (long texts only once, so that spans are no bomb)."""
    grid: list[list[str]] = []
    below: dict[int, tuple[int, str]] = {}
    for cells in rows:
        line: list[str] = []
        for cell in cells:
            _carry(line, below)
            text = cell.text
            repeated = text if len(text) <= _MAX_REPEATED_CHARS else ""
            for offset in range(min(cell.colspan, max(1, _MAX_COLUMNS - len(line)))):
                if cell.rowspan > 1:
                    below[len(line)] = (cell.rowspan - 1, repeated)
                line.append(repeated if offset else text)
        _carry(line, below)
        if any(line):
            grid.append(line)
    return grid


def _carry(line: list[str], below: dict[int, tuple[int, str]]) -> None:
    """Fill the next columns from cells of earlier rows that reach down to this one."""
    while len(line) in below:
        column = len(line)
        left, text = below.pop(column)
        if left > 1:
            below[column] = (left - 1, text)
        line.append(text)


def _without_empty_columns(grid: list[list[str]]) -> list[list[str]]:
    """The grid without columns that no row fills: spacers of layouts."""
    width = max(map(len, grid), default=0)
    kept = [column for column in range(width) if any(len(row) > column and row[column] for row in grid)]
    return [[row[column] if column < len(row) else "" for column in kept] for row in grid]
