"""RTF as blocks: headings by outline level or style, lists, tables, notes; Korean by its fonts' charsets."""

from pydantic import BaseModel, ConfigDict

from s3_to_milvus.adapters.parsers.rtf.reader import Reader
from s3_to_milvus.domain.documents import Document
from s3_to_milvus.domain.formats import Format, media_types_of
from s3_to_milvus.errors import UnreadableDocument
from s3_to_milvus.ports import ParserInput

__all__ = ["RtfParser"]

_RTF = "application/rtf"


class RtfParser:
    """Everything that is shown; pictures, hidden and deleted text say nothing."""

    kind = "rtf"

    class Options(BaseModel):
        """Nothing to choose."""

        model_config = ConfigDict(extra="forbid")

    # Raise it whenever the same file would give other blocks.
    fingerprint = "rtf-2"
    formats: tuple[Format, ...] = (Format("RTF", _RTF, ("rtf",), has_tables=True, has_headings=True),)
    media_types = media_types_of(formats)
    page_media_types: frozenset[str] = frozenset()
    preload = ("s3_to_milvus.adapters.parsers.rtf.reader",)

    def __init__(self, options: Options | None = None) -> None:
        self._options = options or self.Options()

    def parse(self, source: ParserInput) -> Document:
        """The whole file is held in memory. Raises `UnreadableDocument` for what is no RTF."""
        data = source.read()
        if data and not data.lstrip().startswith(b"{\\rtf"):
            raise UnreadableDocument("The RTF document does not begin as one: it is damaged.")
        reader = Reader(data)
        warnings = ("the RTF document breaks off before its end",) if reader.is_cut else ()
        return Document(list(reader.story.end()), source.media_type, title=reader.title[:500], warnings=warnings)

    def check(self) -> str:
        """Nothing is needed from outside."""
        return "RTF: ready"
