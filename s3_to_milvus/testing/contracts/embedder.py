"""What every embedder must do."""

import unicodedata
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from s3_to_milvus.ports import Embedder

__all__ = ["EmbedderContract"]

_TEXTS = (
    "서울은 대한민국의 수도이다.",
    "The capital of France is Paris.",
    "점심은 김치찌개였다.",
    "서울은 대한민국의 수도이다.",
)
_NFD = unicodedata.normalize("NFD", "취업규칙 제1조")
_HOSTILE = ("", " \n\t ", "\0", "a\0b", "\ud800 lone", _NFD, "가나" * 1_000, "!!! ... ---", "\u200b", "🏳️‍🌈" * 30)


class EmbedderContract:
    """Inherit it and provide the fixture ``embedder``."""

    @pytest.fixture
    def embedder(self) -> Embedder:
        """The embedder under test."""
        raise NotImplementedError

    def test_it_says_what_it_is(self, embedder: Embedder) -> None:
        """Kind, fingerprint and sizes are there, and it can be checked."""
        assert embedder.kind
        assert embedder.fingerprint
        assert embedder.dim > 0
        assert embedder.max_batch_texts > 0
        assert embedder.check()
        assert "\n" not in embedder.check()

    def test_documents_become_rows_in_their_order(self, embedder: Embedder) -> None:
        """float32, finite, not zero; other order, same vectors."""
        vectors = embedder.embed_documents(_TEXTS)
        _assert_rows(vectors, len(_TEXTS), embedder.dim)
        backwards = embedder.embed_documents(_TEXTS[::-1])
        assert _cosines(vectors, backwards[::-1]).min() > 0.999

    def test_equal_texts_have_equal_vectors_and_others_do_not(self, embedder: Embedder) -> None:
        """Otherwise no search could tell texts apart."""
        vectors = embedder.embed_documents(_TEXTS)
        assert _cosines(vectors[:1], vectors[3:]).min() > 0.999
        assert _cosines(vectors[:1], vectors[1:2]).max() < 0.99

    def test_a_text_alone_has_the_vector_it_has_in_company(self, embedder: Embedder) -> None:
        """Batches are made over documents: they must not matter."""
        together = embedder.embed_documents(_TEXTS)
        alone = np.concatenate([embedder.embed_documents([text]) for text in _TEXTS])
        assert _cosines(together, alone).min() > 0.999

    def test_a_full_batch_is_taken(self, embedder: Embedder) -> None:
        """As many texts as it says it takes at once."""
        texts = [str(number) for number in range(embedder.max_batch_texts)]
        _assert_rows(embedder.embed_documents(texts), len(texts), embedder.dim)

    def test_no_texts_are_no_rows(self, embedder: Embedder) -> None:
        """An empty array, but of the right shape."""
        assert embedder.embed_documents([]).shape == (0, embedder.dim)

    def test_a_question_becomes_one_vector(self, embedder: Embedder) -> None:
        """One dimension less, and repeatable."""
        vector = embedder.embed_query("대한민국의 수도는?")
        assert vector.shape == (embedder.dim,)
        _assert_rows(vector[None], 1, embedder.dim)
        assert np.array_equal(vector, embedder.embed_query("대한민국의 수도는?"))

    def test_no_text_breaks_it(self, embedder: Embedder) -> None:
        """Blank, NUL, lone surrogates, decomposed, far too long: every text gets a vector."""
        _assert_rows(embedder.embed_documents(_HOSTILE), len(_HOSTILE), embedder.dim)
        for text in _HOSTILE:
            _assert_rows(embedder.embed_query(text)[None], 1, embedder.dim)

    def test_threads_may_share_it(self, embedder: Embedder) -> None:
        """Eight calls by four threads agree."""
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(embedder.embed_documents, [_TEXTS] * 8))
        assert all(_cosines(found[0], vectors).min() > 0.999 for vectors in found)


def _assert_rows(vectors: NDArray[np.float32], count: int, dim: int) -> None:
    assert vectors.shape == (count, dim)
    assert vectors.dtype == np.float32
    assert np.isfinite(vectors).all()
    assert (np.linalg.norm(vectors, axis=1) > 0).all()


def _cosines(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    cosines: NDArray[np.float32] = (ours * theirs).sum(axis=1) / lengths
    return cosines
