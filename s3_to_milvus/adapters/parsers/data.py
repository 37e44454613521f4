"""Data as text: CSV and TSV as tables, JSON as lines of names and values, XML as the text of its elements."""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict

from s3_to_milvus.adapters.charset_guess import guess_charset
from s3_to_milvus.domain.charsets import charset_of, clean_text
from s3_to_milvus.domain.documents import Block, BlockKind, Document
from s3_to_milvus.domain.formats import Format, media_types_of
from s3_to_milvus.domain.plain import bounded
from s3_to_milvus.domain.tables import table_blocks
from s3_to_milvus.errors import UnreadableDocument
from s3_to_milvus.ports import ParserInput

__all__ = ["DataParser"]

_CSV, _TSV, _JSON, _XML = "text/csv", "text/tab-separated-values", "application/json", "application/xml"
_SAMPLE_BYTES = 1 << 16
_MAX_CELL_CHARS = 1 << 24
_PARAGRAPH_CHARS = 2_000
_MAX_ROW_CHARS = 4_000
_DECLARED = re.compile(rb"""<\?xml[^>]{0,200}encoding\s*=\s*["']([\w.:-]+)""")


class DataParser:
    """Every value is kept, with the names above it."""

    kind = "data"

    class Options(BaseModel):
        """Nothing to choose."""

        model_config = ConfigDict(extra="forbid")

    # Raise it whenever the same file would give other blocks.
    fingerprint = "data-1"
    formats: tuple[Format, ...] = (
        Format("CSV", _CSV, ("csv",), has_tables=True),
        Format("TSV", _TSV, ("tsv",), has_tables=True),
        Format("JSON", _JSON, ("json", "jsonl", "ndjson"), has_tables=True),
        Format("XML", _XML, ("xml",)),
    )
    media_types = media_types_of(formats)
    page_media_types: frozenset[str] = frozenset()
    preload = ("lxml.etree",)

    def __init__(self, options: Options | None = None) -> None:
        from lxml import etree

        self._options = options or self.Options()
        self._etree: Any = etree

    def parse(self, source: ParserInput) -> Document:
        """The whole file is held in memory. Raises `UnreadableDocument`."""
        data = source.read()
        declared = _DECLARED.search(data[:1024]) if source.media_type == _XML else None
        name = declared[1].decode("ascii", "replace") if declared else ""
        charset = charset_of(data[:_SAMPLE_BYTES], guess_charset, declared=name, is_whole=len(data) <= _SAMPLE_BYTES)
        try:
            text, warnings = data.decode(charset), []
        except UnicodeDecodeError:
            if charset == "utf-8":  # the sample was; what follows is not
                charset = charset_of(data, guess_charset, declared=name)
            text = data.decode(charset, "replace")
            warnings = [f"{text.count(chr(0xFFFD))} characters could not be read as {charset}"]
        text = clean_text(text)
        if source.media_type == _XML:
            blocks: Iterable[Block] = self._xml(text)
        elif source.media_type == _JSON:
            blocks = _json(text)
        else:
            blocks = _csv(text, "\t" if source.media_type == _TSV else None)
        return Document(list(blocks), source.media_type, warnings=tuple(warnings))

    def check(self) -> str:
        """Says which parser stands behind XML."""
        return f"CSV, TSV, JSON: ready; XML: lxml {'.'.join(map(str, self._etree.LXML_VERSION[:3]))}"

    def _xml(self, text: str) -> Iterator[Block]:
        """The texts of elements in their order, gathered to paragraphs. Entities are never loaded."""
        if not text.strip():
            return
        parser = self._etree.XMLPullParser(
            events=("start", "end", "comment", "pi"),
            resolve_entities=False,
            no_network=True,
            huge_tree=True,
            recover=True,
        )
        body = re.sub(r"^\s*<\?xml[^>]*\?>", "", text, count=1)
        found = False
        try:
            parser.feed(b'<?xml version="1.0" encoding="utf-8"?>' + body.encode())
            for block in _gathered(_texts_of(parser.read_events())):
                found = True
                yield block
        except self._etree.LxmlError as exc:
            raise UnreadableDocument("The XML file is damaged: it cannot be read.") from exc
        if not found and (plain := re.sub(r"<[^<>]*>", " ", body).strip()):
            raise UnreadableDocument(f"The XML file is damaged: {len(plain)} characters of text cannot be read.")


