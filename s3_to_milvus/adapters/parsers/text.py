"""Plain text and Markdown, read as a stream: the size of a file does not matter. Safe inside the service."""

import codecs
import io
import re
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from s3_to_milvus.adapters.charset_guess import guess_charset
from s3_to_milvus.domain.charsets import bom_charset, charset_of, clean_text, utf16_charset
from s3_to_milvus.domain.documents import Block, BlockKind, Document
from s3_to_milvus.domain.formats import Format, media_types_of
from s3_to_milvus.domain.markdown import inline_text, markdown_blocks
from s3_to_milvus.domain.media import MARKDOWN, PLAIN
from s3_to_milvus.domain.plain import lines_of, paragraphs
from s3_to_milvus.ports import ParserInput

__all__ = ["TextParser"]

_READ_BYTES = 1 << 17
_SAMPLE_BYTES = 1 << 16
_TITLE = re.compile(r"^#[ \t]+(\S.{0,300}?)[ \t]*#*$", re.MULTILINE)


class TextParser:
    """Reads plain text (paragraphs between blank lines) and Markdown in any common character set."""

    kind = "text"

    class Options(BaseModel):
        """Nothing to choose."""

        model_config = ConfigDict(extra="forbid")

    # Raise it whenever the same file would give other blocks.
    fingerprint = "text-1"
    formats: tuple[Format, ...] = (
        Format("Plain text", PLAIN, ("txt", "log")),
        Format("Markdown", MARKDOWN, ("md", "markdown"), has_tables=True, has_headings=True),
    )
    media_types = media_types_of(formats)
    page_media_types: frozenset[str] = frozenset()

    def __init__(self, options: Options | None = None) -> None:
        self._options = options or self.Options()

    def parse(self, source: ParserInput) -> Document:
        """Blocks as a one-pass stream; of a file, it is read while they are taken."""
        warnings: tuple[str, ...] = ()
        if source.data is not None:
            text, warnings = _decode(source.data)
            pieces: Iterator[str] = iter((clean_text(text),))
            head = text[:4096] if source.media_type == MARKDOWN else ""
        elif source.path is not None:
            charset = _charset_of_file(source.path)
            pieces = _pieces(source.path, charset)
            head = next(_pieces(source.path, charset), "")[:4096] if source.media_type == MARKDOWN else ""
        else:
            raise ValueError("a parser needs data or a path")
        if source.media_type == MARKDOWN:
            return Document(markdown_blocks(lines_of(pieces)), source.media_type, title=_title(head), warnings=warnings)
        return Document(_plain_blocks(pieces), source.media_type, warnings=warnings)

    def check(self) -> str:
        """Nothing is needed from outside."""
        return "plain text and Markdown: ready"


def _plain_blocks(pieces: Iterator[str]) -> Iterator[Block]:
    """Each paragraph a block."""
    for text in paragraphs(pieces):
        yield Block(BlockKind.PARAGRAPH, text)


def _title(head: str) -> str:
    """The first heading of the first level near the start of a Markdown text."""
    found = _TITLE.search(clean_text(head))
    return inline_text(found[1]) if found else ""


def _decode(data: bytes) -> tuple[str, tuple[str, ...]]:
    """The whole text, and a warning when some of it could not be read."""
    if not data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")) and b"\0" not in data[:_SAMPLE_BYTES]:
        try:
            return data.decode(), ()
        except UnicodeDecodeError as exc:
            sample = (
                data if len(data) <= _SAMPLE_BYTES else _from_line(data[max(0, exc.start - 4096) :][:_SAMPLE_BYTES])
            )
            charset = charset_of(sample, guess_charset, is_whole=len(data) <= _SAMPLE_BYTES)
    else:
        charset = charset_of(data[:_SAMPLE_BYTES], guess_charset, is_whole=len(data) <= _SAMPLE_BYTES)
    try:
        return data.decode(charset), ()
    except UnicodeDecodeError:
        text = data.decode(charset, "replace")
        return text, (f"{text.count(chr(0xFFFD))} characters could not be read as {charset}",)


def _from_line(sample: bytes) -> bytes:
    """The sample from its first whole line on, so that it does not begin inside a character."""
    return sample[sample.find(b"\n", 0, 8192) + 1 :]


def _charset_of_file(path: Path) -> str:
    """The character set, from the whole file: the sample that decides is taken where it stops being UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as file:
        data = file.read(_READ_BYTES)
        if found := bom_charset(data) or utf16_charset(data[:_SAMPLE_BYTES]):
            return found
        is_first = True
        while data:
            following = file.read(_READ_BYTES)
            try:
                decoder.decode(data, not following)
            except UnicodeDecodeError:
                sample = data if is_first else _from_line(data)
                return charset_of(sample[:_SAMPLE_BYTES], guess_charset, is_whole=is_first and not following)
            data, is_first = following, False
    return "utf-8"


def _pieces(path: Path, charset: str) -> Iterator[str]:
    """Clean text of the file in pieces that end with a line (or are long)."""
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(charset)("replace"), translate=True)
    rest = ""
    with path.open("rb") as file:
        while data := file.read(_READ_BYTES):
            rest += decoder.decode(data)
            cut = rest.rfind("\n") + 1 or (len(rest) if len(rest) >= _READ_BYTES else 0)
            if cut:
                yield clean_text(rest[:cut])
                rest = rest[cut:]
    rest += decoder.decode(b"", True)
    if rest:
        yield clean_text(rest)
