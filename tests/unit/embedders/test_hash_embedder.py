"""The hashing embedder finds words, Korean ones too, and always gives a usable vector."""

import unicodedata

import numpy as np
import pytest

from s3_to_milvus.testing import hash_embedder
from s3_to_milvus.testing.hash_embedder import HashEmbedder

_TEXTS = [
    f"문서 {number} 에는 " + f"평범한 단어가 여럿 있고 the usual words stand here too {number * 7} " * 8
    for number in range(50)
]


def _best(query: str, texts: list[str]) -> int:
    embedder = HashEmbedder()
    return int(np.argmax(embedder.embed_documents(texts) @ embedder.embed_query(query)))


@pytest.mark.parametrize(
    ("hidden", "query"),
    [
        ("Quokka8123 was here", "quokka8123"),
        ("취업규칙을 개정하였다", "취업규칙"),
        ("경부고속도로의 통행량", "고속도로"),
        ("這是勞動合同條款", "勞動合同"),
    ],
)
def test_a_word_is_found_in_a_long_text(hidden: str, query: str) -> None:
    texts = [*_TEXTS[:20], _TEXTS[20] + hidden, *_TEXTS[21:]]
    assert _best(query, texts) == 20
    assert _best(unicodedata.normalize("NFD", query), texts) == 20


def test_decomposed_text_and_other_case_are_the_same() -> None:
    text = "취업규칙 제1조 Café"
    twins = HashEmbedder().embed_documents([text, unicodedata.normalize("NFD", text).upper()])
    assert np.array_equal(twins[0], twins[1])


def test_another_instance_gives_the_same_vectors_whatever_it_saw_before() -> None:
    one, other = HashEmbedder(), HashEmbedder()
    other.embed_documents(["고속 고속도로 속도", *_TEXTS])
    assert np.array_equal(one.embed_documents(_TEXTS[::-1])[::-1], other.embed_documents(_TEXTS))
    assert np.array_equal(one.embed_query("고속도로 속도"), other.embed_query("고속도로 속도"))


def test_rows_have_length_one() -> None:
    vectors = HashEmbedder().embed_documents([*_TEXTS, "", "!!!", "\ud800", "x"])
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_it_forgets_words_before_they_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hash_embedder, "_MAX_FEATURES", 500)
    embedder = HashEmbedder()
    before = embedder.embed_documents(_TEXTS)
    for number in range(20):
        embedder.embed_documents([" ".join(f"w{number}x{index}" for index in range(200))])
    assert len(embedder._features.places) <= 2_048
    assert np.array_equal(embedder.embed_documents(_TEXTS), before)
