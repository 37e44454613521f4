"""A parser for pages that can take for ever; it runs in parsing children only."""

import time

from pydantic import BaseModel, ConfigDict

from s3_to_milvus.domain.documents import Block, BlockKind, Document
from s3_to_milvus.ports import ParserInput

__all__ = ["SlowParser"]


class SlowParser:
    """Takes as many seconds as the page says: ``<html>seconds words``."""

    kind = "slow"
    fingerprint = "slow-1"
    media_types = frozenset({"text/html"})

    class Options(BaseModel):
        """Nothing to choose."""

        model_config = ConfigDict(extra="forbid")

    def __init__(self, options: Options) -> None:
        self._options = options

    def parse(self, source: ParserInput) -> Document:
        """Wait, then give the words."""
        data = source.data if source.data is not None else source.path.read_bytes() if source.path else b""
        seconds, _, words = data.decode().removeprefix("<html>").partition(" ")
        time.sleep(float(seconds))
        return Document([Block(BlockKind.PARAGRAPH, words)], source.media_type)

    def check(self) -> str:
        """Always well."""
        return "slow"
