"""Facts about real Office and HWP files that must come out of their parsers."""

from dataclasses import replace

import pytest

from s3_to_milvus.adapters.parsers.hwp import HwpParser
from s3_to_milvus.adapters.parsers.office import OfficeParser
from s3_to_milvus.adapters.sniff import sniff
from s3_to_milvus.domain.document_limits import DocumentLimits
from s3_to_milvus.domain.documents import Block, BlockKind
from s3_to_milvus.errors import DocumentTooLarge, EncryptedDocument, UnreadableDocument
from s3_to_milvus.ports import Parser, ParserInput
from s3_to_milvus.testing.contracts.parser import text_of
from tests.support.corpus import corpus_file, require_corpus

require_corpus()


def _parse(parser: Parser, name: str, *passwords: str) -> list[Block]:
    path = corpus_file(name)
    media_type = sniff(None, path, name)
    assert media_type in parser.media_types
    size = path.stat().st_size
    return list(parser.parse(ParserInput(media_type, name, size, path=path, passwords=passwords)).blocks)


def _tables(blocks: list[Block]) -> list[Block]:
    return [block for block in blocks if block.kind is BlockKind.TABLE]


def test_word_headings_keep_their_level() -> None:
    blocks = _parse(OfficeParser(), "doc_headers_numbered.docx")
    headings = [(block.text, block.level) for block in blocks if block.kind is BlockKind.HEADING]
    assert ("Section 1", 1) in headings
    assert ("Section 1.1", 2) in headings


def test_word_tables_keep_their_cells() -> None:
    tables = _tables(_parse(OfficeParser(), "doc_tables.docx"))
    assert len(tables) == 7
    assert tables[0].rows[:2] == (("Header 0.0", "Header 0.1", "Header 0.2"), ("Cell 1.0", "Cell 1.1", "Cell 1.2"))
    assert tables[0].has_header


def test_text_boxes_are_not_lost() -> None:
    assert "Student falls ill" in text_of(_parse(OfficeParser(), "doc_textbox.docx"))


def test_slides_are_pages_and_charts_keep_their_figures() -> None:
    blocks = _parse(OfficeParser(), "ppt_chart.pptx")
    assert "Saltwater Ducks: 80, 95, 110, 130" in text_of([block for block in blocks if block.page == 1])
    assert "Quarterly revenue" in text_of([block for block in blocks if block.page == 2])


def test_sheets_stand_under_their_names() -> None:
    blocks = _parse(OfficeParser(), "xls_multi.xlsx")
    assert [block.text for block in blocks if block.kind is BlockKind.HEADING][:2] == ["Sheet1", "Sheet2"]
    assert _tables(blocks)[0].rows[:2] == (("first", "second", "third"), ("1", "5", "9"))


@pytest.mark.parametrize(
    ("name", "phrase"),
    [
        ("doc_legacy.doc", "Figure 1: This is a cute duckling"),
        ("ppt_legacy.ppt", "A merged with B"),
        ("xls_legacy.xls", "Number of freshwater ducks per year"),
    ],
)
def test_old_binary_files(name: str, phrase: str) -> None:
    assert phrase in text_of(_parse(OfficeParser(), name))


def test_a_word_document_opens_with_its_password() -> None:
    blocks = _parse(OfficeParser(), "doc_password.docx", "wrong", "tika")
    assert text_of(blocks) == "This is an encrypted Word 2007 File."
    with pytest.raises(EncryptedDocument):
        _parse(OfficeParser(), "doc_password.docx", "wrong")


def test_hwpx_tables_keep_their_cells() -> None:
    blocks = _parse(HwpParser(), "hwpx_table.hwpx")
    assert text_of(blocks).startswith("C반 기말고사")
    assert _tables(blocks)[0].rows[:2] == (("이름", "국어", "영어", "수학"), ("개똥이", "89", "65", "78"))


def test_hwp_notes_are_not_lost() -> None:
    text = text_of(_parse(HwpParser(), "hwp_footnote.hwp"))
    assert "각주입니다." in text
    assert "미주 두 번째입니다." in text


def test_hancom_characters_are_readable() -> None:
    text = text_of(_parse(HwpParser(), "hwp_sample5017.hwp"))
    assert "본 문서는 한글 워드 프로세서의 파일 저장 형식" in text
    assert not any("\ue000" <= char <= "\uf8ff" for char in text)


def test_a_distribution_document_gives_its_text() -> None:
    assert "컨텐츠 분석 툴킷" in text_of(_parse(HwpParser(), "hwp_tika_dist.hwp"))


def test_a_notice_of_the_government() -> None:
    assert "인사혁신처 국민참여정책단 모집" in text_of(_parse(HwpParser(), "hwpx_gov_notice.hwpx"))


@pytest.mark.parametrize("name", ["hwp_password.hwp", "hwpx_password123456.hwpx"])
def test_hwp_with_a_password_says_so(name: str) -> None:
    with pytest.raises(EncryptedDocument):
        _parse(HwpParser(), name)


def test_a_cut_hwp_is_no_silent_success() -> None:
    data = corpus_file("hwp_sample5017.hwp").read_bytes()[:20_000]
    with pytest.raises(UnreadableDocument):
        HwpParser().parse(ParserInput("application/x-hwp", "cut.hwp", len(data), data=data))


def test_an_hwpx_document_opens_with_its_password() -> None:
    path = corpus_file("hwpx_password123456.hwpx")
    source = ParserInput("application/hwp+zip", "x", path.stat().st_size, path=path, passwords=("wrong", "123456"))
    assert next(iter(HwpParser().parse(source).blocks)).text == "한글 97 안내문"
    with pytest.raises(EncryptedDocument, match="HWPX document is protected by a password"):
        HwpParser().parse(replace(source, passwords=("wrong",)))
    with pytest.raises(DocumentTooLarge):
        HwpParser().parse(replace(source, limits=DocumentLimits(unpacked_bytes=200_000)))
