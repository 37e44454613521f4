"""Blocks out of the XML events of an OpenDocument part: a flat state machine, no tree, no recursion."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from s3_to_milvus.adapters.parsers.opendocument.tables import OpenTable, Repeats
from s3_to_milvus.domain.charsets import clean_text
from s3_to_milvus.domain.documents import Block, BlockKind
from s3_to_milvus.domain.plain import bounded
from s3_to_milvus.domain.tables import table_blocks

__all__ = ["Content"]

_URN = "urn:oasis:names:tc:opendocument:xmlns:"
_PREFIXES = {
    f"{_URN}office:1.0": "office",
    f"{_URN}text:1.0": "text",
    f"{_URN}table:1.0": "table",
    f"{_URN}drawing:1.0": "draw",
    f"{_URN}presentation:1.0": "presentation",
    f"{_URN}svg-compatible:1.0": "svg",
    "http://www.w3.org/1999/xlink": "xlink",
}
# Left out with everything in them: no text of the document, or text that is not shown in its place.
_SILENT_NAMES = """
    office:annotation office:automatic-styles office:event-listeners office:font-face-decls office:forms
    office:scripts office:settings text:sequence-decls text:tracked-changes text:user-field-decls text:variable-decls
    table:content-validations table:shapes-decls text:ruby-text text:index-title-template
    text:table-of-content-source text:alphabetical-index-source text:page-number
