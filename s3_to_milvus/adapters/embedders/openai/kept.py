"""Vectors that were paid for lately: not asked for again when a call is repeated, or the document it was a part of."""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

__all__ = ["Kept"]


class Kept:
    """At most ``most_bytes`` of vectors; those that nobody asked for the longest go first.

    Without it a document that needs more than the service's budget for a minute would start over for ever.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._vectors: OrderedDict[bytes, NDArray[float32]] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, model: str, found: Iterable[tuple[str, "NDArray[float32]"]]) -> None:
        """Keep the vector of each text."""
        named = [(_name(model, text), vector.copy()) for text, vector in found]
        with self._lock:
            for name, vector in named:
                self._remove(name)
                self._vectors[name] = vector
                self._bytes += vector.nbytes
            while self._bytes > self._most_bytes:
                self._remove(next(iter(self._vectors)))

    def take(self, model: str, texts: Sequence[str]) -> dict[int, "NDArray[float32]"]:
        """The vectors that are here, by the places of their texts."""
        with self._lock:
            if not self._vectors:
                return {}
        names = [_name(model, text) for text in texts]
        with self._lock:
            found = {place: self._vectors[name] for place, name in enumerate(names) if name in self._vectors}
            for place in found:
                self._vectors.move_to_end(names[place])
        return found

    def _remove(self, name: bytes) -> None:
        vector = self._vectors.pop(name, None)
        if vector is not None:
            self._bytes -= vector.nbytes


def _name(model: str, text: str) -> bytes:
    return hashlib.sha256(f"{model}\0{text}".encode("utf-8", "replace")).digest()
