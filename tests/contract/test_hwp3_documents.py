"""Documents of HWP 3 keep the contract: text in Hancom's own code, as its published format lays it out."""

import pytest

from s3_to_milvus.adapters.parsers.hwp import HwpParser
from s3_to_milvus.adapters.sniff import sniff
from s3_to_milvus.errors import EncryptedDocument, UnreadableDocument
from s3_to_milvus.ports import Parser
from s3_to_milvus.testing.contracts.parser import ParserContract, Sample, text_of
from tests.support.made.hangul import hwp3

_HWP = "application/x-hwp"


class TestHwp3(ParserContract):
    @pytest.fixture
    def parser(self) -> Parser:
        return HwpParser()

    @pytest.fixture(params=[True, False])
    def sample(self, request: pytest.FixtureRequest) -> Sample:
        data = hwp3(["제1조 목적", "이 규정은 1998년부터"], title="취업 규칙", is_packed=request.param)
        assert sniff(data, None, "a") == _HWP
        return Sample(data, _HWP, ("제1조 목적", "이 규정은 1998년부터"))

    @pytest.fixture
    def damaged(self) -> Sample | None:
        return Sample(hwp3(["제1조 목적"])[:-20], _HWP)

    @pytest.fixture
    def blank(self) -> Sample | None:
        return Sample(hwp3([]), _HWP)


def test_title_password_and_broken_ends() -> None:
    assert HwpParser().parse(Sample(hwp3(["가"], title="취업 규칙"), _HWP).input).title == "취업 규칙"
    with pytest.raises(EncryptedDocument):
        HwpParser().parse(Sample(hwp3(["가"], is_locked=True), _HWP).input)
    cut = hwp3(["처음 문단", "둘째 문단"], is_packed=False)[:-60]
    document = HwpParser().parse(Sample(cut, _HWP).input)
    assert "처음 문단" in text_of(list(document.blocks))
    assert document.warnings == ("the HWP 3 document could not be read to its end",)


def test_hwp_3_says_what_to_do() -> None:
    data = hwp3([])[:30] + bytes(200)
    with pytest.raises(UnreadableDocument) as caught:
        HwpParser().parse(Sample(data, _HWP).input)
    assert "HWPX" in caught.value.hint
