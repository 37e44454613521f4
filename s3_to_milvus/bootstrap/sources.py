"""Source addresses: what a person types (a folder, ``s3://bucket/prefix``) as a name, a store and a prefix."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from s3_to_milvus.errors import ConfigError
from s3_to_milvus.ports import SourceEntry

__all__ = ["ANY_BUCKET", "FOLDER", "S3", "Address", "entry_for", "named_in", "parse_address"]

FOLDER = "folder"
S3 = "s3"
ANY_BUCKET = "s3://*"
"""Among the sources: every bucket that an event names."""


@dataclass(frozen=True, slots=True)
class Address:
    """A source: ``kind`` of store, the ``bucket`` or the folder's absolute path, and a key prefix."""

    kind: str
    place: str
    prefix: str = ""

    @property
    def uri(self) -> str:
        """The one spelling that is remembered."""
        return f"s3://{self.place}/{self.prefix}" if self.kind == S3 else self.place


def named_in(sources: Iterable[str]) -> list[str]:
    """Those that name something: all but `ANY_BUCKET`."""
    return [each for each in sources if each != ANY_BUCKET]


def parse_address(text: str) -> Address:
    """Read what a person typed. Raises `ConfigError` for anything that is neither a bucket nor a folder that exists."""
    if text == ANY_BUCKET:
        raise ConfigError(f"{text} stands for the buckets that events name.", hint="Name one: s3://bucket.")
    if text.startswith("s3://"):
        bucket, _, prefix = text.removeprefix("s3://").partition("/")
        if not bucket:
            raise ConfigError(f"{text!r} names no bucket.", hint="Write s3://bucket or s3://bucket/prefix.")
        return Address(S3, bucket, prefix)
    if "://" in text and not text.startswith("file://"):
        raise ConfigError(f"{text!r} is no source.", hint="Give a folder, or s3://bucket/prefix.")
    folder = Path(text.removeprefix("file://")).expanduser().absolute()
    if not folder.is_dir():
        raise ConfigError(f"The folder {folder} does not exist.", hint="Make it, or give another one.")
    return Address(FOLDER, str(folder.resolve()))


def entry_for(address: Address, known: Iterable[SourceEntry]) -> SourceEntry:
    """The source's entry: a bucket keeps its name; a folder takes its own, made unique where another source has it."""
    entries = list(known)
    for entry in entries:
        if entry.uri == address.uri:
            return entry
    if address.kind == S3:
        return SourceEntry(address.place, address.uri, address.prefix)
    name = Path(address.place).name or "root"
    if any(entry.name == name for entry in entries):
        name = f"{name}-{hashlib.sha256(address.place.encode('utf-8', 'surrogateescape')).hexdigest()[:6]}"
    return SourceEntry(name, address.uri)
