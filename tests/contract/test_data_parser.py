"""The parser of data keeps the contract, for each kind of data."""

import json

import pytest

from s3_to_milvus.adapters.parsers.data import DataParser
from s3_to_milvus.domain.documents import Block
from s3_to_milvus.errors import UnreadableDocument
from s3_to_milvus.ports import Parser
from s3_to_milvus.testing.contracts.parser import ParserContract, Sample, text_of


class _Data(ParserContract):
    @pytest.fixture
    def parser(self) -> Parser:
        return DataParser()


class TestCsv(_Data):
    @pytest.fixture
    def sample(self) -> Sample:
        data = '이름;점수\r\n"개똥이; 반장";89\r\n칠득이;77\r\n'.encode("cp949")
        return Sample(data, "text/csv", ("이름 점수", "개똥이; 반장 89", "칠득이 77"))

    @pytest.fixture
    def blank(self) -> Sample | None:
        return Sample(b"\r\n,,\r\n", "text/csv")


class TestJson(_Data):
    @pytest.fixture
    def sample(self) -> Sample:
        data = json.dumps({"회사": {"이름": "푸른 학교", "지점": ["서울", {"시": "부산"}]}, "수": 3, "없음": None})
        return Sample(data.encode(), "application/json", ("회사.이름: 푸른 학교", "회사.지점.시: 부산", "수: 3"))

    @pytest.fixture
    def damaged(self) -> Sample | None:
        return Sample(b'{"a": 1, ', "application/json")


class TestXml(_Data):
    @pytest.fixture
    def sample(self) -> Sample:
        text = '<?xml version="1.0" encoding="euc-kr"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
        text += '<a title="제목">앞<!-- no -->가운데<b>안</b>뒤&x;<c/>끝</a>'
        return Sample(text.encode("cp949"), "application/xml", ("제목", "앞", "가운데", "안", "뒤", "끝"))

    @pytest.fixture
    def blank(self) -> Sample | None:
        return Sample(b'<?xml version="1.0"?><a><b/></a>', "application/xml")

    def test_nothing_outside_is_read(self, parser: Parser, sample: Sample) -> None:
        assert "root" not in text_of(list(parser.parse(sample.input).blocks))


def _blocks(data: bytes, media_type: str) -> list[Block]:
    return list(DataParser().parse(Sample(data, media_type).input).blocks)


def test_objects_with_the_same_names_are_a_table() -> None:
    data = b'{"name": "a", "n": 1}\n{"name": "b", "n": null}\n'
    assert _blocks(data, "application/json")[0].rows == (("name", "n"), ("a", "1"), ("b", ""))


def test_json_nested_without_end_is_named_as_such() -> None:
    with pytest.raises(UnreadableDocument):
        _blocks(b"[" * 200_000, "application/json")
