"""Hancom's characters become readable ones."""

import pytest

from s3_to_milvus.domain.korean import hancom_text


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("plain", "plain"),
        ("\uf53a글 워드", "한글 워드"),
        ("\u1112\u119e\u11ab글", "한글"),
        ("\uf06d 모집", "• 모집"),
        ("가\ue123나", "가나"),
        ("\u1112\u1161\u11ab글", "한글"),
    ],
)
def test_hancom_text(given, expected):
    assert hancom_text(given) == expected
