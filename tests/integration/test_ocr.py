"""OCR over pictures that the tests draw: what is damaged, slow or not installed is named."""

import contextlib

import pytest

from s3_to_milvus.adapters.parsers.ocr import OcrParser
from s3_to_milvus.adapters.parsers.ocr.engine import _line, _Word, data_folder
from s3_to_milvus.errors import ParserTimeout, PermanentError, UnreadableDocument, UnsupportedFormat
from s3_to_milvus.ports import ParserInput
from s3_to_milvus.testing.contracts.parser import Sample
from tests.support.made.pictures import pictures

_FOUND = data_folder("", ("kor", "eng"))
needs_data = pytest.mark.skipif(
    _FOUND is None or len(_FOUND[1]) < 2, reason="no OCR data: apt-get install tesseract-ocr-kor tesseract-ocr-eng"
)


@needs_data
def test_a_page_that_takes_too_long_is_named() -> None:
    parser = OcrParser(OcrParser.Options(page_timeout_s=0.001))
    with pytest.raises(ParserTimeout, match="Page 1"):
        parser.parse(Sample(pictures("PNG"), "image/png").input)


@needs_data
def test_a_damaged_image_is_named_as_such() -> None:
    data = pictures("PNG")[:500]
    with pytest.raises(UnreadableDocument):
        OcrParser().parse(ParserInput("image/png", "cut.png", len(data), data=data))


def test_without_data_it_says_what_to_install() -> None:
    parser = OcrParser(OcrParser.Options(languages=("xyz",)))
    with pytest.raises(UnsupportedFormat) as caught:
        parser.check()
    assert "tesseract-ocr-kor" in caught.value.hint


@needs_data
def test_a_damaged_tiff_is_named_as_such() -> None:
    data = pictures("TIFF", ("First page", "Second page"))
    for at in range(4, 400, 7):
        spoilt = data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]
        source = ParserInput("image/tiff", "spoilt.tif", len(spoilt), data=spoilt)
        with contextlib.suppress(PermanentError):
            assert OcrParser().parse(source).page_count is not None


def test_blanks_stand_where_the_picture_has_them() -> None:
    words = [("효", 0, 20), ("력", 22, 42), ("을", 43, 63), ("갖는다.", 75, 160), ("at", 170, 190), ("9", 192, 200)]
    assert _line([_Word(text, left, 0, right, 20) for text, left, right in words]) == "효력을 갖는다. at 9"
