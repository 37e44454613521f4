"""Documents as HTML and as Markdown, piece by piece, so that a long one is never whole in memory."""

import re
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from itertools import groupby

from s3_to_milvus.domain.documents import Block, BlockKind, Document

__all__ = ["html_of", "html_page", "markdown_of"]

_MARKS = re.compile(r"[\\`*\[\]<&]|(?<!\w)_|_(?!\w)")
_LINE_START = re.compile(r"^(\s*)(#{1,6}(?=\s|$)|[-+=~>|]|\d{1,9}[.)](?=\s|$))", re.MULTILINE)
_BACKTICKS = re.compile(r"`{3,}")


def html_page(title: str, language: str, body: Iterable[str], warnings: Sequence[str] = ()) -> Iterator[str]:
    """A whole page around what `html_of` gives; what could not be read stands in its head."""
    lang = f' lang="{escape(language)}"' if language else ""
    yield f'<!doctype html>\n<html{lang}>\n<head>\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
    for warning in warnings:
        yield f'<meta name="warning" content="{escape(warning)}">\n'
    yield "</head>\n<body>\n"
    yield from body
    yield "</body>\n</html>\n"


def html_of(document: Document) -> Iterator[str]:
    """The blocks as HTML elements, a line each. ``data-page`` and ``data-box`` (left, top, right, bottom) say where."""
    for is_list, group in groupby(document.blocks, key=lambda block: block.kind is BlockKind.LIST_ITEM):
        if is_list:
            yield "<ul>\n"
        for block in group:
            yield _element(block)
        if is_list:
            yield "</ul>\n"


def _element(block: Block) -> str:
    place = _place(block)
    text = escape(block.text, quote=False)
    lines = text.replace("\n", "<br>\n")
    match block.kind:
        case BlockKind.HEADING:
            return f"<h{block.level}{place}>{lines}</h{block.level}>\n"
        case BlockKind.LIST_ITEM:
            return f"<li{place}>{lines}</li>\n"
        case BlockKind.TABLE:
            return f"<table{place}>\n{''.join(_rows(block))}</table>\n"
        case BlockKind.CODE:
            return f"<pre{place}>{text}</pre>\n"
        case BlockKind.CAPTION:
            return f"<figure><figcaption{place}>{lines}</figcaption></figure>\n"
        case BlockKind.FIGURE:
            return f"<figure><p{place}>{lines}</p></figure>\n"
        case _:
            return f"<p{place}>{lines}</p>\n"


def _place(block: Block) -> str:
    page = "" if block.page is None else f' data-page="{block.page}"'
    if block.box is None:
        return page
    sides = (block.box.left, block.box.top, block.box.right, block.box.bottom)
    return f'{page} data-box="{",".join(f"{side:.4f}" for side in sides)}"'


def _rows(block: Block) -> Iterator[str]:
    head, body = (block.rows[:1], block.rows[1:]) if block.has_header else ((), block.rows)
    for part, cell, rows in (("thead", "th", head), ("tbody", "td", body)):
        if not rows:
            continue
        yield f"<{part}>\n"
        for row in rows:
            cells = (escape(text, quote=False).replace("\n", "<br>") for text in row)
            yield f"<tr>{''.join(f'<{cell}>{text}</{cell}>' for text in cells)}</tr>\n"
        yield f"</{part}>\n"


def markdown_of(document: Document) -> Iterator[str]:
    """The blocks as GitHub-flavoured Markdown; a comment stands where a page begins."""
    page, before = None, None
    for block in document.blocks:
        if before is not None:
            is_same_list = before is block.kind is BlockKind.LIST_ITEM and block.page in (None, page)
            yield "\n" if is_same_list else "\n\n"
        if block.page not in (None, page):
            page = block.page
            yield f"<!-- page {page} -->\n\n"
        yield _piece(block)
        before = block.kind
    if before is not None:
        yield "\n"


def _piece(block: Block) -> str:
    match block.kind:
        case BlockKind.HEADING:
            return f"{'#' * block.level} {_escaped(' '.join(block.text.split()))}"
        case BlockKind.LIST_ITEM:
            return "- " + _escaped(block.text).replace("\n", "\n  ")
        case BlockKind.TABLE:
            return "\n".join(_table(block))
        case BlockKind.CODE:
            fence = "`" * max([3, *(len(run) + 1 for run in _BACKTICKS.findall(block.text))])
            return f"{fence}\n{block.text}\n{fence}"
        case BlockKind.CAPTION:
            return f"*{_escaped(' '.join(block.text.split()))}*"
        case _:
            return _escaped(block.text)


def _escaped(text: str) -> str:
    """Text of which no character means anything to Markdown; line breaks stay."""
    marked = _LINE_START.sub(lambda found: found[1] + _escaped_start(found[2]), _MARKS.sub(r"\\\g<0>", text))
    return marked.replace("\n", "  \n")


def _escaped_start(mark: str) -> str:
    """The backslash stands before what makes it a mark: the sign itself, or the dot after a number."""
    return f"{mark[:-1]}\\{mark[-1]}" if mark[0].isdigit() else f"\\{mark}"


def _table(block: Block) -> Iterator[str]:
    width = max(map(len, block.rows))
    rows = [(*row, *([""] * (width - len(row)))) for row in block.rows]
    head, body = (rows[0], rows[1:]) if block.has_header else (("",) * width, rows)
    yield _table_row(head)
    yield f"|{' --- |' * width}"
    yield from map(_table_row, body)


def _table_row(cells: Sequence[str]) -> str:
    shown = (_MARKS.sub(r"\\\g<0>", cell).replace("|", "\\|").replace("\n", "<br>") for cell in cells)
    return f"| {' | '.join(shown)} |"
