"""Facts about real files that must come out of the parsers."""

import pytest

from s3_to_milvus.adapters.parsers.html import HtmlParser
from s3_to_milvus.adapters.parsers.pdf import PdfParser
from s3_to_milvus.adapters.parsers.text import TextParser
from s3_to_milvus.adapters.sniff import sniff
from s3_to_milvus.domain.documents import Block, BlockKind, Document
from s3_to_milvus.errors import EncryptedDocument, UnreadableDocument
from s3_to_milvus.ports import Parser, ParserInput
from s3_to_milvus.testing.contracts.parser import text_of
from tests.support.corpus import corpus_file, require_corpus

require_corpus()


def _parse(parser: Parser, name: str) -> tuple[Document, list[Block]]:
    path = corpus_file(name)
    media_type = sniff(None, path, name)
    assert media_type in parser.media_types
    document = parser.parse(ParserInput(media_type, name, path.stat().st_size, path=path))
    return document, list(document.blocks)


def _headings(blocks: list[Block]) -> list[str]:
    return [block.text for block in blocks if block.kind is BlockKind.HEADING]


@pytest.mark.parametrize(
    ("name", "phrases"),
    [
        ("txt_korean_euckr.txt", ("북조선 사람들은 흔히 자국을 조선(朝鮮)이나 공화국(共和國)이라고 부른다.",)),
        ("txt_utf16le.txt", ("This is a test document to use for unit tests.",)),
        ("txt_utf8_norwich.txt", ("Iwan Roberts", "Norwich City")),
        ("pdf_notpdf_badjson.pdf", ("Licensed under the Apache License, Version 2.0", "dummy source file")),
    ],
)
def test_texts(name: str, phrases: tuple[str, ...]) -> None:
    document, blocks = _parse(TextParser(), name)
    text = text_of(blocks)
    assert all(phrase in text for phrase in phrases)
    assert "\ufffd" not in text
    assert document.warnings == ()


def test_an_empty_file_has_no_blocks() -> None:
    assert _parse(TextParser(), "txt_empty.txt")[1] == []


def test_markdown() -> None:
    document, blocks = _parse(TextParser(), "md_comprehensive.md")
    assert document.title == "Additional markdown reader tests"
    assert _headings(blocks)[:2] == ["Additional markdown reader tests", "Blank line before URL in link reference"]
    assert "Ward's method." in [block.text for block in blocks]


def test_korean_html_without_a_declared_charset() -> None:
    document, blocks = _parse(HtmlParser(), "html_euckr.html")
    assert document.title == "EUC-KR test"
    assert blocks[0].text.startswith("요청하신 웹 페이지를 찾을 수 없습니다.\n찾으시는 웹 페이지가")


def test_an_encyclopedia_page() -> None:
    document, blocks = _parse(HtmlParser(), "html_wikipedia.html")
    assert document.title == "Microsoft - Wikipedia"
    assert document.language == "en"
    assert {"Microsoft", "History", "Corporate affairs", "References"} <= set(_headings(blocks))
    assert {block.level for block in blocks if block.kind is BlockKind.HEADING} >= {1, 2, 3}
    text = text_of(blocks)
    assert "Bill Gates and Paul Allen" in text
    assert "mw-parser-output" not in text
    assert any(row[:1] == ("Founded",) for block in blocks for row in block.rows)


def test_a_filing_full_of_layout_tables() -> None:
    _, blocks = _parse(HtmlParser(), "html_10k_1p.html")
    tables = [block for block in blocks if block.kind is BlockKind.TABLE]
    assert ("Title of each class", "Trading symbol", "Name of exchange on which registered") in tables[2].rows
    assert any("Risk Factors" in row for block in tables for row in block.rows)
    assert "ANNUAL REPORT ON FORM 10-K FOR THE YEAR ENDED DECEMBER 31, 2021" in text_of(blocks)


def test_pdf_with_pages() -> None:
    document, blocks = _parse(PdfParser(), "pdf_text_4p.pdf")
    assert document.page_count == 4
    assert [block.page for block in blocks] == sorted(block.page or 0 for block in blocks)
    assert {block.page for block in blocks} == {1, 2, 3, 4}
    assert "Huardest gefburn" in text_of([block for block in blocks if block.page == 1])


def test_pdf_with_two_columns() -> None:
    _, blocks = _parse(PdfParser(), "pdf_multicolumn_2p.pdf")
    assert {"Dense Passage Retrieval for Open-Domain Question Answering", "Abstract", "1 Introduction"} <= set(
        _headings(blocks)
    )
    text = text_of(blocks)
    assert "Open-domain question answering relies on efficient passage retrieval to select candidate contexts" in text
    assert "where traditional sparse vector space models, such as TF-IDF or BM25, are the de facto method." in text


def test_pdf_with_korean_tables() -> None:
    _, blocks = _parse(PdfParser(), "pdf_korean_tables.pdf")
    text = text_of(blocks)
    assert "적립한도 없이" in text
    assert "빅포인트 적립" in text
    assert any(block.kind is BlockKind.TABLE for block in blocks)
    assert "포인트 사용에 대한 자세한 내용은" in text  # pdf-inspector loses it, PDFium has it


def test_pdf_with_a_borderless_table() -> None:
    _, blocks = _parse(PdfParser(), "pdf_table_borderless.pdf")
    assert "INV-1234" in text_of(blocks) or "SPARSE-2024-INV-1234" in text_of(blocks)


def test_pdf_with_a_broken_structure() -> None:
    document, blocks = _parse(PdfParser(), "pdf_broken_badstructure.pdf")
    assert document.title.startswith("GAO-23-106826, Cybersecurity")
    assert sum(len(block.text) for block in blocks) > 9_000


def test_a_scan_with_a_text_layer_has_its_text() -> None:
    document, blocks = _parse(PdfParser(), "pdf_scanned_en.pdf")
    assert len(text_of(blocks)) > 3_000
    assert document.warnings == ()


def test_a_scan_without_text_is_empty_and_says_so() -> None:
    document, blocks = _parse(PdfParser(), "pdf_scanned_flat.pdf")
    assert blocks == []
    assert document.unread_pages == (1,)


def test_a_password_is_told() -> None:
    with pytest.raises(EncryptedDocument, match="password"):
        _parse(PdfParser(), "pdf_password_openpassword.pdf")


def test_what_is_no_pdf_is_told() -> None:
    path = corpus_file("pdf_notpdf_badjson.pdf")
    with pytest.raises(UnreadableDocument, match="damaged"):
        PdfParser().parse(ParserInput("application/pdf", "x", path.stat().st_size, path=path))
