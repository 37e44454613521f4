"""Paragraphs and lines out of a stream of text pieces, never holding more than a bounded part of it."""

import re
import zlib
from collections.abc import Iterable, Iterator

from s3_to_milvus.domain.tables import BLOCK_CHARS

__all__ = ["bounded", "lines_of", "paragraphs"]

_BLANK_LINE = re.compile(r"\n[^\S\n]*\n\s*")


def paragraphs(pieces: Iterable[str]) -> Iterator[str]:
    """The parts between blank lines, stripped, none empty, none longer than a block may be; line feeds inside stay."""
    rest = ""
    for piece in pieces:
        *whole, rest = _BLANK_LINE.split(rest + piece)
        for part in whole:
            if 0 < len(part) <= BLOCK_CHARS:
                if part := part.strip():
                    yield part
            else:
                yield from bounded(part)
        if len(rest) > 2 * BLOCK_CHARS:
            *whole, rest = _cuts(rest)
            yield from (text for text in map(str.strip, whole) if text)
    yield from bounded(rest)


def bounded(text: str) -> Iterator[str]:
    """The text stripped, cut where it is longer than a block may be; nothing for blank text."""
    text = text.strip()
    if len(text) <= BLOCK_CHARS:
        if text:
            yield text
        return
    for part in _cuts(text):
        if part := part.strip():
            yield part


def _cuts(text: str) -> Iterator[str]:
    """Pieces within the limit of a block; joined they are the text."""
    start = 0
    while len(text) - start > BLOCK_CHARS:
        end = _cut(text, start + BLOCK_CHARS // 2, start + BLOCK_CHARS)
        yield text[start:end]
        start = end
    yield text[start:]


def _cut(text: str, low: int, high: int) -> int:
    """Where to cut between two places: after the line whose content has the smallest checksum, else at a space.

    Content decides, not position: an insertion moves only the cuts next to it.
    """
    best, best_sum, position = 0, 1 << 32, text.find("\n", low, high)
    while position >= 0:
        following = text.find("\n", position + 1, high)
        line = text[position + 1 : following if following >= 0 else high]
        if (value := zlib.crc32(line[:200].encode("utf-8", "replace"))) < best_sum:
            best, best_sum = position + 1, value
        position = following
    if best:
        return best
    space = text.rfind(" ", low, high)
    return space + 1 if space > 0 else high


def lines_of(pieces: Iterable[str]) -> Iterator[str]:
    """Lines without their line feed; one longer than a block may be comes in several."""
    rest = ""
    for piece in pieces:
        *whole, rest = (rest + piece).split("\n")
        for line in whole:
            if len(line) <= BLOCK_CHARS:
                yield line
            else:
                yield from _cuts(line)
        if len(rest) > 2 * BLOCK_CHARS:
            *cut, rest = _cuts(rest)
            yield from cut
    if rest:
        yield from _cuts(rest)
