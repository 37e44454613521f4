"""The parser of RTF keeps the contract: Korean, tables, headings, lists, notes; nothing that is not shown."""

import time

import pytest

from s3_to_milvus.adapters.parsers.rtf import RtfParser
from s3_to_milvus.domain.documents import Block, BlockKind
from s3_to_milvus.ports import Parser
from s3_to_milvus.testing.contracts.parser import ParserContract, Sample, text_of

_RTF = "application/rtf"
_HEAD = rb"{\rtf1\ansi\ansicpg949\deff0{\fonttbl{\f0\fnil\fcharset129 Batang;}{\f1\fswiss\fcharset0 Arial;}}"
_STYLES = rb"{\stylesheet{\s0 Normal;}{\s1\outlinelevel0 heading 1;}{\s2 \'c1\'a6\'b8\'f1 2;}}"


def _hex(text: str, charset: str = "cp949") -> bytes:
    return b"".join(b"\\'%02x" % byte for byte in text.encode(charset))


def _units(text: str) -> bytes:
    data = text.encode("utf-16-le")
    units = [int.from_bytes(data[at : at + 2], "little", signed=True) for at in range(0, len(data), 2)]
    return b"".join(b"\\u%d?" % unit for unit in units)


_KOREAN = (
    _HEAD
    + _STYLES
    + rb"{\info{\title "
    + _hex("휴가 규정")
    + rb"}{\author secret-author}}"
    + rb"\pard\s1\f0 "
    + _hex("제1장 총칙")
    + rb"\par\pard\s2 "
    + _units("목적")
    + rb"\par\pard "
    + _hex("똠방각하")
    + rb"\'b4\'c2 {\f1 caf\'e9}{\footnote\pard "
    + _hex("각주입니다")
    + rb"} \v hidden\v0 shown.\par{\pict\wmetafile8 010009000003}{\*\unknown gone}"
    + rb"{\listtext\pard 1.\tab}"
    + _hex("첫째")
    + rb"\par\trowd\cellx100\cellx200\pard\intbl "
    + _hex("이름")
    + rb"\cell "
    + _hex("일수")
    + rb"\cell\row\trowd\pard\intbl "
    + _hex("연차")
    + rb"\cell 15\cell\row\pard after {\field{\*\fldinst HYPERLINK x}{\fldrslt link}}\par}"
)


def _blocks(data: bytes) -> list[Block]:
    return list(RtfParser().parse(Sample(data, _RTF).input).blocks)


class TestRtfParser(ParserContract):
    @pytest.fixture
    def parser(self) -> Parser:
        return RtfParser()

    @pytest.fixture
    def sample(self) -> Sample:
        phrases = (
            "제1장 총칙",
            "목적",
            "똠방각하는 café shown.",
            "각주입니다",
            "1. 첫째",
            "이름 일수 연차 15",
            "after link",
        )
        return Sample(_KOREAN, _RTF, phrases)

    @pytest.fixture
    def damaged(self) -> Sample | None:
        return Sample(b"\x00\x01{\\rt", _RTF)

    @pytest.fixture
    def blank(self) -> Sample | None:
        return Sample(rb"{\rtf1\ansi\pard\par}", _RTF)


def test_structure_is_kept() -> None:
    document = RtfParser().parse(Sample(_KOREAN, _RTF).input)
    blocks = list(document.blocks)
    assert document.title == "휴가 규정"
    assert [(block.text, block.level) for block in blocks if block.kind is BlockKind.HEADING] == [
        ("제1장 총칙", 1),
        ("목적", 2),
    ]
    assert [block.text for block in blocks if block.kind is BlockKind.LIST_ITEM] == ["1. 첫째"]
    (table,) = (block for block in blocks if block.kind is BlockKind.TABLE)
    assert table.rows == (("이름", "일수"), ("연차", "15"))
    for hidden in ("hidden", "0100", "gone", "HYPERLINK", "secret-author", "Batang"):
        assert hidden not in text_of(blocks)


def test_korean_in_a_western_document() -> None:
    head = rb"{\rtf1\ansi\ansicpg1252{\fonttbl{\f0\fcharset0 Times;}{\f7\fcharset129 Batang;}}"
    data = head + rb"\pard\f0 caf\'e9 {\f7 " + _hex("한글") + rb"} \u44032 \'3f" + rb"\par}"
    assert [block.text for block in _blocks(data)] == ["café 한글 가"]


