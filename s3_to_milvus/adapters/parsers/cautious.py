"""A parser that works in the service itself, but for files that may have killed it."""

from dataclasses import replace

from s3_to_milvus.domain.documents import Document
from s3_to_milvus.ports import Parser, ParserInput

__all__ = ["CautiousParser"]


class CautiousParser:
    """As ``quick``; files that must be isolated go to ``isolated``, which makes the same of them in a child process."""

    def __init__(self, quick: Parser, isolated: Parser) -> None:
        self.kind, self.fingerprint, self.formats = quick.kind, quick.fingerprint, quick.formats
        self.media_types, self.page_media_types = quick.media_types, quick.page_media_types
        self._quick, self._isolated = quick, isolated

    def parse(self, source: ParserInput) -> Document:
        """See `Parser.parse`."""
        if source.must_isolate:
            return self._isolated.parse(replace(source, must_isolate=False))
        return self._quick.parse(source)

    def check(self) -> str:
        """See `Parser.check`."""
        return self._quick.check()
