"""A parser whose failures stand in the file itself."""

import re

from s3_to_milvus.domain.documents import Block, BlockKind, Document
from s3_to_milvus.domain.formats import Format
from s3_to_milvus.domain.usage import Usage
from s3_to_milvus.errors import ParserCrashed, Unavailable, UnreadableDocument
from s3_to_milvus.ports import ParserInput, spend

__all__ = ["CRASH", "FAIL_PERMANENT", "FAIL_TRANSIENT", "FakeParser"]

FAIL_PERMANENT = b"%FAIL-PERMANENT"
FAIL_TRANSIENT = b"%FAIL-TRANSIENT"
CRASH = b"%CRASH"


class FakeParser:
    """Reads UTF-8 text, a paragraph between blank lines each. A marker anywhere in the file raises its error.

    ``charge`` is spent for each file, also where it fails.
    """

    kind = "fake"
    page_media_types: frozenset[str] = frozenset()
    formats: tuple[Format, ...] = ()

    def __init__(self, media_types: frozenset[str] = frozenset({"text/plain"}), fingerprint: str = "fake-1") -> None:
        self.media_types = media_types
        self.fingerprint = fingerprint
        self.calls = 0
        self.charge = Usage()

    def parse(self, source: ParserInput) -> Document:
        """See `ports.Parser`."""
        self.calls += 1
        spend(self.charge)
        data = source.data if source.data is not None else source.path.read_bytes() if source.path else b""
        if FAIL_PERMANENT in data:
            raise UnreadableDocument("the file says that it is damaged")
        if FAIL_TRANSIENT in data:
            raise Unavailable("the file says that the parser is away")
        if CRASH in data:
            raise ParserCrashed("the file says that the parser died")
        text = data.decode("utf-8", "replace").replace("\r\n", "\n").replace("\0", "")
        parts = (part.strip() for part in re.split(r"\n\s*\n", text))
        blocks = tuple(Block(BlockKind.PARAGRAPH, part) for part in parts if part)
        return Document(blocks, source.media_type)

    def check(self) -> str:
        """Always well."""
        return "reads what tests give it"
