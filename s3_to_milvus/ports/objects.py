"""Object stores, and what tells about their changes."""

from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from s3_to_milvus.domain.objects import ListedObject, ObjectEvent, ObjectRef, ObjectVersion

if TYPE_CHECKING:
    pass

__all__ = ["UNCHANGED", "Content", "EventSource", "ObjectStore", "Unchanged"]


class Unchanged(Enum):
    """The type of `UNCHANGED`: the store confirmed that the object is still the version we named."""

    UNCHANGED = "unchanged"


UNCHANGED = Unchanged.UNCHANGED


class Content(Protocol):
    """An open object, bound to one version. Close it; closing without reading is cheap."""

    version: ObjectVersion

    def read(self, size: int = -1) -> bytes:
        """The next bytes, ``b""`` at the end.

        Raises `Superseded`, at the latest instead of the final ``b""``, when what was read is not wholly the
        content of ``version`` (changed meanwhile, cut short).
        """

    def close(self) -> None:
        """Give the connection or file back. May be called twice."""


class ObjectStore(Protocol):
    """A store of objects: S3, a folder. Keys are exact: never normalised, never re-encoded."""

    kind: str

    def get(self, ref: ObjectRef, unless: ObjectVersion | None = None) -> Content | Unchanged | None:
        """Open the object as it is now.

        `UNCHANGED`: it still is ``unless``. None: the store says that a bucket that exists holds no such key;
        nothing else may return None. A missing bucket, a refusal or an outage raises `Unauthorized`,
        `Unavailable` or `Archived`. A key that ends in ``/`` and has no content is None (folder marker).
        """

    def list(self, bucket: str, prefix: str = "") -> Iterator[ListedObject]:
        """All objects below a prefix, strictly ascending by `sort_key`; folder markers are left out.

        Raises instead of ending early: an iterator that ends without an error was complete.
        """

    def check(self, bucket: str) -> str:
        """Prove with harmless calls that reading and listing work; one line for people. Raises otherwise."""


class EventSource(Protocol):
    """Something that tells which objects changed: a folder watch, a queue."""

    kind: str

    def run(self, emit: Callable[[Sequence[ObjectEvent]], None], should_stop: Callable[[], bool]) -> None:
        """Block and call ``emit`` for each batch until ``should_stop``; acknowledge only after emit returned.

        What emit raised for comes again, in this run or the next one. After a gap (overflow, reconnect) it emits
        nothing special: scans heal what was lost.
        """

    def check(self) -> str:
        """As `ObjectStore.check`."""
