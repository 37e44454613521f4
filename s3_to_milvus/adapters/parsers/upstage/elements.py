"""Elements of an answer of Document Parse as blocks, with page and box.

https://console.upstage.ai/docs/capabilities/parse/understanding-output
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from html import unescape
from typing import Any

from s3_to_milvus.adapters.html_pages import read_html
from s3_to_milvus.domain.charsets import clean_text
from s3_to_milvus.domain.documents import Block, BlockKind, Box
from s3_to_milvus.domain.plain import bounded
from s3_to_milvus.errors import Unavailable, UnreadableDocument

__all__ = ["blocks_of", "page_of"]

_KINDS = {
    "caption": BlockKind.CAPTION,
    "chart": BlockKind.FIGURE,
    "code": BlockKind.CODE,
    "figure": BlockKind.FIGURE,
}
_PICTURES = ("figure", "chart")
_MARK = re.compile(r"\s*(?:[-*•·▪■□○●◦‣※▶]|\(?(?:\d{1,3}|[가-하]|[a-zA-Z])[.)]|[①-⑳])\s*\S")
_ALTERNATIVE = re.compile(r"""<img\b[^>]{0,4000}?\balt=(["'])(.*?)\1""", re.DOTALL | re.IGNORECASE)
_MARGINS = ("header", "footer")


def page_of(element: Mapping[str, Any]) -> int:
    """The page of an element, from 1."""
    page = element.get("page")
    return page if isinstance(page, int) and page > 0 else 1


def blocks_of(answer: Mapping[str, Any], page_numbers: Mapping[int, int], *, keep_margins: bool) -> Iterator[Block]:
    """The blocks of an answer; ``page_numbers`` maps pages of what was sent to pages of the document.

    ``keep_margins``: headers and footers of pages, too.
    """
    elements = answer.get("elements")
    if not isinstance(elements, list):
        content = answer.get("content")
        if not isinstance(content, Mapping):
            raise Unavailable("Upstage answered with something unexpected.")
        page = str(content.get("html") or "")
        yield from _read(page)
        return
    for element in elements:
        if isinstance(element, Mapping) and (keep_margins or element.get("category") not in _MARGINS):
            number = page_numbers.get(page_of(element), page_of(element))
            yield from _blocks(element, number)


def _blocks(element: Mapping[str, Any], page: int) -> Iterator[Block]:
    """Tables stay tables wherever they stand; what else there is becomes what the category says."""
    category = str(element.get("category", ""))
    content = element.get("content")
    html = str(content.get("html") or "") if isinstance(content, Mapping) else ""
    box = _box(element.get("coordinates"))
    found = _read(html) or [Block(BlockKind.PARAGRAPH, part) for part in bounded(_plain(content))]
    if not found and category in _PICTURES:
        found = [Block(BlockKind.FIGURE, part) for part in bounded(_alternative(html))]
    for block in found:
        if block.kind in (BlockKind.TABLE, BlockKind.CAPTION):
            yield replace(block, page=page, box=box)
        elif category.startswith("heading"):
            level = block.level or _level(element.get("sub_category"))
            yield Block(BlockKind.HEADING, " ".join(block.text.split()), level=level, page=page, box=box)
        elif category == "list":
            for item in _items(block.text):
                yield Block(BlockKind.LIST_ITEM, item, page=page, box=box)
        else:
            yield Block(_KINDS.get(category, BlockKind.PARAGRAPH), block.text, page=page, box=box)


def _read(html: str) -> list[Block]:
    try:
        return read_html(html).blocks
    except UnreadableDocument:
        return []


def _level(sub_category: object) -> int:
    """``h3`` is 3; 1 for anything else."""
    text = str(sub_category or "")
    return int(text[1]) if len(text) == 2 and text[0] == "h" and text[1] in "123456" else 1


def _items(text: str) -> Iterator[str]:
    """The items of a list that came as lines; a line without a mark goes on with the item above it."""
    item = ""
    for line in text.split("\n"):
        if item and _MARK.match(line):
            yield item
            item = line.strip()
        else:
            item = f"{item}\n{line}".strip()
    if item:
        yield item


def _alternative(html: str) -> str:
    """What is written in a picture: the service puts it into ``alt``."""
    found = _ALTERNATIVE.search(html)
    return " ".join(clean_text(unescape(found[2])).split()) if found else ""


def _plain(content: object) -> str:
    text = content.get("text") if isinstance(content, Mapping) else None
    return clean_text(text) if isinstance(text, str) else ""


def _box(corners: object) -> Box | None:
    """Four corners, each a share of width and height."""
    if not isinstance(corners, list) or not corners:
        return None
    try:
        across = [float(corner["x"]) for corner in corners]
        down = [float(corner["y"]) for corner in corners]
    except (KeyError, TypeError, ValueError):
        return None
    if not all(map(math.isfinite, (*across, *down))):
        return None
    return Box(*(min(1.0, max(0.0, side)) for side in (min(across), min(down), max(across), max(down))))
