"""Elements of an answer of Document Parse as blocks, with page and box.

https://console.upstage.ai/docs/capabilities/parse/understanding-output
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from s3_to_milvus.adapters.html_pages import read_html
from s3_to_milvus.domain.charsets import clean_text
from s3_to_milvus.domain.documents import Block, BlockKind, Box
from s3_to_milvus.domain.plain import bounded
from s3_to_milvus.errors import UnreadableDocument

__all__ = ["blocks_of", "page_of"]

_KINDS = {"caption": BlockKind.CAPTION, "figure": BlockKind.FIGURE}
_WITH_STRUCTURE = ("table", "list", "chart", "index")
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
        page = str(content.get("html") or "") if isinstance(content, Mapping) else ""
        yield from _html(page, None, None)
        return
    for element in elements:
        if isinstance(element, Mapping) and (keep_margins or element.get("category") not in _MARGINS):
            number = page_numbers.get(page_of(element), page_of(element))
            yield from _blocks(element, number)


def _blocks(element: Mapping[str, Any], page: int) -> Iterator[Block]:
    category = str(element.get("category", ""))
    content = element.get("content")
    html = str(content.get("html") or "") if isinstance(content, Mapping) else ""
    box = _box(element.get("coordinates"))
    if category in _WITH_STRUCTURE:
        yield from _html(html, page, box)
        return
    text = " ".join(_text_of(html).split()) or _plain(content)
    if category.startswith("heading"):
        level = int(category.removeprefix("heading")) if category.removeprefix("heading").isdecimal() else 1
        for part in bounded(text):
            yield Block(BlockKind.HEADING, part, level=min(6, max(1, level)), page=page, box=box)
        return
    for part in bounded(text):
        yield Block(_KINDS.get(category, BlockKind.PARAGRAPH), part, page=page, box=box)


def _html(html: str, page: int | None, box: Box | None) -> Iterator[Block]:
    try:
        found = read_html(html).blocks
    except UnreadableDocument:
        return
    for block in found:
        yield replace(block, page=page if page is not None else block.page, box=box)


def _text_of(html: str) -> str:
    """What is written in a piece of HTML, alternative texts of pictures left out."""
    try:
        return "\n".join(block.text for block in read_html(html).blocks if block.text)
    except UnreadableDocument:
        return ""


def _plain(content: object) -> str:
    text = content.get("text") if isinstance(content, Mapping) else None
    return " ".join(clean_text(text).split()) if isinstance(text, str) else ""


def _box(corners: object) -> Box | None:
    """Four corners, each a share of width and height."""
    if not isinstance(corners, list) or not corners:
        return None
    try:
        across = [min(1.0, max(0.0, float(corner["x"]))) for corner in corners]
        down = [min(1.0, max(0.0, float(corner["y"]))) for corner in corners]
    except (KeyError, TypeError, ValueError):
        return None
    return Box(min(across), min(down), max(across), max(down))