def _texts_of(events: Iterable[tuple[str, Any]]) -> Iterator[str]:
    """Text and tails of elements, each once, in document order; comments and instructions say nothing."""
    for event, element in events:
        if event == "start":
            yield from (value for name, value in element.attrib.items() if name.rpartition("}")[2] in ("title", "alt"))
            yield element.text or ""
        else:
            yield element.tail or ""


def _gathered(texts: Iterable[str]) -> Iterator[Block]:
    """Short texts together, so that a chunk is more than one number."""
    held: list[str] = []
    size = 0
    for text in texts:
        if not (line := " ".join(text.split())):
            continue
        held.append(line)
        size += len(line)
        if size > _PARAGRAPH_CHARS:
            yield from _paragraph(held)
            held, size = [], 0
    yield from _paragraph(held)


def _paragraph(lines: list[str]) -> Iterator[Block]:
    for part in bounded("\n".join(lines)):
        yield Block(BlockKind.PARAGRAPH, part)


def _csv(text: str, delimiter: str | None) -> Iterator[Block]:
    """A table; the first row is its header unless it is the only one. A single column is paragraphs."""
    csv.field_size_limit(_MAX_CELL_CHARS)
    if delimiter is None:
        try:
            delimiter = csv.Sniffer().sniff(text[:8192], ",;\t|").delimiter
        except csv.Error:
            delimiter = ","
    try:
        rows = [[" ".join(cell.split()) for cell in row] for row in csv.reader(io.StringIO(text), delimiter=delimiter)]
    except csv.Error as exc:
        raise UnreadableDocument(f"The table is damaged: {exc}.") from exc
    rows = [row for row in rows if any(row)]
    is_flat = max(map(len, rows), default=0) <= 1
    if is_flat or max(sum(map(len, row)) for row in rows) > _MAX_ROW_CHARS:
        yield from _gathered(cell for row in rows for cell in row)
    else:
        yield from table_blocks(rows, has_header=len(rows) > 1)


def _json(text: str) -> Iterator[Block]:
    """Lists of like objects as tables, all else as ``name: value``."""
    try:
        values = [json.loads(text)]
    except RecursionError as exc:
        raise UnreadableDocument("The JSON file is nested too deeply.") from exc
    except ValueError as exc:
        values = _json_lines(text, exc)
    value = values[0] if len(values) == 1 else values
    if isinstance(value, list) and (rows := _as_rows(value)):
        yield from table_blocks(rows, has_header=True)
    else:
        yield from _gathered(_named(value))


def _json_lines(text: str, reason: ValueError) -> list[Any]:
    """A value in each line. Raises `UnreadableDocument` where a line is none."""
    try:
        values = [json.loads(line) for line in text.split("\n") if line.strip()]
    except (ValueError, RecursionError) as exc:
        raise UnreadableDocument(f"The JSON file is damaged: {reason}.") from exc
    return values


def _as_rows(values: list[Any]) -> list[list[str]]:
    """A header and a row for each value, if all are flat objects with the same names and short values."""
    if len(values) < 2 or not all(isinstance(value, dict) and value.keys() == values[0].keys() for value in values):
        return []
    names = list(values[0])
    if any(isinstance(cell, dict | list) for value in values for cell in value.values()):
        return []
    rows = [[" ".join(name.split()) for name in names], *([_plain(value[name]) for name in names] for value in values)]
    is_small = len(names) > 1 and max(sum(map(len, row)) for row in rows) <= _MAX_ROW_CHARS
    return rows if is_small else []


def _named(value: Any) -> Iterator[str]:
    """Every value with the path of names to it, without recursion."""
    waiting: list[tuple[str, Any]] = [("", value)]
    while waiting:
        path, each = waiting.pop()
        if isinstance(each, dict):
            inner = [(f"{path}.{name}" if path else str(name), item) for name, item in each.items()]
        elif isinstance(each, list):
            inner = [(path, item) for item in each]
        else:
            yield f"{path}: {_plain(each)}" if path else _plain(each)
            continue
        waiting += reversed(inner)


def _plain(value: Any) -> str:
    """A single value as people read it."""
    if value is None:
        return ""
    return clean_text(" ".join(value.split()) if isinstance(value, str) else json.dumps(value))
