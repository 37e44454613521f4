"""HTML as blocks by lxml's event parser, for every format that has HTML inside: no tree, so no depth is too deep."""

import re
from typing import Any

from s3_to_milvus.adapters.charset_guess import guess_charset
from s3_to_milvus.domain.charsets import charset_of, clean_text
from s3_to_milvus.domain.html_blocks import HtmlBlocks
from s3_to_milvus.errors import UnreadableDocument

__all__ = ["decode_html", "read_html"]

_SAMPLE_BYTES = 1 << 16
_FEED_CHARS = 1 << 16
_DECLARED = re.compile(
    rb"""<\?xml[^>]{0,200}encoding\s*=\s*["']?\s*([\w.:-]+)|<meta[^>]{0,500}charset\s*=\s*["']?\s*([\w.:-]+)""", re.I
)


def read_html(text: str) -> HtmlBlocks:
    """The blocks, title and language of a page. Raises `UnreadableDocument` where lxml gives up with nothing read."""
    from lxml import etree

    target: Any = HtmlBlocks()
    # Text goes in as UTF-8, whatever the page says about itself: we know better by now.
    parser = etree.HTMLParser(target=target, encoding="utf-8", huge_tree=True)
    text = clean_text(text)
    try:
        for start in range(0, len(text), _FEED_CHARS):
            parser.feed(text[start : start + _FEED_CHARS].encode())
        if text:
            parser.close()
    except (etree.LxmlError, ValueError) as exc:
        if not target.blocks:
            raise UnreadableDocument(f"The HTML page cannot be read: {exc}") from exc
    target.close()
    found: HtmlBlocks = target
    return found


def decode_html(data: bytes) -> str:
    """A page as text: what its bytes prove goes before what it declares."""
    declared = _DECLARED.search(data[:4096])
    name = (declared[1] or declared[2]).decode("ascii", "replace") if declared else ""
    try:
        if b"\0" not in data[:_SAMPLE_BYTES]:
            return data.decode()
    except UnicodeDecodeError as exc:
        around = max(0, exc.start - _SAMPLE_BYTES // 2) if len(data) > _SAMPLE_BYTES else 0
        sample = data[around : around + _SAMPLE_BYTES]
        sample = sample[sample.find(b"\n", 0, 8192) + 1 :] if around else sample
    else:
        sample = data[:_SAMPLE_BYTES]
    charset = charset_of(sample, guess_charset, declared=name, is_whole=len(data) <= _SAMPLE_BYTES)
    return data.decode(charset, "replace")
