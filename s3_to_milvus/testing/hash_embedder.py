"""An embedder without a model: hashed bags of words. For tests and benchmarks; it finds words, not meaning."""

import hashlib
import re
import threading
import unicodedata
from collections.abc import Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from s3_to_milvus.domain.recipe import fingerprint_of

__all__ = ["HashEmbedder"]

_WORD = re.compile(r"\w+")
_CJK = re.compile(r"[\u1100-\u11ff\u3040-\u30ff\u3130-\u318f\u3400-\u9fff\uac00-\ud7ff\uf900-\ufaff]+")
_PLACES = 8
_MAX_FEATURES = 1 << 16
_MAX_WORD = 64


class HashEmbedder:
    """Adds up a fixed pattern of signs for each word and for each pair of neighbouring CJK characters.

    Eight places of the vector per feature, so that one collision hides nothing. Long words and numbers weigh more
    than short ones, which stand everywhere; how often a word stands there does not count. Documents and questions
    are treated alike; rows have length 1.
    """

    kind = "hash"
    max_batch_texts = 1_024

    class Options(BaseModel):
        """``dim`` only for tests that need collections of different dimensions."""

        model_config = ConfigDict(extra="forbid", frozen=True)

        dim: int = Field(default=384, ge=8, le=32_768)

    def __init__(self, options: Options | None = None) -> None:
        self.dim = (options or self.Options()).dim
        self.fingerprint = fingerprint_of("hash", "1", str(self.dim))
        self._features = _Features(self.dim)
        self._lock = threading.Lock()

    def embed_documents(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See `ports.Embedder`."""
        if not texts:
            return np.empty((0, self.dim), np.float32)
        with self._lock:  # one memory of words for all threads
            if self._features.is_full:
                self._features = _Features(self.dim)
            bags = [self._features.of(text) for text in texts]
            flat = np.fromiter(chain.from_iterable(bags), np.int64, sum(map(len, bags)))
            places, weights = self._features.places.take(flat, 0), self._features.weights.take(flat, 0)
        places += np.repeat(np.arange(len(bags)) * self.dim, [len(bag) for bag in bags])[:, None]
        sums = np.bincount(places.ravel(), weights.ravel(), len(bags) * self.dim)
        vectors = sums.reshape(len(bags), self.dim).astype(np.float32)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors[norms[:, 0] == 0, 0] = 1  # all signs cancelled each other
        norms[norms == 0] = 1
        vectors /= norms
        return vectors

    def embed_query(self, text: str) -> NDArray[np.float32]:
        """See `ports.Embedder`."""
        vector: NDArray[np.float32] = self.embed_documents([text])[0]
        return vector

    def check(self) -> str:
        """Nothing outside is needed."""
        return f"Hashes words, {self.dim} dimensions; for tests only, it knows no meaning."


class _Features(dict[str, tuple[int, ...]]):
    """Numbers for what stands between spaces, kept: ``places`` and ``weights`` (n, 8) say what each adds where.

    Spaces first, because splitting there costs a fifth of looking for words; words are looked for once per piece.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self._dim = dim
        self._numbers: dict[str, int] = {}
        self.places = np.zeros((1_024, _PLACES), np.int64)
        self.weights = np.zeros((1_024, _PLACES), np.float64)

    @property
    def is_full(self) -> bool:
        """True when it is time to begin anew; numbers given out until then hold for the batch they were given to."""
        return len(self) + len(self._numbers) > _MAX_FEATURES

    def of(self, text: str) -> list[int]:
        """The features of a text, at least one. Each piece counts once: repeated words would drown all others."""
        pieces = dict.fromkeys(text.split())
        return list(chain.from_iterable(map(self.__getitem__, pieces))) or [self._number(text[:_MAX_WORD])]

    def __missing__(self, piece: str) -> tuple[int, ...]:
        words = _WORD.findall(unicodedata.normalize("NFC", piece).lower())
        numbers = tuple(self._number(feature) for word in words for feature in _with_pairs(word))
        if len(piece) <= _MAX_WORD:  # Chinese has no spaces: a whole paragraph is not worth keeping
            self[piece] = numbers
        return numbers

    def _number(self, feature: str) -> int:
        number = self._numbers.get(feature)
        if number is None:
            number = len(self._numbers)
            self._numbers[feature] = number
            if number >= len(self.places):
                self.places = np.concatenate([self.places, np.zeros_like(self.places)])
                self.weights = np.concatenate([self.weights, np.zeros_like(self.weights)])
            digest = hashlib.blake2b(feature.encode("utf-8", "surrogatepass"), digest_size=3 * _PLACES).digest()
            self.places[number] = np.frombuffer(digest, "<u2", _PLACES) % self._dim
            signs = np.frombuffer(digest, np.uint8, offset=2 * _PLACES) & 1
            self.weights[number] = (signs * 2.0 - 1) * _weight(feature)
        return number


def _with_pairs(word: str) -> list[str]:
    """The word, and every pair of neighbours in it where it is written in CJK (a Korean stem with its ending)."""
    pairs = (run[at : at + 2] for run in _CJK.findall(word) for at in range(len(run) - 1))
    return [word[:_MAX_WORD], *(pair for pair in pairs if pair != word)]


def _weight(feature: str) -> float:
    """Rare words are not known here; long ones and numbers are taken for them, and pairs carry CJK text."""
    if any(map(str.isdigit, feature)):
        return 4.0
    if _CJK.match(feature):
        return 1.5 if len(feature) == 2 else 0.5
    return min(len(feature) / 4, 3.0)
