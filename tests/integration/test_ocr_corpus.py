"""Facts about real pictures of text that must come out of OCR. Skipped, visibly, where its data is not installed."""

import contextlib

import pytest

from s3_to_milvus.adapters.parsers.ocr import OcrParser
from s3_to_milvus.adapters.parsers.ocr.engine import _line, _Word, data_folder
from s3_to_milvus.adapters.sniff import sniff
from s3_to_milvus.domain.documents import Document
from s3_to_milvus.errors import ParserTimeout, PermanentError, UnreadableDocument, UnsupportedFormat
from s3_to_milvus.ports import ParserInput
from s3_to_milvus.testing.contracts.parser import text_of
from tests.support.corpus import corpus_file

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


@needs_data
def test_a_page_that_takes_too_long_is_named() -> None:
    parser = OcrParser(OcrParser.Options(page_timeout_s=0.001))
    with pytest.raises(ParserTimeout, match="Page 1"):
        _parse("img_en_ko.png", parser=parser)


@needs_data
def test_a_damaged_image_is_named_as_such() -> None:
    data = corpus_file("img_en_ko.png").read_bytes()[:3_000]
    with pytest.raises(UnreadableDocument):
        OcrParser().parse(ParserInput("image/png", "cut.png", len(data), data=data))


def test_without_data_it_says_what_to_install() -> None:
    parser = OcrParser(OcrParser.Options(languages=("xyz",)))
    with pytest.raises(UnsupportedFormat) as caught:
        parser.check()
    assert "tesseract-ocr-kor" in caught.value.hint


@needs_data
def test_a_damaged_tiff_is_named_as_such() -> None:
    data = corpus_file("img_tika_multipage.tif").read_bytes()
    for at in range(4, 400, 7):
        spoilt = data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]
        source = ParserInput("image/tiff", "spoilt.tif", len(spoilt), data=spoilt)
        with contextlib.suppress(PermanentError):
            assert OcrParser().parse(source).page_count is not None


def test_blanks_stand_where_the_picture_has_them() -> None:
    words = [("효", 0, 20), ("력", 22, 42), ("을", 43, 63), ("갖는다.", 75, 160), ("at", 170, 190), ("9", 192, 200)]
    assert _line([_Word(text, left, 0, right, 20) for text, left, right in words]) == "효력을 갖는다. at 9"
