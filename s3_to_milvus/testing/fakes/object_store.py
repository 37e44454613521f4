"""An object store in memory. Light: simulations ask it thousands of times a second."""

import itertools
from collections.abc import Iterable, Iterator

from s3_to_milvus.domain.objects import ListedObject, ObjectRef, ObjectVersion, sort_key
from s3_to_milvus.errors import Unavailable
from s3_to_milvus.ports import UNCHANGED, Unchanged

__all__ = ["MemoryContent", "MemoryObjectStore"]


class MemoryContent:
    """A snapshot of an object, as one GET of S3 is."""

    __slots__ = ("_data", "_position", "is_closed", "version")

    def __init__(self, data: bytes, version: ObjectVersion) -> None:
        self.version = version
        self.is_closed = False
        self._data = data
        self._position = 0

    def read(self, size: int = -1) -> bytes:
        """See `Content.read`."""
        if self.is_closed:
            raise ValueError("read of closed content")
        start = self._position
        self._position = len(self._data) if size < 0 else min(start + size, len(self._data))
        return self._data[start : self._position]

    def close(self) -> None:
        """See `Content.close`."""
        self.is_closed = True


class MemoryObjectStore:
    """Buckets as dicts. Etags count up over the whole store: no content gets an etag that another one had.

    ``gets`` and ``lists`` count calls, ``opened`` those that gave content; ``outage``, while set, is raised by every
    call.
    """

    kind = "memory"

    def __init__(self, buckets: Iterable[str] = ()) -> None:
        self._buckets: dict[str, dict[str, tuple[bytes, ObjectVersion]]] = {bucket: {} for bucket in buckets}
        self._numbers = itertools.count(1)
        self.outage: Exception | None = None
        self.gets = 0
        self.lists = 0
        self.opened = 0

    def put(self, bucket: str, key: str, data: bytes) -> ObjectVersion:
        """Store an object; the version it has now. Makes the bucket where it is not there."""
        number = next(self._numbers)
        version = ObjectVersion(f"e{number}", len(data), None, float(number))
        self._buckets.setdefault(bucket, {})[key] = (data, version)
        return version

    def delete(self, bucket: str, key: str) -> None:
        """Remove an object; not there is no error."""
        self._buckets.get(bucket, {}).pop(key, None)

    def delete_bucket(self, bucket: str) -> None:
        """Remove a bucket with all that is in it."""
        self._buckets.pop(bucket, None)

    def contents(self, bucket: str) -> dict[str, bytes]:
        """Everything in a bucket, folder markers included."""
        return {key: data for key, (data, _) in self._buckets.get(bucket, {}).items()}

    def version_of(self, ref: ObjectRef) -> ObjectVersion | None:
        """The version of an object, without counting as a call."""
        entry = self._buckets.get(ref.bucket, {}).get(ref.key)
        return entry[1] if entry else None

    def get(self, ref: ObjectRef, unless: ObjectVersion | None = None) -> MemoryContent | Unchanged | None:
        """See `ObjectStore.get`."""
        self.gets += 1
        entry = self._objects(ref.bucket).get(ref.key)
        if entry is None:
            return None
        data, version = entry
        if version.is_same_as(unless):
            return UNCHANGED
        if not data and ref.is_folder_name:
            return None
        self.opened += 1
        return MemoryContent(data, version)

    def list(self, bucket: str, prefix: str = "") -> Iterator[ListedObject]:
        """See `ObjectStore.list`: each line as it is when it is asked for."""
        self.lists += 1
        objects = self._objects(bucket)
        for key in sorted((key for key in objects if key.startswith(prefix)), key=sort_key):
            entry = self._objects(bucket).get(key)
            if entry is not None and (entry[0] or not key.endswith("/")):
                yield ListedObject(key, entry[1].etag, entry[1].size_bytes, entry[1].modified_at)

    def check(self, bucket: str) -> str:
        """See `ObjectStore.check`."""
        return f"{bucket}: {len(self._objects(bucket))} objects in memory"

    def _objects(self, bucket: str) -> dict[str, tuple[bytes, ObjectVersion]]:
        if self.outage is not None:
            raise self.outage
        try:
            return self._buckets[bucket]
        except KeyError:
            raise Unavailable(f"there is no bucket {bucket!r}") from None
