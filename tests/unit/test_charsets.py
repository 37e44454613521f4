"""Character sets by the cascade."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3_to_milvus.domain.charsets import charset_of, clean_text, python_charset

KOREAN = "정부는 오늘 새로운 정책을 발표했다. 국민의 의견을 듣겠다고 밝혔다.\n"


def _no_idea(sample: bytes) -> str | None:
    return None


@pytest.mark.parametrize(
    "name", ["utf-8", "utf-8-sig", "cp949", "euc-kr", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
)
def test_korean_in_every_dress(name: str) -> None:
    data = KOREAN.encode(name)
    assert data.decode(charset_of(data, _no_idea)).removeprefix("\ufeff") == KOREAN


def test_what_bytes_prove_goes_before_what_they_declare() -> None:
    assert charset_of(KOREAN.encode(), _no_idea, declared="euc-kr") == "utf-8"
    assert charset_of("日本語のテキスト".encode("cp932"), _no_idea, declared="Shift_JIS") == "cp932"
    assert charset_of("Grüße".encode("latin-1"), _no_idea, declared="utf-8") == "cp1252"


def test_the_guesser_is_asked_last() -> None:
    assert charset_of("Привет, мир".encode("cp1251"), lambda _: "windows-1251") == "cp1251"
    assert charset_of("Grüße".encode("cp1252"), lambda _: "no-such-set") == "cp1252"


def test_a_little_damage_leaves_utf8() -> None:
    assert charset_of((KOREAN * 9).encode() + b"\xff" + KOREAN.encode(), _no_idea) == "utf-8"
    assert charset_of(KOREAN.encode()[:-2], _no_idea, is_whole=False) == "utf-8"


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ("EUC-KR", "cp949"),
        ("ks_c_5601-1987", "cp949"),
        ("x-windows-949", "cp949"),
        ("ISO-8859-1", "cp1252"),
        ("gb2312", "gb18030"),
        ("utf-16", None),
        ("base64", None),
        ("no such", None),
        ("\0", None),
        ("idna", None),
    ],
)
def test_declared_names(declared: str, expected: str | None) -> None:
    assert python_charset(declared) == expected


def test_text_is_cleaned() -> None:
    assert clean_text("a\r\nb\rc\fd\0e\x07\ufefff\ud800") == "a\nb\nc\ndef"
    assert clean_text(unicodedata.normalize("NFD", "가나다")) == "가나다"
    assert clean_text("tab\tand 🙂 stay\n") == "tab\tand 🙂 stay\n"


@given(st.binary(max_size=300), st.text(max_size=12))
def test_any_bytes_have_a_charset_that_decodes(data: bytes, declared: str) -> None:
    text = clean_text(data.decode(charset_of(data, _no_idea, declared=declared), "replace"))
    assert text.encode().decode() == text
    assert not {"\0", "\r"} & set(text)


@given(st.text())
def test_cleaning_twice_changes_nothing(text: str) -> None:
    once = clean_text(text)
    assert clean_text(once) == once