"""
_SILENT = frozenset(_SILENT_NAMES.split())
_ASIDES = frozenset({"svg:title", "svg:desc", "text:note-citation"})
_PLACEHOLDERS = frozenset({"page-number", "header", "footer", "date-time"})
_MAX_SPACES = 1_000
_MAX_NESTED_TABLES = 16
_VALUES = ("string-value", "date-value", "time-value", "boolean-value", "value")


@dataclass(slots=True)
class _Paragraph:
    """One that is being read."""

    kind: BlockKind
    level: int = 0
    parts: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Note:
    """One that is being read: how it is marked, and its paragraphs."""

    mark: str = ""
    texts: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """``1) text``, or with the sign that marks it; nothing for a note without text."""
        sign = f"{self.mark})" if self.mark.isalnum() else self.mark
        return " ".join(filter(None, (sign, *self.texts))) if self.texts else ""


class Content:
    """The target of an XML parser. ``blocks`` is complete after `close`, ``page`` counts slides.

    ``embedded(name)`` gives the blocks of an object inside, such as a chart.
    """

    def __init__(
        self,
        *,
        is_sheets: bool = False,
        is_chart: bool = False,
        embedded: Callable[[str], list[Block]] = lambda name: [],
    ) -> None:
        self.blocks: list[Block] = []
        self.page = 0
        self._is_sheets, self._is_chart = is_sheets, is_chart
        self._embedded = embedded
        self._silent = 0
        self._lists = self._titles = self._frames = 0
        self._paragraphs: list[_Paragraph] = []
        self._later: list[Block] = []
        self._tables: list[OpenTable] = []
        self._deeper_tables = 0
        self._repeats = Repeats()
        self._notes: list[_Note] = []
        self._aside: list[str] | None = None
        self._names: dict[str, str] = {}
        self._frame_classes: list[str] = []

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        """An element begins."""
        name = self._named(tag)
        if self._silent or name in _SILENT:
            self._silent += 1
            return
        given = {self._named(key): value for key, value in attributes.items()}
        if given.get("presentation:class") in _PLACEHOLDERS:
            self._silent += 1
        elif name == "text:h":
            self._begin(BlockKind.HEADING, _number(given.get("text:outline-level"), 1, 6))
        elif name == "text:p":
            self._begin(BlockKind.LIST_ITEM if self._lists else BlockKind.PARAGRAPH)
        elif name.startswith("table:"):
            self._table_start(name, given)
        elif name.startswith("draw:"):
            self._draw_start(name, given)
        else:
            self._other_start(name, given)

    def end(self, tag: str) -> None:
        """An element ends."""
        if self._silent:
            self._silent -= 1
            return
        name = self._named(tag)
        if name in ("text:h", "text:p"):
            self._end_paragraph()
        elif name.startswith("table:"):
            self._table_end(name)
        elif name == "text:list":
            self._lists -= 1
        elif name == "text:note" and self._notes:
            self._later += self._texts(BlockKind.PARAGRAPH, self._notes.pop().text)
        elif name == "draw:frame" and self._frame_classes:
            self._frame_classes.pop()
        elif name in _ASIDES:
            self._end_aside(name)

    def data(self, text: str) -> None:
        """Text; white space counts only as in XML: a run of it is one space."""
        if self._silent:
            return
        if self._aside is not None:
            self._aside.append(text)
        elif self._paragraphs:
            parts, text = self._paragraphs[-1].parts, _collapsed(text)
            is_spaced = bool(parts) and parts[-1][-1:].isspace()
            parts.append(text.lstrip(" ") if is_spaced else text)

    def close(self) -> None:
        """No more events: what is open ends here."""
        self._silent = 0
        while self._paragraphs:
            self._end_paragraph()
        while self._tables:
            self._end_table()

    def _named(self, tag: str) -> str:
        """``{namespace}local`` as ``prefix:local``."""
        name = self._names.get(tag)
        if name is None:
            space, _, local = tag.removeprefix("{").rpartition("}")
            name = self._names[tag] = f"{_PREFIXES.get(space, '')}:{local}"
        return name

    def _end_aside(self, name: str) -> None:
        """What a picture shows, or the mark of a note."""
        if self._aside is None:
            return
        text, self._aside = clean_text(" ".join("".join(self._aside).split())), None
        if name != "text:note-citation":
            self._put(self._texts(BlockKind.FIGURE, text))
        elif self._notes:
            self._notes[-1].mark = text

    def _begin(self, kind: BlockKind, level: int = 0) -> None:
        if self._frame_classes and self._frame_classes[-1] == "title":
            kind, level = BlockKind.HEADING, 2
        self._paragraphs.append(_Paragraph(kind, level))

    def _end_paragraph(self) -> None:
        """To the note, the cell, or the document; what stands inside a paragraph comes after it."""
        if not self._paragraphs:
            return
        done = self._paragraphs.pop()
        text = clean_text("".join(done.parts)).strip()
        if self._notes:
            self._notes[-1].texts += [text] if text else []
        elif self._tables and self._tables[-1].is_in_cell:
            self._tables[-1].add(text)
        else:
            if done.kind is BlockKind.HEADING:
                text = " ".join(text.split())
            blocks = self._texts(done.kind, text, done.level)
            if self._paragraphs:
                self._later += blocks
            else:
                self._put(blocks)
        if not self._paragraphs and not self._notes:
            later, self._later = self._later, []
            self._put(later)

    def _put(self, blocks: list[Block]) -> None:
        """Into the cell or the document."""
        if self._tables and self._tables[-1].is_in_cell:
            for block in blocks:
                self._tables[-1].add(block.text)
                for row in block.rows:
                    self._tables[-1].add(" | ".join(filter(None, row)))
        else:
            self.blocks += blocks

    def _texts(self, kind: BlockKind, text: str, level: int = 0) -> list[Block]:
        page = self.page or None
        return [Block(kind, part, level=level, page=page) for part in bounded(clean_text(text))]

    def _table_start(self, name: str, given: Mapping[str, str]) -> None:
        if self._deeper_tables or (name == "table:table" and len(self._tables) >= _MAX_NESTED_TABLES):
            self._deeper_tables += name == "table:table"  # its text belongs to the cell around it
        elif name == "table:table":
            if self._is_sheets and not self._tables and (title := given.get("table:name")):
                self.blocks += self._texts(BlockKind.HEADING, " ".join(title.split()), 2)
            self._tables.append(OpenTable(self._repeats))
        elif not self._tables:
            return
        elif name == "table:table-header-rows":
            self._tables[-1].has_header_rows = True
        elif name == "table:table-row":
            self._tables[-1].begin_row(_number(given.get("table:number-rows-repeated"), 1, 1 << 30))
        elif name in ("table:table-cell", "table:covered-table-cell"):
            value = next(filter(None, (given.get(f"office:{kind}") for kind in _VALUES)), "")
            self._tables[-1].begin_cell(_number(given.get("table:number-columns-repeated"), 1, 1 << 30), value)

    def _table_end(self, name: str) -> None:
        if not self._tables:
            return
        if self._deeper_tables:
            self._deeper_tables -= name == "table:table"
        elif name == "table:table":
            self._end_table()
        elif name == "table:table-row":
            self._tables[-1].end_row()
        elif name in ("table:table-cell", "table:covered-table-cell"):
            self._tables[-1].end_cell()

    def _end_table(self) -> None:
        table = self._tables.pop()
        rows = table.rows()
        into = self._later if self._paragraphs else self.blocks
        if self._tables and self._tables[-1].is_in_cell:
            for row in rows:
                self._tables[-1].add(" | ".join(filter(None, row)))
        elif max(map(len, rows), default=0) > 1:
            has_header = table.has_header_rows or len(rows) > 1
            into += table_blocks(rows, has_header=has_header, page=self.page or None)
        else:  # a frame around paragraphs, or a list
            for row in rows:
                into += self._texts(BlockKind.PARAGRAPH, row[0])

    def _draw_start(self, name: str, given: Mapping[str, str]) -> None:
        if name == "draw:page":
            self.page += 1
        elif name == "draw:frame":
            self._frame_classes.append(given.get("presentation:class", ""))
        elif name == "draw:object" and not self._is_chart and (target := given.get("xlink:href")):
            page = self.page or None
            inside = self._embedded(target.removeprefix("./").strip("/"))
            self._later += [
                Block(each.kind, each.text, each.level, each.rows, each.has_header, page) for each in inside
            ]
            if not self._paragraphs and not self._notes:
                later, self._later = self._later, []
                self._put(later)

    def _other_start(self, name: str, given: Mapping[str, str]) -> None:
        if name == "text:list":
            self._lists += 1
        elif name == "text:note":
            self._notes.append(_Note())
        elif name in _ASIDES:
            self._aside = []
        elif not self._paragraphs:
            return
        elif name == "text:s":
            self._paragraphs[-1].parts.append(" " * _number(given.get("text:c"), 1, _MAX_SPACES))
        elif name == "text:tab":
            self._paragraphs[-1].parts.append("\t")
        elif name == "text:line-break":
            self._paragraphs[-1].parts.append("\n")


def _number(value: str | None, default: int, limit: int) -> int:
    """A count of at least 1 and at most ``limit``; the default for what is none."""
    if value is None or not value.isdecimal() or len(value) > 12:
        return default
    return max(1, min(int(value), limit))


def _collapsed(text: str) -> str:
    """A run of white space as one space; at the ends, too, since the text around may be in other elements."""
    inner = " ".join(text.split())
    if not inner:
        return " " if text else ""
    return f"{' ' if text[0].isspace() else ''}{inner}{' ' if text[-1].isspace() else ''}"
