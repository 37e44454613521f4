"""Markdown as blocks, line by line: a stream in, a stream out, never more than one block in memory.

Reads what matters for search: headings (ATX and setext), lists, fenced code, pipe tables, quotes, paragraphs. Marks
of emphasis, links and images are taken away, what they say stays.
"""

import html
import re
from collections.abc import Iterable, Iterator
from itertools import chain

from s3_to_milvus.domain.documents import Block, BlockKind
from s3_to_milvus.domain.plain import bounded
from s3_to_milvus.domain.tables import BLOCK_CHARS, table_blocks

__all__ = ["inline_text", "markdown_blocks"]

_ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*$")
_SETEXT = re.compile(r" {0,3}(=+|-+)[ \t]*$")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})([^`]*)$")
_RULE = re.compile(r" {0,3}(?:(?:\*[ \t]*){3,}|(?:-[ \t]*){3,}|(?:_[ \t]*){3,})$")
_ITEM = re.compile(r"[ \t]*(?:[-*+•]|(\d{1,9}[.)]))[ \t]+(?=\S)")
_QUOTE = re.compile(r" {0,3}(?:>[ ]?)+")
_DELIMITER = re.compile(r"[ \t]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$")
_DEFINITION = re.compile(r" {0,3}\[[^\[\]]{1,200}\]:[ \t]*(?:\S+(?:[ \t]+[\"'(].*)?)?$")
_CELL_BORDER = re.compile(r"(?<!\\)\|")

_PLAIN = re.compile(r"[\]*_`~<&\\]")
_IMAGE_OR_LINK = re.compile(
    r"!?\[([^\[\]]{0,1000})\](?:\([^()\n]{0,1000}(?:\([^()\n]{0,200}\)[^()\n]{0,1000})?\)|\[[^\[\]]{0,200}\])"
)
_CODE_SPAN = re.compile(r"(?<!`)(`+)(?!`)(.{1,1000}?)(?<!`)\1(?!`)", re.DOTALL)
_STRONG = re.compile(r"(\*\*|__|~~)(?=\S)((?:(?!\1).){1,2000}?)(?<=\S)\1", re.DOTALL)
_STAR = re.compile(r"\*(?=[^\s*])([^*]{1,2000}?)(?<=[^\s*])\*")
_UNDERSCORE = re.compile(r"(?<!\w)_(?=[^\s_])([^_]{1,2000}?)(?<=[^\s_])_(?!\w)")
_BREAK = re.compile(r"<br[ \t]*/?>", re.IGNORECASE)
_TAG = re.compile(r"</?[A-Za-z][A-Za-z0-9-]{0,30}(?:\s[^<>]{0,1000})?/?>|<!--[^<>]{0,2000}-->")
_AUTOLINK = re.compile(r"<((?:https?|ftp|mailto):[^<>\s]{1,1000})>")
# Escaped signs wait in a private corner of Unicode while the marks are taken away.
_ESCAPED = 0x10FE00
_UNESCAPED = {_ESCAPED + code: chr(code) for code in range(128)}
_ESCAPE = re.compile(r"\\([!-/:-@\[-`{-~])")


def inline_text(text: str) -> str:
    """The text without the marks of Markdown and HTML inside a line; code spans stay as they are. Linear in time."""
    if not _PLAIN.search(text):
        return text
    if "`" not in text:
        return _without_marks(text)
    parts = _CODE_SPAN.split(text)
    return "".join(_without_marks(parts[at]) + "".join(parts[at + 2 : at + 3]) for at in range(0, len(parts), 3))


def _without_marks(text: str) -> str:
    """As `inline_text`, for text without code spans."""
    has_escapes = "\\" in text
    if has_escapes:
        text = _ESCAPE.sub(lambda found: chr(_ESCAPED + ord(found[1])), text)
    if "<" in text:
        text = _TAG.sub("", _BREAK.sub("\n", _AUTOLINK.sub(r"\1", text)))
    if "](" in text or "][" in text:
        text = _IMAGE_OR_LINK.sub(r"\1", _IMAGE_OR_LINK.sub(r"\1", text))
    if "**" in text or "__" in text or "~~" in text:
        text = _STRONG.sub(r"\2", text)
    if "*" in text:
        text = _STAR.sub(r"\1", text)
    if "_" in text:
        text = _UNDERSCORE.sub(r"\1", text)
    if "&" in text:
        text = html.unescape(text)
    return text.translate(_UNESCAPED) if has_escapes else text


def markdown_blocks(lines: Iterable[str], page: int | None = None) -> Iterator[Block]:
    """Blocks of a Markdown text given as lines without their line feed; reads the lines as a stream."""
    return _Reader(lines, page).blocks()


class _Reader:
    """The state between two lines: the paragraph or list item that is being collected."""

    def __init__(self, lines: Iterable[str], page: int | None) -> None:
        self._lines = iter(lines)
        self._returned: list[str] = []
        self._page = page
        self._held: list[str] = []
        self._held_chars = 0
        self._kind = BlockKind.PARAGRAPH

    def blocks(self) -> Iterator[Block]:
        """All blocks."""
        first = self._next()
        if first is not None and first.rstrip() == "---":
            yield from self._front_matter()
        elif first is not None:
            self._returned.append(first)
        while (line := self._next()) is not None:
            yield from self._line(line)
        yield from self._flush()

    def _next(self) -> str | None:
        """The next line, those given back first; None at the end."""
        return self._returned.pop() if self._returned else next(self._lines, None)

    def _line(self, line: str) -> Iterator[Block]:
        """What one line brings to an end or is."""
        stripped = line.strip()
        if not stripped:
            yield from self._flush()
            return
        first = stripped[0]
        if first == ">":
            line = _QUOTE.sub("", line)
            stripped = line.strip()
            first = stripped[:1]
        if first == "#" and (match := _ATX.match(line)):
            yield from self._heading(len(match[1]), match[2] or "")
        elif first in "`~" and first and (match := _FENCE.match(line)):
            yield from self._flush()
            yield from self._code(match[1])
        elif first in "=-" and first and self._is_setext(line):
            yield from self._setext(stripped)
        elif first in "*-_" and first and _RULE.match(line):
            yield from self._flush()
        elif first in "|:-" and first and self._is_table(line):
            yield from self._table()
        else:
            yield from self._text(line, stripped)

    def _text(self, line: str, stripped: str) -> Iterator[Block]:
        """A list item begins, or the line goes on with what is held."""
        if match := _ITEM.match(line):
            yield from self._flush()
            self._kind = BlockKind.LIST_ITEM
            stripped = f"{match[1]} {line[match.end() :].strip()}" if match[1] else line[match.end() :].strip()
        elif not self._held and _DEFINITION.match(line):
            return
        self._held.append(stripped)
        self._held_chars += len(stripped)
        if self._held_chars > BLOCK_CHARS:
            yield from self._flush()

    def _flush(self) -> Iterator[Block]:
        """The held paragraph or list item, if there is one."""
        if self._held:
            text = inline_text("\n".join(self._held))
            kind, self._kind = self._kind, BlockKind.PARAGRAPH
            self._held.clear()
            self._held_chars = 0
            for part in bounded(text):
                yield Block(kind, part, page=self._page)

    def _heading(self, level: int, text: str) -> Iterator[Block]:
        """A heading ends what was held."""
        yield from self._flush()
        if text := " ".join(inline_text(text).split()):
            for part in bounded(text):
                yield Block(BlockKind.HEADING, part, level=level, page=self._page)

    def _is_setext(self, line: str) -> bool:
        """True when the line underlines a paragraph that is held."""
        return len(self._held) in (1, 2) and self._kind is BlockKind.PARAGRAPH and _SETEXT.match(line) is not None

    def _setext(self, stripped: str) -> Iterator[Block]:
        """The held paragraph was a heading."""
        text = " ".join(self._held)
        self._held.clear()
        self._held_chars = 0
        yield from self._heading(1 if stripped[0] == "=" else 2, text)

    def _code(self, fence: str) -> Iterator[Block]:
        """The lines up to the closing fence, as they stand."""
        held: list[str] = []
        size = 0
        while (line := self._next()) is not None:
            closing = line.strip()
            if len(closing) >= len(fence) and closing == fence[0] * len(closing):
                break
            held.append(line)
            size += len(line) + 1
            if size > BLOCK_CHARS:
                yield from self._code_block(held)
                held, size = [], 0
        yield from self._code_block(held)

    def _code_block(self, lines: list[str]) -> Iterator[Block]:
        """One block of code, blank ones left out."""
        text = "\n".join(lines).strip("\n")
        if text.strip():
            for part in (text,) if len(text) <= BLOCK_CHARS else bounded(text):
                yield Block(BlockKind.CODE, part, page=self._page)

    def _is_table(self, line: str) -> bool:
        """True when the line is the rule below a table's header, which is the last line held."""
        if not self._held or "|" not in self._held[-1] or not _DELIMITER.match(line):
            return False
        return len(_cells(line)) == len(_cells(self._held[-1]))

    def _table(self) -> Iterator[Block]:
        """The header that is held, and rows up to the first line that is none."""
        header = _cells(self._held.pop())
        yield from self._flush()
        has_header = any(header)
        rows = self._rows(len(header))
        yield from table_blocks(chain((header,), rows) if has_header else rows, has_header=has_header, page=self._page)

    def _rows(self, width: int) -> Iterator[tuple[str, ...]]:
        """Rows of a table, each as wide as its header or wider; the line after it is given back."""
        while (line := self._next()) is not None:
            if "|" not in line:
                self._returned.append(line)
                return
            cells = _cells(line)
            yield (*cells, *("",) * (width - len(cells)))

    def _front_matter(self) -> Iterator[Block]:
        """The lines between the first two rules: a paragraph; without a second rule an ordinary text."""
        held: list[str] = []
        while (line := self._next()) is not None:
            if line.rstrip() in ("---", "..."):
                for part in bounded("\n".join(held)):
                    yield Block(BlockKind.PARAGRAPH, part, page=self._page)
                return
            held.append(line)
            if len(held) > 100 or not (line.strip() == "" or ":" in line or line[0] in " \t-#"):
                break
        self._returned.extend(reversed(held))


def _cells(line: str) -> tuple[str, ...]:
    """The cells of one row."""
    line = line.strip()
    line = line[1:] if line.startswith("|") else line
    line = line[:-1] if line.endswith("|") and not line.endswith("\\|") else line
    return tuple(" ".join(inline_text(cell.replace("\\|", "|")).split()) for cell in _CELL_BORDER.split(line))