def test_characters_outside_the_basic_plane_and_longer_stand_ins() -> None:
    data = rb"{\rtf1\ansi\uc2 " + _units("😀").replace(b"?", b"??") + rb"\u-21512\'b0\'a1!\par}"
    assert [block.text for block in _blocks(data)] == ["😀\uabf8!"]


def test_raw_bytes_and_binary_data() -> None:
    data = rb"{\rtf1\ansi\ansicpg949 " + "한글".encode("cp949") + rb"{\pict\bin5 }}}}\x} end\par}"
    assert text_of(_blocks(data)).startswith("한글")


_WESTERN = rb"{\rtf1\ansi\ansicpg1252\deff0{\fonttbl{\f0\fcharset129 Batang;}{\f1\fcharset0 Arial;}{\f2\fcharset2 W;}}"


def _told(body: bytes) -> list[tuple[str, str]]:
    return [(block.kind.value, block.text) for block in _blocks(_WESTERN + _STYLES + body + b"}")]


def test_the_default_font_says_which_letters_are_meant() -> None:
    assert _told(_hex("기본") + rb" {\f1 caf\'e9\plain  " + _hex("한글") + rb"}\par") == [
        ("paragraph", "기본 café 한글")
    ]


def test_what_a_group_says_of_paragraphs_ends_with_it() -> None:
    body = rb"{\pard\s1 " + _hex("제목") + rb"\par}" + _hex("본문") + rb"\par"
    assert _told(body) == [("heading", "제목"), ("paragraph", "본문")]


def test_boxes_headers_and_notes_stand_beside_the_sentence() -> None:
    box = (
        rb"{\shp{\*\shpinst{\sp{\sn a}{\sv 1}}{\shptxt\pard " + _hex("상자") + rb"\par\trowd\cellx1\cellx2\pard\intbl "
    )
    box += _hex("이름") + rb"\cell 1\cell\row}}}"
    note = rb"{\super\chftn}{\footnote\pard\plain {\chftn} " + _hex("각주") + rb"}"
    body = rb"{\header " + _hex("머리글") + rb"}\pard " + _hex("앞") + box + note + _hex("뒤") + rb"\par"
    assert _told(body) == [
        ("paragraph", "머리글"),
        ("paragraph", "앞뒤"),
        ("paragraph", "상자"),
        ("table", ""),
        ("paragraph", "1) 각주"),
    ]


@pytest.mark.parametrize("page", [0, 9, 42, 1200, 65001, 99_999])
def test_code_pages_that_nobody_knows_are_no_defect(page: int) -> None:
    data = rb"{\rtf1\ansi\ansicpg%d{\fonttbl{\f1\cpg%d X;}} a\'41 {\f1 b\'42}\par}" % (page, page)
    assert [block.text for block in _blocks(data)] == ["aA bB"]


def test_bullets_of_symbol_fonts_are_no_letters() -> None:
    assert _told(rb"{\listtext\pard\f2 l\tab}" + _hex("첫째") + rb"\par") == [("list_item", "첫째")]


def test_a_cell_may_hold_paragraphs_without_saying_so() -> None:
    body = rb"\trowd\cellx1\cellx2 " + _hex("가") + rb"\par " + _hex("나") + rb"\cell x\cell\row after\par"
    table, after = _blocks(_WESTERN + body + b"}")
    assert table.rows == (("가 나", "x"),)
    assert after.text == "after"


def test_a_document_that_breaks_off_says_so() -> None:
    whole = RtfParser().parse(Sample(_KOREAN, _RTF).input)
    cut = RtfParser().parse(Sample(_KOREAN[:-20], _RTF).input)
    assert (whole.warnings, cut.warnings) == ((), ("the RTF document breaks off before its end",))


def test_a_cell_of_any_length_fits_into_blocks() -> None:
    data = _HEAD + rb"\trowd\pard\intbl " + b"word " * 40_000 + rb"\cell b\cell\row}"
    blocks = _blocks(data)
    assert max(sum(len(cell.encode()) for row in block.rows for cell in row) for block in blocks) <= 65_536
    assert text_of(blocks).count("word") == 40_000


@pytest.mark.parametrize(
    "data",
    [
        b"{" * 200_000,
        b"{\\b " * 100_000 + b"deep",
        b"}" * 1000 + b"deep\\par",
        b"{\\shptxt a\\par " * 100_000,
        b"{\\header x}" * 100_000,
        b"a{\\footnote n" * 100_000,
    ],
)
def test_depth_is_no_matter(data: bytes) -> None:
    began = time.process_time()
    _blocks(b"{\\rtf1 " + data)
    assert time.process_time() - began < 120
