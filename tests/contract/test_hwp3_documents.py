"""Documents of HWP 3 keep the contract: text in Hancom's own code, as its published format lays it out."""

import struct
import zlib

import pytest

from s3_to_milvus.adapters.parsers.hwp import HwpParser
from s3_to_milvus.adapters.sniff import sniff
from s3_to_milvus.errors import EncryptedDocument
from s3_to_milvus.ports import Parser
from s3_to_milvus.testing.contracts.parser import ParserContract, Sample, text_of

_HWP = "application/x-hwp"


def _codes(text: str) -> bytes:
    """Hangul in the combining code (johab), two bytes each; ASCII as it is."""
    units = (ord(char) if char.isascii() else int.from_bytes(char.encode("johab"), "big") for char in text)
    return b"".join(struct.pack("<H", unit) for unit in units)


def _paragraph(text: str) -> bytes:
    codes = _codes(text) + struct.pack("<H", 13)
    head = struct.pack("<BHHBBIB", 0, len(codes) // 2, 0, 0, 0, 0, 0) + bytes(31) + bytes(187)
    return head + codes


def _document(*paragraphs: str, title: str = "", is_packed: bool = True, is_locked: bool = False) -> bytes:
    body = struct.pack("<7H", *[0] * 7) + struct.pack("<H", 0)
    body += b"".join(map(_paragraph, paragraphs)) + struct.pack("<BH", 0, 0) + bytes(40)
    if is_packed:
        packer = zlib.compressobj(wbits=-15)
        body = packer.compress(body) + packer.flush()
    info = bytes(96) + struct.pack("<H", is_locked) + bytes(26) + struct.pack("<BBH", is_packed, 0, 0)
    summary = _codes(title).ljust(112, b"\0") + bytes(8 * 112)
    return b"HWP Document File V3.00 \x1a\1\2\3\4\5".ljust(30, b"\0") + info + summary + body


class TestHwp3(ParserContract):
    @pytest.fixture
    def parser(self) -> Parser:
        return HwpParser()

    @pytest.fixture(params=[True, False])
    def sample(self, request: pytest.FixtureRequest) -> Sample:
        data = _document("제1조 목적", "이 규정은 1998년부터", title="취업 규칙", is_packed=request.param)
        assert sniff(data, None, "a") == _HWP
        return Sample(data, _HWP, ("제1조 목적", "이 규정은 1998년부터"))

    @pytest.fixture
    def damaged(self) -> Sample | None:
        return Sample(_document("제1조 목적")[:-20], _HWP)

    @pytest.fixture
    def blank(self) -> Sample | None:
        return Sample(_document(), _HWP)


def test_title_password_and_broken_ends() -> None:
    assert HwpParser().parse(Sample(_document("가", title="취업 규칙"), _HWP).input).title == "취업 규칙"
    with pytest.raises(EncryptedDocument):
        HwpParser().parse(Sample(_document("가", is_locked=True), _HWP).input)
    cut = _document("처음 문단", "둘째 문단", is_packed=False)[:-60]
    document = HwpParser().parse(Sample(cut, _HWP).input)
    assert "처음 문단" in text_of(list(document.blocks))
    assert document.warnings == ("the HWP 3 document could not be read to its end",)
