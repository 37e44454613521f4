"""Reads a document for people to see, by the parsers that index it; nothing is stored."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from s3_to_milvus.domain.objects import ObjectRef
from s3_to_milvus.engine.download import download
from s3_to_milvus.engine.parts import Parts
from s3_to_milvus.engine.reading import Reading
from s3_to_milvus.errors import DocumentTooLarge, Unavailable
from s3_to_milvus.ports import ParserInput, Unchanged

__all__ = ["Documents", "Shown"]


@dataclass(frozen=True, slots=True)
class Shown:
    """A document that is being read. Its blocks can be taken once; ``reading.warnings`` is complete after that."""

    reading: Reading
    media_type: str
    etag: str = ""


class Documents:
    """The text of objects and of uploaded files."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    @contextmanager
    def of_object(self, ref: ObjectRef) -> Iterator[Shown | None]:
        """The object as it lies in its store now; None where it is gone. Raises what stores and parsers raise."""
        store = self._parts.stores.get(ref.bucket)
        if store is None:
            raise Unavailable(f"No source holds the bucket {ref.bucket!r} any more.")
        content = store.get(ref)
        if content is None or isinstance(content, Unchanged):
            yield None
            return
        readers = self._parts.readers_of(ref)
        with closing(content):
            got = download(self._parts, readers, content, ref.file_name)
        try:
            reading = Reading(self._parts, readers, got.as_input(ref.file_name))
            yield Shown(reading, got.media_type, content.version.etag)
        finally:
            got.close()

    @contextmanager
    def of_file(self, path: Path, file_name: str) -> Iterator[Shown]:
        """A file of this machine, by the parsers of the route for everything. Raises what parsers raise."""
        size, allowed = path.stat().st_size, self._parts.config.max_object_bytes
        if size > allowed:
            raise DocumentTooLarge(f"The file has {size >> 20} MiB; S2M_ENGINE__MAX_OBJECT_MB allows {allowed >> 20}.")
        media_type = self._parts.sniff(None, path, file_name)
        readers = self._parts.readers_of(ObjectRef("", ""))
        yield Shown(Reading(self._parts, readers, ParserInput(media_type, file_name, size, path=path)), media_type)
