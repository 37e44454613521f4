"""HTML and XHTML as blocks."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from s3_to_milvus.adapters.html_pages import decode_html, read_html
from s3_to_milvus.domain.documents import Document
from s3_to_milvus.domain.formats import Format, media_types_of
from s3_to_milvus.domain.media import HTML, XHTML
from s3_to_milvus.ports import ParserInput

__all__ = ["HtmlParser"]


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
        text = decode_html(source.read())
        page = read_html(text)
        warnings = () if page.blocks or not text.strip() else ("the page has no text",)
        return Document(page.blocks, source.media_type, title=page.title, language=page.language, warnings=warnings)

    def check(self) -> str:
        """Says which parser stands behind it."""
        return f"HTML: lxml {'.'.join(map(str, self._etree.LXML_VERSION[:3]))}"
