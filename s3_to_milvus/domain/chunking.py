"""Pure steps that splitters share: where text may be cut, rows as lines, heading paths, pages of a chunk."""

import re
import unicodedata
import zlib
from collections.abc import Callable, Iterable, Iterator

from s3_to_milvus.domain.documents import Block, Box, PageSpan

__all__ = [
    "HeadingPath",
    "cell_pieces",
    "common_path",
    "content_sum",
    "cut_bytes",
    "page_spans",
    "row_line",
    "sentence_pieces",
    "whole_character_cut",
]

_CELL_BORDER = " | "
_HEADING_CHARS = 200

_CLOSING = "[\"'”’)\\]}」』》）]*"
_SENTENCE_END = re.compile(
    r"[\n.!?…。！？｡](?:"  # first what every border has, so that the search runs from one to the next
    r"(?<=\n)"
    rf"|(?<=[.!?…]){_CLOSING}(?=\s)"
    rf"|(?<=[。！？｡]){_CLOSING}"
    # Korean is often typed without the space: a sentence ends in -다., -요. and a few others.
    r"|(?<=[다요죠까음함됨임]\.)(?=[^\s.\d])"
    r")\s*"
)
_CELL_END = re.compile(r" \| ")
_SPACE = re.compile(r"\s+")
_ZERO_WIDTH_JOINER = "\u200d"


def content_sum(text: str) -> int:
    """A checksum by which content, not position, decides where to cut: an edit moves only the cuts next to it."""
    return zlib.crc32(text.encode("utf-8", "surrogatepass"))


def row_line(cells: Iterable[str]) -> str:
    """A table row as one line, ``a | b | c``; empty cells at its end are left out."""
    texts = [" ".join(cell.split()) for cell in cells]
    while texts and not texts[-1]:
        texts.pop()
    return _CELL_BORDER.join(texts)


def sentence_pieces(text: str, limit: int) -> Iterator[tuple[str, str]]:
    """Stripped pieces of at most ``limit`` characters, cut after lines and sentences, else at spaces, else anywhere.

    With each piece comes what stood before it: ``""``, a space or a line feed. No piece is empty, and nothing
    but white space between pieces is lost.
    """
    return _pieces(text, limit, _SENTENCE_END.finditer)


def cell_pieces(text: str, limit: int) -> Iterator[tuple[str, str]]:
    """As `sentence_pieces` for one row that is too long for a chunk: cut between its cells."""
    return _pieces(text, limit, _CELL_END.finditer)


def _pieces(text: str, limit: int, borders: Callable[[str], Iterator[re.Match[str]]]) -> Iterator[tuple[str, str]]:
    start = 0
    joint = ""
    for end in (*(match.end() for match in borders(text)), len(text)):
        while start < end:
            if space := _SPACE.match(text, start, end):
                joint = joint or _gap(space[0])
                start = space.end()
                continue
            stop = end if end - start <= limit else _inner_cut(text, start, limit)
            raw = text[start:stop]
            start = stop
            piece = raw.rstrip()
            yield piece, joint
            joint = _gap(raw[len(piece) :])


def _gap(space: str) -> str:
    return ("\n" if "\n" in space else " ") if space else ""


def _inner_cut(text: str, start: int, limit: int) -> int:
    """A place to cut in the second half of the limit: a space if there is one; content chooses among several."""
    low, high = start + limit // 2, start + limit
    places = [match.end() for match in _SPACE.finditer(text, low, high)]
    if not places:
        places = [at for at in range(low + 1, high + 1) if _starts_character(text, at)] or [high]
    return min(places, key=lambda at: text[at - 8 : at + 8])


def _starts_character(text: str, at: int) -> bool:
    """False where a reader's character goes on: combining marks, Hangul vowels and finals, joined emoji."""
    char = text[at]
    if char < "\u0300":
        return True
    if "\u1160" <= char <= "\u11ff" or "\ud7b0" <= char <= "\ud7fb" or "\U0001f3fb" <= char <= "\U0001f3ff":
        return False
    if _ZERO_WIDTH_JOINER in (char, text[at - 1]):
        return False
    return unicodedata.category(char)[0] != "M"


def whole_character_cut(text: str, at: int) -> int:
    """The nearest place at or before ``at`` that is not inside a reader's character (``at`` if none is near)."""
    if at >= len(text):
        return len(text)
    near = range(at, max(at - 64, 0), -1)
    return next((place for place in near if _starts_character(text, place)), at)


def cut_bytes(text: str, limit_bytes: int) -> Iterator[str]:
    """Consecutive parts of ``text``, each within ``limit_bytes`` of UTF-8; joined they are the text."""
    while len(text) * 4 > limit_bytes:
        head = text.encode("utf-8", "surrogatepass")[: limit_bytes + 4]
        if len(head) <= limit_bytes:
            break
        cut = len(head[:limit_bytes].decode("utf-8", "ignore"))
        cut = whole_character_cut(text, cut) or cut
        yield text[:cut]
        text = text[cut:]
    if text:
        yield text


class HeadingPath:
    """The path of headings above the current place, outermost first. ``current`` is replaced, never changed."""

    def __init__(self) -> None:
        self._levels: list[int] = []
        self.current: tuple[str, ...] = ()

    def enter(self, text: str, level: int) -> tuple[str, ...]:
        """Go below a heading; the path above it. Very long headings are clipped: every chunk below carries them."""
        while self._levels and self._levels[-1] >= level:
            self._levels.pop()
        above = self.current[: len(self._levels)]
        line = " ".join(text.split())
        self._levels.append(level)
        self.current = (*above, line[: whole_character_cut(line, _HEADING_CHARS)])
        return above


def common_path(paths: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """What all paths begin with."""
    common: tuple[str, ...] | None = None
    for path in paths:
        if common is None or common is path:
            common = path
        else:
            same = 0
            for ours, theirs in zip(common, path, strict=False):
                if ours != theirs:
                    break
                same += 1
            common = common[:same]
    return common or ()


def page_spans(blocks: Iterable[Block]) -> tuple[PageSpan, ...]:
    """The pages that blocks touch, in their order, with the smallest box around those whose place is known."""
    boxes: dict[int, Box | None] = {}
    for block in blocks:
        if block.page is not None:
            box, known = block.box, boxes.get(block.page)
            boxes[block.page] = box if known is None else known if box is None else _around(known, box)
    return tuple(PageSpan(page, box) for page, box in boxes.items()) if boxes else ()


def _around(one: Box, other: Box) -> Box:
    return Box(
        min(one.left, other.left), min(one.top, other.top), max(one.right, other.right), max(one.bottom, other.bottom)
    )
