"""Routing: which collection an object's rows belong to, by the longest matching prefix."""

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field

from s3_to_milvus.domain.objects import ObjectRef

__all__ = ["Route", "collection_label", "collection_name", "is_left_out", "route_of"]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NAME_BYTES = 200


@dataclass(frozen=True, slots=True)
class Route:
    """Objects of ``bucket`` (empty: any) below ``prefix`` go to ``collection``, or, where that is empty,
    to one collection per top-level folder below the prefix. ``is_ignored`` leaves them out altogether,
    ``needs_folder`` those that lie in no folder below the prefix.

    ``parsers`` are the kinds that read them, in this order (empty: all); ``passwords`` are tried where one is needed.
    """

    bucket: str = ""
    prefix: str = ""
    collection: str = ""
    is_ignored: bool = False
    needs_folder: bool = False
    parsers: tuple[str, ...] = ()
    passwords: tuple[str, ...] = field(default=(), repr=False)

    def matches(self, ref: ObjectRef) -> bool:
        """True when the object stands on this route."""
        return self.bucket in ("", ref.bucket) and ref.key.startswith(self.prefix)


def route_of(routes: Sequence[Route], ref: ObjectRef) -> Route | None:
    """The matching route with the longest prefix (a named bucket before any bucket); None when none matches."""
    found = [route for route in routes if route.matches(ref)]
    return max(found, key=lambda route: (len(route.prefix), bool(route.bucket)), default=None)


def is_left_out(route: Route | None, ref: ObjectRef) -> bool:
    """True where the object goes into no collection."""
    return route is None or route.is_ignored or (route.needs_folder and not _folder(route, ref))


def collection_label(route: Route, ref: ObjectRef) -> str:
    """The folder name people see: fixed by the route, else the top-level folder, else the bucket's name."""
    if route.collection:
        return route.collection
    return unicodedata.normalize("NFC", _folder(route, ref) or ref.bucket)


def _folder(route: Route, ref: ObjectRef) -> str:
    """The top-level folder below the prefix; empty for what lies directly below it."""
    folder, slash, _ = ref.key[len(route.prefix) :].lstrip("/").partition("/")
    return folder if slash else ""


def collection_name(label: str) -> str:
    """The label where every Milvus can hold it as a name, else an ASCII slug and a short hash of it.

    A server takes letters, digits and ``_`` only, not a digit first, at most 255 bytes. Names that differ
    only in case are kept apart, as Milvus does.
    """
    if _NAME.fullmatch(label) and len(label) <= _NAME_BYTES:
        return label
    plain = unicodedata.normalize("NFKD", label).encode("ascii", "ignore").decode()
    slug = re.sub(r"[^A-Za-z0-9]+", "_", plain).strip("_")[:_NAME_BYTES]
    digest = hashlib.sha256(label.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return f"c_{slug}_{digest}" if slug else f"c_{digest}"
