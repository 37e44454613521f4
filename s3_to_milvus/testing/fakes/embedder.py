"""A tiny embedder whose vectors are hashes, with failures by script."""

import hashlib
import threading
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from s3_to_milvus.domain.recipe import fingerprint_of
from s3_to_milvus.domain.usage import Usage
from s3_to_milvus.errors import Rejected
from s3_to_milvus.ports import spend

__all__ = ["REFUSED", "FakeEmbedder"]

REFUSED = "%REFUSED"


class FakeEmbedder:
    """Equal texts get equal vectors, all others unlike ones; a text with ``refused`` in it is rejected for good.

    ``script`` holds, call by call of `embed_documents`, an error to raise or None; once it is empty, all goes well.
    ``calls`` keeps the texts of every call, also of those that failed. ``name`` makes another model: other
    fingerprint, other vectors. ``charge`` is spent for each call, also where it fails.
    """

    kind = "fake"

    def __init__(
        self,
        dim: int = 8,
        max_batch_texts: int = 16,
        script: Iterable[Exception | None] = (),
        *,
        refused: str = REFUSED,
        name: str = "fake-1",
        charge: Usage = Usage(),
    ) -> None:
        self.dim = dim
        self.max_batch_texts = max_batch_texts
        self.refused = refused
        self.charge = charge
        self.fingerprint = fingerprint_of("fake", name, str(dim))
        self.calls: list[tuple[str, ...]] = []
        self.script = list(script)
        self._name = name
        self._lock = threading.Lock()

    @property
    def embedded(self) -> list[str]:
        """Every text that was ever asked for, call by call."""
        return [text for call in self.calls for text in call]

    def embed_documents(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See `ports.Embedder`."""
        with self._lock:
            self.calls.append(tuple(texts))
            error = self.script.pop(0) if self.script else None
        spend(self.charge)
        if error is not None:
            raise error
        if any(self.refused in text for text in texts):
            raise Rejected("one of the texts says that it is refused")
        out = np.empty((len(texts), self.dim), np.float32)
        for row, text in enumerate(texts):
            out[row] = self._vector(text)
        return out

    def embed_query(self, text: str) -> NDArray[np.float32]:
        """See `ports.Embedder`: the vector of the document with the same text."""
        spend(self.charge)
        return self._vector(text)

    def check(self) -> str:
        """Always well."""
        return "gives tests the vectors they need"

    def _vector(self, text: str) -> NDArray[np.float32]:
        digest = hashlib.shake_128(f"{self._name}\0{text}".encode("utf-8", "surrogatepass")).digest(self.dim)
        vector = np.frombuffer(digest, np.uint8).astype(np.float32) - np.float32(127.5)  # never zero
        unit: NDArray[np.float32] = vector / np.linalg.norm(vector)
        return unit
