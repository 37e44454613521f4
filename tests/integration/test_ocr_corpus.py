"""Facts about real pictures of text that must come out of OCR. Skipped, visibly, where its data is not installed."""

import pytest

from s3_to_milvus.adapters.parsers.ocr import OcrParser
from s3_to_milvus.adapters.parsers.ocr.engine import data_folder
from s3_to_milvus.adapters.sniff import sniff
from s3_to_milvus.domain.documents import Document
from s3_to_milvus.ports import ParserInput
from s3_to_milvus.testing.contracts.parser import text_of
from tests.support.corpus import corpus_file, require_corpus

require_corpus()

_FOUND = data_folder("", ("kor", "eng"))
needs_data = pytest.mark.skipif(
    _FOUND is None or len(_FOUND[1]) < 2, reason="no OCR data: apt-get install tesseract-ocr-kor tesseract-ocr-eng"
)


def _parse(name: str, pages: tuple[int, ...] | None = None, parser: OcrParser | None = None) -> Document:
    path = corpus_file(name)
    media_type = sniff(None, path, name)
    source = ParserInput(media_type, name, path.stat().st_size, path=path, pages=pages)
    return (parser or OcrParser()).parse(source)


@needs_data
def test_korean_and_english_in_one_picture() -> None:
    text = text_of(list(_parse("img_en_ko.png").blocks))
    assert "RULES AND INSTRUCTIONS" in text
    assert "가" in text or "다" in text


@needs_data
def test_every_page_of_a_tiff() -> None:
    document = _parse("img_tika_multipage.tif")
    assert (document.page_count, document.unread_pages) == (2, (1, 2))
    for page in (1, 2):
        assert {block.page for block in _parse("img_tika_multipage.tif", pages=(page,)).blocks} == {page}


@needs_data
def test_a_page_of_a_scanned_pdf() -> None:
    blocks = list(_parse("pdf_scanned_en.pdf", pages=(1,)).blocks)
    assert len(text_of(blocks)) > 200
    assert all(block.page == 1 and block.box is not None for block in blocks)


@needs_data
def test_a_photo_without_text_gives_no_sentences() -> None:
    assert len(text_of(list(_parse("img_flower_notext.jpg").blocks))) < 40
