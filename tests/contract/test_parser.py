"""Parsers keep the contract, in the service and in child processes."""

import unicodedata
from collections.abc import Iterator
from typing import Any

import pytest

from s3_to_milvus.adapters.parsers.html import HtmlParser
from s3_to_milvus.adapters.parsers.isolated import ParsingPool
from s3_to_milvus.adapters.parsers.pdf import PdfParser
from s3_to_milvus.adapters.parsers.text import TextParser
from s3_to_milvus.errors import ParserCrashed, Unavailable, UnreadableDocument
from s3_to_milvus.ports import Parser
from s3_to_milvus.testing.contracts.parser import ParserContract, Sample
from s3_to_milvus.testing.fakes.parser import CRASH, FAIL_PERMANENT, FAIL_TRANSIENT, FakeParser
from tests.support.pdfs import make_pdf

_NFD = unicodedata.normalize("NFD", "취업규칙")  # as macOS writes it
_TEXT = f"{_NFD} 제1조\r\n둘째 줄\0\r\n\r\n\r\n휴가는 15일이다.\n \nEnd."
_MARKDOWN = f"""---
title: 규정
---
# {_NFD} *전문*

첫 **문단**은 [여기](https://example.com) 있다.

- 하나
- 둘

| 연도 | 매출 |
|---|---|
| 2025 | 10 |

```python
x = 1
```
"""
_HTML = f"""<!DOCTYPE html><html lang="ko"><head><title>안내</title><style>p {{}}</style></head><body>
<h1>{_NFD}</h1><p>첫 문단<br>둘째 줄</p><ul><li>하나<li>둘</ul>
<table><tr><th>연도<th>매출</tr><tr><td>2025<td>10</tr></table><pre>a
  b</pre><script>never()</script></body></html>"""


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ParsingPool]:
    pool = ParsingPool(ParsingPool.Options(workers=2), tmp_path_factory.mktemp("scratch"))
    yield pool
    pool.close()


def _isolated(pool: ParsingPool, parser: Any) -> Parser:
    target = f"{parser.__module__}:{parser.__name__}"
    return pool.wrap(
        target, kind=parser.kind, fingerprint=parser.fingerprint, media_types=parser.media_types, preload=("pypdfium2",)
    )


class _PlainText(ParserContract):
    @pytest.fixture
    def sample(self) -> Sample:
        return Sample(_TEXT.encode(), "text/plain", ("취업규칙 제1조 둘째 줄", "휴가는 15일이다.", "End."))

    @pytest.fixture
    def blank(self) -> Sample | None:
        return Sample(b" \r\n\t\n", "text/plain")


class TestTextParser(_PlainText):
    @pytest.fixture
    def parser(self) -> Parser:
        return TextParser()


class TestTextParserInAChild(_PlainText):
    @pytest.fixture
    def parser(self, pool: ParsingPool) -> Parser:
        return _isolated(pool, TextParser)


class TestMarkdown(ParserContract):
    @pytest.fixture
    def parser(self) -> Parser:
        return TextParser()

    @pytest.fixture
    def sample(self) -> Sample:
        phrases = ("취업규칙 전문", "첫 문단은 여기 있다.", "하나", "둘", "연도 매출 2025 10", "x = 1")
        return Sample(_MARKDOWN.encode("utf-16"), "text/markdown", phrases)


class _Html(ParserContract):
    @pytest.fixture
    def sample(self) -> Sample:
        phrases = ("취업규칙", "첫 문단 둘째 줄", "하나", "둘", "연도 매출 2025 10", "a b")
        return Sample(_HTML.encode(), "text/html", phrases)

    @pytest.fixture
    def blank(self) -> Sample | None:
        return Sample(b"<html><body><script>x</script></body></html>", "text/html")


class TestHtmlParser(_Html):
    @pytest.fixture
    def parser(self) -> Parser:
        return HtmlParser()


class TestHtmlParserInAChild(_Html):
    @pytest.fixture
    def parser(self, pool: ParsingPool) -> Parser:
        return _isolated(pool, HtmlParser)


class _Pdf(ParserContract):
    @pytest.fixture
    def sample(self) -> Sample:
        first = ["Annual report of the harbour office.", "Ships are counted every morning at the gate."]
        second = ["The second page says that nothing was lost.", "It ends with a number: 4711."]
        data = make_pdf([first, second], title="Harbour")
        return Sample(data, "application/pdf", ("Annual report", "every morning", "nothing was lost", "4711."))

    @pytest.fixture
    def damaged(self) -> Sample | None:
        return Sample(b"%PDF-1.7\n" + bytes(range(256)) * 4, "application/pdf")

    @pytest.fixture
    def blank(self) -> Sample | None:
        return Sample(make_pdf([[], []]), "application/pdf")

    def test_pages_are_numbered_from_one(self, parser: Parser, sample: Sample) -> None:
        document = parser.parse(sample.input)
        assert (document.title, document.page_count) == ("Harbour", 2)
        assert {block.page for block in document.blocks} == {1, 2}


class TestPdfParser(_Pdf):
    @pytest.fixture
    def parser(self) -> Parser:
        return PdfParser()


class TestPdfParserInAChild(_Pdf):
    @pytest.fixture
    def parser(self, pool: ParsingPool) -> Parser:
        return _isolated(pool, PdfParser)


class TestFakeParser(_PlainText):
    @pytest.fixture
    def parser(self) -> Parser:
        return FakeParser()

    @pytest.fixture
    def sample(self) -> Sample:
        return Sample("하나\r\n둘\0\n\n셋".encode(), "text/plain", ("하나 둘", "셋"))

    @pytest.mark.parametrize(
        ("marker", "error"),
        [(FAIL_PERMANENT, UnreadableDocument), (FAIL_TRANSIENT, Unavailable), (CRASH, ParserCrashed)],
    )
    def test_markers_raise_their_error(self, marker: bytes, error: type[Exception]) -> None:
        with pytest.raises(error):
            FakeParser().parse(Sample(b"a\n\n" + marker, "text/plain").input)
