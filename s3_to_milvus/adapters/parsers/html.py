"""HTML and XHTML as blocks, by lxml's event parser: no tree, so no depth is too deep and no text is lost silently."""

import re
from typing import Any

from pydantic import BaseModel, ConfigDict

from s3_to_milvus.adapters.charset_guess import guess_charset
from s3_to_milvus.domain.charsets import charset_of, clean_text
from s3_to_milvus.domain.documents import Document
from s3_to_milvus.domain.formats import Format, media_types_of
from s3_to_milvus.domain.html_blocks import HtmlBlocks
from s3_to_milvus.domain.media import HTML, XHTML
from s3_to_milvus.errors import UnreadableDocument
from s3_to_milvus.ports import ParserInput

__all__ = ["HtmlParser"]

_SAMPLE_BYTES = 1 << 16
_FEED_CHARS = 1 << 16
_DECLARED = re.compile(
    rb"""<\?xml[^>]{0,200}encoding\s*=\s*["']?\s*([\w.:-]+)|<meta[^>]{0,500}charset\s*=\s*["']?\s*([\w.:-]+)""", re.I
)


class HtmlParser:
    """Headings, paragraphs, lists, tables with their spans resolved, code, captions; ``data-page`` gives pages."""

    kind = "html"

    class Options(BaseModel):
        """Nothing to choose."""

        model_config = ConfigDict(extra="forbid")

    # Raise it whenever the same file would give other blocks.
    fingerprint = "html-1"
    formats: tuple[Format, ...] = (
        Format("HTML", HTML, ("html", "htm"), has_tables=True, has_headings=True),
        Format("XHTML", XHTML, ("xhtml",), has_tables=True, has_headings=True),
    )
    media_types = media_types_of(formats)
    page_media_types: frozenset[str] = frozenset()
    preload = ("lxml.etree",)

    def __init__(self, options: Options | None = None) -> None:
        from lxml import etree

        self._options = options or self.Options()
        self._etree: Any = etree

    def parse(self, source: ParserInput) -> Document:
        """The whole page is held in memory. Raises `UnreadableDocument` where lxml gives up."""
        data = source.data if source.data is not None else source.path.read_bytes() if source.path else b""
        target = HtmlBlocks()
        # Text goes in as UTF-8, whatever the page says about itself: we know better by now.
        parser = self._etree.HTMLParser(target=target, encoding="utf-8", huge_tree=True)
        text = clean_text(_decode(data))
        try:
            for start in range(0, len(text), _FEED_CHARS):
                parser.feed(text[start : start + _FEED_CHARS].encode())
            if text:
                parser.close()
        except (self._etree.LxmlError, ValueError) as exc:
            if not target.blocks:
                raise UnreadableDocument(f"The HTML page cannot be read: {exc}") from exc
        target.close()
        warnings = () if target.blocks or not text.strip() else ("the page has no text",)
        return Document(
            target.blocks, source.media_type, title=target.title, language=target.language, warnings=warnings
        )

    def check(self) -> str:
        """Says which parser stands behind it."""
        return f"HTML: lxml {'.'.join(map(str, self._etree.LXML_VERSION[:3]))}"


def _decode(data: bytes) -> str:
    """The page as text: what its bytes prove goes before what it declares."""
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
